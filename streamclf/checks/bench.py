"""Speed of a model on this machine: the whole pipeline, its stages, and baselines.

Everything is measured on the same noise in one run. The measurements take turns, round after round,
so that their ratios hold even if other work disturbs them. Medians are reported. The baselines:

- ``window_at_a_time``: each window through the whole graph by itself, with nothing shared;
- ``batched``: whole windows in batches;
- ``bare_session``: a plain loop over the sessions that the engine uses, on windows already cut (on
  CUDA: the one graph of long recordings). It
  is the cost of the arithmetic, without decoding, resampling, cutting, averaging and events.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streamclf.core import child_python
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import UsageError
from streamclf.core.log import say
from streamclf.core.records import Block, Window
from streamclf.core.settings import Settings
from streamclf.model.classifier import Array, Classifier, stack
from streamclf.model.model_file import Model
from streamclf.model.stem.shared_frames import BATCH, SHARED_BATCH
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.resample import resample
from streamclf.pipeline.windows import slide
from streamclf.sources.recording.recording import Recording
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

RATE, CHANNELS = 48_000, 2
"""Rate in Hz and channels of the generated recording."""

ROUNDS = 3
"""Repetitions of each measurement."""
MAX_SINGLE_WINDOWS = 100
"""Most windows that go through the whole graph one by one; a large network would take minutes for
all."""
LIVE_WINDOWS = 100
"""Most windows in the measurement of the latency."""
RESERVED_FRACTION = 0.25
"""Part of processors and memory that is left to other programs when microphones are counted."""
MIN_SECONDS = 5.0
"""Shortest recording that is measured, in seconds."""


@dataclass
class Timing:
    """Measured times of one task, with a value for each round.

    Attributes:
        audio_s: Seconds of audio that one round processes.
        n_windows: Number of windows in one round; 0 if it has none.
        wall_s: Seconds of each round.
        cpu_s: Processor seconds of each round, summed over all threads.
    """

    audio_s: float
    n_windows: int = 0
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], object]) -> None:
        """Run and measure the task once."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.wall_s.append(time.perf_counter() - wall)
        self.cpu_s.append(time.process_time() - cpu)

    def figures(self) -> dict[str, float]:
        """Return medians: multiples of real time, windows a second, CPU seconds an hour."""
        wall, cpu = statistics.median(self.wall_s), statistics.median(self.cpu_s)
        figures = {
            "x_real_time": self.audio_s / wall,
            "cpu_s_per_hour": cpu * 3600 / self.audio_s,
        }
        if self.n_windows:
            figures["windows_per_s"] = self.n_windows / wall
        return {name: float(f"{value:.4g}") for name, value in figures.items()}


def measure(
    open_model: Callable[[bool], Model], settings: Settings, seconds: float
) -> dict[str, Any]:
    """Measure the speed of a model.

    Args:
        open_model: Opens the model; its argument says whether for live use.
        settings: Settings of the engine.
        seconds: Seconds of audio.

    Returns:
        Figures, ready for JSON.

    Raises:
        UsageError: ``seconds`` is below `MIN_SECONDS`.
    """
    if not seconds >= MIN_SECONDS:
        raise UsageError(f"--seconds {seconds}: must be {MIN_SECONDS:g} or more")
    model = open_model(False)
    classifier = Classifier(model)
    classifier.split()
    if notice := classifier.take_notice():
        say(f"warning: {notice}")
    engine = Engine(classifier, settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        write_noise(path, seconds)
        pipeline, decoding = Timing(seconds), Timing(seconds)
        _run_engine(engine, path)  # a first run opens and allocates everything
        peak_mib = peak_memory_mib()
        hop = round(engine.hop_s * model.card.sample_rate)
        windows = _cut(path, model, hop, settings)
        pipeline.n_windows = len(windows)
        work = _stages(classifier, windows, hop) | _baselines(open_model, classifier, windows, hop)
        for _ in range(ROUNDS):
            pipeline.run(lambda: _run_engine(engine, path))
            decoding.run(lambda: _decode(path, model.card.sample_rate))
            for timing, function in work.values():
                timing.run(function)
        live = _live(open_model, settings, path, seconds)
        start_up_s = _start_up(Path(folder), model.path)
    figures = {name: timing.figures() for name, (timing, _) in work.items()}
    stages = {name: figures[name] for name in ("stem", "head") if name in figures}
    latency = _latency(open_model, settings, windows)
    return {
        "model": str(model.path),
        "provider": model.provider,
        "hop_s": engine.hop_s,
        "seconds": seconds,
        **pipeline.figures(),
        "latency_ms": latency,
        "live_cpu_s_per_hour": live.figures()["cpu_s_per_hour"],
        "microphones": count_microphones(
            live, latency["p95"] / 1000, engine.hop_s, peak_mib, on_cpu=model.provider == "cpu"
        ),
        "peak_mib": round(peak_mib, 1),
        "start_up_s": round(start_up_s, 3),
        "stages": {"decoding": decoding.figures(), **stages},
        "baselines": {name: own for name, own in figures.items() if name not in stages},
    }


def write_noise(path: Path, seconds: float) -> None:
    """Write noise whose level changes every second, as stereo WAV, in little memory."""
    random = np.random.default_rng(1)
    left = round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, CHANNELS, subtype="PCM_16") as file:
        while left > 0:
            n_samples = min(left, RATE)
            level = 10 ** random.uniform(-3, -0.5)
            file.write(random.uniform(-level, level, (n_samples, CHANNELS)))
            left -= n_samples


def peak_memory_mib() -> float:
    """Return the peak memory of this process so far, in MiB; 0 if the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _run_engine(engine: Engine, path: Path) -> None:
    with Recording(path) as recording:
        for _ in engine.run(recording):
            pass


def _decode(path: Path, sample_rate: int) -> list[Block]:
    with Recording(path) as recording:
        items = resample(mix_down(recording.blocks(sample_rate)), sample_rate)
        return [item for item in items if isinstance(item, Block)]


def _cut(path: Path, model: Model, hop: int, settings: Settings) -> list[Window]:
    """Cut the recording into windows at multiples of the hop, without a last one moved back."""
    card = model.card
    items = slide(iter(_decode(path, card.sample_rate)), card.window_samples, hop, fill=card.fill)
    windows = [item for item in items if isinstance(item, Window)]
    return [window for window in windows if window.position % hop == 0]


def _stages(
    classifier: Classifier, windows: list[Window], hop: int
) -> dict[str, tuple[Timing, Callable[[], object]]]:
    """Return the tasks that run stem, head and both alone, on windows already cut."""
    split, card = classifier.split(), classifier.card
    audio_s = len(windows) * hop / card.sample_rate
    if one_pass := classifier.one_pass:
        size = classifier.batch_size(hop)
        parts = [windows[k : k + size] for k in range(0, len(windows), size)]
        joined = lambda: [one_pass.logits(part) for part in parts]  # noqa: E731
        return {"bare_session": (Timing(audio_s, len(windows)), joined)}
    if split is None or hop % split.stem.stride:
        batches = _batches(stack(windows), classifier.model.fixed_batch or BATCH)
        bare = lambda: [classifier.score(batch) for batch in batches]  # noqa: E731
        return {"bare_session": (Timing(audio_s, len(windows)), bare)}
    chunks, heads = _cut_chunks(split, windows, hop)

    def run_stem() -> None:
        for chunk in chunks:
            split.frames(chunk)

    def run_head() -> None:
        for batch in heads:
            split.logits(batch)

    def run_both() -> None:
        run_stem()
        run_head()

    return {
        "stem": (Timing(audio_s), run_stem),
        "head": (Timing(audio_s, len(windows)), run_head),
        "bare_session": (Timing(audio_s, len(windows)), run_both),
    }


def _cut_chunks(split: Any, windows: list[Window], hop: int) -> tuple[list[Array], list[Array]]:
    """Cut the inputs of the stem and of the head, for windows on one grid of strides."""
    stride = split.stem.stride
    audio = np.concatenate([*(w.waveform[:hop] for w in windows[:-1]), windows[-1].waveform])
    n_frames = (audio.size - split.receptive_field) // stride + 1
    edges = [
        (k, min(k + split.max_chunk_frames, n_frames) - 1)
        for k in range(0, n_frames, split.max_chunk_frames)
    ]
    chunks = [
        audio[np.newaxis, first * stride : last * stride + split.receptive_field]
        for first, last in edges
    ]
    frames = np.concatenate([split.frames(chunk) for chunk in chunks], axis=split.axis)
    places = [(window.position - windows[0].position) // stride for window in windows]
    heads = [
        np.concatenate([split.window(frames, k) for k in places[n : n + SHARED_BATCH]])
        for n in range(0, len(places), SHARED_BATCH)
    ]
    return chunks, heads


def _baselines(
    open_model: Callable[[bool], Model], classifier: Classifier, windows: list[Window], hop: int
) -> dict[str, tuple[Timing, Callable[[], object]]]:
    whole = Classifier(open_model(False))  # never split, because it scores no stream
    hop_s = hop / classifier.card.sample_rate
    waveforms = stack(windows)
    batches = _batches(waveforms, BATCH)
    alone = _batches(waveforms[:MAX_SINGLE_WINDOWS], 1)
    return {
        "window_at_a_time": (
            Timing(len(alone) * hop_s, len(alone)),
            lambda: [whole.score(window) for window in alone],
        ),
        "batched": (
            Timing(len(windows) * hop_s, len(windows)),
            lambda: [whole.score(batch) for batch in batches],
        ),
    }


def _batches(waveforms: Array, size: int) -> list[Array]:
    return [waveforms[k : k + size] for k in range(0, len(waveforms), size)]


def _latency(
    open_model: Callable[[bool], Model], settings: Settings, windows: list[Window]
) -> dict[str, float]:
    """Measure the milliseconds from a window's last sample to its scores in a live run."""
    score = Classifier(open_model(True)).open_stream()
    taken = []
    for window in windows[: LIVE_WINDOWS + 3]:
        began = time.perf_counter()
        score([window])
        taken.append((time.perf_counter() - began) * 1000)
    # The first window of a stream has a whole window of new audio, the others one hop.
    later = taken[3:] or taken
    return {f"p{p}": round(float(np.percentile(later, p)), 3) for p in (50, 95, 99)}


def _live(
    open_model: Callable[[bool], Model], settings: Settings, path: Path, seconds: float
) -> Timing:
    """Measure a recording that arrives as from a microphone, window by window."""
    engine, live = Engine(Classifier(open_model(True)), settings), Timing(seconds)

    def listen() -> None:
        with SimulatedMicrophone(path, speed=0) as microphone:
            for _ in engine.run(microphone):
                pass

    listen()  # a first run opens and allocates everything
    for _ in range(ROUNDS):
        live.run(listen)
    return live


def count_microphones(
    live: Timing, window_s: float, hop_s: float, memory_mib: float, *, on_cpu: bool
) -> int:
    """Count the microphones that this machine keeps up with, in one process each.

    Args:
        live: Times of one microphone.
        window_s: Seconds from a window's last sample to its scores, as 95th percentile. If they
            exceed the hop, the result is 0.
        hop_s: The hop in seconds.
        memory_mib: Memory of one process.
        on_cpu: Whether the model runs on the CPU. A GPU processes one window at a time.
    """
    if window_s > hop_s:
        return 0
    busy = statistics.median(live.cpu_s if on_cpu else live.wall_s) / live.audio_s
    by_time = (count_cores() if on_cpu else 1) / busy
    by_memory = _memory_mib() / max(memory_mib, 1.0)
    return int((1 - RESERVED_FRACTION) * min(by_time, by_memory))


def _memory_mib() -> float:
    """Return the memory of this machine in MiB; infinite if the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


def _start_up(folder: Path, model: Path) -> float:
    """Measure the seconds that a process `streamclf file` takes for one second of audio."""
    clip = folder / "second.wav"
    write_noise(clip, 1.0)
    command = [sys.executable, "-m", "streamclf", "file", str(clip), "--model", str(model)]
    environment = child_python.environment()
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(command, check=False, capture_output=True, env=environment)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
