"""All errors of streamclf, as one tree.

::

    StreamclfError              base of all errors below
      UsageError                wrong options, reported before audio is opened (exit code 2)
      SourceError               a source delivers no audio
        RecordingError          a file on disk
        DeviceError             a microphone, or PortAudio itself
        StreamError             a URL or standard input
      ModelError                a model file cannot be used
        CardError               the card of a model is wrong or missing
        ProviderError           the requested execution provider is not available
      SinkError                 results cannot be written
        StoreError              the store cannot be opened, read or written
      PlaceError                a folder or store of an archive cannot be read or written
      ClusterError              Ray cannot be started or joined, or its workers can hear nothing
      CalibrationError          what was heard is no calibrator's tone

Each message is one line that names the value, the limit and the way out.
"""

from __future__ import annotations

from streamclf.core.redaction import mask_text, one_line

OK, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes of commands; usage errors end with 2."""


class StreamclfError(Exception):
    """Base of all errors that streamclf explains; its text is one line, without passwords."""

    def __init__(self, message: object) -> None:
        super().__init__(mask_text(one_line(str(message).strip())))


class UsageError(StreamclfError):
    """An option, or a combination of options, that cannot work."""


class SourceError(StreamclfError):
    """A source delivers no audio."""


class RecordingError(SourceError):
    """A recording on disk cannot be read, or cannot be read to its end."""


class DeviceError(SourceError):
    """A microphone cannot be opened, was lost, or there is no PortAudio."""


class StreamError(SourceError):
    """A URL or standard input delivers no audio, or stopped delivering it."""


class ModelError(StreamclfError):
    """A model file cannot be used."""


class CardError(ModelError):
    """The card of a model is missing, malformed or contradicts the graph."""


class ProviderError(ModelError):
    """The requested execution provider is not available."""


class SinkError(StreamclfError):
    """Results cannot be written to their file, folder or stream."""


class StoreError(SinkError):
    """The store cannot be opened, read or written."""


class PlaceError(StreamclfError):
    """A folder or a store of an archive cannot be read or written, whatever its recordings hold."""


class ClusterError(StreamclfError):
    """Ray cannot be started or joined, or none of its workers can hear anything."""


class CalibrationError(StreamclfError):
    """What was heard is not the steady tone of a sound calibrator."""
