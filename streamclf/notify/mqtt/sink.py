"""The sink of a stream for MQTT: it notes begins, ends and levels, and never waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from streamclf.core.records import Block, Gap
from streamclf.notify.happenings import Happening, SoundHappened
from streamclf.notify.sink import HappeningSink
from streamclf.pipeline.levels import LevelPiece, level_db


class MqttSink(HappeningSink):
    """Sink that tells the publisher of a source what happened.

    Args:
        name: Name of the source.
        tell: Takes what happened; it does not wait.
        now: Returns monotonic seconds.

    Attributes:
        heard_at: When audio last came, in monotonic seconds; None before the first.
        closed: Whether nothing follows.
    """

    def __init__(
        self,
        name: str,
        tell: Callable[[SoundHappened], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, self._pass_on)
        self.heard_at: float | None = None
        self.closed = False
        self._tell_sound = tell
        self._now = now
        self._lock = threading.Lock()
        self._energy_s = self._measured_s = 0.0

    def hear(self, item: Block | Gap) -> None:
        """Note that audio has come."""
        if isinstance(item, Block):
            self.heard_at = self._now()

    def note_levels(self, pieces: Sequence[LevelPiece]) -> None:
        """Take levels as they were measured."""
        with self._lock:
            for piece in pieces:
                self._energy_s += piece.a_energy * piece.duration_s
                self._measured_s += piece.duration_s

    def take_level(self) -> float | None:
        """Return the A-weighted level since the last call in dBFS; None if nothing was heard."""
        with self._lock:
            energy_s, measured_s = self._energy_s, self._measured_s
            self._energy_s = self._measured_s = 0.0
        return level_db(energy_s / measured_s) if measured_s else None

    def close(self) -> None:
        """End the events that nobody ended; nothing follows."""
        super().close()
        self.closed = True

    def _pass_on(self, happening: Happening) -> None:
        if isinstance(happening, SoundHappened) and happening.phase != "ongoing":
            self._tell_sound(happening)
