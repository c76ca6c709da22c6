"""A few tones, and weights of nobody in particular, for the long imitation of EfficientAT."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from train import distil
from train.datasets import prepared
from train.datasets.prepared import Clip, ClipSet
from train.distillation import fresh, heard
from train.nets.efficientat import EfficientAT

RATE = 16000
PER_SHARD, BATCH = 4, 2
PASSES = {"pocket": 1, "teacher": 2}

TONES = [
    (f"{'pingus-data' if k % 4 == 0 else 'a'}/{k}", 200.0 + 170 * k, 0.5 + k % 3) for k in range(12)
]


@pytest.fixture(scope="session")
def teacher(shared_folder: Path) -> Path:
    """Weights of nobody in particular, as the authors' file holds theirs; for all to read."""
    path = shared_folder / "teacher" / "mn04.pt"
    path.parent.mkdir(exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            torch.manual_seed(4)
            torch.save(EfficientAT().state_dict(), path)
    return path


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A prepared folder."""
    clips = make_clips(*TONES)
    folder = tmp_path / "prepared"
    folder.mkdir()
    np.save(folder / "samples.npy", clips.samples)
    table = {
        "format": prepared.FORMAT, "name": "made", "licence": "MIT", "citation": "none",
        "origin": "0", "sample_rate": 16000, "labels": ["sound"], "task": "unlabelled",
        "clips": [clip.__dict__ for clip in clips.clips],
    }  # fmt: skip
    (folder / "clips.json").write_text(json.dumps(table))
    return folder


@pytest.fixture
def distil_once(
    sounds: Path, teacher: Path, tmp_path: Path, shared_folder: Path
) -> Callable[..., Path]:
    """A run and its cache by the pupil's layers, made once for all workers of the session.

    They lie in ``run`` and ``cache`` of the test's own folder.
    """

    def distil_once(layers: str) -> Path:
        kept, passes = shared_folder / f"distilled-{layers}", PASSES[layers]
        with FileLock(kept.with_suffix(".lock")):
            if not kept.exists():
                made = kept.with_name(f"{kept.name}-at-work")
                more = ("--layers", layers, "--passes", str(passes))
                assert run(sounds, teacher, made / "cache", made / "run", *more) == 0
                made.rename(kept)
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
        return tmp_path / "run"

    return distil_once


@pytest.fixture
def learned(distil_once: Callable[..., Path]) -> Path:
    """A run of two passes."""
    return distil_once("teacher")


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    """Shards of few mixtures."""
    for module in (distil, fresh, heard):
        monkeypatch.setattr(module, "PER_SHARD", PER_SHARD)
    for module in (fresh, heard):
        monkeypatch.setattr(module, "AT_ONCE", PER_SHARD)
    monkeypatch.setattr(distil, "TOGETHER", 2)
    monkeypatch.setattr(distil, "EVERY", 1)


def make_clips(*tones: tuple[str, float, float]) -> ClipSet:
    """Clips of a source, a pitch and a length each."""
    clips, parts, at = [], [], 0
    for number, (source, hz, seconds) in enumerate(tones):
        n = round(seconds * RATE)
        parts.append(0.5 * np.sin(2 * np.pi * hz * np.arange(n) / RATE))
        clips.append(Clip(f"{number}.wav", 1, 0, source, at, n))
        at += n
    samples = np.rint(np.concatenate(parts) * 32767).astype(np.int16)
    return ClipSet("made", RATE, ("sound",), tuple(clips), samples, "MIT", "none", "0")


def run(sounds: Path, teacher: Path, cache: Path, save: Path, *more: str) -> int:
    return distil.main(
        ["--sounds", str(sounds), "--teacher", str(teacher), "--shards", "2", "--passes", "2",
         "--batch", str(BATCH), "--cache", str(cache), "--save", str(save), "--accelerator", "cpu",
         "--precision", "32-true", *more]
    )  # fmt: skip
