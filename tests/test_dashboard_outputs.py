"""What becomes of the outputs is on the screen, and holds no picture up."""

import queue
import re
import sys
from pathlib import Path

import dashboards
import numpy as np
import pytest
import toys
from live_runs import PATIENCE_S
from test_dashboard_live import Terminal, home, no_tmux

from streamclf.sinks.live.background import BackgroundLines
from streamclf.sinks.live.targets import FileTarget
from streamclf.sinks.tables import CsvSink


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_and_what_it_cost_are_on_the_screen(tmp_path, tone_model):
    path = tmp_path / "full.csv"
    path.symlink_to("/dev/full")
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    lines = BackgroundLines(FileTarget(path), report=told.put, limit_bytes=10)
    source = dashboards.Script(dashboards.SCENE)
    app = dashboards.make_dashboard(tmp_path, tone_model, source, sinks=[CsvSink(lines)])
    app.listener.openers.notices.put(told.get(timeout=PATIENCE_S))

    async def script(pilot):
        await dashboards.settle(pilot, lambda: app.listener.openers.n_lost)
        dashboards.redraw_health(app)
        await dashboards.settle(pilot)
        warnings = [e.label for e in app.listener.history.entries if e.kind == "warning"]
        assert f"{path}: cannot be written: no space left on device; lines wait in memory" in (
            warnings
        )
        shown = dashboards.text_of(app)
        assert f"outputs lost {app.listener.openers.n_lost} line" in shown

    dashboards.drive(app, script, size=(160, 50))
    lines.close()


@no_tmux
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_lines_lost_while_the_dashboard_ran_are_said_when_it_has_ended(
    tmp_path, tone_model, write_wav
):
    full = tmp_path / "full.csv"
    full.symlink_to("/dev/full")
    sound = np.concatenate([toys.tone(440, 2), toys.silence(60)])
    source = f"sim:{write_wav(sound)}"
    command = [sys.executable, "-m", "streamclf", "listen", "--source", source, "-o", str(full)]
    with Terminal([*command, "--model", str(tone_model)], home(tmp_path)) as terminal:
        terminal.until("listening", "device;", "▲   2.")  # an event has ended
        terminal.press("q")
        shown = terminal.until("exit code 1").replace("\n", "")
    assert re.search(r"full\.csv: lost [12] lines? ?in ?all", shown)
