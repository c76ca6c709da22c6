"""What is played aloud, in a thread of its own: neither listening nor drawing waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import soxr

from streamclf.core.errors import StreamclfError
from streamclf.core.records import Waveform
from streamclf.sources.microphone.loudspeaker import Loudspeaker

TICK_S = 0.05
AHEAD_S = 0.4
"""So much waits to be played, lest a busy machine tears the sound."""
SLACK_S = 0.15
"""A place that is farther off than this was jumped to."""


class Track(Protocol):
    """Something to play, that moves by itself."""

    def open(self) -> int:
        """Get ready; the sample rate in Hz.

        Raises:
            StreamclfError: It cannot be played.
        """
        ...

    def place(self) -> tuple[float, float] | None:
        """Where it is in seconds and how many times as fast as it was; None while it is silent."""
        ...

    def read(self, from_s: float, to_s: float) -> Waveform:
        """``(samples,)`` of a stretch.

        Raises:
            StreamclfError: It cannot be read.
        """
        ...

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        ...


class Clip:
    """A stretch of audio that is played once.

    Args:
        load: Gives ``(samples,)`` and their rate.
        now: Monotonic seconds.
    """

    def __init__(
        self, load: Callable[[], tuple[Waveform, int]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._now = now
        self._waveform: Waveform = np.zeros(0, dtype=np.float32)
        self._rate = 1
        self._began: float | None = None

    def open(self) -> int:
        """Load it; the sample rate in Hz."""
        if not self._waveform.size:
            self._waveform, self._rate = self._load()
        return self._rate

    def place(self) -> tuple[float, float] | None:
        """From its beginning on, as soon as it is asked for."""
        now = self._now()
        if self._began is None:
            self._began = now
        return now - self._began, 1.0

    def read(self, from_s: float, to_s: float) -> Waveform:
        """``(samples,)`` of a stretch; none behind the end."""
        return self._waveform[round(from_s * self._rate) : round(to_s * self._rate)]

    @property
    def ended(self) -> bool:
        """Whether all of it was played."""
        if self._began is None:
            return False
        return self._now() - self._began > self._waveform.size / self._rate


class Aloud:
    """Plays a clip, or else what it follows.

    Args:
        open_loudspeaker: Opens one that takes audio at a rate.
        say: Takes a line for the user, from any thread.
    """

    def __init__(
        self, open_loudspeaker: Callable[[int], Loudspeaker], say: Callable[[str], object]
    ) -> None:
        self._open_loudspeaker = open_loudspeaker
        self._say = say
        self._clip: Track | None = None
        self._followed: Track | None = None
        self._speaker: Loudspeaker | None = None
        self._speaker_of: Track | None = None
        self._rate = 0
        self._sent_s: float | None = None
        self._speed = 1.0
        self._adapt: Callable[[Waveform], Waveform] = lambda piece: piece
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def follows(self) -> bool:
        """Whether it follows something."""
        return self._followed is not None

    @property
    def plays_clip(self) -> bool:
        """Whether a clip is being played."""
        return self._clip is not None

    def start(self) -> None:
        """Play from now on."""
        self._thread = threading.Thread(target=self._run, name="aloud", daemon=True)
        self._thread.start()

    def play(self, clip: Track) -> None:
        """Play a clip, in place of one that is being played."""
        self._clip = clip
        self._wake.set()

    def stop_clip(self) -> None:
        """Stop the clip that is being played."""
        self._clip = None
        self._wake.set()

    def follow(self, track: Track | None) -> None:
        """Play along with something, or no longer."""
        self._followed = track
        self._wake.set()

    def close(self) -> None:
        """End, and release the loudspeaker."""
        self._closed = True
        self._clip = self._followed = None
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._release()

    def _run(self) -> None:
        while not self._closed:
            if self._clip is None and self._followed is None and self._speaker is None:
                self._wake.wait()
            self._wake.clear()
            if not self._closed:
                self.step()
                self._wake.wait(TICK_S)

    def step(self) -> None:
        """Give the loudspeaker what it needs until the next step."""
        clip = self._clip
        if clip is not None and clip.ended:
            # Played to its end; another may have taken its place meanwhile.
            self._clip, clip = (None if self._clip is clip else self._clip), None
            self._release()
        track = clip or self._followed
        try:
            if track is not self._speaker_of:
                self._release(at_once=True)
            if track is not None:
                self._feed(track)
        except StreamclfError as error:
            self._give_up(track)
            self._say(str(error))

    def _feed(self, track: Track) -> None:
        if self._speaker is None:
            self._rate = track.open()
            self._speaker, self._speaker_of = self._open_loudspeaker(self._rate), track
            self._sent_s = None
        where = track.place()
        if where is None:
            if self._sent_s is not None:
                self._speaker.flush()
            self._sent_s = None
            return
        place_s, speed = where
        self._find_place(place_s, speed)
        assert self._sent_s is not None
        until_s = place_s + AHEAD_S * speed
        if until_s > self._sent_s:
            piece = track.read(self._sent_s, until_s)
            # Behind the end of what is known there may be more later.
            self._sent_s += piece.size / self._rate
            self._speaker.play(self._adapt(piece))

    def _find_place(self, place_s: float, speed: float) -> None:
        """Begin anew where there was a jump, or the speed is another."""
        sent_s = self._sent_s
        slack_s = SLACK_S * max(speed, 1.0)
        if (
            sent_s is not None
            and speed == self._speed
            and place_s - slack_s <= sent_s <= place_s + AHEAD_S * speed + slack_s
        ):
            return
        if sent_s is not None and self._speaker is not None:
            self._speaker.flush()
        self._sent_s, self._speed = place_s, speed
        # Faster is higher, as on a tape.
        self._adapt = (lambda piece: piece) if speed == 1 else self._at_speed(speed)

    def _at_speed(self, speed: float) -> Callable[[Waveform], Waveform]:
        stream = soxr.ResampleStream(self._rate * speed, self._rate, 1, dtype="float32")
        return stream.resample_chunk  # type: ignore[no-any-return]

    def _give_up(self, track: Track | None) -> None:
        if self._clip is track:
            self._clip = None
        if self._followed is track:
            self._followed = None
        self._release()

    def _release(self, *, at_once: bool = False) -> None:
        speaker, self._speaker, self._speaker_of = self._speaker, None, None
        self._sent_s = None
        if speaker is None:
            return
        try:
            if at_once:
                speaker.flush()
        except StreamclfError:
            pass  # it is gone, which is what is wanted
        speaker.close()
