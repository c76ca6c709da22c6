"""The command `calibrate`: the offset between dBFS and dB SPL of a source."""

from __future__ import annotations

from dataclasses import replace

from streamclf.checks.calibration import SETTLING_S, Calibration
from streamclf.checks.calibration import calibrate as measure
from streamclf.core.errors import OK
from streamclf.core.text_format import format_length
from streamclf.runs.console import say
from streamclf.sources.factory import open_source
from streamclf.sources.options import SourceOptions


def calibrate(
    options: SourceOptions, channel: int | None, *, level_db: float, seconds: float
) -> int:
    """Measure a calibrator's tone, and print a line for the settings file.

    Returns:
        The exit code.

    Raises:
        StreamclfError: The source fails, or what it hears is no calibrator's tone.
    """
    if options.can_be_lost:
        options = replace(options, reconnect=False)  # nobody waits for it with a calibrator in hand
    with open_source(options, channel) as source:

        def say_start() -> None:
            say(
                f"listening to {source.name} for {format_length(seconds + SETTLING_S)}: the "
                f"calibrator must sound at {level_db:g} dB all the while"
            )

        found = measure(source, level_db, seconds, channel, on_start=say_start, say=say)
    say(describe(found))
    print(f"calibration-db = {found.offset_db:.1f}")
    return OK


def describe(found: Calibration) -> str:
    """Tell what was measured, and what its result is for."""
    return (
        f"{found.source}: a tone of {found.frequency_hz:.0f} Hz at {found.measured_db:.1f} dBFS, "
        f"which moved by {found.spread_db:.2f} dB; {found.level_db:g} dB SPL are "
        f"{found.offset_db:.1f} dB above that: added to levels in dBFS, they make levels in dB SPL"
    )
