"""A recording played as a microphone, at any speed and with scripted faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock
from streamclf.sources.microphone.microphone import Microphone
from streamclf.sources.microphone.ring import CAPACITY_S
from streamclf.sources.simulated.fake_backend import InlineCalls
from streamclf.sources.simulated.faults import Faults
from streamclf.sources.simulated.paced_clock import PacedClock, check_speed
from streamclf.sources.simulated.recording_player import RecordingPlayer
from streamclf.sources.simulated.simulated_device import SimulatedBackend

BLOCK_S = 0.05
MAX_CAPACITY_S = 600.0
"""Largest ring in seconds. At high speed a ring must hold more, because many seconds of audio pass
during a short pause of the reader."""


class SimulatedMicrophone(Source):
    """A microphone that records a file, through all stages of a real microphone.

    Args:
        path: The recording.
        speed: Speed in multiples of real time; 0 for as fast as possible.
        loop: Begin again at the end, for ever.
        faults: Faults of the device; none by default.
        block_s: Length of a block in seconds.
        clock: Clock of real time; the system's by default.

    Raises:
        RecordingError: The file cannot be opened.
        UsageError: ``speed`` is below 0 or not finite.
    """

    live: ClassVar[bool] = True

    def __init__(
        self,
        path: Path | str,
        *,
        speed: float = 1.0,
        loop: bool = False,
        faults: Faults | None = None,
        block_s: float = BLOCK_S,
        clock: Clock | None = None,
    ) -> None:
        check_speed(speed)
        self.name = f"sim:{path}"
        self._speed = speed
        self._faults = faults or Faults()
        self._block_s = block_s
        self._clock = PacedClock(speed, clock)
        self._player = RecordingPlayer(path, loop=loop)
        self._microphone: Microphone | None = None
        self._stopped = False

    @property
    def duration_s(self) -> float | None:
        """Length in seconds, unless it loops."""
        return self._player.duration_s

    @property
    def keeps_time(self) -> bool:
        """Whether the recording is played in real time."""
        return self._speed == 1

    @property
    def pace(self) -> float | None:
        """Speed in multiples of real time; None where it plays as fast as it is read."""
        return self._speed or None

    @property
    def state(self) -> State:
        """State of the simulated device, see `Microphone.state`."""
        return self._microphone.state if self._microphone else "listening"

    @property
    def drift_ppm(self) -> float | None:
        """Rate error of the simulated device's clock in ppm; None if unknown."""
        return self._microphone.drift_ppm if self._microphone else None

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the recording in small blocks, each when its last sample has sounded.

        Raises:
            RecordingError: The recording is damaged; raised after all readable samples.
        """
        player = self._player
        player.start()
        if player.exhausted:
            yield from self._end(0, 1)
            return
        microphone = self._plug_in()
        # The device accepts the recording's own rate, so that nothing is resampled here.
        wanted = sample_rate if self._faults.rate else player.sample_rate
        position, rate = 0, player.sample_rate
        for item in microphone.blocks(wanted):
            yield from self._report_notices(position, rate)
            yield item
            if not isinstance(item, Notice):
                position, rate = item.end, item.sample_rate
        if not self._stopped:
            yield from self._end(position, rate)

    def stop(self) -> None:
        """Stop at once, even while waiting."""
        self._stopped = True
        self._player.stop()
        if self._microphone is not None:
            self._microphone.stop()

    def close(self) -> None:
        """Close the recording."""
        if self._microphone is not None:
            self._microphone.close()
        self._player.close()

    def _plug_in(self) -> Microphone:
        player = self._player
        backend = SimulatedBackend(
            self.name, player, self._faults, self._clock, lambda time: microphone.finish(time)
        )
        microphone = Microphone(
            channels=player.n_channels,
            backend=backend,
            clock=self._clock,
            calls=InlineCalls(),
            block_s=self._block_s,
            capacity_s=min(CAPACITY_S * max(self._speed, 1.0), MAX_CAPACITY_S),
        )
        self._microphone = microphone
        microphone.on_waiting = self.tell_waiting
        if self._stopped:
            microphone.stop()
        return microphone

    def _report_notices(self, position: int, sample_rate: int) -> Iterator[Notice]:
        """Yield the messages of the recording as notices."""
        messages, self._player.notices = self._player.notices, []
        for message in messages:
            yield Notice(position, sample_rate, message)

    def _end(self, position: int, sample_rate: int) -> Iterator[Gap | Notice]:
        """Yield the gap at the end of the recording, and raise the error that ended it, if any."""
        lost, error = self._player.lost, self._player.error
        yield from self._report_notices(position, sample_rate)
        if lost is not None:
            yield Gap(position, lost.n_samples, sample_rate, lost.cause)
        if error is not None:
            raise error
