"""Folders on this machine as places of archives and results."""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from streamclf.archive.place import ASIDE, ChangedError, FoundFile, Listing, Place, check_same
from streamclf.core.errors import PlaceError
from streamclf.sources.recording.find_recordings import find_recordings

_ASIDE_S = 3600.0
"""Seconds after which a file that was written aside belongs to nobody."""


class LocalPlace(Place):
    """A folder on this machine.

    Args:
        folder: The folder; it is made when something is put there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        self.url = str(self._folder)

    def read(self, name: str) -> bytes:
        """Read a whole file, see `Place.read`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._error(name, "cannot be read", error) from error

    def put_whole(self, name: str, data: bytes) -> None:
        """Put a file in its place, see `Place.put_whole`."""
        path = self._folder / name
        aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}{ASIDE}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with aside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(path)
            except BaseException:
                with suppress(OSError):
                    aside.unlink()
                raise
            _flush_folder(path.parent)
        except OSError as error:
            raise self._error(name, "cannot be written", error) from error

    def exists(self, name: str) -> bool:
        """Whether a file is there now, see `Place.exists`."""
        try:
            return (self._folder / name).is_file()
        except OSError as error:
            raise self._error(name, "cannot be looked for", error) from error

    def names(self, below: str = "") -> dict[str, int]:
        """List the files below a folder, see `Place.names`."""
        found: dict[str, int] = {}
        folders = [self._folder / below]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir():
                            folders.append(Path(entry.path))
                        elif not entry.name.endswith(ASIDE):
                            name = Path(entry.path).relative_to(self._folder).as_posix()
                            found[name] = entry.stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                continue  # nothing was put there, or it was removed meanwhile
            except OSError as error:
                raise self._error(below, "cannot be listed", error) from error
        return dict(sorted(found.items()))

    def remove(self, name: str) -> None:
        """Remove a file, see `Place.remove`."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._error(name, "cannot be removed", error) from error

    def remove_asides(self) -> None:
        """Remove what was written aside by workers that died, see `Place.remove_asides`."""
        for path in self._folder.rglob(f".*{ASIDE}"):
            with suppress(OSError):  # another one may remove it, too
                if time.time() - path.stat().st_mtime > _ASIDE_S:
                    path.unlink()

    def list_recordings(self) -> Listing:
        """List the recordings below the folder, see `Place.list_recordings`."""
        if not self._folder.is_dir():
            what = "is a file" if self._folder.exists() else "is not there"
            raise PlaceError(f"{self}: {what}: name the folder of the recordings")
        found = find_recordings([str(self._folder)])
        if found.errors and not found.paths:
            raise PlaceError(str(found.errors[0]))
        listing = Listing(notes=found.notes)
        for path, reason in found.unread.items():
            name = self._show(path)
            listing.files.append(FoundFile(name, 0, "", f"cannot be read: {reason}"))
        for path in found.paths:
            try:
                name = os.fsencode(path.relative_to(self._folder).as_posix()).decode()
            except UnicodeDecodeError:
                why = "its name is not UTF-8: rename it"
                listing.files.append(FoundFile(self._show(path), 0, "", why))
                continue
            try:
                status = path.stat()
            except OSError as error:  # a broken link, which opening will report
                reason = (error.strerror or str(error)).lower()
                listing.files.append(FoundFile(name, 0, "", f"cannot be opened: {reason}"))
                continue
            mark = str(status.st_mtime_ns)
            listing.files.append(FoundFile(name, status.st_size, mark))
        listing.files.sort(key=lambda each: each.path)
        return listing

    def open_file(self, path: str, n_bytes: int, first_bytes: int | None = None) -> Path:
        """Return the path of a recording, see `Place.open_file`."""
        return self._folder / path

    def check_unchanged(self, path: str, n_bytes: int, mark: str) -> None:
        """Check that a recording is there as it was listed, see `Place.check_unchanged`."""
        try:
            status = (self._folder / path).stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ChangedError(f"{self}/{path}: is not there any more") from error
        except OSError as error:
            raise self._error(path, "cannot be opened", error) from error
        check_same(f"{self}/{path}", (n_bytes, mark), (status.st_size, str(status.st_mtime_ns)))

    def _show(self, path: Path) -> str:
        """Return the name of a path below the folder, as text that can be written."""
        name = path.relative_to(self._folder).as_posix()
        return os.fsencode(name).decode("utf-8", "backslashreplace")

    def _error(self, name: str, what: str, error: OSError) -> PlaceError:
        reason = (error.strerror or str(error)).lower()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        way_out = ": make room, and the same command goes on" if full else ""
        return PlaceError(f"{self._folder / name}: {what}: {reason}{way_out}")


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can do so."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network disks refuse it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
