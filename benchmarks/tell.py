"""From a sound's onset to a webhook and a broker, through `streamclf serve` at real pace.

    python -m benchmarks.tell ESC-50 --fold 4 [--hop 0.25] [--live sim|pulse]

The soundscapes are those of `python -m benchmarks.begins`. A rule tells each begin to a webhook on
loopback, which notes when it came; where mosquitto is installed, a subscriber of a broker notes the
same event there. The delay is from the sound's true onset to that moment: the
part of the sound that the model needs, windows, the rule, the request, everything. The last lines
tell the way alone: from the moment at which the begin was known to its receipt by the webhook.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile

from benchmarks.begins import RATE, TAIL_S, Recorder, _as_written, draw_scenes, true_events
from train.audio.soundscapes import Scene, make_scenes
from train.evaluation.begin_metrics import Begin, evaluate_begins
from train.soundscape import open_scene_clips

ALARMS = ("siren", "clock_alarm", "glass_breaking", "crying_baby", "dog", "door_wood_knock")
"""Sounds that somebody may want to be told of at once."""
READY_S = 8.0
"""Seconds that the process gets to begin before the sounds do."""
SETTINGS = """
model = "{model}"
store = "{folder}/heard.db"
hop = {hop}
begin = "{begin}"
port = 0
[[sources]]
name = "hall"
{source}
[[targets]]
name = "hook"
webhook = "http://127.0.0.1:{port}/"
[[rules]]
name = "all"
{broker}"""
Came: TypeAlias = list[tuple[float, dict[str, object]]]
"""Time of each message, and the message."""


class Receiver(ThreadingHTTPServer):
    """A webhook that notes what came when.

    Attributes:
        came: Time of each message, and the message.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.came: Came = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        now = time.time()
        assert isinstance(self.server, Receiver)
        self.server.came.append((now, json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *said: object) -> None:
        """Say nothing."""


class Broker:
    """A mosquitto of its own with a subscriber; without mosquitto nothing comes.

    Args:
        folder: Folder for its settings.

    Attributes:
        settings: The table of the settings file.
        came: Time of each begin, and what was told of it.
    """

    def __init__(self, folder: Path) -> None:
        self.came: Came = []
        self.settings = ""
        self._process: subprocess.Popen[bytes] | None = None
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            return
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self._process = subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.settings = f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        import paho.mqtt.client as paho

        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *rest: client.subscribe("streamclf/#", 1)
        self._client.on_message = lambda client, data, message: self._note(
            message.topic, message.payload
        )
        time.sleep(1.0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _note(self, topic: str, payload: bytes) -> None:
        now = time.time()
        if topic.endswith("/event"):
            told = json.loads(payload)
            if told["phase"] == "begin":
                self.came.append((now, {"label": told["event_type"], "time": told["onset"]}))

    def close(self) -> None:
        """End both."""
        if self._process is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._process.terminate()
            self._process.wait()


def main() -> None:
    options = _parser().parse_args()
    if options.alarms:
        scenes = list(draw_alarms(options))
    else:
        scenes = list(
            draw_scenes(options.data, options.fold, options.scenes, options.half, options.prepared)
        )
    print(
        f"{len(scenes)} scenes of a minute, fold {options.fold}; {options.model}, hop "
        f"{options.hop:g} s, {options.begin}, {options.live}"
        f"{', alarms alone' if options.alarms else ''}"
    )
    with tempfile.TemporaryDirectory(prefix="streamclf-tell-") as name, Receiver() as receiver:
        folder = Path(name)
        path = folder / "scenes.wav"
        audio = np.concatenate([_as_written(scene) for scene in scenes])
        audio = np.append(audio, np.zeros(round(TAIL_S * RATE), np.float32))
        soundfile.write(path, audio, RATE, subtype="PCM_16")
        broker = Broker(folder)
        command = write_settings(options, folder, path, receiver, broker)
        began = run_pulse(command, path) if options.live == "pulse" else run_simulated(command)
        broker.close()
        report("webhook", scenes, receiver.came, began)
        if broker.came:
            report("broker", scenes, broker.came, began)


def draw_alarms(options: argparse.Namespace) -> Iterator[Scene]:
    """Soundscapes of the fold's clips of `ALARMS`, at 20 and 30 dB."""
    clips = open_scene_clips(options.data, RATE, [options.fold], prepared=options.prepared)
    wanted = [
        number for number, clip in enumerate(clips.clips)
        if clips.labels[int(clip.target)] in ALARMS
    ]  # fmt: skip
    yield from make_scenes(clips.take(wanted), options.scenes, snr_db=(20.0, 30.0))


def write_settings(
    options: argparse.Namespace, folder: Path, path: Path, receiver: Receiver, broker: Broker
) -> list[str]:
    """Write the settings of `serve`, and return its command."""
    source = 'device = "default"' if options.live == "pulse" else f'url = "sim:{path}"'
    settings = folder / "tell.toml"
    settings.write_text(
        SETTINGS.format(
            model=options.model, folder=folder, hop=options.hop, source=source, begin=options.begin,
            port=receiver.server_port, broker=broker.settings,
        )
    )  # fmt: skip
    return [sys.executable, "-m", "streamclf", "serve", "--config", str(settings), "-f", "jsonl"]


def run_simulated(command: list[str]) -> float:
    """Serve a simulated microphone to its end; returns the time of its first sample."""
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return _first_sample(said.stdout)


def _first_sample(lines: str) -> float:
    """Time of a stream's first sample, from the local times in its lines."""
    read = [json.loads(line) for line in lines.splitlines()]
    return float(np.median([
        datetime.fromisoformat(line["time"]).timestamp() - line["onset"]
        for line in read if line["type"] == "begin"
    ]))  # fmt: skip


def run_pulse(command: list[str], path: Path) -> float:
    """Serve a null sink that the sounds are played to; returns the time of the first sample."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from audio_server import AudioServer, available

    if lacking := available():
        raise SystemExit(lacking)
    with AudioServer() as server:
        recorder = Recorder(server.env)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=server.env)
        try:
            time.sleep(READY_S)
            server.play(path)  # to its end
            time.sleep(TAIL_S)
        finally:
            process.terminate()
            process.wait()
        return recorder.find(path)


def report(kind: str, scenes: Sequence[Scene], came: Came, began: float) -> None:
    """Print the figures of a receiver."""
    ends = np.cumsum([len(scene.waveform) for scene in scenes]) / RATE
    begins, way = [], []
    for at, message in came:
        onset = datetime.fromisoformat(str(message["time"])).timestamp() - began
        number = min(int(np.searchsorted(ends, max(onset, 0.0), side="right")), len(scenes) - 1)
        first = ends[number] - len(scenes[number].waveform) / RATE
        label = str(message["label"])
        begins.append(Begin(str(number), label, onset - first, at - began - first))
        if "told" in message:
            way.append(at - datetime.fromisoformat(str(message["told"])).timestamp())
    truth = true_events(scenes)
    clear = {str(number) for number, scene in enumerate(scenes) if scene.snr_db >= 20}
    print(f"{'':<28} {'median':>7} {'p95':>7} {'sounds':>6} {'told':>5}")
    for name, chosen, labels in [
        ("all", None, None), ("20 and 30 dB", clear, None), ("alarms at 20, 30 dB", clear, ALARMS)
    ]:  # fmt: skip
        wanted = [
            [
                each for each in some
                if (chosen is None or each.source in chosen)
                and (labels is None or each.label in labels)
            ]
            for some in (truth, begins)
        ]  # fmt: skip
        figures = evaluate_begins(*wanted)
        print(
            f"{kind + ', ' + name:<28} {figures.delay(50):>6.2f}s {figures.delay(95):>6.2f}s "
            f"{figures.n_true:>6} {len(figures.delays):>5}"
        )
    if way:
        print(
            f"{kind + ', the way alone':<28} {np.percentile(way, 50):>6.3f}s "
            f"{np.percentile(way, 95):>6.3f}s {'':>6} {len(way):>5}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="ESC-50's folder")
    parser.add_argument("--prepared", type=Path, help="where prepared clips go")
    parser.add_argument("--fold", type=int, default=4, help="whose clips (4)")
    parser.add_argument("--model", default="pocket", help="which model (pocket)")
    parser.add_argument("--half", type=int, choices=(1, 2), help="scenes of one half alone")
    parser.add_argument("--scenes", type=int, default=10, help="of each half (10)")
    parser.add_argument("--begin", default="sure", help="as of streamclf serve (sure)")
    parser.add_argument("--alarms", action="store_true", help="sounds of alarms alone, clearly")
    parser.add_argument("--hop", type=float, default=0.25, help="in seconds (0.25)")
    parser.add_argument("--live", choices=("sim", "pulse"), default="pulse")
    return parser


if __name__ == "__main__":
    main()
