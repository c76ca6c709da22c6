"""The real program in a real terminal (tmux), with real audio."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import audio_server
import numpy as np
import pytest
import soundfile
import toys

PATIENCE_S = 60
pytestmark = pytest.mark.slow
no_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is missing")


class Terminal:
    """A command in a tmux of the test's own."""

    def __init__(self, command: list[str], env: dict[str, str], size=(120, 40)) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="streamclf-tmux-")
        self._socket = f"{self._folder.name}/tmux"
        kept = {"COLORTERM": "truecolor", "TERM": "xterm-256color"}
        self._env = {k: v for k, v in env.items() if k not in ("TMUX", "NO_COLOR")} | kept
        ended = f"{shlex.join(command)}; echo exit code $?; sleep {PATIENCE_S}"
        width, height = map(str, size)
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, ended)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")
        self._folder.cleanup()

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p").stdout

    def until(self, *words: str, without: str = "\0") -> str:
        """The screen, once it shows all of these, and that no more."""
        deadline = time.monotonic() + PATIENCE_S
        while without in (shown := self.screen()) or not all(word in shown for word in words):
            if time.monotonic() > deadline:
                raise AssertionError(f"{words} never came:\n{shown}")
            time.sleep(0.1)
        return shown

    def _tmux(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            env=self._env, capture_output=True, text=True, check=False, cwd=self._folder.name,
        )  # fmt: skip


def home(tmp_path: Path) -> dict[str, str]:
    """An environment without anyone's settings."""
    folders = {"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "HOME": "home"}
    return {**os.environ, **{name: str(tmp_path / folder) for name, folder in folders.items()}}


@no_tmux
@pytest.mark.audio_server
@pytest.mark.skipif(bool(audio_server.available()), reason=audio_server.available() or "-")
def test_dashboard_hears_real_audio_in_a_real_terminal(tmp_path, tone_model):
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, np.concatenate([toys.tone(1000, 4), toys.silence(1)]), toys.RATE)
    results = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "streamclf", "listen", "--model", str(tone_model)]
    with (
        audio_server.AudioServer() as server,
        Terminal([*command, "-o", str(results)], server.env) as terminal,
    ):
        terminal.until("listening", "kHz", "quiet", "no signal: muted?")
        server.play(sound)
        terminal.until("▲   ", "middle")
        assert "nothing lost" in terminal.screen()
        server.stop()
        terminal.until("NO AUDIO")
        server.start()
        terminal.until("● listening", "gap: device lost")
        terminal.press("?")
        terminal.until("freeze or play")
        terminal.press("?")
        terminal.until("● listening", "now ─", "events (")
        server.add_device("usb")
        terminal.press("d")
        listed = re.findall(r"(\w+), ALSA", terminal.until("Enter takes it", ", ALSA"))
        deadline = time.monotonic() + PATIENCE_S
        while "usb" not in listed and time.monotonic() < deadline:
            # The audio system of a busy machine may have answered too late.
            terminal.press("Escape", "d")
            listed = re.findall(r"(\w+), ALSA", terminal.until("Enter takes it", ", ALSA"))
        terminal.press("Home", *["Down"] * listed.index("usb"), "Enter")
        terminal.until("● listening", "│ usb", "gap: device changed")
        terminal.press("q")
        terminal.until("streamclf: heard", "exit code 0")
    assert '"label":"middle"' in results.read_text()


@no_tmux
def test_ctrl_c_leaves_the_terminal_in_order(tmp_path, tone_model, write_wav):
    path = write_wav(toys.tone(440, 60))
    command = [sys.executable, "-m", "streamclf", "listen", "--source", f"sim:{path}"]
    with Terminal([*command, "--model", str(tone_model)], home(tmp_path), (80, 24)) as terminal:
        terminal.until("listening", "low")
        terminal.press("C-c")
        shown = terminal.until("exit code 130")
        assert "╭" not in shown


BROKEN = """
import sys
from streamclf.cli.main import run
from streamclf.dashboard.widgets.level import LevelMeter
LevelMeter.draw = lambda self, picture, width, height: 1 / 0
sys.exit(run(sys.argv[1:]))
"""


@no_tmux
def test_a_mistake_in_the_program_restores_the_terminal_and_names_the_log(
    tmp_path, tone_model, write_wav
):
    path, env = write_wav(toys.tone(440, 60)), home(tmp_path)
    command = [sys.executable, "-c", BROKEN, "listen", "--source", f"sim:{path}"]
    with Terminal([*command, "--model", str(tone_model)], env, (120, 24)) as terminal:
        shown = terminal.until("exit code 1")
    # The terminal breaks the line where it is full.
    said = shown.replace("\n", "")
    assert "error: the dashboard failed (ZeroDivisionError: division by zero)" in said
    assert "dashboard.log holds the details" in said
    assert "╭" not in shown
    assert "Traceback" not in shown
    (log,) = tmp_path.rglob("dashboard.log")
    assert "ZeroDivisionError" in log.read_text()


@no_tmux
def test_file_shows_a_recording_and_remembers_the_view(tmp_path, tone_model, write_wav):
    path = write_wav(np.concatenate([toys.silence(20), toys.tone(1000, 10)]))
    command = [sys.executable, "-m", "streamclf", "file", str(path), "--ui"]
    env = home(tmp_path)
    for first in (True, False):
        with Terminal([*command, "--model", str(tone_model)], env) as terminal:
            terminal.until("playing 1x", "of 30.0 s", "middle", "quiet")
            scale = "3.6k"
            if first:
                terminal.until(scale)
                terminal.press("v")
            terminal.press("n", "n")
            terminal.until("20.", without=scale)
            terminal.press("q")
            terminal.until("exit code 0")


@no_tmux
def test_fresh_leaves_the_saved_settings_as_they_are(tmp_path, tone_model, write_wav):
    """Tuned thresholds survive a session that was to begin without them."""
    path = write_wav(toys.tone(1000, 30))
    command = [sys.executable, "-m", "streamclf", "file", str(path), "--ui", "--model"]
    env = home(tmp_path)
    for options, keys, shown in [([], ["+"], "0.55"), (["--fresh"], ["+", "+", "v"], "0.60")]:
        with Terminal([*command, str(tone_model), *options], env) as terminal:
            terminal.until("playing 1x", "middle")
            for key in keys:
                terminal.press(key)
            terminal.until(f"every threshold: {shown}")
            terminal.press("q")
            terminal.until("exit code 0")
        (saved,) = tmp_path.rglob("dashboard.json")
        settings = json.loads(saved.read_text())
        assert settings["thresholds"] == {"tones": pytest.approx(0.55)}
        assert settings["view"] == "spectrogram"


@no_tmux
def test_settings_of_the_last_session_are_said_and_do_not_change_what_is_written(
    tmp_path, tone_model, write_wav
):
    sound = np.concatenate([toys.silence(2), toys.tone(440, 60)])
    env = home(tmp_path)
    config = tmp_path / "config" / "streamclf" / "dashboard.json"
    config.parent.mkdir(parents=True)
    config.write_text(
        '{"view": "waveform", "hop_s": 0.1, "average_s": 0, "thresholds": {"tones": 0.65}}'
    )
    scores = tmp_path / "scores.csv"
    command = [sys.executable, "-m", "streamclf", "listen", "--source", f"sim:{write_wav(sound)}"]
    command += ["--model", str(tone_model), "--ui"]
    with Terminal(command, env, (160, 50)) as terminal:
        shown = terminal.until("listening", "hop 0.1 s", "settings of the last session")
        terminal.press("q")
        terminal.until("exit code 0")
    assert "left out" not in shown
    with Terminal([*command, "--scores", str(scores)], env, (160, 50)) as terminal:
        shown = terminal.until("listening", "hop 0.5 s, average 3 s", "are left out")
        assert not re.search(r"\d\.\dk ", shown)  # the view is one of the looks: it stays
        while not scores.exists() or scores.read_text().count("\n") < 4:
            time.sleep(0.1)
        terminal.press("q")
        terminal.until("exit code 0")
    onsets = [float(line.split(",")[1]) for line in scores.read_text().splitlines()[1:]]
    assert onsets[:3] == [0, 0.5, 1]
    assert json.loads(config.read_text())["hop_s"] == 0.1  # for the next session to show


@no_tmux
def test_figures_of_a_session_are_of_all_its_models(tmp_path, tone_model, write_wav):
    """`--stats` and the last line, after the model was changed in the middle."""
    other = toys.write_tone_detector(
        tmp_path / "other.onnx", toys.toy_card(sample_rate=16_000, name="other")
    )
    config = tmp_path / "config" / "streamclf" / "dashboard.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"model": str(other)}))
    stats = tmp_path / "stats.json"
    source = f"sim:{write_wav(toys.tone(440, 60))}?overflow=3,0.5"
    command = [sys.executable, "-m", "streamclf", "listen", "--source", source, "--ui"]
    command += ["--model", str(tone_model), "--duration", "9", "--stats", str(stats)]
    with Terminal(command, home(tmp_path), (160, 50)) as terminal:
        terminal.until("gap: overflow")
        terminal.press("m")
        terminal.until("pocket")
        terminal.press("p", "o", "c", "k", "e", "t", "Enter")
        terminal.until("pocket", "hop")
        shown = terminal.until("exit code 0").replace("\n", "")
    figures = json.loads(stats.read_text())
    assert figures["sample_rate"] == toys.RATE
    assert figures["delivered_samples"] + figures["gap_samples"] == figures["elapsed_samples"]
    assert 8.4 < figures["elapsed_samples"] / toys.RATE < 10.5
    gaps = [round(gap["position"] / toys.RATE) for gap in figures["gaps"]]
    assert [gap["n_samples"] for gap in figures["gaps"]] == [toys.RATE // 2] * len(gaps)
    assert gaps == sorted(gaps)
    assert len(gaps) >= 2
    assert f"{len(gaps)} gaps ({len(gaps) / 2:.1f} s, overflow)" in shown
