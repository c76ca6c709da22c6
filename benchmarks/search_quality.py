"""How well search finds sounds of classes that no network was trained on.

    python benchmarks/search_quality.py URBANSOUND8K ESC50 [--yamnet yamnet.tflite] [--model FILE]

Six classes of UrbanSound8K that ESC-50 lacks lie in soundscapes of 30 s, at 0 to 20 dB over pink
noise, between as many clips of ESC-50, which are to mislead. Each clip is then looked for by its
clean self, and the 10 moments that are most like it are counted: right where they lie in an event
of its class. Events from the same original recording (fsID) as the clip do not count at all.
The search is the product's own, from the features in 8 bits. "plain" is the cosine of the features
as the network gives them, without what `streamclf.teach.search.likeness` does. What a search could
find at best is below 1 for classes with fewer than 10 other events. YAMNet needs ai-edge-litert.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from streamclf.core.records import Average
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource
from streamclf.store.features.feature_file import append_records, pack_record, to_steps
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.features.layout import NO_TIME, FeatureHeader, file_name, source_folder
from streamclf.teach.clip_audio import read_clip
from streamclf.teach.search.example import Example
from streamclf.teach.search.likeness import Likeness
from streamclf.teach.search.moments import join_windows
from streamclf.teach.search.scan import find_like, make_likeness
from streamclf.teach.search.search import Scope, list_parts

RATE = 16_000
HELD_OUT = (
    "air_conditioner", "children_playing", "drilling", "gun_shot", "jackhammer", "street_music"
)  # fmt: skip
SLOT_S, N_SLOTS = 5, 6
NOISE = 10 ** (-45 / 20)
N_TOP = 10
Embed = Callable[[np.ndarray], list[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class Clip:
    """A clip: its class, the recording that it was cut from, and its audio."""

    label: str
    origin: str
    audio: np.ndarray


@dataclass(frozen=True)
class Event:
    """A clip in a scene, from one sample to another."""

    clip: Clip
    onset: int
    offset: int


def main() -> None:
    """Make the scenes, search, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("urbansound8k", type=Path)
    parser.add_argument("esc50", type=Path)
    parser.add_argument("--yamnet", type=Path, help="yamnet.tflite")
    parser.add_argument("--model", action="append", default=[], help="another model; repeatable")
    options = parser.parse_args()
    clips = read_urban(options.urbansound8k)
    scenes = make_scenes(clips, read_esc(options.esc50, len(clips)))
    n_events = {label: sum(c.label == label for c in clips) for label in HELD_OUT}
    print(f"{len(scenes)} scenes of {SLOT_S * N_SLOTS} s, {len(clips)} events, {n_events}")
    print(f"{'features':<28}{'P@10':>7}{'plain':>8}  " + "  ".join(f"{x[:9]:>9}" for x in HELD_OUT))
    for name in ["pocket", *options.model]:
        classifier = Classifier(Model(name, provider="cpu"), features=True)
        given = classifier.features
        assert given is not None
        measure(f"{name} ({given.size} values)", scenes, clips, embed_by(classifier), given.scale)
    if options.yamnet is not None:
        measure("YAMNet (1024 values)", scenes, clips, embed_by_yamnet(options.yamnet), None)


def read_urban(folder: Path) -> list[Clip]:
    """Read the clips of the held-out classes."""
    clips = []
    with (folder / "metadata" / "UrbanSound8K.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = folder / "audio" / f"fold{row['fold']}" / row["slice_file_name"]
            if row["class"] in HELD_OUT and path.is_file():
                clips.append(Clip(row["class"], row["fsID"], read_clip(path, RATE)))
    return clips


def read_esc(folder: Path, n_clips: int) -> list[Clip]:
    """Read clips that are to mislead, of all classes in turn."""
    with (folder / "meta" / "esc50.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "4"]
    chosen = np.random.default_rng(2).permutation(len(rows))[:n_clips]
    return [
        Clip("", rows[k]["filename"], read_clip(folder / "audio" / rows[k]["filename"], RATE))
        for k in chosen
    ]


def make_scenes(clips: list[Clip], others: list[Clip]) -> list[tuple[np.ndarray, list[Event]]]:
    """Put all clips into scenes, each clip once, in an order that chance says."""
    random = np.random.default_rng(1)
    every = [*clips, *others]
    order = random.permutation(len(every))
    scenes = []
    for start in range(0, len(every), N_SLOTS):
        audio = pink(random, RATE * SLOT_S * N_SLOTS)
        events = []
        for slot, k in enumerate(order[start : start + N_SLOTS]):
            clip = every[k]
            sound = clip.audio[: RATE * 4]
            level = np.sqrt(np.mean(np.square(sound, dtype=np.float64)))
            gain = NOISE * 10 ** (random.uniform(0, 20) / 20) / max(level, 1e-6)
            onset = slot * SLOT_S * RATE + int(random.integers(0, RATE // 2))
            audio[onset : onset + sound.size] += (gain * sound).astype(np.float32)
            events.append(Event(clip, onset, onset + sound.size))
        scenes.append((audio, events))
    return scenes


def pink(random: np.random.Generator, n_samples: int) -> np.ndarray:
    """Pink noise at the level `NOISE`."""
    spectrum = np.fft.rfft(random.standard_normal(n_samples))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1))
    noise = np.fft.irfft(spectrum, n_samples)
    return (NOISE * noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def embed_by(classifier: Classifier) -> Embed:
    """Embed audio with a model, as `file --features` does."""
    engine = Engine(classifier, Settings(average_s=0.0))

    def embed(audio: np.ndarray) -> list[tuple[int, np.ndarray]]:
        heard = [item for item in engine.run(ArraySource(audio, RATE)) if isinstance(item, Average)]
        return [
            (item.position, item.scores.features)
            for item in heard
            if item.scores.features is not None
        ]

    return embed


def embed_by_yamnet(path: Path) -> Embed:
    """Embed audio with YAMNet, every half second."""
    from train.nets.yamnet import INPUT_SAMPLES, N_FEATURES, Yamnet

    teacher = Yamnet(path)

    def embed(audio: np.ndarray) -> list[tuple[int, np.ndarray]]:
        if audio.size < INPUT_SAMPLES:
            audio = np.tile(audio, -(-INPUT_SAMPLES // audio.size))[:INPUT_SAMPLES]
        starts = [*range(0, audio.size - INPUT_SAMPLES + 1, RATE // 2)]
        windows = np.stack([audio[start : start + INPUT_SAMPLES] for start in starts])
        rows = teacher.predict(windows)[:, :N_FEATURES]
        return list(zip(starts, rows, strict=True))

    return embed


def measure(
    name: str,
    scenes: list[tuple[np.ndarray, list[Event]]],
    clips: list[Clip],
    embed: Embed,
    scale: float | None,
) -> None:
    """Keep the features of the scenes, search for each clip, and print a row."""
    heard = [embed(audio) for audio, _ in scenes]
    if scale is None:
        scale = float(max(np.abs(row).max() for rows in heard for _, row in rows)) / 127
    header = FeatureHeader(
        source="scenes", model=name, version="", digest="0" * 16, size=heard[0][0][1].size,
        scale=scale, sample_rate=RATE, window=RATE, every_s=0.5,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        kept = FeatureStore(Path(folder))
        for number, rows in enumerate(heard):
            own = with_recording(header, str(number))
            path = (
                kept.folder
                / source_folder("scenes")
                / file_name("undated", own.digest, str(number))
            )
            append_records(path, own, b"".join(
                pack_record(NO_TIME, position, RATE, to_steps(row, scale)) for position, row in rows
            ))  # fmt: skip
        parts = list_parts(kept, header.digest, Scope())
        ours, plain = (
            make_likeness(parts),
            Likeness(np.zeros(header.size, np.float32), np.eye(header.size, dtype=np.float32)),
        )
        examples = [
            Example(
                np.stack([row for _, row in embed(clip.audio[: RATE * 4])]), header.digest, name
            )
            for clip in clips
        ]
        figures = {}
        for kind, likeness in (("ours", ours), ("plain", plain)):
            figures[kind] = [
                judge(parts, likeness, example, clip, scenes)
                for example, clip in zip(examples, clips, strict=True)
            ]
    by_class = [
        np.mean([p for p, clip in zip(figures["ours"], clips, strict=True) if clip.label == label])
        for label in HELD_OUT
    ]
    print(
        f"{name:<28}{np.mean(figures['ours']):7.3f}{np.mean(figures['plain']):8.3f}  "
        + "  ".join(f"{value:9.2f}" for value in by_class), flush=True,
    )  # fmt: skip


def with_recording(header: FeatureHeader, recording: str) -> FeatureHeader:
    """The same header, of another recording."""
    return msgspec.structs.replace(header, recording=recording)


def judge(
    parts: list, likeness: Likeness, example: Example, clip: Clip,
    scenes: list[tuple[np.ndarray, list[Event]]],
) -> float:  # fmt: skip
    """Return the precision of the first ten moments."""
    found = find_like(parts, likeness, likeness.place(example.features))
    right = n_counted = 0
    for moment in join_windows(parts, found, 4 * N_TOP):
        _, events = scenes[int(moment.recording)]
        middle = (moment.onset + moment.offset) / 2
        within = [
            each for each in events if each.onset - RATE / 2 <= middle < each.offset + RATE / 2
        ]
        if any(each.clip.origin == clip.origin and each.clip.label for each in within):
            continue
        right += any(each.clip.label == clip.label for each in within)
        n_counted += 1
        if n_counted == N_TOP:
            break
    return right / N_TOP


if __name__ == "__main__":
    main()
