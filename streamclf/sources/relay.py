"""Sources one after another on one timeline, for listeners who change their microphone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock, SystemClock

SWITCHED = "device changed"


class Relay(Source):
    """Delivers a source, and after `switch` another one, with a gap for the time in between.

    Unlike other sources it may be read again where the last reading ended, after `cut`: that is
    how a model is changed without losing audio. Positions count on through all of it.

    Args:
        source: The first.
        clock: Measures the gaps; the system's unless given.

    Attributes:
        position: Behind the last sample delivered or missing, at ``sample_rate``.
        sample_rate: Of the audio delivered last, in Hz.
    """

    def __init__(self, source: Source, clock: Clock | None = None) -> None:
        self.live = source.live  # type: ignore[misc]
        self.position = 0
        self.sample_rate = 1
        self._clock = clock or SystemClock()
        self._source = source
        self._items: Iterator[Block | Gap | Notice] | None = None
        self._next: Source | None = None
        self._lock = threading.Lock()
        self._heard_at: float | None = None
        self._heard_from: Source | None = None
        self._cut = self._stopped = self._exhausted = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """Of the source that is being read."""
        return self._source.name

    @property
    def source(self) -> Source:
        """The source that is being read."""
        return self._source

    @property
    def duration_s(self) -> float | None:
        """Length in seconds of the source that is being read, where it is known."""
        return self._source.duration_s

    @property
    def started(self) -> datetime | None:
        """When the recording that is being read began, where it says so."""
        return self._source.started

    @property
    def keeps_time(self) -> bool:
        """Whether the audio of the source that is being read arrives as it sounds."""
        return self._source.keeps_time

    @property
    def pace(self) -> float | None:
        """Of the source that is being read."""
        return self._source.pace

    @property
    def state(self) -> State:
        """Of the source that is being read."""
        return self._source.state

    @property
    def drift_ppm(self) -> float | None:
        """Of the source that is being read."""
        return self._source.drift_ppm

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield audio until the source ends, or until `stop` or `cut`.

        Raises:
            SourceError: The source fails; `switch` to another and read again.
        """
        while self._go_on():
            if self._items is None:
                self._items = self._source.blocks(sample_rate)
            for item in self._items:
                yield from self._place(item)
                if self._must_end():
                    return
            self._items, self._exhausted = iter(()), True
            if self._next is None:
                return

    @property
    def has_ended(self) -> bool:
        """Whether its source came to its end, and none was switched to."""
        return self._exhausted and self._next is None

    @property
    def has_next(self) -> bool:
        """Whether there is a source that was switched to and is not read yet."""
        return self._next is not None

    def switch(self, source: Source) -> None:
        """Go over to another source, which is closed here; may be called from another thread.

        The newest wins: one that was switched to before and is not read yet is closed unread, as
        any is after `stop`.
        """
        with self._lock:
            left, self._next = self._next, source
            if self._stopped:
                left, self._next = source, left
            # The one that is read now: it may be another as soon as the lock is free.
            present = self._source
        if left is not None:
            left.close()
        present.stop()

    def cut(self) -> None:
        """End `blocks` behind the next item, or before the first; reading again goes on there."""
        self._cut = True

    def stop(self) -> None:
        """End for good."""
        with self._lock:
            self._stopped = True
            present = self._source
        present.stop()

    def close(self) -> None:
        """Release the sources; nothing is read from now on."""
        self.stop()
        with self._lock:
            following, self._next = self._next, None
        self._source.close()
        if following is not None:
            following.close()

    def _go_on(self) -> bool:
        """Take up the next source, if there is one; False if the reading is to end."""
        with self._lock:
            if self._must_end():
                return False
            if self._next is None:
                return True
            before, self._source = self._source, self._next
            self._next = self._items = None
            self._exhausted = False
        before.close()
        return True

    def _must_end(self) -> bool:
        """Whether the reading is to end here; a cut, which is for one reading, is then made."""
        if self._cut:
            self._cut = False
            return True
        return self._stopped

    def _place(self, item: Block | Gap | Notice) -> Iterator[Block | Gap | Notice]:
        """Count on from the item before, which is where each begins; sources leave no holes."""
        if item.sample_rate != self.sample_rate:
            doubled = 2 * self.position * item.sample_rate + self.sample_rate
            self.position = doubled // (2 * self.sample_rate)
            self.sample_rate = item.sample_rate
        if isinstance(item, Notice):
            yield Notice(self.position, item.sample_rate, item.message, item.level)
            return
        if isinstance(item, Gap):
            yield Gap(self.position, item.n_samples, item.sample_rate, item.cause)
            if self._heard_at is not None:
                # Accounted for, and not to be told once more by the next source.
                self._heard_at += item.n_samples / item.sample_rate
        else:
            yield from self._bridge(item)
            yield Block(self.position, item.waveform, item.sample_rate)
            self._heard_at = self._clock.now()
            self._heard_from = self._source
        self.position += item.end - item.position

    def _bridge(self, block: Block) -> Iterator[Gap]:
        """The gap between the last source's audio and the first block of the next."""
        # Between recordings no sound is missed, however long one waits.
        if not self.live or self._heard_at is None or self._heard_from is self._source:
            return
        missing_s = self._clock.now() - self._heard_at
        n_samples = round(missing_s * block.sample_rate) - block.n_samples
        if n_samples > 0:
            yield Gap(self.position, n_samples, block.sample_rate, SWITCHED)
            self.position += n_samples
