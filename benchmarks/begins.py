"""Delay and precision of reported begins, on soundscapes of clips at known times.

    python -m benchmarks.begins ESC-50 --fold 4 [--model M] [--half 1] [--live sim|pulse]

Soundscapes are made as by `python -m export.tune`: the fold's clips in two halves, scenes of a
minute over noise at 0, 10, 20 and 30 dB. The delay is from a sound's true onset to the report of
its begin, see `train.evaluation.begin_metrics`. Without ``--live`` it is counted exactly, in
positions: how much audio had been processed. With it, the lines of `streamclf listen` on standard
output are timed at real pace, all hops side by side: through the simulated microphone, or through
PortAudio and a null sink of a PulseAudio server of its own.
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
from streamclf.core.thresholds import ThresholdOptions, choose_thresholds
from streamclf.pipeline.evidence import RULES
from train.audio.scenes import Scene, make_scenes
from train.evaluation.begin_metrics import Begin, evaluate_begins
from train.evaluation.event_metrics import Event, evaluate_events
from train.soundscape import open_scene_clips

RATE = 16_000
TAIL_S = 6.0
"""Seconds after the last scene, in which the last average falls."""


@dataclass
class ReportedEvents:
    """Begins and events reported in all scenes, in seconds of each scene."""

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
    thresholds = choose_thresholds(
        scorer.card, ThresholdOptions(target_precision=options.target_precision)
    )
    for hop_s in options.hops:
        base = Settings(hop_s, average_kind=options.average_kind, thresholds=thresholds)
        recorded = [score_windows(Engine(scorer, base), scene) for scene in scenes]
        for begin in ("patient", *RULES):
            settings = Settings(
                hop_s, average_kind=options.average_kind, thresholds=thresholds, begin=begin
            )
            reported = ReportedEvents()
            for number, scores in enumerate(recorded):
                collect_events(Engine(scorer, settings), str(number), scores, reported)
            report(hop_s, begin, scenes, reported)


def draw_scenes(
    data: Path, fold: int, n_scenes: int, half: int | None = None, prepared: Path | None = None
) -> Iterator[Scene]:
    """Soundscapes of both halves of a fold's clips, or of one half alone."""
    sides = halve(open_scene_clips(data, RATE, [fold], prepared=prepared))
    for number, side in enumerate(sides, start=1):
        if half in (None, number):
            yield from make_scenes(side, n_scenes, snr_db=SNR_DB, seed=number)


def score_windows(engine: Engine, scene: Scene) -> list[Scores]:
    """Scores of a scene's windows, with the waveform as a file would hold it."""
    results = engine.run(ArraySource(_as_written(scene), RATE))
    return [result.scores for result in results if isinstance(result, Average)]


def collect_events(
    engine: Engine, name: str, scores: Iterable[Scores], reported: ReportedEvents
) -> None:
    """Compute averages and events from scores, and collect the reports with their times."""
    for result in engine.judge(scores):
        if isinstance(result, EventBegan):
            place = (result.onset / RATE, result.position / RATE)
            reported.begins.append(Begin(name, result.label, *place))
        elif isinstance(result, SoundEvent):
            place = (result.onset / RATE, result.offset / RATE)
            reported.events.append(Event(name, result.label, *place))


def true_events(scenes: Sequence[Scene]) -> list[Event]:
    """The true events, in seconds of each scene, whose name is its number."""
    return [
        Event(str(number), event.label, event.onset / RATE, event.offset / RATE)
        for number, scene in enumerate(scenes)
        for event in scene.events
    ]


def report(hop_s: float, kind: str, scenes: Sequence[Scene], reported: ReportedEvents) -> None:
    """Print one line of the table."""
    truth = true_events(scenes)
    lengths = {str(number): len(scene.waveform) / RATE for number, scene in enumerate(scenes)}
    clear = {str(number) for number, scene in enumerate(scenes) if scene.snr_db >= 20}
    begins = evaluate_begins(truth, reported.begins)
    loud = evaluate_begins(
        [event for event in truth if event.source in clear],
        [begin for begin in reported.begins if begin.source in clear],
    )
    judged = evaluate_events(truth, reported.events, lengths)
    events = judged["events"]
    print(
        f"{hop_s:>5g} {kind:<8} {begins.delay(50):>6.2f}s {begins.delay(95):>5.2f}s "
        f"{loud.delay(50):>8.2f}s {begins.precision:>9.3f} {begins.recall:>6.3f} "
        f"{events['f1']:>8.3f} {events['precision']:>9.3f} {events['recall']:>6.3f} "
        f"{judged['false_alarms_per_hour']:>7.1f}",
        flush=True,
    )


def listen(scenes: Sequence[Scene], options: argparse.Namespace, folder: Path) -> None:
    """Time the lines of `streamclf listen`, with a process for each hop, all at once."""
    path = folder / "scenes.wav"
    audio = np.concatenate([_as_written(scene) for scene in scenes])
    audio = np.append(audio, np.zeros(round(TAIL_S * RATE), np.float32))
    soundfile.write(path, audio, RATE, subtype="PCM_16")
    length_s = len(audio) / RATE
    commands = {hop_s: _command(options, hop_s) for hop_s in options.hops}
    run_all = run_pulse if options.live == "pulse" else run_simulated
    for hop_s, (lines, began) in run_all(commands, path, length_s).items():
        report(hop_s, options.live, scenes, assign_to_scenes(lines, began, scenes))


Lines = list[tuple[float, dict[str, object]]]


def run_simulated(
    commands: dict[float, list[str]], path: Path, length_s: float
) -> dict[float, tuple[Lines, float]]:
    """Run the commands on simulated microphones.

    Returns:
        For each hop the lines with the times at which they came, and the time of the first sample.
    """
    processes = {
        hop_s: TimedProcess([*command, "--source", f"sim:{path}"])
        for hop_s, command in commands.items()
    }
    return {hop_s: (each.wait(), _began(each.lines)) for hop_s, each in processes.items()}


def run_pulse(
    commands: dict[float, list[str]], path: Path, length_s: float
) -> dict[float, tuple[Lines, float]]:
    """Run the commands on a null sink; a recorder finds the time of the file's first sample."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from audio_server import AudioServer, available

    if lacking := available():
        raise SystemExit(lacking)
    with AudioServer() as server:
        recorder = Recorder(server.env)
        processes = {
            hop_s: TimedProcess([*command, "--duration", str(length_s + 12)], server.env)
            for hop_s, command in commands.items()
        }
        time.sleep(6.0)  # they have begun by then
        server.play(path)
        found = {hop_s: each.wait() for hop_s, each in processes.items()}
        began = recorder.find(path)
    return {hop_s: (lines, began) for hop_s, lines in found.items()}


def assign_to_scenes(lines: Lines, began: float, scenes: Sequence[Scene]) -> ReportedEvents:
    """Assign reports to the scenes, which lie behind one another in the audio."""
    ends = np.cumsum([len(scene.waveform) for scene in scenes]) / RATE
    reported, started = ReportedEvents(), _began(lines)
    for came, line in lines:
        if line["type"] not in ("begin", "event"):
            continue
        onset = float(line["onset"]) + started - began  # type: ignore[arg-type]
        number = min(int(np.searchsorted(ends, max(onset, 0.0), side="right")), len(scenes) - 1)
        first = ends[number] - len(scenes[number].waveform) / RATE
        name, label = str(number), str(line["label"])
        if line["type"] == "begin":
            reported.begins.append(Begin(name, label, onset - first, came - began - first))
        else:
            offset = float(line["offset"]) + started - began  # type: ignore[arg-type]
            reported.events.append(Event(name, label, onset - first, offset - first))
    return reported


def _began(lines: Lines) -> float:
    """Time of a stream's first sample, from the local times in its lines."""
    return float(np.median([
        datetime.fromisoformat(str(line["time"])).timestamp() - float(line["onset"])  # type: ignore[arg-type]
        for _, line in lines
    ]))  # fmt: skip


class TimedProcess:
    """A process whose lines are timed when they come."""

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
        """Return all lines, once the process has ended."""
        self._thread.join()
        if self._process.wait():
            raise SystemExit(f"streamclf listen ended with {self._process.returncode}")
        return self.lines


class Recorder:
    """Records the output of a PulseAudio server, with the time of the first sample."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["parec", "-d", "fake.monitor", "--raw", "--format=s16le", f"--rate={RATE}",
             "--channels=1", "--latency-msec=20"],
            stdout=subprocess.PIPE, env=env,
        )  # fmt: skip
        self._parts: list[bytes] = []
        self._start_time = float("inf")
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        n_bytes = 0
        while part := self._process.stdout.read1(4096):  # type: ignore[attr-defined]
            n_bytes += len(part)
            self._start_time = min(self._start_time, time.time() - n_bytes / 2 / RATE)
            self._parts.append(part)

    def find(self, path: Path) -> float:
        """End the recording; return the time at which a file's first sample came."""
        self._process.terminate()
        self._thread.join()
        self._process.wait()
        recorded = np.frombuffer(b"".join(self._parts)[: 60 * 2 * RATE], np.int16).astype(
            np.float64
        )
        wanted, _ = soundfile.read(path, frames=20 * RATE)
        size = 1 << (recorded.size + wanted.size).bit_length()
        spectrum = np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(wanted, size))
        place = int(np.argmax(np.fft.irfft(spectrum, size)[: recorded.size]))
        return self._start_time + place / RATE


def _command(options: argparse.Namespace, hop_s: float) -> list[str]:
    command = [
        sys.executable, "-m", "streamclf", "listen", "--no-ui", "--format", "jsonl",
        "--log-level", "warning", "--hop", str(hop_s), "--model", options.model,
    ]  # fmt: skip
    if options.target_precision is not None:
        command += ["--target-precision", str(options.target_precision)]
    return [*command, "--begin", options.begin]


def _as_written(scene: Scene) -> np.ndarray:
    """The waveform as 16 bits hold it."""
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
