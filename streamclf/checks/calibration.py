"""Measurement of a sound calibrator's tone, which ties a source's dBFS to dB SPL.

A sound calibrator (IEC 60942) is put over the microphone and makes a tone of a known level there:
94 dB or 114 dB at 1 kHz, or at 250 Hz. Anything else that is heard meanwhile would make the offset
wrong for all levels that follow, so it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import CalibrationError, UsageError
from streamclf.core.records import Block, Gap, Notice
from streamclf.pipeline.a_weighting import a_weight_db
from streamclf.pipeline.levels import LevelMeter, LevelPiece, LevelSummary, level_db
from streamclf.pipeline.mixdown import mix_down
from streamclf.sources.base import Source

SAMPLE_RATE = 48_000
"""Rate in Hz that a source is asked for, if it can choose."""
SETTLING_S = 0.5
"""Seconds before the measurement, in which a microphone that was just opened settles."""
LEVELS_DB = (50.0, 150.0)
"""Levels of calibrators, in dB SPL; others are mistyped."""
SECONDS = (1.0, 60.0)
MIN_LEVEL_DBFS = -80.0
"""Lowest level of a tone, A-weighted. Below it, a microphone's own noise would be measured too."""
CLIPPED_PEAK = 0.999
"""Peak from which a waveform counts as cut off."""
MAX_SPREAD_DB = 0.5
"""Most by which the level, A-weighted and with time weighting F, may move. A calibrator of class 2
moves by 0.2 dB (IEC 60942)."""
MIN_TONE_SHARE = 0.95
"""Lowest share of the A-weighted energy that the tone must have. The rest then adds less than 0.25
dB to it."""
_TONE_WIDTH = 0.02
_TONE_BINS = 4


@dataclass(frozen=True)
class Calibration:
    """Measurement of a calibrator's tone.

    Attributes:
        source: Name of the source.
        level_db: Level of the tone at the microphone in dB SPL, as stated.
        measured_db: The level that was measured, in dBFS, without the weighting of its frequency.
        frequency_hz: Frequency of the tone.
        spread_db: Difference between the highest and the lowest level during the measurement.
        duration_s: Length of the measurement in seconds.
    """

    source: str
    level_db: float
    measured_db: float
    frequency_hz: float
    spread_db: float
    duration_s: float

    @property
    def offset_db(self) -> float:
        """What is to be added to levels in dBFS for levels in dB SPL."""
        return self.level_db - self.measured_db


def calibrate(
    source: Source,
    level_db: float,
    seconds: float,
    channel: int | None = None,
    *,
    on_start: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda message: None,
) -> Calibration:
    """Measure a calibrator's tone.

    Args:
        source: An open source; the caller closes it.
        level_db: Level of the calibrator's tone in dB SPL.
        seconds: Length of the measurement.
        channel: The channel that is measured, from 1; None for the mean of all.
        on_start: Called when the first audio has arrived.
        say: Called with each notice, as one line.

    Raises:
        UsageError: The level or the length is out of range.
        SourceError: The source fails.
        CalibrationError: What is heard is no steady tone.
    """
    _check_range("--level", level_db, LEVELS_DB, "dB")
    _check_range("--seconds", seconds, SECONDS, "seconds")
    name = source.name
    waveform, sample_rate = _collect(source, seconds, channel, on_start, say)
    meter, summary = LevelMeter(), LevelSummary()
    pieces = [*meter.add(Block(0, waveform[np.newaxis], sample_rate)), *meter.end()]
    for piece in pieces:
        summary.add(piece)
    levels = summary.levels()
    assert levels is not None  # there is a second of audio at least
    if levels.laeq < MIN_LEVEL_DBFS:
        raise CalibrationError(
            f"{name}: hears {levels.laeq:.1f} dBFS, a calibrator's tone must reach "
            f"{MIN_LEVEL_DBFS:g} dBFS: switch the calibrator on, put it over the microphone, and "
            "raise the input's volume if it is low"
        )
    peak = float(np.abs(waveform).max())
    if peak >= CLIPPED_PEAK:
        raise CalibrationError(
            f"{name}: samples reach {peak:.3f} of full scale, the limit is {CLIPPED_PEAK:g}: the "
            "tone is cut off there, so lower the input's volume, and calibrate again"
        )
    spread = _measure_spread(pieces)
    if spread > MAX_SPREAD_DB:
        raise CalibrationError(
            f"{name}: the level moves by {spread:.1f} dB, the limit is {MAX_SPREAD_DB:g} dB: hold "
            "the calibrator still and tight on the microphone, and switch off automatic gain"
        )
    frequency, share = _find_tone(waveform, sample_rate)
    if share < MIN_TONE_SHARE:
        raise CalibrationError(
            f"{name}: {100 * share:.0f} % of the sound is one tone ({frequency:.0f} Hz), the limit "
            f"is {100 * MIN_TONE_SHARE:.0f} %: calibrate where it is quiet, with the calibrator "
            "tight on the microphone"
        )
    measured = levels.laeq - float(a_weight_db(frequency))
    return Calibration(name, level_db, measured, frequency, spread, levels.heard_s)


def _check_range(option: str, value: float, limits: tuple[float, float], unit: str) -> None:
    low, high = limits
    if not low <= value <= high:
        raise UsageError(f"{option} {value:g}: must be {low:g} to {high:g} {unit}")


def _collect(
    source: Source,
    seconds: float,
    channel: int | None,
    on_start: Callable[[], None],
    say: Callable[[str], None],
) -> tuple[npt.NDArray[np.float32], int]:
    """Read the audio that is measured, ``(samples,)``, and its sample rate.

    Raises:
        SourceError: The source fails.
        CalibrationError: Audio is missing, or the source ends too soon.
    """
    blocks: list[Block] = []
    n_heard = 0
    for item in mix_down(source.blocks(SAMPLE_RATE), channel):
        if isinstance(item, Notice):
            say(f"warning: {item.message}" if item.level == "warning" else item.message)
            continue
        if isinstance(item, Gap):
            raise CalibrationError(
                f"{source.name}: {item.n_samples / item.sample_rate:.2f} s are missing "
                f"({item.cause}), none may be: calibrate again, with less else to do for this "
                "machine"
            )
        if not blocks:
            on_start()
        elif not item.has_format_of(blocks[0]):
            raise CalibrationError(
                f"{source.name}: the sample rate changed from {blocks[0].sample_rate} to "
                f"{item.sample_rate} Hz, it must stay: calibrate again"
            )
        blocks.append(item)
        n_heard += item.n_samples
        n_settling = round(SETTLING_S * item.sample_rate)
        n_wanted = n_settling + round(seconds * item.sample_rate)
        if n_heard >= n_wanted:
            waveform = np.concatenate([block.waveform[0] for block in blocks])
            return waveform[n_settling:n_wanted], item.sample_rate
    heard_s = n_heard / blocks[0].sample_rate if blocks else 0.0
    raise CalibrationError(
        f"{source.name}: ended after {heard_s:.1f} s, calibrate needs {seconds + SETTLING_S:g} s: "
        "give it more audio, or take fewer --seconds"
    )


def _measure_spread(pieces: list[LevelPiece]) -> float:
    course = [level_db(energy) for piece in pieces for energy in piece.f_energies]
    return max(course) - min(course)


def _find_tone(waveform: npt.NDArray[Any], sample_rate: int) -> tuple[float, float]:
    """Find the strongest tone.

    Returns:
        Its frequency in Hz, and its share of the A-weighted energy.
    """
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(waveform.size))) ** 2
    frequencies = np.fft.rfftfreq(waveform.size, 1 / sample_rate)
    spectrum[0] = 0.0
    spectrum[1:] *= 10 ** (a_weight_db(frequencies[1:]) / 10)
    strongest = int(spectrum.argmax())
    width = max(_TONE_BINS, round(_TONE_WIDTH * strongest))
    near = slice(max(strongest - width, 0), strongest + width + 1)
    energy = float(spectrum[near].sum())
    frequency = float(spectrum[near] @ frequencies[near]) / energy
    return frequency, energy / float(spectrum.sum())
