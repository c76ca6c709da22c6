"""Messages of the listening thread to the app."""

from __future__ import annotations

from textual.message import Message


class StateChanged(Message):
    """The history has changed. Several of these in a row are worth as much as one."""

    def can_replace(self, message: Message) -> bool:
        """Replace a pending message of the same kind, when the screen has fallen behind."""
        return isinstance(message, StateChanged)


class ListeningStarted(Message):
    """The first audio of a run has arrived."""


class ListeningEnded(Message):
    """The source ended or failed.

    Attributes:
        reason: Error in one line; empty if the source reached its end.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__()


class UserMessage(Message):
    """A line of text for the user.

    Attributes:
        line: The text.
    """

    def __init__(self, line: str) -> None:
        self.line = line
        super().__init__()


class ListenerCrashed(Message):
    """A bug ended the listening thread.

    Attributes:
        error: Exception that was raised.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__()
