"""How soon an event is told, and how rightly: soundscapes of clips at known times.

    python -m benchmarks.begins ESC-50 --fold 4 [--model M] [--half 1] [--live sim|pulse]

Soundscapes are made as `python -m export.tune` makes them: the fold's clips in two halves, scenes
of a minute over noise at 0, 10, 20 and 30 dB. The delay is from a sound's true onset to when its
begin was told, see `train.judging.begin_metrics`. Without ``--live`` it is counted in positions,
exactly: how much had been heard. With it the line on standard output is timed, of `streamclf
    listen` at real
pace, all hops side by side: through the simulated microphone, or through PortAudio and a null sink
of a PulseAudio of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile

from export.tune import SNR_DB, halve
from streamclf import ArraySource, Average, Classifier, Engine, Model, Settings, find_model
from streamclf.core.records import EventBegan, Scores, SoundEvent
from streamclf.core.settings import choose_thresholds
from streamclf.pipeline.evidence import RULES
from train.audio.scenes import Scene, make_scenes
from train.judging.begin_metrics import Begin, judge_begins
from train.judging.event_metrics import Event, judge_events
from train.soundscape import open_scene_clips

RATE = 16_000
TAIL_S = 6.0
"""Listened to behind the last scene, until the last average has fallen."""


@dataclass
class Told:
    """What was told of all scenes, in seconds of each."""

    begins: list[Begin] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def main() -> None:
    options = _parser().parse_args()
    scenes = list(
        draw_scenes(options.data, options.fold, options.scenes, options.half, options.prepared)
    )
    print(f"{len(scenes)} scenes of a minute, fold {options.fold}; {options.model}")
    print(
        f"{'hop':>5} {'':<8} {'median':>7} {'p95':>6} {'20, 30 dB':>9} {'precision':>9} "
        f"{'recall':>6} {'event F1':>8} {'precision':>9} {'recall':>6} {'false/h':>7}"
    )
    if options.live:
        with tempfile.TemporaryDirectory() as folder:
            listen(scenes, options, Path(folder))
        return
    scorer = Classifier(Model(find_model(options.model), provider="cpu"))
    thresholds = choose_thresholds(scorer.card, precision=options.target_precision)
    for hop_s in options.hops:
        base = Settings(hop_s, average_kind=options.average_kind, thresholds=thresholds)
        heard = [hear(Engine(scorer, base), scene) for scene in scenes]
        for begin in ("patient", *RULES):
            settings = Settings(
                hop_s, average_kind=options.average_kind, thresholds=thresholds, begin=begin
            )
            told = Told()
            for number, scores in enumerate(heard):
                judge(Engine(scorer, settings), str(number), scores, told)
            report(hop_s, begin, scenes, told)


def draw_scenes(
    data: Path, fold: int, n_scenes: int, half: int | None = None, prepared: Path | None = None
) -> Iterator[Scene]:
    """Soundscapes of either half of a fold's clips, or of one half's alone."""
    sides = halve(open_scene_clips(data, RATE, [fold], prepared=prepared))
    for number, side in enumerate(sides, start=1):
        if half in (None, number):
            yield from make_scenes(side, n_scenes, snr_db=SNR_DB, seed=number)


def hear(engine: Engine, scene: Scene) -> list[Scores]:
    """The scores of a scene's windows, as of its file."""
    results = engine.run(ArraySource(_as_written(scene), RATE))
    return [result.scores for result in results if isinstance(result, Average)]


def judge(engine: Engine, name: str, scores: Iterable[Scores], told: Told) -> None:
    """Make averages and events anew; what was told, and when."""
    for result in engine.judge(scores):
        if isinstance(result, EventBegan):
            place = (result.onset / RATE, result.position / RATE)
            told.begins.append(Begin(name, result.label, *place))
        elif isinstance(result, SoundEvent):
            place = (result.onset / RATE, result.offset / RATE)
            told.events.append(Event(name, result.label, *place))


def true_events(scenes: Sequence[Scene]) -> list[Event]:
    """In seconds of each scene, which is called by its number."""
    return [
        Event(str(number), event.label, event.onset / RATE, event.offset / RATE)
        for number, scene in enumerate(scenes)
        for event in scene.events
    ]


def report(hop_s: float, kind: str, scenes: Sequence[Scene], told: Told) -> None:
    """One line of the table."""
    truth = true_events(scenes)
    lengths = {str(number): len(scene.waveform) / RATE for number, scene in enumerate(scenes)}
    clear = {str(number) for number, scene in enumerate(scenes) if scene.snr_db >= 20}
    begins = judge_begins(truth, told.begins)
    loud = judge_begins(
        [event for event in truth if event.source in clear],
        [begin for begin in told.begins if begin.source in clear],
    )
    judged = judge_events(truth, told.events, lengths)
    events = judged["events"]
    print(
        f"{hop_s:>5g} {kind:<8} {begins.delay(50):>6.2f}s {begins.delay(95):>5.2f}s "
        f"{loud.delay(50):>8.2f}s {begins.precision:>9.3f} {begins.recall:>6.3f} "
        f"{events['f1']:>8.3f} {events['precision']:>9.3f} {events['recall']:>6.3f} "
        f"{judged['false_alarms_per_hour']:>7.1f}",
        flush=True,
    )


def listen(scenes: Sequence[Scene], options: argparse.Namespace, folder: Path) -> None:
    """Time the lines of `streamclf listen`, one process a hop, all of them at once."""
    path = folder / "scenes.wav"
    audio = np.concatenate([_as_written(scene) for scene in scenes])
    audio = np.append(audio, np.zeros(round(TAIL_S * RATE), np.float32))
    soundfile.write(path, audio, RATE, subtype="PCM_16")
    length_s = len(audio) / RATE
    commands = {hop_s: _command(options, hop_s) for hop_s in options.hops}
    hear_all = hear_pulse if options.live == "pulse" else hear_simulated
    for hop_s, (lines, began) in hear_all(commands, path, length_s).items():
        report(hop_s, options.live, scenes, place(lines, began, scenes))


Lines = list[tuple[float, dict[str, object]]]


def hear_simulated(
    commands: dict[float, list[str]], path: Path, length_s: float
) -> dict[float, tuple[Lines, float]]:
    """Lines with the moments at which they came, and when the audio's first sample sounded."""
    listeners = {
        hop_s: Listener([*command, "--source", f"sim:{path}"])
        for hop_s, command in commands.items()
    }
    return {hop_s: (each.wait(), _began(each.lines)) for hop_s, each in listeners.items()}


def hear_pulse(
    commands: dict[float, list[str]], path: Path, length_s: float
) -> dict[float, tuple[Lines, float]]:
    """The same through a null sink; a recorder beside tells when the file's first sample came."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from audio_server import AudioServer, available

    if lacking := available():
        raise SystemExit(lacking)
    with AudioServer() as server:
        recorder = Recorder(server.env)
        listeners = {
            hop_s: Listener([*command, "--duration", str(length_s + 12)], server.env)
            for hop_s, command in commands.items()
        }
        time.sleep(6.0)  # they have begun by then
        server.play(path)
        found = {hop_s: each.wait() for hop_s, each in listeners.items()}
        began = recorder.find(path)
    return {hop_s: (lines, began) for hop_s, lines in found.items()}


def place(lines: Lines, began: float, scenes: Sequence[Scene]) -> Told:
    """What was told of which scene, and when; the scenes lie behind one another."""
    ends = np.cumsum([len(scene.waveform) for scene in scenes]) / RATE
    told, started = Told(), _began(lines)
    for came, line in lines:
        if line["type"] not in ("begin", "event"):
            continue
        onset = float(line["onset"]) + started - began  # type: ignore[arg-type]
        number = min(int(np.searchsorted(ends, max(onset, 0.0), side="right")), len(scenes) - 1)
        first = ends[number] - len(scenes[number].waveform) / RATE
        name, label = str(number), str(line["label"])
        if line["type"] == "begin":
            told.begins.append(Begin(name, label, onset - first, came - began - first))
        else:
            offset = float(line["offset"]) + started - began  # type: ignore[arg-type]
            told.events.append(Event(name, label, onset - first, offset - first))
    return told


def _began(lines: Lines) -> float:
    """When a stream's first sample sounded, by the local times of its lines."""
    return float(np.median([
        datetime.fromisoformat(str(line["time"])).timestamp() - float(line["onset"])  # type: ignore[arg-type]
        for _, line in lines
    ]))  # fmt: skip


class Listener:
    """A process whose lines are timed as they come."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.lines: Lines = []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append((time.time(), json.loads(line)))

    def wait(self) -> Lines:
        """All lines, once the process has ended."""
        self._thread.join()
        if self._process.wait():
            raise SystemExit(f"streamclf listen ended with {self._process.returncode}")
        return self.lines


class Recorder:
    """Records what a PulseAudio plays, and when it came."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["parec", "-d", "fake.monitor", "--raw", "--format=s16le", f"--rate={RATE}",
             "--channels=1", "--latency-msec=20"],
            stdout=subprocess.PIPE, env=env,
        )  # fmt: skip
        self._parts: list[bytes] = []
        self._soonest = float("inf")
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        n_bytes = 0
        while part := self._process.stdout.read1(4096):  # type: ignore[attr-defined]
            n_bytes += len(part)
            self._soonest = min(self._soonest, time.time() - n_bytes / 2 / RATE)
            self._parts.append(part)

    def find(self, path: Path) -> float:
        """When a file's first sample came; ends the recording."""
        self._process.terminate()
        self._thread.join()
        self._process.wait()
        heard = np.frombuffer(b"".join(self._parts)[: 60 * 2 * RATE], np.int16).astype(np.float64)
        sought, _ = soundfile.read(path, frames=20 * RATE)
        size = 1 << (heard.size + sought.size).bit_length()
        spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sought, size))
        place = int(np.argmax(np.fft.irfft(spectrum, size)[: heard.size]))
        return self._soonest + place / RATE


def _command(options: argparse.Namespace, hop_s: float) -> list[str]:
    command = [
        sys.executable, "-m", "streamclf", "listen", "--no-ui", "--format", "jsonl",
        "--log-level", "warning", "--hop", str(hop_s), "--model", options.model,
    ]  # fmt: skip
    if options.target_precision is not None:
        command += ["--target-precision", str(options.target_precision)]
    return [*command, "--begin", options.begin]


def _as_written(scene: Scene) -> np.ndarray:
    """As 16 bits hold it."""
    return (np.rint(scene.waveform * 32767) / 32768).astype(np.float32)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add: Callable[..., argparse.Action] = parser.add_argument
    add("data", type=Path, help="ESC-50's folder")
    add("--prepared", type=Path, help="where prepared clips go")
    add("--fold", type=int, default=4, help="whose clips (4)")
    add("--model", default="pocket", help="which model (pocket)")
    add("--half", type=int, choices=(1, 2), help="scenes of one half of the clips alone")
    add("--scenes", type=int, default=40, help="of each half (40)")
    add("--hops", type=_numbers, default=[0.1, 0.25, 0.5], help="in seconds (0.1,0.25,0.5)")
    add("--average-kind", default="mean", choices=("mean", "exponential"))
    add("--target-precision", type=float, help="the card's thresholds for it")
    add("--live", choices=("sim", "pulse"), help="time lines at real pace")
    add("--begin", choices=("patient", *RULES), default="sure", help="with --live (sure)")
    return parser


if __name__ == "__main__":
    main()
