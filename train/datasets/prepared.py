"""Clips ready for training: one array of samples and one table, for any data set.

A prepared folder holds ``samples.npy`` (int16, all clips one after the other, memory-mapped
when opened) and ``clips.json`` (where each clip lies, its target and fold, where the set is from
and under which licence). `train.datasets.prepare` writes it. Training reads it through
`open_prepared` and needs to know nothing else about the set.

Small sets are read completely, to lie on the device (`ClipSet.matrix`). Larger ones stay on disk
and are read a stretch at a time (`ClipSet.stretches`). `fits_in_memory` decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.base.errors import DatasetError

FORMAT = 2
READABLE = (1, FORMAT)
"""Format 1 has one channel and single labels alone."""

FULL_SCALE = 32768
"""An int16 sample divided by this lies in [-1, 1)."""

SINGLE_LABEL = "single-label"
REGRESSION = "regression"
UNLABELLED = "unlabelled"

MEMORY_SHARE = 0.5
"""Part of the free memory that the clips may take; network and batches need the rest."""


@dataclass(frozen=True)
class Clip:
    """One labelled recording.

    Attributes:
        filename: Its name in the data set.
        fold: The data set's own split; clips of one source share it.
        target: Index into the set's labels; in a regression the value itself, in [0, 1].
        source: The recording it was cut from, or the speaker: what a split must not divide.
        offset: Index of its first frame in the array.
        n_samples: Samples of each channel, at the set's rate.
    """

    filename: str
    fold: int
    target: int | float
    source: str
    offset: int
    n_samples: int


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Clips with their samples.

    Attributes:
        name: Name of the data set.
        sample_rate: In Hz.
        labels: Label of each class, in the order of the targets; in a regression the value's name.
        clips: The table.
        samples: int16, all clips one after the other: ``(frames,)`` for one channel, else
            ``(frames, channels)``.
        licence: Licence of the recordings.
        citation: Citation that the authors ask for.
        origin: Digest of what it was prepared from.
        channels: 1 or 2.
        task: ``single-label``, ``regression`` or ``unlabelled``.
        fold_names: Names of folds that have names (``{1: "train", ...}``).
        skipped: Clips that did not decode and were left out.
        stamp: Digest that changes when one of the files is written again.
    """

    name: str
    sample_rate: int
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    samples: npt.NDArray[np.int16]
    licence: str
    citation: str
    origin: str
    channels: int = 1
    task: str = SINGLE_LABEL
    fold_names: dict[int, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    stamp: str = ""

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that are there, in order."""
        return tuple(sorted({clip.fold for clip in self.clips}))

    @property
    def targets(self) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """``(clips,)``: int64 index of each clip's label; in a regression float32 in [0, 1]."""
        kind = np.float32 if self.task == REGRESSION else np.int64
        return np.array([clip.target for clip in self.clips], dtype=kind)

    @property
    def sources(self) -> npt.NDArray[np.str_]:
        """``(clips,)``: what each clip was cut from, or who spoke."""
        return np.array([clip.source for clip in self.clips], dtype=np.str_)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """``(clips,)``: samples of each clip."""
        return np.array([clip.n_samples for clip in self.clips], dtype=np.int64)

    @property
    def matrix_bytes(self) -> int:
        """Size of `matrix` in bytes."""
        longest = int(self.lengths.max(initial=0))
        return len(self.clips) * longest * self.channels * np.dtype(np.int16).itemsize

    def fold_name(self, fold: int) -> str:
        """The data set's name of a fold; its number where it has no name."""
        return self.fold_names.get(fold, str(fold))

    def of_folds(self, folds: Iterable[int]) -> ClipSet:
        """The clips of some folds."""
        wanted = set(folds)
        return replace(self, clips=tuple(clip for clip in self.clips if clip.fold in wanted))

    def take(self, indices: Iterable[int]) -> ClipSet:
        """Some of the clips, in the order of the indices."""
        return replace(self, clips=tuple(self.clips[index] for index in indices))

    def limited(self, n_clips: int) -> ClipSet:
        """At most ``n_clips`` of the clips, in turn from every class, for quick trials.

        In a regression a fifth of the range counts as a class.
        """
        groups = self.targets
        if self.task == REGRESSION:
            groups = np.minimum(groups * 5, 4).astype(np.int64)
        seen: dict[int, int] = {}
        ranks = []
        for index, group in enumerate(groups.tolist()):
            seen[group] = seen.get(group, 0) + 1
            ranks.append((seen[group], group, index))
        return self.take(sorted(index for _, _, index in sorted(ranks)[:n_clips]))

    def waveform(self, index: int) -> npt.NDArray[np.float32]:
        """A clip as float32 in [-1, 1): ``(samples,)``, or for two channels ``(2, samples)``."""
        clip = self.clips[index]
        part = self.samples[clip.offset : clip.offset + clip.n_samples]
        return np.ascontiguousarray(part.T, dtype=np.float32) / np.float32(FULL_SCALE)

    def matrix(self) -> npt.NDArray[np.int16]:
        """All clips as one int16 array, with zeros after clips shorter than the longest.

        Returns:
            ``(clips, samples)`` for one channel, else ``(clips, channels, samples)``.
        """
        everything = np.arange(len(self.clips))
        longest = int(self.lengths.max(initial=0))
        return self.stretches(everything, np.zeros_like(everything), longest)

    def stretches(
        self, indices: npt.ArrayLike, starts: npt.ArrayLike, length: int
    ) -> npt.NDArray[np.int16]:
        """Read a stretch of each of some clips, from disk where they lie there.

        Args:
            indices: ``(batch,)``, which clips.
            starts: ``(batch,)``, start of each stretch in its clip; may be negative.
            length: Samples of a stretch; zeros where it reaches beyond the clip.

        Returns:
            ``(batch, length)`` int16 for one channel, else ``(batch, channels, length)``.
        """
        middle = () if self.channels == 1 else (self.channels,)
        indices, starts = np.asarray(indices), np.asarray(starts)
        rows = np.zeros((len(indices), *middle, length), dtype=np.int16)
        for row, index, start in zip(rows, indices.tolist(), starts.tolist(), strict=True):
            clip = self.clips[index]
            begin, end = max(start, 0), min(start + length, clip.n_samples)
            if begin < end:
                part = self.samples[clip.offset + begin : clip.offset + end]
                row[..., begin - start : end - start] = part.T
        return rows


def join(clips: ClipSet, others: ClipSet) -> ClipSet:
    """Join two sets: the second's labels come after the first's; folds keep their numbers.

    Raises:
        DatasetError: They differ in sample rate, channels or task, or share a label.
    """
    for what in ("sample_rate", "channels", "task"):
        if getattr(clips, what) != getattr(others, what):
            raise DatasetError(
                f"{others.name}: {what} is {getattr(others, what)}, that of {clips.name} "
                f"{getattr(clips, what)}: they cannot be one set"
            )
    shared = set(clips.labels) & set(others.labels)
    if shared:
        raise DatasetError(f"{others.name}: {clips.name} has the label {min(shared)!r} already")
    moved, samples, offset = [], [clips.samples], len(clips.samples)
    for clip in others.clips:
        target = clip.target + len(clips.labels)
        moved.append(replace(clip, target=target, offset=offset))
        samples.append(others.samples[clip.offset : clip.offset + clip.n_samples])
        offset += clip.n_samples
    return replace(
        clips,
        name=f"{clips.name} + {others.name}",
        labels=clips.labels + others.labels,
        clips=clips.clips + tuple(moved),
        samples=np.concatenate(samples),
        licence=f"{clips.licence}; {others.licence}",
        citation=f"{clips.citation}; {others.citation}",
        origin=f"{clips.origin}+{others.origin}",
    )


def pool(sets: Sequence[ClipSet]) -> ClipSet:
    """Sets as one whose clips are drawn from alike; of several, the samples are read into memory.

    Labels and folds are those of the first.

    Raises:
        DatasetError: They differ in sample rate, channels or task.
    """
    first, *others = sets
    if not others:
        return first
    clips, offset = [], 0
    for own in sets:
        for what in ("sample_rate", "channels", "task"):
            if getattr(own, what) != getattr(first, what):
                raise DatasetError(
                    f"{own.name}: {what} is {getattr(own, what)}, that of {first.name} "
                    f"{getattr(first, what)}: they cannot be one set"
                )
        clips += [replace(clip, target=0, offset=clip.offset + offset) for clip in own.clips]
        offset += len(own.samples)
    texts = {
        name: "; ".join(dict.fromkeys(getattr(own, name) for own in sets))
        for name in ("licence", "citation")
    }
    return replace(
        first,
        name=" + ".join(dict.fromkeys(own.name for own in sets)),
        clips=tuple(clips),
        samples=np.concatenate([own.samples for own in sets]),
        origin="+".join(own.origin for own in sets),
        **texts,
    )


def fits_in_memory(clips: ClipSet, free_bytes: int | None = None) -> bool:
    """Whether `ClipSet.matrix` may be held in memory; if not, read `ClipSet.stretches` as needed.

    Args:
        clips: The clips to be held.
        free_bytes: Free memory of the device; the host's free memory if not given.
    """
    free = free_memory() if free_bytes is None else free_bytes
    return clips.matrix_bytes <= free * MEMORY_SHARE


def free_memory() -> int:
    """Bytes that a process may take without swapping; 4 GB where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 4_000_000_000


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds prepared clips."""
    return (folder / "clips.json").is_file() and (folder / "samples.npy").is_file()


def open_prepared(folder: Path) -> ClipSet:
    """Open a prepared folder; the samples stay on disk until they are used.

    Raises:
        DatasetError: The table or the array is missing, malformed, or they do not fit together.
    """
    try:
        table = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
        samples = np.load(folder / "samples.npy", mmap_mode="r", allow_pickle=False)
        if table["format"] not in READABLE:
            raise ValueError(f"format is {table['format']}, this version reads {FORMAT}")
        texts = {name: str(table[name]) for name in ("name", "licence", "citation", "origin")}
        opened = ClipSet(
            **texts,
            sample_rate=int(table["sample_rate"]),
            labels=tuple(table["labels"]),
            clips=tuple(Clip(**clip) for clip in table["clips"]),
            samples=samples,
            channels=int(table.get("channels", 1)),
            task=table.get("task", SINGLE_LABEL),
            fold_names={int(fold): name for fold, name in table.get("fold_names", {}).items()},
            skipped=tuple(table.get("skipped", ())),
            stamp=table.get("stamp", ""),
        )
        _check(opened)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{folder}: no usable prepared set: {error}; delete the folder and prepare it anew"
        ) from error
    return opened


def _check(opened: ClipSet) -> None:
    clips, samples = opened.clips, opened.samples
    if samples.dtype != np.int16 or samples.shape[1:] != (opened.channels,) * (samples.ndim - 1):
        raise ValueError(f"the array is {samples.dtype} {samples.shape}")
    if max((clip.offset + clip.n_samples for clip in clips), default=0) > len(samples):
        raise ValueError("the table reaches beyond the array")
    if opened.task == REGRESSION:
        if not all(0 <= clip.target <= 1 for clip in clips):
            raise ValueError("a value lies outside [0, 1]")
    elif not all(0 <= clip.target < len(opened.labels) for clip in clips):
        raise ValueError("a target has no label")
