"""Decoding of any audio file, with the libraries that `streamclf file` uses.

``torchaudio.load`` is never used: since 2.9 it needs torchcodec, which needs a matching FFmpeg.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from streamclf.core.audio_endings import SUFFIXES
from streamclf.sources.containers.find_parts import find_parts
from streamclf.sources.containers.part import NEGLIGIBLE_S, Part
from train.base.errors import DatasetError
from train.datasets.prepared import FULL_SCALE

_ENDINGS = (
    ".wav .flac .ogg .oga .opus .mp3 .m4a .aac .aif .aiff .aifc .au .caf .w64 .wma .webm .mka .mp4"
)
AUDIO_ENDINGS = frozenset([*_ENDINGS.split(), ".g722"])
"""Endings of the files of published sets."""
OWN_ENDINGS = AUDIO_ENDINGS | SUFFIXES
"""Endings of the files of one's own, which phones and recorders of all kinds have written."""

MAX_SECONDS = 3600
"""Longest clip; a longer file is refused."""

SEEK_EARLIER_S = 1.0
"""Seconds before a stretch at which decoding begins, as codecs need some of the preceding audio."""


Stretch = tuple[float, float]
"""Start and end of a part of a file, in seconds."""


def read_clip(
    path: Path, sample_rate: int, channels: int = 1, stretch: Stretch | None = None
) -> npt.NDArray[np.int16]:
    """Decode a clip, mix it down and resample it.

    One channel is the mean of all channels. For two channels a stereo clip keeps its own, and any
    other clip gives its mean twice. NaN and infinity become silence.

    Args:
        path: Any audio file.
        sample_rate: Wanted sample rate in Hz.
        channels: Wanted channels, 1 or 2.
        stretch: Read this part alone, of a file of any length.

    Returns:
        ``(samples,)`` for one channel, ``(samples, 2)`` for two.

    Raises:
        DatasetError: It does not decode, is cut off, or holds no audio.
    """
    waveform, rate = decode(path, stretch)
    waveform = np.nan_to_num(waveform, nan=0.0, posinf=0.0, neginf=0.0)
    if waveform.shape[1] != channels:
        waveform = waveform.mean(axis=1, keepdims=True).repeat(channels, axis=1)
    if channels == 1:
        waveform = waveform[:, 0]
    resampled = soxr.resample(waveform, rate, sample_rate)
    if not len(resampled):
        raise DatasetError(f"{path}: {len(waveform)} samples are none at {sample_rate} Hz")
    return np.clip(np.rint(resampled * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def decode(path: Path, stretch: Stretch | None = None) -> tuple[npt.NDArray[np.float32], int]:
    """Decode a file, or a stretch of it.

    For a stretch no more than that is held in memory, and the rest of the file may be missing.

    Returns:
        ``(samples, channels)`` float32 in [-1, 1], and the sample rate in Hz.

    Raises:
        DatasetError: It does not decode or holds no audio; a whole file is cut off, or holds more
            than an hour.
    """
    try:
        pieces = [_decode(path, part, own) for part, own in _parts(path, stretch)]
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    pieces = [piece for piece in pieces if piece[0].size] or pieces
    if not pieces or not pieces[0][0].size:
        raise DatasetError(f"{path}: holds no samples")
    if len(pieces) > 1:
        return _join(pieces)
    return pieces[0]


def duration_of(path: Path) -> float:
    """Duration of a file in seconds, 0 if it cannot be told; hardly any of it is decoded."""
    try:
        return sum(_duration_of(path, part) for part in find_parts(path))
    except OSError:
        return 0.0


def _parts(path: Path, stretch: Stretch | None) -> Iterator[tuple[Part, Stretch | None]]:
    """The parts of a file, each with the stretch of it that is wanted."""
    parts = find_parts(path)
    if stretch is None or len(parts) == 1:
        yield from ((part, stretch) for part in parts)
        return
    begin, end = stretch
    for part in parts:
        duration = _duration_of(path, part)
        if end > 0 and begin < duration:
            yield part, (max(begin, 0.0), end)
        begin, end = begin - duration, end - duration


def _join(
    pieces: list[tuple[npt.NDArray[np.float32], int]],
) -> tuple[npt.NDArray[np.float32], int]:
    """Join parts at the first one's sample rate, mixed down where their channels differ."""
    rate = pieces[0][1]
    waveforms = [soxr.resample(waveform, own, rate) for waveform, own in pieces]
    if len({waveform.shape[1] for waveform in waveforms}) > 1:
        waveforms = [waveform.mean(axis=1, keepdims=True) for waveform in waveforms]
    return np.concatenate(waveforms), rate


def _decode(path: Path, part: Part, stretch: Stretch | None) -> tuple[npt.NDArray[np.float32], int]:
    """Decode one part with the library that reads it."""
    reason: Exception | None = None
    if part.reader != "ffmpeg":
        try:
            return _by_libsndfile(path, part, stretch)
        except (soundfile.SoundFileError, RuntimeError) as error:
            reason = error
    import av  # takes long to import, and few data sets need it

    try:
        waveform, rate = _by_ffmpeg(path, part, stretch)
        if not waveform.size:  # FFmpeg may take other data for audio, and then decodes nothing
            raise ValueError("holds no audio that can be decoded")
    except (av.FFmpegError, ValueError, IndexError) as error:
        why = getattr(reason or error, "error_string", str(reason or error)).rstrip(".")
        raise DatasetError(f"{path}: does not decode: {why}") from error
    return waveform, rate


def _duration_of(path: Path, part: Part) -> float:
    if part.promised_s:
        return part.promised_s
    if part.reader != "ffmpeg":
        try:
            with part.open(path) as opened, soundfile.SoundFile(opened) as file:
                return float(file.frames / file.samplerate)
        except (soundfile.SoundFileError, RuntimeError):
            pass
    import av

    try:
        with part.open(path) as opened, av.open(opened, format=_format_of(path)) as container:
            stream = container.streams.audio[0]
            if stream.duration is not None and part.kind != "MP3":
                # The header of a FLAC that was cut out of a longer one has the longer one's length,
                # counted from its beginning.
                before = (stream.start_time or 0) if part.kind == "FLAC" else 0
                return float((stream.duration - before) * stream.time_base)
            # A file that was written live has no length in its header: its last packet tells it.
            ends = [p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None]
            begin = stream.start_time or 0
            return float(max(max(ends, default=0) - begin, 0) * stream.time_base)
    except (av.FFmpegError, ValueError, IndexError, OSError):
        return 0.0


def _by_libsndfile(
    path: Path, part: Part, stretch: Stretch | None
) -> tuple[npt.NDArray[np.float32], int]:
    with part.open(path) as opened, soundfile.SoundFile(opened) as file:
        if stretch is not None:
            begin, end = (round(second * file.samplerate) for second in stretch)
            file.seek(min(begin, file.frames))
            return file.read(end - begin, dtype="float32", always_2d=True), file.samplerate
        _check_length(path, file.frames / file.samplerate)
        waveform = file.read(dtype="float32", always_2d=True)
        _check_whole(path, len(waveform), max(part.promised_samples, file.frames), file.samplerate)
        return waveform, file.samplerate


def _by_ffmpeg(
    path: Path, part: Part, stretch: Stretch | None
) -> tuple[npt.NDArray[np.float32], int]:
    import av

    begin, end = stretch or (-math.inf, math.inf)
    first: float | None = None
    parts: list[npt.NDArray[np.float32]] = []
    n_samples = 0
    with part.open(path) as opened, av.open(opened, format=_format_of(path)) as container:
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise DatasetError(f"{path}: holds audio in a coding that FFmpeg does not know")
        rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
        # In one plane: PyAV miscounts eight planes and more (`streamclf.sources.recording.ffmpeg`).
        resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
        if stretch is not None:
            start_s = float((stream.start_time or 0) * stream.time_base)
            begin, end = begin + start_s, end + start_s
            container.seek(round(max(begin - SEEK_EARLIER_S, start_s) * av.time_base))
        for frame in container.decode(stream):
            time = (first or 0.0) + n_samples / rate if frame.time is None else frame.time
            if time + frame.samples / rate <= begin:
                continue
            if time >= end:
                break
            first = time if first is None else first
            for piece in resampler.resample(frame):
                parts.append(_by_channel(piece))
                n_samples += piece.samples
            if stretch is None:
                _check_length(path, n_samples / rate)
        parts += [_by_channel(piece) for piece in resampler.resample(None)]
    waveform = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    if stretch is None:
        _check_whole(path, len(waveform), round(part.promised_s * rate), rate)
        if part.cut_off:
            raise DatasetError(f"{path}: is cut off: {part.cut_off}")
    elif first is not None:
        too_early = max(0, round((begin - first) * rate))
        waveform = waveform[too_early : too_early + round((end - begin) * rate)]
    return waveform, rate


def _by_channel(frame: Any) -> npt.NDArray[np.float32]:
    """The samples of a frame of one plane, as ``(samples, channels)``."""
    samples: npt.NDArray[np.float32] = frame.to_ndarray()
    return samples.reshape(-1, len(frame.layout.channels))


def _format_of(path: Path) -> str | None:
    """Return the name of a format that FFmpeg cannot detect: G.722 has no header, only samples."""
    return "g722" if path.suffix.lower() == ".g722" else None


def _check_length(path: Path, seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise DatasetError(
            f"{path}: lasts more than {MAX_SECONDS} s, which is no clip; cut it into shorter ones"
        )


def _check_whole(path: Path, n_samples: int, promised: int, sample_rate: int) -> None:
    if promised - n_samples >= NEGLIGIBLE_S * sample_rate:
        raise DatasetError(f"{path}: is cut off: {n_samples} of {promised} samples are there")
