"""Data sets of tones, so that nothing here needs real recordings."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from filelock import FileLock

# train and export are run from the repository, never installed; without this, `import train` would
# find this very folder wherever pytest is started by its own name.
sys.path.insert(0, str(Path(__file__).parents[2]))

try:
    import torch
except ModuleNotFoundError:
    pass  # each module here skips itself, and says why
else:
    from graphs import NARROW, MadeNoises, TracedGraphs, measure_filters_roughly, run_few_crops

    import train.audio.mixtures
    import train.audio.tracks
    import train.distil
    import train.distillation.fresh_run
    import train.imitate
    import train.pocket
    import train.pocket_parts.mel_power
    from train.cli.network_command import main as train_main
    from train.nets.pocket_network import PocketNet
    from train.run_folder.run import RunFolder

    # What is trained here is so small that threads cost more than they bring.
    torch.set_num_threads(1)

RATE = 16000
CLASSES = {0: "dog", 1: "rain", 38: "water_drops"}


def tone(frequency: float, seconds: float, *, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.fixture
def make_esc(tmp_path: Path) -> Callable[..., Path]:
    """Write a small set in ESC-50's layout: each class a tone of its own, a source a clip."""

    def make(
        *,
        folds: int = 3,
        per_class: int = 2,
        seconds: float = 2.0,
        rate: int = RATE,
        named: str = ".wav",
        written: str = ".wav",
        folder: str = "esc",
    ) -> Path:
        root = tmp_path / folder
        (root / "audio").mkdir(parents=True)
        (root / "meta").mkdir()
        random = np.random.default_rng(1)
        rows = []
        for fold in range(1, folds + 1):
            for target, label in CLASSES.items():
                for take in range(per_class):
                    source = f"{fold}{target:02d}{take}"
                    stem = f"{fold}-{source}-A-{target}"
                    waveform = tone(300 * (1 + target), seconds, rate=rate)
                    waveform += random.normal(0, 0.01, waveform.size).astype(np.float32)
                    soundfile.write(root / "audio" / (stem + written), waveform, rate)
                    rows.append([stem + named, fold, target, label, target != 1, source, "A"])
        with (root / "meta" / "esc50.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
            writer.writerows(rows)
        return root

    return make


@pytest.fixture(scope="session", autouse=True)
def made_noises(shared_folder: Path) -> Iterator[None]:
    """Noises that runs mix with, made once: what is drawn stays the same."""
    with pytest.MonkeyPatch.context() as patch:
        if "train.pocket" in sys.modules:
            made = MadeNoises(shared_folder / "noises")
            for module in (train.audio.mixtures, train.audio.tracks, train.pocket_parts.mel_power):
                patch.setattr(module, "make_noise", made.make_noise)
            for module in (train.pocket, train.distil, train.distillation.fresh_run):
                patch.setattr(module, "make_noises", made.make_noises)
        yield


@pytest.fixture(autouse=True)
def quick_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes toy runs most of their time.

    Responses of learned filters are measured by sines of a single phase, and the published protocol
    takes two crops of a clip: what a command leaves behind has the same shape.

    A test that looks at pictures is marked ``pictures``; `test_network_contract` draws those of
    each network. Nor is coverage measured in the processes that a test starts: it is of the
    runtime alone.
    """
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    command = sys.modules.get("train.cli.network_command")
    if "train.evaluation.clip_accuracy" in sys.modules:
        monkeypatch.setattr("train.evaluation.clip_accuracy.run_crops", run_few_crops)
        monkeypatch.setattr(
            "train.run_folder.learned_filters.measure_filters", measure_filters_roughly
        )
    if command is not None and request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr(command, "draw_run", lambda run, system, network: None)


@pytest.fixture
def narrow_pocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pocket's layers be narrow, where a test is not of what they hear."""
    for module in (train.imitate, train.pocket):
        monkeypatch.setattr(module, "WIDTHS", NARROW)
    monkeypatch.setattr(PocketNet.__init__, "__defaults__", (NARROW,))


@pytest.fixture
def train_once(shared_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Train a network in the test's folder, or copy the run that a test before it trained.

    All workers share the run. What is trained is told by a name, whichever test asks; the data of
    the copy lies where the test has its own.
    """

    def train(name: str, data: Path, network: str, *more: str) -> Path:
        save, kept = tmp_path / "run", shared_folder / "trained" / name
        kept.parent.mkdir(exist_ok=True)
        with FileLock(kept.with_suffix(".lock")):
            if not kept.exists():
                arguments = ["--data", str(data), "--save", str(save), *more]
                assert train_main(network, arguments) == 0
                shutil.copytree(save, kept)
                return save
        shutil.copytree(kept, save)
        run = RunFolder(save)
        config = run.read_json("config.json")
        config["data"]["folder"] = str(data)
        run.write_json("config.json", config)
        return save

    return train


@pytest.fixture(scope="session")
def traced_graphs(shared_folder: Path) -> TracedGraphs:
    """`make_graph` that traces no network twice, whichever worker of the session asks."""
    return TracedGraphs(shared_folder / "traced-graphs")


@pytest.fixture(scope="session", autouse=True)
def make_graph(traced_graphs: TracedGraphs) -> Iterator[Callable[..., onnx.ModelProto]]:
    """`export.graph.export_graph.make_graph`, for exports too: no network is traced twice."""
    with pytest.MonkeyPatch.context() as patch:
        if "export.graph.formats" in sys.modules:
            patch.setattr("export.graph.formats.make_graph", traced_graphs.make_graph)
        if "export.published" in sys.modules:
            patch.setattr("export.published.make_graph", traced_graphs.make_graph)
        yield traced_graphs.make_graph


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Coverage is of the runtime alone; following every call of the training takes a quarter."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.no_cover)
