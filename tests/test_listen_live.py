"""`streamclf listen` at a real audio server: what is played into it is heard and named."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading

import audio_server
import numpy as np
import prepared
import pytest
import soundfile
import toys

pytestmark = [
    pytest.mark.audio_server,
    pytest.mark.skipif(bool(audio_server.available()), reason=audio_server.available() or "-"),
]
PATIENCE_S = 60


class Listener:
    """A running `streamclf listen`, whose lines are awaited."""

    def __init__(self, server: audio_server.AudioServer, *arguments: object) -> None:
        self.process = prepared.begin(
            "listen",
            *arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=server.env,
        )
        self.seen: list[dict] = []
        self.said: list[str] = []
        self._lines: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self._words: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read_lines), threading.Thread(target=self._read_words)
        ]  # fmt: skip
        for reader in self._readers:
            reader.start()

    def _read_lines(self) -> None:
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def _read_words(self) -> None:
        for line in self.process.stderr:
            self._words.put(line)

    def until(self, wanted) -> dict:
        """The next line that fits."""
        while True:
            line = self._lines.get(timeout=PATIENCE_S)
            self.seen.append(line)
            if wanted(line):
                return line

    def until_says(self, words: str) -> str:
        """The next line on standard error that holds these words."""
        while True:
            line = self._words.get(timeout=PATIENCE_S)
            self.said.append(line)
            if words in line:
                return line

    def end(self) -> int:
        """Ctrl-C; the rest of the lines are in `seen` and `said`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        while not self._lines.empty():
            self.seen.append(self._lines.get())
        while not self._words.empty():
            self.said.append(self._words.get())
        return code


def is_event(label: str):
    return lambda line: line["type"] == "event" and line["label"] == label


def is_top(label: str):
    return lambda line: line["type"] == "update" and line["top"][0]["label"] == label


def test_listen_hears_a_sound_loses_the_microphone_and_hears_again(tmp_path, tone_model):
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, np.concatenate([toys.tone(1000, 4), toys.silence(1)]), toys.RATE)
    other = tmp_path / "other.wav"
    soundfile.write(other, np.concatenate([toys.tone(2500, 4), toys.silence(1)]), toys.RATE)
    with audio_server.AudioServer() as server:
        listener = Listener(server, "--model", tone_model, "--updates")
        try:
            listener.until_says("listening to ")
            listener.until(is_top("quiet"))
            server.play(sound)
            heard = listener.until(is_event("middle"))
            assert 3 <= heard["offset"] - heard["onset"] <= 5.5
            server.stop()
            listener.until_says("lost")
            server.start()
            gap = listener.until(lambda line: line["type"] == "gap")
            assert gap["offset"] > gap["onset"] >= heard["offset"] - 1
            listener.until(is_top("quiet"))
            server.play(other)
            assert listener.until(is_event("high"))["onset"] >= gap["offset"]
            assert {"time", "source"} <= set(heard) & set(gap)
        finally:
            code = listener.end()
    assert code == 130
    assert "1 gap (" in listener.said[-1]


def test_listen_without_reconnecting_ends_with_exit_1(tone_model):
    with audio_server.AudioServer() as server:
        listener = Listener(server, "--model", tone_model, "--updates", "--no-reconnect")
        try:
            listener.until(is_top("quiet"))
            server.stop()
            assert listener.process.wait(timeout=PATIENCE_S) == 1
        finally:
            listener.end()
    errors = [line for line in listener.said if line.startswith("streamclf: error: ")]
    assert len(errors) == 1
    assert "lost" in errors[0]


def test_devices_marks_the_default(tone_model):
    with audio_server.AudioServer() as server:
        run = prepared.run(
            "devices",
            "--json",
            env=server.env,
            capture_output=True,
            text=True,
            check=True,
        )
    inputs = json.loads(run.stdout)
    assert sum(device["is_default"] for device in inputs) == 1
    assert all(device["channels"] > 0 and device["default_sample_rate"] > 0 for device in inputs)


def test_no_microphone_at_all_is_one_line(tone_model):
    with audio_server.AudioServer() as server:
        server.stop()
        run = prepared.run(
            "listen", "--model", tone_model, env=server.env, capture_output=True, text=True
        )
    assert run.returncode == 1
    errors = [line for line in run.stderr.splitlines() if line.startswith("streamclf: ")]
    assert len(errors) == 1
    assert errors[0].startswith("streamclf: error: ")


@pytest.mark.data
def test_listen_names_a_real_recording(data_dir):
    clip = data_dir / "esc50" / "audio" / "4-194754-A-0.flac"  # a dog
    with audio_server.AudioServer() as server:
        listener = Listener(server, "--updates")
        try:
            listener.until(lambda line: line["type"] == "update")
            server.play(clip)
            heard = listener.until(is_event("Dog"))
        finally:
            listener.end()
    assert heard["score"] > 0.5
