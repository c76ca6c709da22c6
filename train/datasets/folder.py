"""A folder for each class: your own sounds, in any audio format.

Layout: ``CLASS/NAME.wav``, or ``CLASS/RECORDING/NAME.wav`` where clips were cut from recordings.
The classes are the folders' names, sorted. Hidden folders, folders whose names begin with ``_`` and
files that are no audio are left out. A notice tells of audio that lies in no class's folder, or
deeper.

Clips cut from one recording sound alike, and a network that was trained on one of them recognises
the others. So they must be in the same fold. The source of a clip is

- its ``RECORDING`` folder, where there is one;
- otherwise its name without the number at the end (``kitchen-3.wav`` and ``kitchen_12.wav`` are of
  ``kitchen``), whichever class it is in;
- itself, where all clips of a class would otherwise be of one source (``dog/dog_001.wav``, ...):
  such numbers say nothing about where the clips are from. A notice says when this happens.

Whole sources go into five folds so that each fold gets its share of each class. Adding files may
move others to another fold.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from streamclf.core.find_audio_files import is_hidden
from streamclf.core.text_format import format_count
from train.datasets.dataset import DataSet, Listing, Recording
from train.datasets.decode import OWN_ENDINGS
from train.datasets.files import audio_below
from train.datasets.prepared import is_prepared

N_FOLDS = 5
_NUMBER = re.compile(r"[-_ ]*[-_][0-9]+$")


class Folder(DataSet):
    """A user's own sounds, in a folder for each class."""

    def recognises(self, folder: Path) -> bool:
        """Recognise two or more folders with audio in them."""
        return len([name for name in _class_names(folder) if _files(folder / name)]) >= 2

    def list_clips(self, folder: Path) -> Listing:
        """List all audio of all classes, split by source."""
        files = {name: _files(folder / name) for name in _class_names(folder)}
        labels = tuple(name for name, paths in files.items() if paths)
        entries, alone = [], []
        for target, label in enumerate(labels):
            sources = [source_of(path.relative_to(folder / label)) for path in files[label]]
            if len(set(sources)) == 1:
                if len(sources) > 1:
                    alone.append(label)
                sources = [path.relative_to(folder).as_posix() for path in files[label]]
            entries += [
                (path, target, source) for path, source in zip(files[label], sources, strict=True)
            ]
        folds = spread_sources([source for _, _, source in entries], [each[1] for each in entries])
        recordings = tuple(
            Recording(path, path.relative_to(folder).as_posix(), fold, target, source)
            for (path, target, source), fold in zip(entries, folds, strict=True)
        )
        notes = [*_notes(labels, files, alone), *_misplaced(folder, list(files))]
        return Listing(recordings, labels, notes=tuple(notes))


def describe_too_few(folder: Path) -> str:
    """Describe what a folder of one's own sounds lacks, in words.

    Returns:
        The lack; empty where there is no audio, or where it lies as in published sets.
    """
    classes = [name for name in _class_names(folder) if _files(folder / name)]
    if classes in (["audio"], ["recordings"]):
        return ""
    if classes:
        return (
            f"holds sounds of one class alone, {classes[0]!r}: a second folder is needed beside "
            "it, such as 'background' with other sounds of the place"
        )
    n_files = len(_audio(folder))
    if n_files:
        return (
            f"holds {format_count(n_files, 'sound')}, but none in a class's folder: put each into "
            "a folder with the name of its sound (dog/one.wav), two folders or more"
        )
    return ""


def source_of(path: Path) -> str:
    """The source of a clip, by its path within its class's folder."""
    if len(path.parts) > 1:
        return path.parent.as_posix()
    return _NUMBER.sub("", path.stem) or path.stem


def spread_sources(sources: Sequence[str], targets: Sequence[int]) -> list[int]:
    """The fold of each clip, 1 to 5: whole sources, each class spread as evenly as that allows.

    The largest sources are placed first, each in the fold where its classes are rarest so far.
    """
    contents: dict[str, Counter[int]] = {}
    for source, target in zip(sources, targets, strict=True):
        contents.setdefault(source, Counter())[target] += 1
    filled = [Counter[int]() for _ in range(N_FOLDS)]
    fold_of: dict[str, int] = {}
    for source, content in sorted(contents.items(), key=lambda item: (-item[1].total(), item[0])):

        def crowding(fold: int, content: Counter[int] = content) -> tuple[int, int, int]:
            same = sum(n * filled[fold][target] for target, n in content.items())
            return same, filled[fold].total(), fold

        fold_of[source] = chosen = min(range(N_FOLDS), key=crowding)
        filled[chosen] += content
    return [1 + fold_of[source] for source in sources]


def _class_names(folder: Path) -> list[str]:
    paths = [path for path in folder.iterdir() if path.is_dir() and not is_prepared(path)]
    return sorted(path.name for path in paths if path.name[0] != "_" and not is_hidden(path.name))


def _audio(folder: Path) -> list[Path]:
    """All audio below a folder, but for what was prepared."""
    return audio_below(folder, endings=OWN_ENDINGS, skip=is_prepared)


def _files(folder: Path) -> list[Path]:
    """Audio in a class's folder or one level below."""
    return [path for path in _audio(folder) if len(path.relative_to(folder).parts) <= 2]


def _misplaced(folder: Path, labels: Sequence[str]) -> list[str]:
    """Notes of audio that is of no class, or lies too deep."""
    parts = [path.relative_to(folder).parts for path in _audio(folder)]
    notes = []
    if n_loose := sum(len(each) == 1 for each in parts):
        notes.append(
            f"{format_count(n_loose, 'sound')} beside the classes' folders left out: a class is "
            "a folder"
        )
    if n_deep := sum(len(each) > 3 and each[0] in labels for each in parts):
        notes.append(
            f"{format_count(n_deep, 'sound')} deeper than CLASS/RECORDING/ left out: take "
            "a level of folders away"
        )
    return notes


def _notes(
    labels: Sequence[str], files: dict[str, list[Path]], alone: Sequence[str]
) -> tuple[str, ...]:
    notes = []
    if alone:
        notes.append(
            f"the names in {', '.join(alone[:5])}{', ...' if len(alone) > 5 else ''} tell nothing "
            "of their sources: each clip counts as one of its own; put clips cut from one "
            "recording into a folder of their own"
        )
    small = [label for label in labels if len(files[label]) < N_FOLDS]
    if small:
        notes.append(
            f"fewer than {N_FOLDS} clips of {', '.join(small[:5])}"
            f"{', ...' if len(small) > 5 else ''}: some folds have none of them"
        )
    empty = [name for name, paths in files.items() if not paths]
    if empty:
        notes.append(f"no audio in {', '.join(empty[:5])}{', ...' if len(empty) > 5 else ''}")
    return tuple(notes)


FOLDER = Folder(
    name="folder",
    title="a folder a class of one's own sounds",
    url="your own recordings",
    licence="not stated: sounds of one's own",
    citation="none",
    layout="a folder of audio files for each class, two or more",
)
DATASETS = (FOLDER,)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("folder"))
