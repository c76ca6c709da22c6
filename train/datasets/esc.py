"""ESC-50 and its part ESC-10: environmental sounds, 5 s each, in five folds.

Source: https://github.com/karolpiczak/ESC-50 (2,000 clips of 50 classes; ESC-10: 400 of 10).
Citation: K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia
2015, doi:10.1145/2733373.2806390. Licence: ESC-50 CC BY-NC 3.0, the ESC-10 part CC BY 3.0; the
authors of the single clips are named in the set's ``LICENSE``.

Official layout: ``meta/esc50.csv`` and ``audio/``, whose files may be wav, flac or ogg whatever
ending the csv gives them. ``python -m train.datasets.esc DIR`` prepares it; training does so by
itself at first use.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from streamclf.errors import StreamclfError
from train.datasets.prepared import (
    FULL_SCALE,
    Clip,
    ClipSet,
    is_prepared,
    open_prepared,
    write_prepared,
)
from train.errors import DatasetError

URL = "https://github.com/karoldvl/ESC-50/archive/master.zip"
CITATION = (
    "K. J. Piczak, ESC: Dataset for Environmental Sound Classification, "
    "ACM Multimedia 2015, doi:10.1145/2733373.2806390"
)
ENDINGS = (".wav", ".flac", ".ogg")
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")


@dataclass(frozen=True)
class Variant:
    """What is expected of ESC-50 or of ESC-10."""

    name: str
    n_clips: int
    n_classes: int
    licence: str
    n_folds: int = 5


ESC50 = Variant("esc50", 2000, 50, "CC BY-NC 3.0")
ESC10 = Variant("esc10", 400, 10, "CC BY 3.0")


def recognises(folder: Path) -> bool:
    """Whether a folder looks like ESC-50 in its official layout."""
    return (folder / "meta" / "esc50.csv").is_file()


def open_esc(
    folder: Path, sample_rate: int, *, esc10: bool = False, out: Path | None = None
) -> ClipSet:
    """Open the set at a rate, preparing it at first use.

    Args:
        folder: The official layout.
        sample_rate: In Hz; clips are resampled to it.
        esc10: Only the ten classes of ESC-10.
        out: Where to prepare; otherwise beside the set, or in the user's cache where that
            cannot be written.

    Raises:
        DatasetError: Something is missing or broken; the message names it.
    """
    variant = ESC10 if esc10 else ESC50
    found = _find_clips(folder, _read_table(folder, variant), variant)
    origin = _digest(found, sample_rate)
    target = out or prepared_folder(folder, variant.name, sample_rate)
    if is_prepared(target):
        opened = open_prepared(target)
        if opened.origin == origin:
            return opened
        print(f"{target}: prepared from other files, doing it anew", file=sys.stderr)
    elif target.exists() and any(target.iterdir()):
        raise DatasetError(f"{target}: holds other files; name an empty folder with --out")
    labels = {int(row["target"]): row["category"] for row, _ in found}
    order = sorted(labels)
    paths = {row["filename"]: path for row, path in found}
    clips = [
        Clip(
            row["filename"],
            int(row["fold"]),
            order.index(int(row["target"])),
            row["src_file"],
            0,
            0,
        )
        for row, _ in found
    ]
    return write_prepared(
        target,
        clips,
        lambda clip: read_clip(paths[clip.filename], sample_rate),
        name=variant.name,
        sample_rate=sample_rate,
        labels=[labels[number] for number in order],
        licence=variant.licence,
        citation=CITATION,
        origin=origin,
    )


def read_clip(path: Path, sample_rate: int) -> npt.NDArray[np.int16]:
    """Decode a clip, mix it down, resample it; ``(samples,)`` int16.

    Raises:
        DatasetError: It does not decode or holds no audio.
    """
    try:
        waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise DatasetError(
            f"{path}: does not decode: {error}; fetch this clip again, or delete it "
            "and its line in meta/esc50.csv"
        ) from error
    if not waveform.size:
        raise DatasetError(f"{path}: holds no samples; fetch this clip again")
    mono = soxr.resample(np.nan_to_num(waveform.mean(axis=1)), rate, sample_rate)
    return np.clip(np.rint(mono * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def prepared_folder(folder: Path, name: str, sample_rate: int) -> Path:
    """Where the prepared clips go: beside the set if that can be written, else the user's cache."""
    leaf = f"prepared-{name}-{sample_rate}"
    # The mode too: root may write anywhere, but a set marked read-only should stay as it is.
    if os.access(folder, os.W_OK) and folder.stat().st_mode & stat.S_IWUSR:
        return folder / leaf
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return cache / "streamclf" / f"{leaf}-{key}"


def _read_table(folder: Path, variant: Variant) -> list[dict[str, str]]:
    table = folder / "meta" / "esc50.csv"
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; --download fetches ESC-50 into it")
    if not table.is_file():
        raise DatasetError(
            f"{table}: not found; {folder} must hold audio/ and meta/esc50.csv as ESC-50 comes"
        )
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        missing = [name for name in COLUMNS if rows and rows[0].get(name) is None]
        if missing or not rows:
            raise ValueError(f"lacks column {missing[0]!r}" if missing else "has no lines")
        for row in rows:
            row["filename"] = Path(row["filename"]).name
            int(row["fold"]), int(row["target"])
    except (OSError, ValueError, csv.Error, TypeError) as error:
        raise DatasetError(
            f"{table}: {error}; expected are the columns {', '.join(COLUMNS)}"
        ) from error
    if variant is ESC10:
        rows = [row for row in rows if row["esc10"].strip().lower() in ("true", "1")]
    return rows


def _find_clips(
    folder: Path, rows: list[dict[str, str]], variant: Variant
) -> list[tuple[dict[str, str], Path]]:
    """Each line's file, whatever its ending; says what is missing."""
    audio = folder / "audio"
    there = {path.name for path in audio.iterdir()} if audio.is_dir() else set()
    found, missing = [], []
    for row in rows:
        stem = Path(row["filename"]).stem
        names = [row["filename"], *(stem + ending for ending in ENDINGS)]
        name = next((name for name in names if name in there), None)
        if name is None:
            missing.append(row["filename"])
        else:
            found.append((row, audio / name))
    n_classes = len({row["target"] for row, _ in found})
    if n_classes < 2:
        raise DatasetError(
            f"{folder}: has clips of {n_classes} class{'' if n_classes == 1 else 'es'}, training "
            f"needs at least 2 ({variant.name} has {variant.n_classes}); is audio/ complete?"
        )
    if len(found) != variant.n_clips:
        folds = sorted({int(row["fold"]) for row, _ in found})
        absent = f"; not found: {missing[0]} and {len(missing) - 1} more" if missing else ""
        print(
            f"{folder}: {len(found)} of {variant.n_clips} clips of {variant.name}, "
            f"folds {', '.join(map(str, folds))}{absent}: incomplete, going on with these",
            file=sys.stderr,
        )
    return found


def _digest(found: list[tuple[dict[str, str], Path]], sample_rate: int) -> str:
    """Changes when a file, its label, its fold or the rate does."""
    digest = hashlib.sha256(str(sample_rate).encode())
    for row, path in found:
        line = f"{path.name} {path.stat().st_size} {row['fold']} {row['target']} {row['category']}"
        digest.update(line.encode())
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """``python -m train.datasets.esc DIR``: prepare the set."""
    parser = argparse.ArgumentParser(
        prog="python -m train.datasets.esc", description="Prepare ESC-50 for training."
    )
    parser.add_argument("folder", type=Path, help="ESC-50 in its official layout")
    parser.add_argument("--rate", type=int, default=16000, help="sample rate in Hz (16000)")
    parser.add_argument("--esc10", action="store_true", help="only the ten classes of ESC-10")
    parser.add_argument("--out", type=Path, help="where the prepared clips go")
    parser.add_argument("--download", action="store_true", help="fetch ESC-50 (600 MB) into DIR")
    options = parser.parse_args(arguments)
    try:
        if not 1000 <= options.rate <= 192000:
            parser.error(f"--rate is {options.rate}, must be 1000 to 192000 Hz")
        if options.download and not recognises(options.folder):
            from train.datasets.download import fetch_zip

            fetch_zip(URL, options.folder)
        clips = open_esc(options.folder, options.rate, esc10=options.esc10, out=options.out)
    except KeyboardInterrupt:
        return 130
    except StreamclfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{clips.name}: {len(clips.clips)} clips, {len(clips.labels)} classes, "
        f"folds {', '.join(map(str, clips.folds))}, {clips.sample_rate} Hz, {clips.licence}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
