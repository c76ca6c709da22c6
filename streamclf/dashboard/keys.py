"""Table of the keys, for the bindings, the footer, the help and the command palette."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its action.

    Attributes:
        key: Textual's name of the key.
        shown: Name of the key on the screen.
        action: Name of the app's action.
        title: Name of the action on the screen, one or two words.
        help: Description of the action, a short line.
        footer: Whether the footer shows the key.
        recordings: True for keys that work with recordings only, False for live sources only, None
            for both.
    """

    key: str
    shown: str
    action: str
    title: str
    help: str
    footer: bool = False
    recordings: bool | None = None

    @property
    def binding(self) -> Binding:
        """The key as a binding of Textual."""
        return Binding(
            self.key, self.action, self.title, show=self.footer, key_display=self.shown,
            tooltip=self.help,
        )  # fmt: skip


KEYS = (
    Key("question_mark", "?", "help", "Help", "all keys", True),
    Key("space", "Space", "pause", "Pause", "freeze or play; live goes on listening", True),
    Key("0", "0", "sound", "Sound", "sound on or off; stops a played event", True),
    Key("d", "d", "pick_device", "Device", "choose the microphone", True, False),
    Key("m", "m", "pick_model", "Model", "choose the model", True),
    Key("left", "←", "seek(-5)", "Back", "5 s back", False, True),
    Key("right", "→", "seek(5)", "Ahead", "5 s ahead", False, True),
    Key("n", "n", "jump(1)", "Next", "to the next event", True, True),
    Key("N", "N", "jump(-1)", "Previous", "to the event before", False, True),
    Key("greater_than_sign", ">", "speed(1)", "Faster", "play faster", False, True),
    Key("less_than_sign", "<", "speed(-1)", "Slower", "play slower", False, True),
    Key("plus", "+", "threshold(1)", "Threshold", "raise every threshold", True),
    Key("minus", "-", "threshold(-1)", "Threshold down", "lower every threshold"),
    Key("right_square_bracket", "]", "class_threshold(1)", "Class threshold up",
        "raise the selected class's (↑ ↓ select)"),
    Key("left_square_bracket", "[", "class_threshold(-1)", "Class threshold down",
        "lower the selected class's"),
    Key("h", "h", "hop(-1)", "Shorter hop", "windows closer together"),
    Key("H", "H", "hop(1)", "Longer hop", "windows farther apart"),
    Key("a", "a", "average(1)", "Longer average", "average over more seconds"),
    Key("A", "A", "average(-1)", "Shorter average", "average over fewer seconds"),
    Key("v", "v", "view", "View", "spectrogram or waveform"),
    Key("t", "t", "pick_theme", "Theme", "choose the colours"),
    Key("slash", "/", "filter", "Filter", "filter the events; Escape shows all"),
    Key("y", "y", "past", "Days", "the days that the store remembers"),
    Key("s", "s", "save_clip", "Clip", "save the last 30 s as WAV with scores", True),
    Key("e", "e", "export", "Export", "write the session's events as CSV"),
    Key("p", "p", "save_screen", "Screenshot", "save the screen as SVG"),
    Key("q", "q", "quit", "Quit", "end", True),
)  # fmt: skip


def keys_for(*, recording: bool) -> list[Key]:
    """Keys that work with a recording, or with a live source."""
    return [key for key in KEYS if key.recordings in (None, recording)]
