"""Pieces of a recording, heard anywhere and in any order, and joined to what one pass hears."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.archive.whole import Heard, Keep
from streamclf.pipeline.engine import Engine
from streamclf.sources.recording.recording import Recording


@dataclass(frozen=True, eq=False)
class Piece:
    """What a join needs of a piece. `to_parquet` stores it, `from_parquet` reads it.

    Attributes:
        begin: First sample, at the recording's own rate, as planned.
        end: Sample after the last, as planned.
        source_rate: Sample rate of the recording in Hz.
        why: Why the recording cannot be joined from pieces and must be heard whole: a gap, damage,
            another length than its header states; empty for no such reason.
        positions: ``(windows,)`` int64, first sample of each window, at the model's rate.
        n_samples: ``(windows,)`` int64, samples of audio in it.
        scores: ``(windows, labels)`` float32, not averaged.
        features: ``(windows, size)`` float32; None unless asked for.
    """

    begin: int
    end: int
    source_rate: int
    why: str
    positions: npt.NDArray[np.int64]
    n_samples: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None

    def to_parquet(self) -> bytes:
        """Return it as the bytes of a Parquet file, which are the same for the same piece."""
        raise NotImplementedError

    @classmethod
    def from_parquet(cls, data: bytes) -> Piece:
        """Read what `to_parquet` returned.

        Raises:
            StoreError: The bytes are no piece, or not whole.
        """
        raise NotImplementedError


def hear_piece(
    engine: Engine, recording: Recording, begin: int, end: int, keep: Keep | None = None
) -> Piece:
    """Hear a piece of a recording.

    Args:
        engine: The engine.
        recording: The recording, just opened; the caller closes it.
        begin: First sample, at the recording's own rate.
        end: Sample after the last.
        keep: What is kept, as for `streamclf.archive.whole.hear_whole`.

    Returns:
        The piece. What is wrong with the recording does not raise: it is in ``why``.
    """
    raise NotImplementedError


def join(
    engine: Engine, pieces: Iterable[Piece], recording: Recording, keep: Keep | None = None
) -> Heard:
    """Join all pieces of a recording to what one pass hears.

    Where a piece says why that cannot be, or the pieces do not fit together, the recording is heard
    whole.

    Args:
        engine: The engine, with the settings that the pieces were heard with.
        pieces: All of them, in order; each is asked for when it is needed.
        recording: The recording, just opened; the caller closes it.
        keep: What is kept; not more than was kept with the pieces.
    """
    raise NotImplementedError
