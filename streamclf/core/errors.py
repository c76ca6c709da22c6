"""Everything that can go wrong, as one tree.

::

    StreamclfError              anything below; the message is one line
      UsageError                options that make no sense, told before audio is opened (exit 2)
      SourceError               audio cannot be had
        RecordingError          a file on disk
        DeviceError             a microphone, or PortAudio itself
        StreamError             a URL or standard input
      ModelError                a model file cannot be used
        CardError               what the model file says of itself is wrong or missing
        ProviderError           the execution provider asked for is not to be had
      SinkError                 results cannot be written

A message names the value, the limit and the way out, in one line.
"""

from __future__ import annotations

from streamclf.core.redaction import mask_text, one_line

OK, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes of commands; usage errors end with 2."""


class StreamclfError(Exception):
    """Any failure that streamclf explains; ``str()`` of it is one line, without passwords."""

    def __init__(self, message: object) -> None:
        super().__init__(mask_text(one_line(str(message).strip())))


class UsageError(StreamclfError):
    """An option, or a combination of options, that cannot work."""


class SourceError(StreamclfError):
    """Audio cannot be had from a source."""


class RecordingError(SourceError):
    """A recording on disk cannot be read, or not to its end."""


class DeviceError(SourceError):
    """A microphone cannot be opened, was lost, or there is no PortAudio."""


class StreamError(SourceError):
    """A URL or standard input delivers no audio, or stopped delivering it."""


class ModelError(StreamclfError):
    """A model file cannot be used."""


class CardError(ModelError):
    """What a model file says of itself is missing, malformed or contradicts the graph."""


class ProviderError(ModelError):
    """The execution provider that was asked for is not to be had."""


class SinkError(StreamclfError):
    """Results cannot be written where they should go."""
