"""Interface of all sources of audio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Literal, Self, TypeAlias

from streamclf.core.records import Block, Gap, Notice

RESULTS_KEPT = "; the results of the rest are kept"
"""End of the messages about a recording that is damaged or cut short."""

State: TypeAlias = Literal["listening", "stalled", "lost", "reconnecting"]
"""State of a live source: audio arrives, audio has paused for a moment, the device or server is
gone, or a connection is being attempted."""


class Source(ABC):
    """A source of audio.

    `blocks` may be iterated once. Its records leave no holes: each `Block` or `Gap` begins where
    the one before it ended. When the sample rate changes, the new position is the old end rounded
    to the new rate. `Notice` records carry a message and take no time.

    Attributes:
        name: Name of the source: a path as given, a device's name, a masked URL.
        alias: Name in results, where somebody gave it one; None for its own.
        live: Whether audio arrives in real time, so that waiting for a batch of windows would
            delay results.
        on_waiting: Called from time to time while the source waits for lost audio, in the waiting
            thread. A watchdog can thereby tell that thread from one that hangs.
    """

    name: str
    alias: str | None = None
    live: ClassVar[bool] = False
    on_waiting: Callable[[], None] | None = None

    @property
    def result_name(self) -> str:
        """Name of the source in results."""
        return self.alias or self.name

    @property
    def duration_s(self) -> float | None:
        """Length in seconds, for progress bars; None where it is not known beforehand."""
        return None

    @property
    def started(self) -> datetime | None:
        """Time at which the first sample sounded; None unless a recording's file tells it."""
        return None

    @property
    def keeps_time(self) -> bool:
        """Whether audio arrives when it sounds, so that local time follows from its arrival."""
        return self.live

    @property
    def pace(self) -> float | None:
        """Speed at which audio arrives, in multiples of real time.

        None where audio waits until it is read; a slow reader then loses nothing.
        """
        return None

    @property
    def state(self) -> State:
        """State of the source; may be read from any thread."""
        return "listening"

    @property
    def drift_ppm(self) -> float | None:
        """Rate error of the source's clock in ppm, above 0 if it is fast; None if unknown."""
        return None

    @abstractmethod
    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the audio from its beginning.

        Args:
            sample_rate: Preferred sample rate in Hz. A source that can choose its rate delivers
                this one. Any other delivers its own, which each block states.

        Raises:
            SourceError: The audio cannot be read, or not to its end. Blocks yielded before the
                error are valid.
        """

    def tell_waiting(self) -> None:
        """Report that this thread is alive and waits for lost audio."""
        if self.on_waiting is not None:
            self.on_waiting()

    def stop(self) -> None:
        """Make `blocks` end soon, as if the stream had ended.

        It may be called from another thread or from a signal handler, and wakes a waiting source.
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
