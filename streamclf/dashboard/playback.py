"""Playback for the user: a recording in step with the display, and selected events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamclf.core.errors import SinkError
from streamclf.core.records import Waveform
from streamclf.core.text_format import format_length
from streamclf.dashboard.audio_player import AudioPlayer, ClipTrack
from streamclf.dashboard.excerpts import Excerpts
from streamclf.dashboard.history import AUDIO_KEPT_S, Entry, History
from streamclf.dashboard.playhead import Playhead
from streamclf.sources.microphone.loudspeaker import Loudspeaker

MARGIN_S = 0.25
"""Seconds played before and after an event, so that its attack is audible."""
NO_LOUDSPEAKER = "no sound: this dashboard was opened without a loudspeaker"


class RecordingTrack:
    """A track of a recording, in step with the display.

    Args:
        path: The recording.
        playhead: Moment that is displayed.
        end_s: Returns the end of the audio known so far, in seconds.
    """

    ended = False

    def __init__(self, path: Path, playhead: Playhead, end_s: Callable[[], float]) -> None:
        self._excerpts = Excerpts(path)
        self._playhead = playhead
        self._end_s = end_s

    def open(self) -> int:
        """Open the recording; return its sample rate in Hz."""
        self._excerpts.open()
        return self._excerpts.sample_rate

    def locate(self) -> tuple[float, float] | None:
        """Displayed time in seconds, and speed; None while the display is paused."""
        if not self._playhead.playing:
            return None
        return self._playhead.at(self._end_s()), self._playhead.speed

    def read(self, from_s: float, to_s: float) -> Waveform:
        """Read an interval as ``(samples,)``."""
        return self._excerpts.read(from_s, to_s)

    def close(self) -> None:
        """Close the recording."""
        self._excerpts.close()


class Playback:
    """Playback of a session: the recording that is displayed, or single events.

    Args:
        history: Audio and events of the session.
        playhead: Moment that is displayed.
        recording: File that is displayed; None for a live source.
        open_loudspeaker: Opens a loudspeaker, given a sample rate in Hz; None for no sound.
        say: Shows a line to the user; called from any thread.
        muted: Whether a recording is displayed without sound.
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
        self._player = (
            AudioPlayer(open_loudspeaker, self._report_failure) if open_loudspeaker else None
        )
        self._recording_track = (
            RecordingTrack(recording, playhead, lambda: history.end_s)
            if recording is not None
            else None
        )

    @property
    def plays_recording(self) -> bool:
        """Whether a recording is played in step with its display."""
        return self._player is not None and self._player.is_following

    def start(self) -> None:
        """Start playback."""
        if self._player is not None:
            self._player.follow(None if self.muted else self._recording_track)
            self._player.start()

    def close(self) -> None:
        """End playback, and release loudspeaker and recording."""
        if self._player is not None:
            self._player.close()
        if self._recording_track is not None:
            self._recording_track.close()

    def toggle(self) -> str:
        """Stop the current event; if there is none, mute or unmute the recording.

        Returns:
            Text that tells the user what was done.
        """
        if self._player is None:
            return NO_LOUDSPEAKER
        if self._player.is_playing_clip:
            self._player.stop_clip()
            return "stopped"
        if self._recording_track is None:
            return "nothing is being played: Tab, then Enter on an event plays it"
        self.muted = self._player.is_following
        self._player.follow(None if self.muted else self._recording_track)
        return "sound off; 0 puts it on" if self.muted else "sound on; 0 puts it off"

    def play_event(self, entry: Entry) -> None:
        """Play an event. A recording that is being played only moves there, with its sound."""
        if self._player is None:
            self._say(NO_LOUDSPEAKER)
        elif not (self._player.is_following and self._playhead.playing):
            self._player.play(ClipTrack(lambda: self._load(entry)))
        else:
            self._player.stop_clip()  # the recording itself is played from there

    def play_clip(self, load: Callable[[], tuple[Waveform, int]]) -> None:
        """Play a piece of audio, in place of the recording that is being played.

        Args:
            load: Returns ``(samples,)`` and their sample rate in Hz; called in another thread.
        """
        if self._player is None:
            self._say(NO_LOUDSPEAKER)
        else:
            self._player.play(ClipTrack(load))

    def stop_clip(self) -> None:
        """Stop the event or clip that is being played, if there is one."""
        if self._player is not None:
            self._player.stop_clip()

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

    def _report_failure(self, reason: str) -> None:
        silent = self._recording_track is not None and not (self.muted or self.plays_recording)
        hint = "; the recording is shown without sound, 0 tries again" if silent else ""
        self._say(f"{reason}{hint}")
