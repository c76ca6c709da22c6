"""Clips ready for training: one array of samples and one table, whatever data set they are of.

A prepared folder holds ``samples.npy`` (int16, all clips one behind the other, memory-mapped
when opened) and ``clips.json`` (where each clip lies, its label and fold, where the set is from
and under which licence). Data sets write it through `write_prepared`; training reads it through
`open_prepared` and needs to know nothing else about the set.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.errors import DatasetError

FORMAT = 1
FULL_SCALE = 32768
"""An int16 sample divided by it lies in [-1, 1)."""


@dataclass(frozen=True)
class Clip:
    """One labelled recording.

    Attributes:
        filename: As the data set calls it.
        fold: The data set's own split; clips of one source share it.
        target: Index into the set's labels.
        source: The recording it was cut from.
        offset: Index of its first sample in the array.
        n_samples: At the set's rate.
    """

    filename: str
    fold: int
    target: int
    source: str
    offset: int
    n_samples: int


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Clips with their samples.

    Attributes:
        name: Of the data set.
        sample_rate: In Hz.
        labels: One a class, in the order of the targets.
        clips: The table.
        samples: int16, all clips one behind the other.
        licence: Of the recordings.
        citation: Whom to name.
        origin: Digest of what it was prepared from.
    """

    name: str
    sample_rate: int
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    samples: npt.NDArray[np.int16]
    licence: str
    citation: str
    origin: str

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that are there, in order."""
        return tuple(sorted({clip.fold for clip in self.clips}))

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """``(clips,)``: index of each clip's label."""
        return np.array([clip.target for clip in self.clips], dtype=np.int64)

    def of_folds(self, folds: Iterable[int]) -> ClipSet:
        """The clips of some folds."""
        wanted = set(folds)
        return replace(self, clips=tuple(clip for clip in self.clips if clip.fold in wanted))

    def limited(self, n_clips: int) -> ClipSet:
        """At most ``n_clips`` of them, in turn from every class, for quick trials."""
        seen: dict[int, int] = {}
        ranks = []
        for index, clip in enumerate(self.clips):
            seen[clip.target] = seen.get(clip.target, 0) + 1
            ranks.append((seen[clip.target], clip.target, index))
        kept = sorted(index for _, _, index in sorted(ranks)[:n_clips])
        return replace(self, clips=tuple(self.clips[index] for index in kept))

    def waveform(self, index: int) -> npt.NDArray[np.float32]:
        """A clip's ``(samples,)`` float32 in [-1, 1)."""
        clip = self.clips[index]
        part = self.samples[clip.offset : clip.offset + clip.n_samples]
        return part.astype(np.float32) / np.float32(FULL_SCALE)

    def matrix(self) -> npt.NDArray[np.int16]:
        """``(clips, samples of the longest)`` int16, zeros behind the shorter ones."""
        longest = max((clip.n_samples for clip in self.clips), default=0)
        rows = np.zeros((len(self.clips), longest), dtype=np.int16)
        for row, clip in zip(rows, self.clips, strict=True):
            row[: clip.n_samples] = self.samples[clip.offset : clip.offset + clip.n_samples]
        return rows


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds prepared clips."""
    return (folder / "clips.json").is_file() and (folder / "samples.npy").is_file()


def open_prepared(folder: Path) -> ClipSet:
    """Open a prepared folder; the samples stay on disk until they are used.

    Raises:
        DatasetError: The table or the array is missing, malformed, or they don't fit together.
    """
    try:
        table = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
        samples = np.load(folder / "samples.npy", mmap_mode="r", allow_pickle=False)
        if table["format"] != FORMAT:
            raise ValueError(f"format is {table['format']}, this version reads {FORMAT}")
        clips = tuple(Clip(**clip) for clip in table["clips"])
        rest = {name: table[name] for name in ("name", "sample_rate", "licence", "citation")}
        opened = ClipSet(
            **rest,
            labels=tuple(table["labels"]),
            clips=clips,
            samples=samples,
            origin=table["origin"],
        )
        if max((clip.offset + clip.n_samples for clip in clips), default=0) > samples.size:
            raise ValueError("the table reaches beyond the array")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{folder}: no usable prepared set: {error}; delete the folder and prepare it anew"
        ) from error
    return opened


def write_prepared(
    folder: Path,
    clips: Sequence[Clip],
    read: Callable[[Clip], npt.NDArray[np.int16]],
    **about: object,
) -> ClipSet:
    """Write a prepared folder, whole or not at all.

    Args:
        folder: Where; what is there already is replaced.
        clips: The table; offsets and lengths are filled in here.
        read: Gives a clip's samples at the set's rate.
        about: The other fields of `ClipSet`.

    Raises:
        DatasetError: The folder cannot be written; whatever ``read`` raises.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        placed = _write_samples(partial, clips, read)
        table = {"format": FORMAT, **about, "clips": [asdict(clip) for clip in placed]}
        (partial / "clips.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot write the prepared clips: {error}; name another folder with --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_prepared(folder)


def _write_samples(
    folder: Path, clips: Sequence[Clip], read: Callable[[Clip], npt.NDArray[np.int16]]
) -> list[Clip]:
    """Append every clip to a raw file, then put the header of an array in front of it."""
    placed, offset = [], 0
    raw = folder / "samples.raw"
    with raw.open("wb") as file:
        for number, clip in enumerate(clips, start=1):
            samples = read(clip)
            file.write(samples.astype("<i2").tobytes())
            placed.append(replace(clip, offset=offset, n_samples=samples.size))
            offset += samples.size
            if number % 100 == 0 or number == len(clips):
                say_progress(
                    f"preparing: {number} of {len(clips)} clips", last=number == len(clips)
                )
    array = np.lib.format.open_memmap(
        folder / "samples.npy", mode="w+", dtype=np.int16, shape=(offset,)
    )
    if offset:
        array[:] = np.memmap(raw, dtype="<i2", mode="r")
    array.flush()
    raw.unlink()
    return placed


def say_progress(text: str, *, last: bool = True) -> None:
    """Tell how far it is, on standard error; on a terminal the line is rewritten."""
    terminal = sys.stderr.isatty()
    if terminal or last:
        end = "\n" if last else "\r"
        print(text.ljust(79) if terminal else text, end=end, file=sys.stderr, flush=True)
