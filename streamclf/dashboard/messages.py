"""What the listening thread tells the app."""

from __future__ import annotations

from textual.message import Message


class StateChanged(Message):
    """There is something new in the history; many of these are as good as one."""

    def can_replace(self, message: Message) -> bool:
        """Take the place of one that waits, when the screen has fallen behind."""
        return isinstance(message, StateChanged)


class ListeningStarted(Message):
    """The first audio of a run has arrived."""


class ListeningEnded(Message):
    """The source ended or failed.

    Attributes:
        reason: One line; empty where the source simply ended.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__()


class UserMessage(Message):
    """There is a line for the user.

    Attributes:
        line: One line.
    """

    def __init__(self, line: str) -> None:
        self.line = line
        super().__init__()


class ListenerCrashed(Message):
    """A mistake in the program ended the listening.

    Attributes:
        error: What was raised.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__()
