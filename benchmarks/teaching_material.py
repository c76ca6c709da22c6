"""Material to teach from and to judge by: sets of clips, soundscapes of them, and other sounds.

Each set has a part to teach from and a part to look for the sounds in, which share no recording.
What a network hears of it is kept in a folder, so that settings can be compared in seconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from benchmarks.ears import HOP, HOP_S, RATE, Ear, Heard
from streamclf.core.records import Waveform
from streamclf.teach.changed_audio import make_scenes as change_audio
from streamclf.teach.examples import Example, Features, Passage
from streamclf.teach.past import PastStream
from streamclf.teach.taught_graph import Head
from streamclf.teach.trimming import trim
from train.audio.soundscapes import TrueEvent, make_scenes
from train.datasets import ClipSet, open_clips
from train.datasets.made_sounds import KINDS, SAMPLE_RATE
from train.datasets.prepared import FULL_SCALE, Clip

SNR_DB = (5.0, 15.0, 25.0)
ALARMS = (
    "alarm_clock", "car_alarm", "carbon_monoxide_alarm", "door_chime", "low_battery", "phone_bell",
    "phone_trill", "reversing", "siren", "smoke_alarm",
)  # fmt: skip
N_TAKES = 40
FIRST_TAKE = 1000
"""Made sounds of training are of other seeds."""
LONGEST_S = 60.0
"""Part of a long recording that is heard of it among others."""


@dataclass(frozen=True, eq=False)
class Place:
    """A stretch of audio as a network heard it, with what sounds in it.

    Attributes:
        name: Its name.
        events: What sounds, in samples; empty where that is not known.
        heard: Its windows.
        seconds: Its length.
    """

    name: str
    events: tuple[TrueEvent, ...]
    heard: Heard
    seconds: float

    def stream(self, head: Head, keep: npt.NDArray[np.bool_] | None = None) -> PastStream:
        """The windows with the logits of a label."""
        heard = self.heard
        kept = np.ones(len(heard.positions), bool) if keep is None else keep
        return PastStream(
            self.name, RATE, np.zeros(int(kept.sum()), np.int64), heard.positions[kept],
            heard.lengths[kept], head.logits(heard.features[kept]), HOP_S,
        )  # fmt: skip

    def without(self, label: str) -> npt.NDArray[np.bool_]:
        """Which windows hold nothing of a label."""
        positions, lengths = self.heard.positions, self.heard.lengths
        free = np.ones(len(positions), bool)
        for event in self.events:
            if event.label == label:
                free &= (positions >= event.offset) | (positions + lengths <= event.onset)
        return free


class OtherPlaces:
    """The past of a class: what was heard without it (`streamclf.teach.past.Past`)."""

    def __init__(self, places: Sequence[Place], label: str) -> None:
        self._places = [(place, place.without(label)) for place in places]
        self.n_windows = int(sum(free.sum() for _, free in self._places))
        self.seconds = self.n_windows * HOP_S

    def sample(self, n_most: int) -> Features:
        """Features of windows, ``(windows, size)``."""
        every = np.concatenate([place.heard.features[free] for place, free in self._places])
        return every[:: max(1, -(-len(every) // n_most))]

    def score(self, head: Head) -> Iterator[PastStream]:
        """The windows of each place with the logits of a label."""
        for place, free in self._places:
            yield place.stream(head, free)


@dataclass(frozen=True, eq=False)
class TaughtSet:
    """A set of clips, in a part to teach from and a part to judge by."""

    name: str
    examples: ClipSet
    judged: ClipSet


def open_esc50(folder: Path) -> TaughtSet:
    """ESC-50: folds 1 to 3, and 4; the sounds of a fold are of other recordings."""
    clips = open_clips(folder, RATE, dataset="esc50")
    return TaughtSet("ESC-50", clips.of_folds([1, 2, 3]), clips.of_folds([4]))


def open_urbansound8k(folder: Path) -> TaughtSet:
    """UrbanSound8K's folds 1 and 2, of which recordings lie in one alone."""
    clips = open_clips(folder, RATE, dataset="urbansound8k")
    return TaughtSet("UrbanSound8K", clips.of_folds([1]), clips.of_folds([2]))


def open_words(folder: Path) -> TaughtSet:
    """Spoken digits: three voices teach, the others are judged."""
    clips = open_clips(folder, RATE, dataset="fsdd-speakers")
    named = tuple(f"word_{label}" for label in clips.labels)
    clips = replace(clips, labels=named)
    folds = list(clips.folds)
    judged = clips.of_folds(folds[3:])
    few = [k for k in range(len(judged.clips)) if k % 5 == 0]
    return TaughtSet("words", clips.of_folds(folds[:3]), judged.take(few))


def make_alarms() -> TaughtSet:
    """Alarms and signals made by rule (`train.datasets.made_sounds`), drawn anew."""
    clips, parts, offset = [], [], 0
    for number, kind in enumerate(ALARMS):
        for take in range(N_TAKES):
            random = np.random.default_rng((7, number, FIRST_TAKE + take))
            sound = np.asarray(KINDS[kind](random), np.float64)[: 8 * SAMPLE_RATE]
            sound = soxr.resample(sound * 0.5 / np.abs(sound).max(), SAMPLE_RATE, RATE)
            parts.append((np.clip(sound, -1, 1) * (FULL_SCALE - 1)).astype(np.int16))
            clips.append(Clip(
                f"{kind}-{take}", 1 + take % 2, number, f"{kind}-{take}", offset, len(parts[-1])
            ))  # fmt: skip
            offset += len(parts[-1])
    every = ClipSet(
        "alarms", RATE, tuple(f"made_{kind}" for kind in ALARMS), tuple(clips),
        np.concatenate(parts), "made", "", "made",
    )  # fmt: skip
    return TaughtSet("alarms", every.of_folds([1]), every.of_folds([2]))


def choose_examples(clips: ClipSet, label: str, n: int, seed: int) -> list[int]:
    """Draw clips of a class, of different recordings first."""
    target = clips.labels.index(label)
    own = [k for k, clip in enumerate(clips.clips) if clip.target == target]
    drawn = np.random.default_rng(seed).permutation(own).tolist()
    first = list({clips.clips[k].source: k for k in reversed(drawn)}.values())
    return [*first, *(k for k in drawn if k not in first)][:n]


def draw_scenes(
    clips: ClipSet, n_scenes: int, seed: int
) -> Iterator[tuple[str, Waveform, tuple[TrueEvent, ...]]]:
    """Make soundscapes of a minute, every other three of them in a made room."""
    random = np.random.default_rng(seed)
    for number, scene in enumerate(make_scenes(clips, n_scenes, seed=seed, snr_db=SNR_DB)):
        in_a_room = number // 3 % 2
        waveform = add_room(scene.waveform, random) if in_a_room else scene.waveform
        yield f"{clips.name}-{scene.name}", waveform, scene.events


def add_room(waveform: Waveform, random: np.random.Generator) -> Waveform:
    """Add the reverberation of a made room, at the same level."""
    n_tail = round(random.uniform(0.25, 0.8) * RATE)
    tail = random.standard_normal(n_tail) * 10 ** (-3 * np.arange(n_tail) / n_tail)
    tail *= random.uniform(0.3, 1.2) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = 1 << (waveform.size + n_tail).bit_length()
    spectrum = np.fft.rfft(waveform, size) * np.fft.rfft(tail, size)
    heard = np.fft.irfft(spectrum, size)[: waveform.size]
    heard *= np.sqrt(np.mean(waveform**2) / np.mean(heard**2))
    return np.clip(heard, -1, 1).astype(np.float32)


def draw_others(
    clips: ClipSet, n_minutes: int, part: int
) -> Iterator[tuple[str, Waveform, tuple[TrueEvent, ...]]]:
    """Join recordings of all kinds to minutes, at drawn levels, with pauses.

    Their events have the recordings' file names as labels.

    Args:
        clips: Recordings without labels.
        n_minutes: How many.
        part: 0 or 1; a source belongs to one of the parts.
    """
    own = [k for k, clip in enumerate(clips.clips) if zlib.crc32(clip.source.encode()) % 2 == part]
    random = np.random.default_rng(100 + part)
    order = chain.from_iterable(random.permutation(own).tolist() for _ in count())
    for number in range(n_minutes):
        minute = (10 ** (random.uniform(-75, -50) / 20) * random.standard_normal(60 * RATE)).astype(
            np.float32
        )
        begin, events = 0, []
        while begin < minute.size - RATE:
            k = next(order)
            sound = clips.take([k]).waveform(0)[: round(LONGEST_S * RATE)][: minute.size - begin]
            loudest = float(np.abs(sound).max(initial=0))
            if loudest > 0:
                gain = 10 ** (random.uniform(-30, -3) / 20) / loudest
                minute[begin : begin + sound.size] += sound * np.float32(gain)
                events.append(TrueEvent(clips.clips[k].filename, begin, begin + sound.size))
            begin += sound.size + round(random.uniform(0.2, 2) * RATE)
        yield f"others-{part}-{number}", np.clip(minute, -1, 1), tuple(events)


def hear_places(
    ear: Ear, cache: Path, name: str,
    make: Callable[[], Iterator[tuple[str, Waveform, tuple[TrueEvent, ...]]]],
) -> list[Place]:  # fmt: skip
    """Hear stretches of audio, or read what was heard of them before."""
    path = cache / f"{ear.name}-{name}.npz"
    if not path.is_file():
        heard = []
        names, events, sizes = [], [], []
        for each, waveform, true in make():
            heard.append(ear.hear(waveform))
            names.append(each)
            sizes.append(waveform.size)
            events += [(len(names) - 1, e.label, e.onset, e.offset) for e in true]
        _write(path, heard, names=np.array(names), sizes=np.array(sizes), events=np.array(events))
    with np.load(path, allow_pickle=False) as file:
        parts = _read(file)
        of_place: dict[int, list[TrueEvent]] = {}
        for number, label, onset, offset in file["events"].reshape(-1, 4).tolist():
            event = TrueEvent(label, int(onset), int(offset))
            of_place.setdefault(int(number), []).append(event)
        return [
            Place(each, tuple(of_place.get(k, ())), parts[k], int(size) / RATE)
            for k, (each, size) in enumerate(
                zip(file["names"].tolist(), file["sizes"].tolist(), strict=True)
            )
        ]


def hear_example(ear: Ear, cache: Path, clips: ClipSet, index: int) -> Example:
    """Hear a clip as it is, and in scenes, as `streamclf.teach.examples` does."""
    name = clips.clips[index].filename
    path = cache / f"{ear.name}-example-{clips.name}-{Path(name).stem}.npz"
    if not path.is_file():
        sound = trim(clips.waveform(index), RATE)
        scenes = list(change_audio(sound, RATE))
        heard = [ear.hear(sound), *(ear.hear(each.waveform) for each in scenes)]
        spans = [(0, sound.size), *((each.onset, each.offset) for each in scenes)]
        _write(path, heard, spans=np.array(spans))
    window = ear.card.window_samples
    with np.load(path, allow_pickle=False) as file:
        passages = []
        for part, (onset, offset) in zip(_read(file), file["spans"].tolist(), strict=True):
            ends = part.positions + part.lengths
            common = np.minimum(ends, offset) - np.maximum(part.positions, onset)
            holds = np.clip(common / min(window, offset - onset), 0.0, 1.0)
            n_windows = len(part.positions)
            passages.append(Passage(
                part.features, np.zeros((n_windows, 1), np.float32), holds, n_windows * HOP / RATE
            ))  # fmt: skip
    return Example(name, passages[0], tuple(passages[1:]))


def _write(path: Path, heard: Sequence[Heard], **others: npt.NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside.npz")
    np.savez(
        aside,
        features=np.concatenate([each.features for each in heard]).astype(np.float16),
        positions=np.concatenate([each.positions for each in heard]),
        lengths=np.concatenate([each.lengths for each in heard]),
        counts=np.array([len(each.positions) for each in heard]),
        **others,  # type: ignore[arg-type]
    )
    aside.replace(path)


def _read(file: np.lib.npyio.NpzFile) -> list[Heard]:
    ends = np.cumsum(file["counts"])[:-1]
    columns = [np.split(file[name], ends) for name in ("features", "positions", "lengths")]
    return [
        Heard(features.astype(np.float32), positions, lengths)
        for features, positions, lengths in zip(*columns, strict=True)
    ]
