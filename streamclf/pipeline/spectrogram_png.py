"""Pictures of clips: log-mel power over time, as a PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from streamclf.core.errors import RecordingError
from streamclf.pipeline.audio_columns import CEILING_DB, FLOOR_DB, mel_filters

MAX_AUDIO_S = 120.0
"""Longest audio that is drawn, in seconds; what follows is left out."""
MAX_SAMPLES = 16_000_000
"""Most samples of all channels together that are drawn: a foreign file may claim any rate."""
MAX_COLUMNS = 900
_FFT_S = 0.032
_HOP_S = 0.008
DARK = (
    "20252a", "1f313b", "214353", "24566c", "2c6c87", "3a84a3", "559dbc", "7db9d4", "b3dbee",
)  # fmt: skip
LIGHT = (
    "efece7", "dfeaf0", "c3dbe8", "a0c8dc", "79b0cb", "5296b7", "347b9f", "1f5f82", "0f4059",
)  # fmt: skip
"""Colours from silent to loud, those of the stylesheet, in order of lightness for every eye."""


def draw_clip(path: Path, tones: Sequence[str] = DARK) -> bytes:
    """Draw a clip as a PNG of `N_BANDS` rows, highest frequency first.

    Args:
        path: The clip.
        tones: `DARK` or `LIGHT`.

    Raises:
        RecordingError: The file is no audio.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            n_samples = min(int(MAX_AUDIO_S * rate), MAX_SAMPLES // file.channels)
            waveform = file.read(n_samples, dtype="float32", always_2d=True).mean(axis=1)
    except (OSError, RuntimeError) as error:
        raise RecordingError(f"{path}: cannot be drawn: it is no audio, or is damaged") from error
    return encode_png(_levels(waveform, rate)[::-1], tones)


def encode_png(levels: npt.NDArray[np.uint8], tones: Sequence[str] = DARK) -> bytes:
    """Encode levels ``(rows, columns)``, 0 for silent to 255 for loud, as a PNG with a palette."""
    height, width = levels.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # the first byte of a row names its filter
    rows[:, 1:] = levels
    places = np.linspace(0, 255, len(tones))
    known = np.array([[*bytes.fromhex(tone)] for tone in tones])
    colours = np.stack([np.interp(np.arange(256), places, known[:, i]) for i in range(3)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in [
            (b"IHDR", header),
            (b"PLTE", colours.round().astype(np.uint8).tobytes()),
            (b"IDAT", zlib.compress(rows.tobytes(), 6)),
            (b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _levels(waveform: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.uint8]:
    """Levels ``(N_BANDS, columns)`` from the lowest band, scaled to 0..255."""
    n_fft = 1 << max(round(_FFT_S * rate), 16).bit_length()
    hop_length = max(round(_HOP_S * rate), waveform.size // MAX_COLUMNS, 1)
    padded = np.pad(waveform, (n_fft // 2, n_fft // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    taper = np.hanning(n_fft).astype(np.float32)
    filters = mel_filters(rate, n_fft)
    columns = []
    for first in range(0, len(frames), 64):  # which keeps memory small
        spectrum = np.fft.rfft(frames[first : first + 64] * taper)
        power = np.abs(spectrum) ** 2 * (4 / n_fft**2)
        columns.append(filters @ power.T)
    db = 10 * np.log10(np.concatenate(columns, axis=1) + 1e-12)
    scaled = (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)
    return np.asarray(np.clip(np.nan_to_num(scaled), 0, 1) * 255, dtype=np.uint8)
