"""Deletion of clips that are too old or too many, with their rows in the store kept.

A sweep looks at each clip's file first. What somebody moved, deleted or replaced by a link is noted
in its row and is not touched. A file that is back in its place counts again, and what somebody
changed stays. No link is followed, and nothing outside the folder is deleted. A file is deleted in
the transaction that notes it, after a last look at whether somebody wants it kept meanwhile.

Clips of which the store has no row count as well, such as those of runs without a store: else the
folder would grow beyond its limit. Of these, as of a folder without a store, those that somebody
renamed or moved to another label stay (`streamclf.sinks.clips.quota`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

from streamclf.core.clip_tags import CLIP_NAME
from streamclf.core.errors import SinkError
from streamclf.core.text_format import format_bytes, format_count
from streamclf.sinks.clips.clip_file import safe_name
from streamclf.sinks.clips.quota import is_in_place
from streamclf.sinks.options import OutputOptions
from streamclf.sinks.output_files import reason_of
from streamclf.store.clip_limits import Choice, ClipLimits, StoredClip, choose_clips
from streamclf.store.clips import is_clip_name, name_folder
from streamclf.store.database import transaction

EVERY_S = 600.0
"""Seconds between two sweeps."""

SOONEST_S = 10.0
"""Seconds between two sweeps if the clips written since the last one pass the limit."""

AT_ONCE = 50
"""Files deleted in one transaction; others that write the store wait so long."""


@dataclass
class Sweep:
    """What a sweep did.

    Attributes:
        folder: Folder of the clips.
        limits: Limits that it enforced.
        gone: Clips deleted by cause: ``age``, ``limit``.
        gone_bytes: Bytes of the deleted clips.
        n_missing: Clips whose files somebody had moved or deleted.
        n_back: Clips whose files had been missing and are back.
        failures: Clips that could not be deleted, or not even looked at, by cause.
        used_bytes: Bytes of the clips that are there.
        choice: What held others back.
        n_unreachable: Clips in the store while the folder itself is not there, or is empty.
    """

    folder: Path
    limits: ClipLimits
    gone: Counter[str] = field(default_factory=Counter)
    gone_bytes: int = 0
    n_missing: int = 0
    n_back: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    used_bytes: int = 0
    choice: Choice = field(default_factory=Choice)
    n_unreachable: int = 0

    @property
    def changed(self) -> bool:
        """Whether rows or files changed."""
        return bool(self.gone or self.n_missing or self.n_back)

    @property
    def is_over(self) -> bool:
        """Whether the clips still take more than the limit."""
        limit = self.limits.limit_bytes
        return limit is not None and self.used_bytes > limit

    def __str__(self) -> str:
        if self.n_unreachable:
            return (
                f"clips: {self.folder} is not there, or is empty: nothing is deleted or noted of "
                f"the {format_count(self.n_unreachable, 'clip')} in it: is its disk there?"
            )
        parts = [f"clips: {self._describe_gone()}, {self._describe_use()}"]
        if self.n_missing:
            were = "was" if self.n_missing == 1 else "were"
            parts.append(f"{self.n_missing} {were} moved or deleted by somebody else")
        if self.n_back:
            parts.append(f"{self.n_back} are back in their places")
        if self.failures:
            causes = ", ".join(self.failures)
            parts.append(f"{self.failures.total()} cannot be deleted: {causes}")
        parts += self._describe_stay()
        return "; ".join(parts)

    def _describe_gone(self) -> str:
        names = {"age": "by age", "limit": "by size"}
        causes = ", ".join(
            f"{self.gone[why]} {name}" for why, name in names.items() if why in self.gone
        )
        size = f" ({format_bytes(self.gone_bytes)}: {causes})" if self.gone else ""
        return f"{self.gone.total()} deleted{size}"

    def _describe_use(self) -> str:
        limit = self.limits.limit_bytes
        of = "" if limit is None else f" of {format_bytes(limit)}"
        return f"{format_bytes(self.used_bytes)}{of} used"

    def _describe_stay(self) -> Iterator[str]:
        choice = self.choice
        if choice.n_old_held or choice.n_old_best:
            n = choice.n_old_held + choice.n_old_best
            noun, verb = ("old one", "stays") if n == 1 else ("old ones", "stay")
            yield f"{n} {noun} {verb}: {_describe_held(choice.n_old_held, choice.n_old_best)}"
        if choice.n_held or choice.n_best:
            yield (f"more than the limit stays: {_describe_held(choice.n_held, choice.n_best)}")


def clip_limits(outputs: OutputOptions) -> ClipLimits:
    """Return the limits of the options.

    Raises:
        UsageError: ``--clips-limit`` is no size.
    """
    return ClipLimits(outputs.clip_limit_bytes(), outputs.clips_days, outputs.clips_min or 0)


class _InterruptedError(Exception):
    """The sweep is to end."""


def sweep(
    connection: sqlite3.Connection,
    folder: Path,
    limits: ClipLimits,
    now_us: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> Sweep:
    """Delete the clips that exceed the limits, and note which files are gone.

    Args:
        connection: The store, outside a transaction.
        folder: Folder of the clips; those of other folders in the same store are left alone.
        limits: What the clips may take.
        now_us: Now, in microseconds since 1970-01-01 UTC.
        interrupted: Called often; True ends the sweep, whose next one does the rest.

    Returns:
        What was done. Whether a file cannot be deleted is told there, and stops nothing.

    Raises:
        sqlite3.Error: The store cannot be read or written.
    """
    result = Sweep(folder, limits)
    with suppress(_InterruptedError):
        _sweep(connection, result, now_us, interrupted)
    return result


def _sweep(
    connection: sqlite3.Connection, result: Sweep, now_us: int, interrupted: Callable[[], bool]
) -> None:
    folder, limits = result.folder, result.limits

    def go_on() -> None:
        if interrupted():
            raise _InterruptedError

    files = _find_files(folder, result.failures, go_on)
    listed = _list_clips(connection, folder, None, files)
    if not _holds_something(folder):
        # A disk that is not mounted has lost nothing.
        result.n_unreachable = len(listed)
        return
    there, missing = _look_at_files(folder, listed, files, result.failures, go_on)
    lost = _list_clips(connection, folder, "deleted", files)
    found, _ = _look_at_files(folder, lost, files, Counter(), go_on)
    back = [clip for clip in found if not clip.held]
    if missing or back:
        with transaction(connection):
            _note_gone(connection, missing, "deleted", now_us)
            _note_gone(connection, back, None, None)
        result.n_missing, result.n_back = len(missing), len(back)
    known = {clip.path for clips in (listed, lost) for clip in clips}
    there += [*back, *(file for path, file in files.items() if path not in known)]
    while True:
        result.choice = choose_clips(there, limits, now_us)
        refused = _delete_chosen(connection, result, now_us, go_on)
        result.used_bytes = result.choice.used_bytes
        if not refused:
            return
        # Others may go in place of those that turn out to have to stay.
        chosen = {clip.path for clip, _ in result.choice.gone}
        there = [
            replace(clip, held=True) if clip.path in refused else clip
            for clip in there
            if clip.path in refused or clip.path not in chosen
        ]


class Sweeper:
    """Timing of the sweeps: at the start, then every `EVERY_S`, and sooner when clips are too many.

    Args:
        folder: Folder of the clips.
        limits: What the clips may take.
        now: Returns monotonic seconds.
    """

    def __init__(
        self, folder: Path, limits: ClipLimits, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._now = now
        self._used_bytes = 0
        self._swept_at: float | None = None
        self._trouble: tuple[bool, ...] = ()

    def is_of(self, folder: Path, limits: ClipLimits | None = None) -> bool:
        """Whether this looks after a folder, and by some limits if they are given."""
        same = name_folder(folder) == name_folder(self._folder)
        return same and limits in (None, self._limits)

    @property
    def is_due(self) -> bool:
        """Whether it is time for a sweep."""
        if self._swept_at is None:
            return True
        since_s, limit = self._now() - self._swept_at, self._limits.limit_bytes
        # Where the last sweep could not reach the limit, the next one comes in its turn.
        full = limit is not None and self._used_bytes > limit and not any(self._trouble)
        return since_s >= (SOONEST_S if full else EVERY_S)

    def note_written(self, n_bytes: int) -> None:
        """Count a clip that was written since the last sweep."""
        self._used_bytes += n_bytes

    def sweep(
        self,
        connection: sqlite3.Connection,
        now_us: int,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> str:
        """Sweep, as `sweep` does.

        Returns:
            What is to be told, in one line: that clips went, or that the limits cannot be kept,
            which is told once. Empty for nothing.

        Raises:
            sqlite3.Error: The store cannot be read or written; the next sweep comes in its turn.
        """
        self._swept_at = self._now()
        result = sweep(connection, self._folder, self._limits, now_us, interrupted)
        self._used_bytes = result.used_bytes
        before = self._trouble or (False,) * 3
        self._trouble = (result.is_over, bool(result.failures), bool(result.n_unreachable))
        fresh = any(now and not then for now, then in zip(self._trouble, before, strict=True))
        return str(result) if result.changed or fresh else ""


def _holds_something(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False


def _list_clips(
    connection: sqlite3.Connection, folder: Path, why: str | None, files: Container[str]
) -> list[StoredClip]:
    """List a folder's clips that went for a cause, or that are there (None), each file once."""
    rows = connection.execute(
        "SELECT clips.id, clips.path, events.label, events.highest_score, clips.written_us, "
        "clips.bytes, clips.kept OR "
        "EXISTS (SELECT 1 FROM reviews WHERE reviews.event_id = clips.event_id) "
        "FROM clips JOIN events ON events.id = clips.event_id "
        "WHERE clips.folder = ? AND clips.gone_why IS ? ORDER BY clips.id",
        (name_folder(folder), why),
    )
    found: dict[str, StoredClip] = {}
    label_of = cache(safe_name)
    for number, name, label, score, written_us, n_bytes, held in rows:
        path = name if name in files else str(PurePosixPath(name))
        before = found.get(path)
        ids = (*before.ids, number) if before else (number,)
        if before is not None:
            score, held = max(score, before.score), held or before.held
        found[path] = StoredClip(ids, path, label_of(label), score, written_us, n_bytes, bool(held))
    return list(found.values())


def _find_files(
    folder: Path, failures: Counter[str], go_on: Callable[[], None]
) -> dict[str, StoredClip]:
    """Find the files in a folder that are clips by their names, behind no link, by their paths."""
    found = {}
    for label in _folders_in(folder, failures):
        for place in _folders_in(Path(label.path), failures):
            go_on()
            for entry in _entries_in(Path(place.path), failures):
                path = f"{label.name}/{place.name}/{entry.name}"
                if not CLIP_NAME.fullmatch(entry.name):
                    continue
                with suppress(OSError):  # deleted meanwhile
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        score = int(entry.name[:-5].rpartition("_")[2]) / 100
                        written_us = status.st_mtime_ns // 1000
                        found[path] = StoredClip(
                            (), path, label.name, score, written_us, status.st_size
                        )
    return found


def _folders_in(folder: Path, failures: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """Yield the folders in a folder, without links to others."""
    for entry in _entries_in(folder, failures):
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                yield entry


def _entries_in(folder: Path, failures: Counter[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:  # deleted meanwhile
        return []
    except OSError as error:
        failures[reason_of(error)] += 1
        return []


def _look_at_files(
    folder: Path,
    clips: list[StoredClip],
    files: Mapping[str, StoredClip],
    failures: Counter[str],
    go_on: Callable[[], None],
) -> tuple[list[StoredClip], list[StoredClip]]:
    """Look at the files of clips.

    Args:
        folder: Folder of the clips.
        clips: The clips.
        files: The files that were found there already.
        failures: Counts those of which the system does not say whether they are there.
        go_on: Called for each of them; raises to end the sweep.

    Returns:
        The clips whose files are in their places, with their true sizes, and those whose are not.
    """
    there, missing = [], []
    is_real: dict[PurePosixPath, bool] = {}
    for clip in clips:
        go_on()
        try:
            file = files.get(clip.path)
            size = file.n_bytes if file else _size_in_place(folder, clip.path, is_real)
        except OSError as error:
            failures[reason_of(error)] += 1
            continue
        if size is None:
            missing.append(clip)
        elif size == clip.n_bytes:
            there.append(clip)
        else:  # somebody changed it
            there.append(replace(clip, n_bytes=size, held=True))
    return there, missing


def _size_in_place(folder: Path, name: str, is_real: dict[PurePosixPath, bool]) -> int | None:
    """Return the size of a clip's file; None if none is there that streamclf may delete.

    Args:
        folder: Folder of the clips.
        name: Path of the file below it, as the store has it.
        is_real: Folders below it that were looked at already, and whether they are no links.

    Raises:
        OSError: The system does not say what is there.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or Path(name).drive:
        return None
    try:
        for above in reversed(path.parents[:-1]):
            if above not in is_real:
                is_real[above] = stat.S_ISDIR((folder / above).lstat().st_mode)
            if not is_real[above]:
                return None
        status = (folder / path).lstat()
    except ValueError:  # a name with a null character
        return None
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _delete_chosen(
    connection: sqlite3.Connection, result: Sweep, now_us: int, go_on: Callable[[], None]
) -> set[str]:
    """Delete the chosen clips, and return the paths of those that have to stay."""
    refused = set()
    gone = result.choice.gone
    for first in range(0, len(gone), AT_ONCE):
        go_on()
        with transaction(connection):
            for clip, why in gone[first : first + AT_ONCE]:
                if _delete(connection, result, clip):
                    _note_gone(connection, [clip], why, now_us)
                    result.gone[why] += 1
                    result.gone_bytes += clip.n_bytes
                else:
                    refused.add(clip.path)
    return refused


def _delete(connection: sqlite3.Connection, result: Sweep, clip: StoredClip) -> bool:
    """Delete a clip's file; False if it has to stay."""
    held = (
        "SELECT 1 FROM clips WHERE id = ? AND "
        "(kept OR EXISTS (SELECT 1 FROM reviews WHERE reviews.event_id = clips.event_id))"
    )
    if any(connection.execute(held, (number,)).fetchone() for number in clip.ids):
        return False
    path = result.folder / clip.path
    try:
        if _size_in_place(result.folder, clip.path, {}) != clip.n_bytes:
            return False
        if not clip.ids and not is_in_place(path):
            return False  # somebody's own file, or one that was moved here
        path.unlink()
    except OSError as error:
        result.failures[reason_of(error)] += 1
        return False
    with suppress(OSError):  # others are in it
        path.parent.rmdir()
    return True


def remove_clip(
    connection: sqlite3.Connection, event_id: int, now_us: int
) -> Literal["gone", "kept", "none"]:
    """Delete the file of an event's clip because somebody asks for it, and note that it went.

    Args:
        connection: The store, inside a transaction of the caller.
        event_id: Row of the event.
        now_us: Now, in microseconds since 1970-01-01 UTC.

    Returns:
        ``kept`` where somebody wants the clip kept, so that it stays; ``none`` where there is no
        file of it.

    Raises:
        SinkError: The file cannot be deleted.
    """
    row = connection.execute(
        "SELECT folder, path FROM clips WHERE event_id = ? AND gone_us IS NULL", (event_id,)
    ).fetchone()
    if row is None:
        return "none"
    folder, name = Path(row[0]), row[1]
    # A recording that was heard twice has two events and one file.
    same = "folder = ? AND path = ? AND gone_us IS NULL"
    (kept,) = connection.execute(f"SELECT max(kept) FROM clips WHERE {same}", row).fetchone()
    if kept:
        return "kept"
    path = folder / name
    try:
        there = is_clip_name(name) and _size_in_place(folder, name, {}) is not None
        if there:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(
            f"{path}: the clip cannot be deleted: {reason_of(error)}; give yourself the rights to "
            "write into its folder"
        ) from error
    connection.execute(
        f"UPDATE clips SET gone_us = ?, gone_why = 'deleted' WHERE {same}", (now_us, *row)
    )
    if there:
        with suppress(OSError):  # others are in it
            path.parent.rmdir()
    return "gone" if there else "none"


def _note_gone(
    connection: sqlite3.Connection, clips: list[StoredClip], why: str | None, when_us: int | None
) -> None:
    """Note in rows why and when their clips went; None for both notes that they are there."""
    connection.executemany(
        "UPDATE clips SET gone_us = ?, gone_why = ? WHERE id = ?",
        [(when_us, why, number) for clip in clips for number in clip.ids],
    )


_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL})
"""Errors that say that no such file is there, or can be there."""


def _describe_held(n_held: int, n_best: int) -> str:
    parts = [f"{n_held} kept, reviewed or changed"] if n_held else []
    parts += [f"{n_best} best of their label"] if n_best else []
    return ", ".join(parts)
