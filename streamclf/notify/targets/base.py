"""The interface of all targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from streamclf.core.errors import StreamclfError
from streamclf.notify.messages import Message


class DeliveryError(StreamclfError):
    """A message was not delivered.

    Attributes:
        lasting: Whether no later try can succeed, such as one that was refused for what it says.
        after_s: Seconds that the target asks to wait before the next try; None if it says nothing.
    """

    def __init__(
        self, message: object, *, lasting: bool = False, after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.after_s = after_s


class Target(ABC):
    """Where messages go. It is used by one thread, its own, which may wait.

    Attributes:
        name: Name by which rules choose it.
        description: What people read in the health page and the log, without secrets.
        takes_clips: Whether it sends the audio of an event along, so that it is worth waiting for.
    """

    name: str
    description: str
    takes_clips: bool = False

    @abstractmethod
    def send(self, message: Message, clip: Path | None) -> None:
        """Deliver a message within a limited time.

        Args:
            message: The message.
            clip: The event's audio; None where there is none.

        Raises:
            DeliveryError: It was not delivered.
        """

    def close(self) -> None:
        """Release what it holds. Safe to call twice."""
