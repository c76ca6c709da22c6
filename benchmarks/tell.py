"""From a sound's onset to its message at a webhook, through `streamclf serve` at real pace.

    python -m benchmarks.tell ESC-50 --fold 4 [--hop 0.25] [--live sim|pulse]

The soundscapes are those of `python -m benchmarks.begins`. A rule tells each begin to a webhook on
loopback, which notes when it came. The delay is from the sound's true onset to that moment: the
part of the sound that the model needs, windows, the rule, the request, everything. The last lines
tell the way alone: from the moment at which the begin was known to its receipt.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.begins import RATE, TAIL_S, Recorder, _as_written, draw_scenes, true_events
from train.audio.soundscapes import Scene
from train.evaluation.begin_metrics import Begin, evaluate_begins

ALARMS = ("siren", "clock_alarm", "glass_breaking", "crying_baby", "dog", "door_wood_knock")
"""Sounds that somebody may want to be told of at once."""
READY_S = 8.0
"""Seconds that the process gets to begin before the sounds do."""
SETTINGS = """
model = "{model}"
store = "{folder}/heard.db"
hop = {hop}
port = 0
[[sources]]
name = "hall"
{source}
[[targets]]
name = "hook"
webhook = "http://127.0.0.1:{port}/"
[[rules]]
name = "all"
"""


class Receiver(ThreadingHTTPServer):
    """A webhook that notes what came when.

    Attributes:
        came: Time of each message, and the message.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.came: list[tuple[float, dict[str, object]]] = []
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


def main() -> None:
    options = _parser().parse_args()
    scenes = list(
        draw_scenes(options.data, options.fold, options.scenes, options.half, options.prepared)
    )
    print(
        f"{len(scenes)} scenes of a minute, fold {options.fold}; {options.model}, hop "
        f"{options.hop:g} s, {options.live}"
    )
    with tempfile.TemporaryDirectory(prefix="streamclf-tell-") as name, Receiver() as receiver:
        folder = Path(name)
        path = folder / "scenes.wav"
        audio = np.concatenate([_as_written(scene) for scene in scenes])
        audio = np.append(audio, np.zeros(round(TAIL_S * RATE), np.float32))
        soundfile.write(path, audio, RATE, subtype="PCM_16")
        run = run_pulse if options.live == "pulse" else run_simulated
        began = run(options, folder, path, receiver, len(audio) / RATE)
        report("webhook", scenes, receiver.came, began)


def write_settings(
    options: argparse.Namespace, folder: Path, source: str, receiver: Receiver
) -> list[str]:
    """Write the settings of `serve`, and return its command."""
    settings = folder / "tell.toml"
    settings.write_text(
        SETTINGS.format(
            model=options.model, folder=folder, hop=options.hop, source=source,
            port=receiver.server_port,
        )
    )  # fmt: skip
    return [sys.executable, "-m", "streamclf", "serve", "--config", str(settings), "-f", "jsonl"]


def run_simulated(
    options: argparse.Namespace, folder: Path, path: Path, receiver: Receiver, length_s: float
) -> float:
    """Serve a simulated microphone to its end; returns the time of its first sample."""
    command = write_settings(options, folder, f'url = "sim:{path}"', receiver)
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return _first_sample(said.stdout)


def _first_sample(lines: str) -> float:
    """Time of a stream's first sample, from the local times in its lines."""
    read = [json.loads(line) for line in lines.splitlines()]
    return float(np.median([
        datetime.fromisoformat(line["time"]).timestamp() - line["onset"]
        for line in read if line["type"] == "begin"
    ]))  # fmt: skip


def run_pulse(
    options: argparse.Namespace, folder: Path, path: Path, receiver: Receiver, length_s: float
) -> float:
    """Serve a null sink that the sounds are played to; returns the time of the first sample."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from audio_server import AudioServer, available

    if lacking := available():
        raise SystemExit(lacking)
    with AudioServer() as server:
        recorder = Recorder(server.env)
        command = write_settings(options, folder, 'device = "default"', receiver)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=server.env)
        try:
            time.sleep(READY_S)
            server.play(path)
            time.sleep(length_s)
        finally:
            process.terminate()
            process.wait()
        return recorder.find(path)


def report(
    kind: str, scenes: Sequence[Scene], came: list[tuple[float, dict[str, object]]], began: float
) -> None:
    """Print the figures of a receiver."""
    ends = np.cumsum([len(scene.waveform) for scene in scenes]) / RATE
    begins, way = [], []
    for at, message in came:
        onset = datetime.fromisoformat(str(message["time"])).timestamp() - began
        number = min(int(np.searchsorted(ends, max(onset, 0.0), side="right")), len(scenes) - 1)
        first = ends[number] - len(scenes[number].waveform) / RATE
        label = str(message["label"])
        begins.append(Begin(str(number), label, onset - first, at - began - first))
        way.append(at - datetime.fromisoformat(str(message["told"])).timestamp())
    truth = true_events(scenes)
    clear = {str(number) for number, scene in enumerate(scenes) if scene.snr_db >= 20}
    print(f"{'':<28} {'median':>7} {'p95':>7} {'sounds':>6} {'told':>5}")
    for name, chosen in [
        ("all, 0 to 30 dB", None), ("20 and 30 dB", clear), ("alarms at 20 and 30 dB", clear)
    ]:  # fmt: skip
        labels = ALARMS if name.startswith("alarms") else None
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
    parser.add_argument("--hop", type=float, default=0.25, help="in seconds (0.25)")
    parser.add_argument("--live", choices=("sim", "pulse"), default="pulse")
    return parser


if __name__ == "__main__":
    main()
