"""The microphone with a real audio server: it hears, loses the server, and hears again."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import audio_server
import numpy as np
import pytest
import soundfile

RATE = 16_000
PATIENCE_S = 40.0

pytestmark = [
    pytest.mark.audio_server,
    pytest.mark.skipif(bool(audio_server.available()), reason=audio_server.available()),
]

# In a process of its own: PortAudio reads the environment when it starts. The stop comes as a
# signal, into whatever the microphone is waiting for.
LISTEN = """
import json, signal, sys
import numpy as np
from streamclf.core.records import Block, Gap
from streamclf.sources.microphone.microphone import Microphone

microphone = Microphone(sys.argv[1] or None, reconnect=sys.argv[2] == "reconnect")
signal.signal(signal.SIGINT, lambda *_: microphone.stop())
for record in microphone.blocks(16_000):
    said = {"type": type(record).__name__, "position": record.position}
    said["sample_rate"] = record.sample_rate
    if isinstance(record, Block):
        wave = record.waveform.mean(axis=0)
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size)))
        said["n_samples"] = record.n_samples
        said["level"] = float(np.abs(wave).max())
        said["hz"] = float(spectrum.argmax() * record.sample_rate / wave.size)
    elif isinstance(record, Gap):
        said["n_samples"], said["cause"] = record.n_samples, record.cause
    else:
        said["message"] = record.message
    print(json.dumps(said), flush=True)
"""


class Listener:
    """The microphone in a process of its own, and the records that it yields."""

    def __init__(self, env: dict[str, str], device: str = "", mode: str = "reconnect") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", LISTEN, device, mode],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.records: list[dict] = []
        self.errors = ""
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._read_records),
            threading.Thread(target=self._read_errors),
        ]
        for thread in self._threads:
            thread.start()

    def await_record(self, wanted: Callable[[dict], bool]) -> dict:
        """Read on until a record is as wanted."""
        while True:
            line = self._lines.get(timeout=PATIENCE_S)
            assert line is not None, f"the microphone ended:\n{self.errors}"
            self.records.append(json.loads(line))
            if wanted(self.records[-1]):
                return self.records[-1]

    def await_tone(self, hz: float) -> dict:
        return self.await_record(
            lambda r: r["type"] == "Block" and r["level"] > 0.05 and abs(r["hz"] - hz) < 15
        )

    def end(self, sent: int | None = signal.SIGINT) -> int:
        """Interrupt it, take what it still says, and return its exit code."""
        if sent is not None:
            self._process.send_signal(sent)
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        for thread in self._threads:
            thread.join()
        while (line := self._lines.get()) is not None:
            self.records.append(json.loads(line))
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _read_records(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self.errors = self._process.stderr.read()


@pytest.fixture
def server() -> Iterator[audio_server.AudioServer]:
    with audio_server.AudioServer() as server:
        yield server


@pytest.fixture
def listen(server: audio_server.AudioServer) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(device: str = "", mode: str = "reconnect") -> Listener:
        listeners.append(Listener(server.env, device, mode))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.kill()


@pytest.fixture
def tone(tmp_path: Path) -> Callable[[float], Path]:
    def write(hz: float, duration_s: float = 30.0) -> Path:
        path = tmp_path / f"{hz:.0f}.wav"
        times = np.arange(int(duration_s * RATE)) / RATE
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * hz * times), RATE)
        return path

    return write


def assert_gapless(records: list[dict]) -> None:
    position = 0
    for record in records:
        assert record["position"] == position
        position += record.get("n_samples", 0)


def test_microphone_hears_loses_the_server_and_hears_again(
    server: audio_server.AudioServer,
    listen: Callable[..., Listener],
    tone: Callable[[float], Path],
) -> None:
    listener = listen("default")
    listener.await_record(lambda r: r["type"] == "Block")
    server.play(tone(1_000), wait=False)
    assert listener.await_tone(1_000)["sample_rate"] == RATE

    server.stop()
    lost = listener.await_record(lambda r: r["type"] == "Notice")
    assert lost["message"].startswith("microphone default lost: ")
    server.start()
    gap = listener.await_record(lambda r: r["type"] == "Gap")
    assert gap["cause"] == "device lost"
    assert 0.3 * RATE < gap["n_samples"] < PATIENCE_S * RATE
    server.play(tone(2_000), wait=False)
    listener.await_tone(2_000)

    assert listener.end() == 0
    assert_gapless(listener.records)


def test_microphone_survives_a_server_that_freezes(
    server: audio_server.AudioServer, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    listener.await_record(lambda r: r["type"] == "Block")
    server.freeze()
    lost = listener.await_record(lambda r: r["type"] == "Notice")
    assert "no audio for 2 s" in lost["message"]
    server.thaw()
    listener.await_record(lambda r: r["type"] == "Gap")
    listener.await_record(lambda r: r["type"] == "Block")

    server.freeze()
    listener.await_record(lambda r: r["type"] == "Notice" and "lost" in r["message"])
    # PortAudio hangs in closing the stream; the process must end all the same.
    assert listener.end() == 0
    assert listener.records[-1]["type"] == "Gap"
    assert_gapless(listener.records)


def test_microphone_without_reconnect_ends_with_the_server(
    server: audio_server.AudioServer, listen: Callable[..., Listener]
) -> None:
    listener = listen(mode="give up")
    listener.await_record(lambda r: r["type"] == "Block")
    server.stop()
    assert listener.end(sent=None) == 1
    assert "DeviceError: microphone default lost" in listener.errors


def test_microphone_without_a_server_says_that_there_is_no_device(
    server: audio_server.AudioServer, listen: Callable[..., Listener]
) -> None:
    server.stop()
    listener = listen()
    assert listener.end(sent=None) == 1
    assert "DeviceError: no input device" in listener.errors
