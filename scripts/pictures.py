"""Take the documentation's pictures of the dashboard: the bundled model hears the example.

    python scripts/pictures.py [FOLDER]

Each is the real dashboard over ``examples/afternoon.flac``, at a moment of the recording; FOLDER
is ``docs/images`` unless given. The pictures load nothing from elsewhere: their letters are the
reader's own monospaced ones.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from streamclf.core.settings import Settings
from streamclf.dashboard.app import Dashboard
from streamclf.dashboard.listener import Listener, Openers, Post
from streamclf.dashboard.saved_settings import SavedSettings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import DEFAULT_MODEL
from streamclf.pipeline.engine import Engine
from streamclf.sources.microphone.loudspeaker import FakeLoudspeaker
from streamclf.sources.recording.recording import Recording

ROOT = Path(__file__).parents[1]
EXAMPLE = Path("examples/afternoon.flac")
PATIENCE_S = 60.0
ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


@dataclass(frozen=True)
class Shot:
    """A picture.

    Attributes:
        name: Of the file.
        at_s: Moment of the recording, in seconds.
        size: Of the terminal, in cells.
        theme: Textual's name of it.
        view: What shows the audio.
    """

    name: str
    at_s: float
    size: tuple[int, int] = (120, 40)
    theme: str = "textual-dark"
    view: str = "spectrogram"


SHOTS = (
    Shot("dashboard.svg", 25.0),
    Shot("dashboard-80x24.svg", 17.0, (80, 24)),
    Shot("dashboard-light.svg", 35.5, (120, 40), "solarized-light"),
)


def main() -> None:
    """Take them all."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "images").resolve()
    os.chdir(ROOT)  # the header names the example as one who stands there would
    os.environ["COLORTERM"], os.environ["TERM"] = "truecolor", "xterm-256color"
    for shot in SHOTS:
        asyncio.run(take(shot, folder))
        print(folder / shot.name)


async def take(shot: Shot, folder: Path) -> None:
    """Run the dashboard until all is heard, and save what it shows of a moment."""
    app = make_app(shot)
    async with app.run_test(size=shot.size) as pilot:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while app.reason != "ended":
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{EXAMPLE} was not heard in {PATIENCE_S:g} s")
            await pilot.pause(0.1)
        app.playhead.toggle()
        # A few seconds before, so that the rows have come to rest.
        for passed_s in (3.0, 1.5, 1.0, 0.5, 0.0):
            app.playhead.seek(shot.at_s - passed_s, app.listener.history.end_s)
            app.draw()
            await pilot.pause()
        app.playhead.toggle()
        app.draw()
        await pilot.pause()
        with tempfile.TemporaryDirectory() as scratch:
            svg = Path(app.save_screenshot(shot.name, scratch)).read_text(encoding="utf-8")
        app.listener.stop()
    (folder / shot.name).write_text(ELSEWHERE.sub("", svg), encoding="utf-8")


def make_app(shot: Shot) -> Dashboard:
    """The dashboard as ``streamclf file examples/afternoon.flac --ui`` opens it, but unheard."""

    def open_model(name: str, settings: Settings | None) -> tuple[Engine, Model]:
        model = Model(find_model(name), provider="cpu")
        return Engine(Classifier(model), settings), model

    openers = Openers(
        open_model,
        open_source=lambda name: Recording(EXAMPLE),
        list_devices=list,
        list_models=lambda: [DEFAULT_MODEL],
        recording=EXAMPLE,
        open_loudspeaker=FakeLoudspeaker,
    )
    engine, model = open_model(DEFAULT_MODEL, None)

    def make_listener(post: Post) -> Listener:
        return Listener(openers, engine, model, Recording(EXAMPLE), post)

    saved_settings = SavedSettings(theme=shot.theme, view=shot.view)  # type: ignore[arg-type]
    return Dashboard(make_listener, saved_settings)


if __name__ == "__main__":
    main()
