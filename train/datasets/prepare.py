"""Preparing a data set: decoded and resampled once, into one array and a table.

The array grows in a hidden folder beside its final place, with a journal of what is in it, and both
are renamed into place when complete. So an interruption, even a kill, costs nothing but the clips
that are being decoded at that moment: the same command continues from the journal. A failure leaves
nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.cpu_count import count_cores
from train.base.errors import DatasetError
from train.datasets.dataset import Recording
from train.datasets.prepared import FORMAT, Clip
from train.datasets.progress import show_progress

HEADER_BYTES = 128
"""Size of the header of ``samples.npy``, which is written when the length is known."""

BATCH = 64
"""Clips decoded in parallel before they are written."""

Read = Callable[[Recording], npt.NDArray[np.int16]]


@dataclass
class _Journal:
    """A list of the clips in the unfinished array.

    Attributes:
        path: File of the journal.
        origin: Digest and stamp of the files it is made from.
        entries: ``{"n": samples}`` or ``{"broken": why}`` for each recording, in order.
    """

    path: Path
    origin: list[str]
    entries: list[dict[str, Any]]

    @property
    def n_samples(self) -> int:
        return sum(entry.get("n", 0) for entry in self.entries)

    @property
    def broken(self) -> list[str]:
        return [entry["broken"] for entry in self.entries if "broken" in entry]


def prepare(
    target: Path,
    recordings: Sequence[Recording],
    read: Read,
    table: dict[str, Any],
    *,
    channels: int,
    skip_broken: bool = False,
) -> None:
    """Write a prepared folder, completely or not at all.

    Args:
        target: The folder; one that exists is replaced.
        recordings: The clips.
        read: Returns a clip's samples at the set's rate: ``(samples,)`` or ``(samples, channels)``.
        table: The other entries of ``clips.json``; ``origin`` and ``stamp`` tell whether an
            interrupted preparation may continue.
        channels: Channels of the samples.
        skip_broken: Leave out clips that do not decode.

    Raises:
        DatasetError: The folder cannot be written, or clips do not decode, which are then counted
            and named.
    """
    partial = target.with_name(f".{target.name}.partial")
    journal = _Journal(partial, [], [])
    try:
        partial.mkdir(parents=True, exist_ok=True)
        journal = _open_journal(partial, [table["origin"], table["stamp"]], channels)
        _decode_rest(partial, journal, recordings, read, f"preparing {table['name']}", channels)
        n_broken = len(journal.broken)
        if n_broken and (not skip_broken or n_broken == len(recordings)):
            raise DatasetError(describe_broken(journal.broken, len(recordings)))
        _finish(partial, journal, recordings, table, channels)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        written = journal.n_samples * channels * 2 / 1e6
        raise DatasetError(
            f"{target}: cannot write the prepared clips: {error.strerror or error} after "
            f"{written:.0f} MB, {len(journal.entries)} of {len(recordings)} clips; make room or "
            "name a folder elsewhere (--prepared in training, --out in train.datasets)"
        ) from error
    except DatasetError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except KeyboardInterrupt:
        print(
            f"{len(journal.entries)} of {len(recordings)} clips are prepared; the same command "
            "goes on from there",
            file=sys.stderr,
        )
        raise


def describe_broken(reasons: Sequence[str], n_clips: int) -> str:
    """Count and name the clips that do not decode, in a line."""
    more = f"; and {len(reasons) - 3} more (--validate names all)" if len(reasons) > 3 else ""
    return (
        f"{len(reasons)} of {n_clips} clips cannot be used: {'; '.join(reasons[:3])}{more}; "
        "fetch them again, or leave them out with --skip-broken"
    )


@contextmanager
def preparation_lock(target: Path) -> Iterator[None]:
    """Let one process at a time prepare a folder; the others wait until it is done."""
    try:
        import fcntl
    except ImportError:
        # Windows has no fcntl. There, two processes at once would both end with an error.
        yield
        return
    lock = target.with_name(f".{target.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise DatasetError(
            f"{target}: cannot be written: {error.strerror or error}; name a folder elsewhere "
            "(--prepared in training, --out in train.datasets)"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"{target}: waiting for another process to prepare it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _open_journal(partial: Path, origin: list[str], channels: int) -> _Journal:
    """Open the journal of an interrupted preparation of the same files, or a new one."""
    path = partial / "journal.jsonl"
    entries = _read_entries(path, origin)
    n_bytes = HEADER_BYTES + sum(entry.get("n", 0) for entry in entries) * channels * 2
    samples = partial / "samples.npy"
    if not entries or not samples.is_file() or samples.stat().st_size < n_bytes:
        entries, n_bytes = [], HEADER_BYTES
        samples.write_bytes(b"")
    os.truncate(samples, n_bytes)
    lines = [json.dumps({"origin": origin}), *map(json.dumps, entries)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return _Journal(path, origin, entries)


def _read_entries(path: Path, origin: list[str]) -> list[dict[str, Any]]:
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if json.loads(head)["origin"] != origin:
            return []
        # The last line may be incomplete.
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _decode_rest(
    partial: Path,
    journal: _Journal,
    recordings: Sequence[Recording],
    read: Read,
    what: str,
    channels: int,
) -> None:
    """Decode what the journal lacks: a batch of clips in parallel, written in order."""

    def try_read(recording: Recording) -> npt.NDArray[np.int16] | str:
        try:
            return read(recording)
        except DatasetError as error:
            return str(error)

    shape = () if channels == 1 else (channels,)
    done = len(journal.entries)
    with (
        ThreadPoolExecutor(min(8, count_cores())) as pool,
        (partial / "samples.npy").open("ab") as samples,
        journal.path.open("a", encoding="utf-8") as lines,
        show_progress(what, len(recordings), "clips", done) as update,
    ):
        while done < len(recordings):
            entries = []
            for clip in pool.map(try_read, recordings[done : done + BATCH]):
                if isinstance(clip, str):
                    entries.append({"broken": clip})
                else:
                    assert clip.shape[1:] == shape
                    samples.write(clip.astype("<i2").tobytes())
                    entries.append({"n": len(clip)})
            samples.flush()
            lines.write("".join(json.dumps(entry) + "\n" for entry in entries))
            lines.flush()
            journal.entries += entries
            done += len(entries)
            update(done)


def _finish(
    partial: Path,
    journal: _Journal,
    recordings: Sequence[Recording],
    table: dict[str, Any],
    channels: int,
) -> None:
    """Write the array's header and the table."""
    clips, skipped, offset = [], [], 0
    for recording, entry in zip(recordings, journal.entries, strict=True):
        about = asdict(recording)
        del about["path"], about["stretch"]
        if "n" in entry:
            clips.append(asdict(Clip(**about, offset=offset, n_samples=entry["n"])))
            offset += entry["n"]
        else:
            skipped.append(recording.filename)
    shape = (offset,) if channels == 1 else (offset, channels)
    with (partial / "samples.npy").open("r+b") as file:
        file.write(_array_header(shape))
        os.fsync(file.fileno())
    whole = {"format": FORMAT, **table, "channels": channels, "skipped": skipped, "clips": clips}
    (partial / "clips.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    journal.path.unlink()


def _array_header(shape: tuple[int, ...]) -> bytes:
    """The 128 bytes at the beginning of an int16 ``.npy`` file (format 1.0) of any shape."""
    about = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}"
    n_bytes = HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", n_bytes) + f"{about:<{n_bytes - 1}}\n".encode()
