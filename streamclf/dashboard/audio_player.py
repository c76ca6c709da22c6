"""Playback by the loudspeaker in its own thread, so that neither listening nor drawing waits."""

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
BUFFER_S = 0.4
"""Seconds of audio in the loudspeaker's queue, so that a busy machine causes no dropouts."""
TOLERANCE_S = 0.15
"""Seconds of deviation beyond which the track is taken to have jumped."""


class Track(Protocol):
    """A track of audio whose position advances by itself."""

    def open(self) -> int:
        """Open the track; return its sample rate in Hz.

        Raises:
            StreamclfError: The track cannot be played.
        """
        ...

    def locate(self) -> tuple[float, float] | None:
        """Current time in seconds, and speed as a factor of real time; None while it is paused."""
        ...

    def read(self, from_s: float, to_s: float) -> Waveform:
        """Read an interval as ``(samples,)``; it is shorter at the end of the audio known so far.

        Raises:
            StreamclfError: The interval cannot be read.
        """
        ...

    @property
    def ended(self) -> bool:
        """Whether the track has been played to its end."""
        ...


class ClipTrack:
    """A track of a fixed piece of audio, played once.

    Args:
        load: Returns ``(samples,)`` and their sample rate in Hz.
        now: Returns monotonic seconds.
    """

    def __init__(
        self, load: Callable[[], tuple[Waveform, int]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._now = now
        self._waveform: Waveform = np.zeros(0, dtype=np.float32)
        self._rate = 1
        self._started_at: float | None = None

    def open(self) -> int:
        """Load the audio; return its sample rate in Hz."""
        if not self._waveform.size:
            self._waveform, self._rate = self._load()
        return self._rate

    def locate(self) -> tuple[float, float] | None:
        """Time since the first call, and speed 1."""
        now = self._now()
        if self._started_at is None:
            self._started_at = now
        return now - self._started_at, 1.0

    def read(self, from_s: float, to_s: float) -> Waveform:
        """Read an interval as ``(samples,)``; empty beyond the end."""
        return self._waveform[round(from_s * self._rate) : round(to_s * self._rate)]

    @property
    def ended(self) -> bool:
        """Whether the whole piece has been played."""
        if self._started_at is None:
            return False
        return self._now() - self._started_at > self._waveform.size / self._rate


class AudioPlayer:
    """Player of one clip or, while there is none, of a track that it follows.

    Args:
        open_loudspeaker: Opens a loudspeaker that takes audio at a sample rate in Hz.
        say: Shows a line to the user; called from the player's thread.
    """

    def __init__(
        self, open_loudspeaker: Callable[[int], Loudspeaker], say: Callable[[str], object]
    ) -> None:
        self._open_loudspeaker = open_loudspeaker
        self._say = say
        self._clip: Track | None = None
        self._followed: Track | None = None
        self._speaker: Loudspeaker | None = None
        self._speaker_track: Track | None = None
        self._rate = 0
        self._sent_s: float | None = None
        self._speed = 1.0
        self._resample: Callable[[Waveform], Waveform] = lambda piece: piece
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_following(self) -> bool:
        """Whether the player follows a track."""
        return self._followed is not None

    @property
    def is_playing_clip(self) -> bool:
        """Whether a clip is being played."""
        return self._clip is not None

    def start(self) -> None:
        """Start the player's thread."""
        self._thread = threading.Thread(target=self._run, name="audio-player", daemon=True)
        self._thread.start()

    def play(self, clip: Track) -> None:
        """Play a clip, in place of the current one."""
        self._clip = clip
        self._wake.set()

    def stop_clip(self) -> None:
        """Stop the current clip."""
        self._clip = None
        self._wake.set()

    def follow(self, track: Track | None) -> None:
        """Follow a track; None to follow no track."""
        self._followed = track
        self._wake.set()

    def close(self) -> None:
        """End the thread, and release the loudspeaker."""
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
        """Give the loudspeaker the audio that it needs until the next step."""
        clip = self._clip
        if clip is not None and clip.ended:
            # Another clip may have taken its place in the meantime.
            self._clip, clip = (None if self._clip is clip else self._clip), None
            self._release()
        track = clip or self._followed
        try:
            if track is not self._speaker_track:
                self._release(at_once=True)
            if track is not None:
                self._feed(track)
        except StreamclfError as error:
            self._give_up(track)
            self._say(str(error))

    def _feed(self, track: Track) -> None:
        if self._speaker is None:
            self._rate = track.open()
            self._speaker, self._speaker_track = self._open_loudspeaker(self._rate), track
            self._sent_s = None
        where = track.locate()
        if where is None:
            if self._sent_s is not None:
                self._speaker.flush()
            self._sent_s = None
            return
        time_s, speed = where
        self._synchronise(time_s, speed)
        assert self._sent_s is not None
        until_s = time_s + BUFFER_S * speed
        if until_s > self._sent_s:
            piece = track.read(self._sent_s, until_s)
            # A recording that is still being analysed may yield more audio later.
            self._sent_s += piece.size / self._rate
            self._speaker.play(self._resample(piece))

    def _synchronise(self, time_s: float, speed: float) -> None:
        """Restart at the track's time after a jump or a change of speed."""
        sent_s = self._sent_s
        slack_s = TOLERANCE_S * max(speed, 1.0)
        if (
            sent_s is not None
            and speed == self._speed
            and time_s - slack_s <= sent_s <= time_s + BUFFER_S * speed + slack_s
        ):
            return
        if sent_s is not None and self._speaker is not None:
            self._speaker.flush()
        self._sent_s, self._speed = time_s, speed
        # A higher speed raises the pitch, as on a tape.
        self._resample = (lambda piece: piece) if speed == 1 else self._make_resampler(speed)

    def _make_resampler(self, speed: float) -> Callable[[Waveform], Waveform]:
        stream = soxr.ResampleStream(self._rate * speed, self._rate, 1, dtype="float32")
        return stream.resample_chunk  # type: ignore[no-any-return]

    def _give_up(self, track: Track | None) -> None:
        if self._clip is track:
            self._clip = None
        if self._followed is track:
            self._followed = None
        self._release()

    def _release(self, *, at_once: bool = False) -> None:
        speaker, self._speaker, self._speaker_track = self._speaker, None, None
        self._sent_s = None
        if speaker is None:
            return
        try:
            if at_once:
                speaker.flush()
        except StreamclfError:
            pass  # the loudspeaker is gone already
        speaker.close()
