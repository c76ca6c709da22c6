"""Any audio file as samples: libsndfile for what it reads, FFmpeg (PyAV) for the rest.

Never ``torchaudio.load``: since 2.9 it needs torchcodec, which needs a matching FFmpeg beside it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from train.datasets.prepared import FULL_SCALE
from train.errors import DatasetError

_ENDINGS = (
    ".wav .flac .ogg .oga .opus .mp3 .m4a .aac .aif .aiff .aifc .au .caf .w64 .wma .webm .mka .mp4"
)
AUDIO_ENDINGS = frozenset([*_ENDINGS.split(), ".g722"])

MAX_SECONDS = 3600
"""A longer file is no clip."""


Stretch = tuple[float, float]
"""Where a part of a file begins and ends, in seconds."""


def read_clip(
    path: Path, sample_rate: int, channels: int = 1, stretch: Stretch | None = None
) -> npt.NDArray[np.int16]:
    """Decode a clip, mix it, resample it.

    One channel is the mean of all there are; of two, a stereo clip gives its own and any other
    clip its mean twice. What isn't a number counts as silence.

    Args:
        path: Any audio file.
        sample_rate: Wanted, in Hz.
        channels: Wanted, 1 or 2.
        stretch: Take that part alone, of a file of any length.

    Returns:
        ``(samples,)`` of one channel, ``(samples, 2)`` of two.

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
    """Decode a file, or a stretch of it: no more than that is held, and what follows may lack.

    Returns:
        ``(samples, channels)`` float32 in [-1, 1], and the rate in Hz.

    Raises:
        DatasetError: It does not decode or holds no audio; a whole file is cut off, or holds more
            than an hour.
    """
    try:
        waveform, rate = _by_libsndfile(path, stretch)
    except (soundfile.SoundFileError, RuntimeError) as error:
        try:
            waveform, rate = _by_ffmpeg(path, stretch)
            if not waveform.size:  # FFmpeg takes much for audio, and then finds none
                raise ValueError
        except (av.FFmpegError, ValueError, IndexError):
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise DatasetError(f"{path}: does not decode: {reason}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not waveform.size:
        raise DatasetError(f"{path}: holds no samples")
    return waveform, rate


def duration_of(path: Path) -> float:
    """How long a file is, in seconds; 0 where nothing can tell. Decodes next to nothing of it."""
    try:
        with path.open("rb") as opened, soundfile.SoundFile(opened) as file:
            return file.frames / file.samplerate
    except (soundfile.SoundFileError, RuntimeError, OSError):
        pass
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            if stream.duration is not None:
                return float(stream.duration * stream.time_base)
            # Written live, it has no length in its header: that of its last packet.
            ends = [p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None]
            return float(max(ends, default=0) * stream.time_base)
    except (av.FFmpegError, ValueError, IndexError, OSError):
        return 0.0


def _by_libsndfile(path: Path, stretch: Stretch | None) -> tuple[npt.NDArray[np.float32], int]:
    with path.open("rb") as opened, soundfile.SoundFile(opened) as file:
        if stretch is not None:
            begin, end = (round(second * file.samplerate) for second in stretch)
            file.seek(min(begin, file.frames))
            return file.read(end - begin, dtype="float32", always_2d=True), file.samplerate
        _check_length(path, file.frames / file.samplerate)
        promised = file.frames
        # libsndfile shortens a file whose header promises more, and says so in its log alone.
        cut = re.search(r"data : (\d+) \(should be (\d+)\)", file.extra_info)
        waveform = file.read(dtype="float32", always_2d=True)
        if cut and int(cut[1]) > int(cut[2]):
            raise DatasetError(f"{path}: is cut off: {cut[2]} of {cut[1]} bytes are there")
        if len(waveform) < promised:
            raise DatasetError(f"{path}: is cut off: {len(waveform)} of {promised} samples")
        return waveform, file.samplerate


def _by_ffmpeg(path: Path, stretch: Stretch | None) -> tuple[npt.NDArray[np.float32], int]:
    begin, end = stretch or (-math.inf, math.inf)
    first: float | None = None
    parts: list[npt.NDArray[np.float32]] = []
    n_samples = 0
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise DatasetError(f"{path}: holds audio in a coding that FFmpeg does not know")
        rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        if stretch is not None:
            container.seek(round(begin * av.time_base))  # some place before it
        for frame in container.decode(stream):
            time = (first or 0.0) + n_samples / rate if frame.time is None else frame.time
            if time + frame.samples / rate <= begin:
                continue
            if time >= end:
                break
            first = time if first is None else first
            for piece in resampler.resample(frame):
                parts.append(piece.to_ndarray().T)
                n_samples += piece.samples
            if stretch is None:
                _check_length(path, n_samples / rate)
        parts += [piece.to_ndarray().T for piece in resampler.resample(None)]
    waveform = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    if stretch is not None and first is not None:
        too_early = max(0, round((begin - first) * rate))
        waveform = waveform[too_early : too_early + round((end - begin) * rate)]
    return waveform, rate


def _check_length(path: Path, seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise DatasetError(
            f"{path}: lasts more than {MAX_SECONDS} s, which is no clip; cut it into shorter ones"
        )
