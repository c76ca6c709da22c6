"""Options of a source that is heard among others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_text, one_line

MAX_CALIBRATION_DB = 300.0
EMPTY_NAME = "--name: is empty: give the source a name, or leave it out"


@dataclass(frozen=True)
class ServedOptions:
    """Identity of a source, and what its levels mean.

    Attributes:
        name: Name in results and in the store; None for the device as it was asked for, or for the
            URL without its password.
        calibration_db: Decibels that lead from full scale to sound pressure; None if unknown.

    Raises:
        UsageError: The calibration is no finite number of decibels.
    """

    panel: ClassVar[str] = "Source"

    name: str | None = option(
        None,
        "--name",
        metavar="NAME",
        help="Name of the source in results and in the store; by default its device or URL.",
    )
    calibration_db: float | None = option(
        None,
        "--calibration-db",
        metavar="DB",
        help="Decibels to add to levels, which makes dB SPL of dB re full scale.",
    )

    @property
    def identity(self) -> str | None:
        """The name on one line, without a password; None if none was given."""
        return None if self.name is None else one_line(mask_text(self.name)).strip()

    def __post_init__(self) -> None:
        db = self.calibration_db
        if db is not None and not (math.isfinite(db) and abs(db) <= MAX_CALIBRATION_DB):
            raise UsageError(
                f"--calibration-db {db}: must be {-MAX_CALIBRATION_DB:g} to "
                f"{MAX_CALIBRATION_DB:g} dB; a microphone's is about 94 minus its level in dBFS "
                "at 94 dB"
            )
