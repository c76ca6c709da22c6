"""The exceptions of training, a branch of streamclf's exception tree.

::

    StreamclfError
      TrainError                anything below
        DatasetError            a data set is missing, broken or of the wrong kind
          DataNotFoundError     no folder was named, and none was found
        RunError                a run folder cannot be written, read or continued

Options that make no sense raise streamclf's own `UsageError`.
"""

from __future__ import annotations

from streamclf.core.errors import StreamclfError, UsageError

__all__ = [
    "DataNotFoundError",
    "DatasetError",
    "RunError",
    "StreamclfError",
    "TrainError",
    "UsageError",
]


class TrainError(StreamclfError):
    """Training cannot start or cannot go on."""


class DatasetError(TrainError):
    """A data set is missing, broken or of the wrong kind."""


class DataNotFoundError(DatasetError):
    """A data set whose folder was not named is in none of the usual places.

    Attributes:
        way_out: How to get the data set, as a line of its own.
    """

    def __init__(self, message: str, way_out: str) -> None:
        super().__init__(message)
        self.way_out = way_out


class RunError(TrainError):
    """A run folder cannot be written, read or continued."""
