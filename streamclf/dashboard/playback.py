"""What the user hears: a recording along with its picture, and events that are chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamclf.core.errors import SinkError
from streamclf.core.records import Waveform
from streamclf.core.text_format import format_length
from streamclf.dashboard.audio_player import Aloud, Clip
from streamclf.dashboard.excerpts import Excerpts
from streamclf.dashboard.history import AUDIO_KEPT_S, Entry, History
from streamclf.dashboard.playhead import Playhead
from streamclf.sources.microphone.loudspeaker import Loudspeaker

MARGIN_S = 0.25
"""Before and behind an event, so that its attack is heard."""
OF_THE_BROWSER = (
    "no sound in a browser: it would come out of the machine that serves the page; "
    "run the dashboard in a terminal there to hear it"
)


class Along:
    """A recording, wherever its picture is.

    Args:
        path: The recording.
        playhead: Where it is.
        end_s: How far it is known, in seconds.
    """

    ended = False

    def __init__(self, path: Path, playhead: Playhead, end_s: Callable[[], float]) -> None:
        self._excerpts = Excerpts(path)
        self._playhead = playhead
        self._end_s = end_s

    def open(self) -> int:
        """Open the recording; its sample rate in Hz."""
        self._excerpts.open()
        return self._excerpts.sample_rate

    def place(self) -> tuple[float, float] | None:
        """The place and the speed of the picture; None while it stands still."""
        if not self._playhead.playing:
            return None
        return self._playhead.at(self._end_s()), self._playhead.speed

    def read(self, from_s: float, to_s: float) -> Waveform:
        """``(samples,)`` of a stretch."""
        return self._excerpts.read(from_s, to_s)

    def close(self) -> None:
        """Close the recording."""
        self._excerpts.close()


class Playback:
    """Plays aloud what the user asks for.

    Args:
        history: What was heard.
        playhead: Which moment is shown.
        recording: The file that is shown; None for a live source.
        open_loudspeaker: Opens one; None where there is to be no sound.
        say: Takes a line for the user, from any thread.
        muted: Whether a recording is shown without sound.
    """

    def __init__(
        self,
        history: History,
        playhead: Playhead,
        recording: Path | None,
        open_loudspeaker: Callable[[int], Loudspeaker] | None,
        say: Callable[[str], object],
        *,
        muted: bool = False,
    ) -> None:
        self.muted = muted
        self._history = history
        self._playhead = playhead
        self._recording = recording
        self._say = say
        self._aloud = Aloud(open_loudspeaker, self._fail) if open_loudspeaker else None
        self._along = (
            Along(recording, playhead, lambda: history.end_s) if recording is not None else None
        )

    @property
    def sounds_along(self) -> bool:
        """Whether a recording is played along with its picture."""
        return self._aloud is not None and self._aloud.follows

    def start(self) -> None:
        """Play from now on."""
        if self._aloud is not None:
            self._aloud.follow(None if self.muted else self._along)
            self._aloud.start()

    def close(self) -> None:
        """End, and release loudspeaker and recording."""
        if self._aloud is not None:
            self._aloud.close()
        if self._along is not None:
            self._along.close()

    def toggle(self) -> str:
        """Stop an event that is played; else mute a recording, or unmute it. What was done."""
        if self._aloud is None:
            return OF_THE_BROWSER
        if self._aloud.plays_clip:
            self._aloud.stop_clip()
            return "stopped"
        if self._along is None:
            return "nothing is being played: Tab, then Enter on an event plays it"
        self.muted = self._aloud.follows
        self._aloud.follow(None if self.muted else self._along)
        return "sound off; 0 puts it on" if self.muted else "sound on; 0 puts it off"

    def hear(self, entry: Entry) -> None:
        """Play an event."""
        if self._aloud is None:
            self._say(OF_THE_BROWSER)
        elif not (self._aloud.follows and self._playhead.playing):
            self._aloud.play(Clip(lambda: self._load(entry)))
        else:
            self._aloud.stop_clip()  # the picture goes there, and the sound with it

    def _load(self, entry: Entry) -> tuple[Waveform, int]:
        from_s, to_s = max(entry.onset_s - MARGIN_S, 0.0), entry.offset_s + MARGIN_S
        if self._recording is not None:
            excerpts = Excerpts(self._recording)
            try:
                return excerpts.read(from_s, to_s), excerpts.sample_rate
            finally:
                excerpts.close()
        _, waveform, rate = self._history.audio(from_s, to_s)
        if not waveform.size:
            raise SinkError(
                f"the sound of {entry.label} is no longer kept, only that of the last "
                f"{format_length(AUDIO_KEPT_S)}: choose a later event"
            )
        return waveform, rate

    def _fail(self, reason: str) -> None:
        silent = self._along is not None and not (self.muted or self.sounds_along)
        along = "; the recording is shown without sound, 0 tries again" if silent else ""
        self._say(f"{reason}{along}")
