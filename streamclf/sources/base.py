"""The contract that every source of audio keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Literal, Self, TypeAlias

from streamclf.core.records import Block, Gap, Notice

KEPT = "; the results of the rest are kept"
"""Ends what is said of a recording that is damaged or cut short."""

State: TypeAlias = Literal["listening", "stalled", "lost", "reconnecting"]
"""How a live source fares: audio comes; it has not come for a moment; it is gone; it is tried
again just now."""


class Source(ABC):
    """Somewhere audio comes from.

    `blocks` may be iterated once. What it yields is gapless: each `Block` or `Gap` begins where
    the one before it ended (at the same sample rate; when the rate changes, the position is
    the old end rounded to the new rate). `Notice` records carry words, no time.

    Attributes:
        name: What results call this source (a path as given, a device's name, a masked URL).
        live: Whether audio arrives at the pace of the clock, so that waiting for a batch of
            windows would delay results.
        on_waiting: Called now and then, by the thread that waits, while lost audio is waited for,
            so that it can be told from a thread that hangs.
    """

    name: str
    live: ClassVar[bool] = False
    on_waiting: Callable[[], None] | None = None

    @property
    def duration_s(self) -> float | None:
        """Length in seconds where it is known beforehand, for progress bars."""
        return None

    @property
    def started(self) -> datetime | None:
        """When its first sample sounded, where a recording says so."""
        return None

    @property
    def keeps_time(self) -> bool:
        """Whether audio arrives as it sounds, so that its arrival tells when that was."""
        return self.live

    @property
    def pace(self) -> float | None:
        """Times real time at which audio comes, whether it is read or not.

        None where audio waits until it is read: then being slow loses nothing.
        """
        return None

    @property
    def state(self) -> State:
        """How it fares; may be asked from any thread."""
        return "listening"

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than it says the source's clock runs, in ppm; None if unknown."""
        return None

    @abstractmethod
    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the audio from its beginning.

        Args:
            sample_rate: The rate in Hz that the consumer would like best. A source that can
                choose delivers it; any other delivers its own, as each block says.

        Raises:
            SourceError: Audio cannot be had, or not to its end. What came before it stands.
        """

    def tell_waiting(self) -> None:
        """Say that this thread is alive and waits for lost audio."""
        if self.on_waiting is not None:
            self.on_waiting()

    def stop(self) -> None:
        """Make `blocks` end soon, as if the stream had ended.

        Called from another thread or a signal handler; wakes a source that waits.
        """

    def close(self) -> None:
        """Release devices, files and threads. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
