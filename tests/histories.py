"""A store with a known history, and the pages that show it."""

from __future__ import annotations

import functools
import shutil
import tempfile
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import soundfile
import toys
from stores import Heard, Run, make_store

from streamclf.store.database import connect, transaction

PLACE = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 26, 9, 30, tzinfo=PLACE)
TODAY = NOW.replace(hour=0, minute=0)
"""What the pages of a test take for the present; the place's clock is an hour ahead of UTC."""
CLIP_S = 1.5


def make_history(folder: Path) -> Path:
    """Make a store: today and yesterday are heard, two days ago is quiet, before that is nothing.

    Today: dogs at 7:00 (score 0.9, right) and 7:30 (0.6), a cat at 7:30:10 (0.5, wrong: it was a
    hen), crackling_fire at 9:29 that still sounds. Yesterday: a dog at 20:00 (0.8, its clip made
    room). Events 1 to 3 have clips.
    """
    shutil.copytree(_made_once().name, folder, dirs_exist_ok=True)
    path = folder / "store.db"
    with closing(connect(path)) as connection, transaction(connection):
        connection.execute("UPDATE clips SET folder = ?", (str(folder / "clips"),))
    return path


@functools.cache
def _made_once() -> tempfile.TemporaryDirectory[str]:
    """A folder with what `make_history` makes; it is removed when this process ends."""
    made = tempfile.TemporaryDirectory(prefix="streamclf-history-")
    folder = Path(made.name)
    hour = 3600.0
    path = make_store(
        folder / "store.db",
        [
            Run("yard", TODAY - timedelta(days=2), 86400, level=-50, calibration_db=100,
                display_names={"cat": "house cat"}, sureness={"dog": [0.7, 0.85]}),
            Run("yard", TODAY, 9.4 * hour, [
                Heard("dog", 7 * hour, 2.5, 0.9, verdicts=["right"]),
                Heard("dog", 7.5 * hour, 3, 0.6),
                Heard("cat", 7.5 * hour + 10, 3, 0.5, verdicts=["wrong"]),
                Heard("crackling_fire", 9 * hour + 29 * 60, None, 0.7),
            ], [(3 * hour, 240, "device lost")], level=-40, calibration_db=100, state="open"),
            Run("yard", TODAY - timedelta(days=1), 86400,
                [Heard("dog", 20 * hour, 2, 0.8, verdicts=[])], level=-45, calibration_db=100),
            Run("/recordings/site", None, 60, [Heard("owl", 5, 2, 0.9)],
                recording="/recordings/site/night.wav"),
        ],
    )  # fmt: skip
    with closing(connect(path)) as connection, transaction(connection):
        connection.execute("UPDATE reviews SET label = 'hen' WHERE verdict = 'wrong'")
        for event, gone in ((1, None), (2, None), (3, None), (5, "limit")):
            _add_clip(connection, folder / "clips", event, gone)
    return made


def _add_clip(connection, folder: Path, event: int, gone: str | None) -> None:
    name = f"dog/yard/{event:010.3f}_90.flac"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if gone is None:
        soundfile.write(path, toys.tone(500 * event, CLIP_S), toys.RATE)
    connection.execute(
        "INSERT INTO clips (event_id, folder, path, bytes, written_us, gone_us, gone_why) "
        "VALUES (?, ?, ?, ?, 1, ?, ?)",
        (event, str(folder), name, 0 if gone else path.stat().st_size, 1 if gone else None, gone),
    )
