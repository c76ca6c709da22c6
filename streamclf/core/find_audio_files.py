"""Search for audio files below a folder, by the same rules for recordings and for training data.

- Hidden files and folders (names that begin with a dot) are skipped. So are the folders in which
  systems keep deleted files, snapshots and thumbnails (`SYSTEM_FOLDERS`).
- Links are followed. Each real folder is visited once, because links may form a ring. A folder
  that is reached both directly and through a link is reported under its own name.
- A folder that cannot be read is skipped and reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

SYSTEM_FOLDERS = frozenset(
    [
        "$recycle.bin", "system volume information",  # Windows
        "lost+found", "__macosx",  # Linux; macOS's archives
        "#recycle", "#snapshot", "@eadir", "@tmp",  # Synology
        "@recycle", "@recently-snapshot",  # QNAP
    ]
)  # fmt: skip
"""Names in lower case, as each system gives them."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is skipped in every search."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


class FolderWalk:
    """Search of folders that visits each real folder once, over all calls.

    Args:
        skip: Called for each folder below the top one; True skips the folder.

    Attributes:
        failures: Paths that could not be read, each with the reason.
        broken_links: Broken links, except those that `files` returns.
        passed_over: Files with other endings than those that `files` was asked for.
    """

    def __init__(self, skip: Callable[[Path], bool] = lambda folder: False) -> None:
        self.failures: list[tuple[Path, str]] = []
        self.broken_links: list[Path] = []
        self.passed_over: list[Path] = []
        self._skip = skip
        self._walked: set[tuple[int, int] | str] = set()

    def has_walked(self, folder: Path) -> bool:
        """Whether a folder was visited, under this name or another."""
        try:
            return _identity(folder) in self._walked
        except OSError:
            return False

    def files(self, top: Path, endings: frozenset[str]) -> list[Path]:
        """Find files with certain endings at any depth below a folder, sorted.

        Args:
            top: The folder to search; it is searched even if its own name is hidden.
            endings: Endings in lower case, with the dot. A broken link with such an ending is
                among the files, so that opening it reports the fault.
        """
        found: list[Path] = []
        for _, paths in self.folders(top):
            for path in paths:
                if path.suffix.lower() in endings:
                    found.append(path)
                elif path.is_symlink() and not path.exists():
                    self.broken_links.append(path)
                else:
                    self.passed_over.append(path)
        return sorted(found)

    def folders(self, top: Path) -> Iterator[tuple[Path, list[Path]]]:
        """Yield each folder from ``top`` down, with its files and broken links."""
        folders, links = [top], list[Path]()
        while folders or links:
            # Real folders come first, so that a folder is reported under its own name.
            folder = folders.pop() if folders else links.pop()
            try:
                identity = _identity(folder)
            except OSError as error:
                self._fail(folder, error)
                continue
            if identity in self._walked:
                continue
            self._walked.add(identity)
            below, linked, files = self._read(folder)
            folders += reversed(below)
            links = sorted([*links, *linked], reverse=True)
            yield folder, files

    def _read(self, folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
        """List the real folders, the links to folders and the files of a folder, each sorted."""
        below, linked, files = list[Path](), list[Path](), list[Path]()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    path = folder / entry.name
                    if entry.name.startswith("."):
                        continue
                    try:
                        if entry.is_dir():
                            if not (is_hidden(entry.name) or self._skip(path)):
                                (linked if entry.is_symlink() else below).append(path)
                        elif entry.is_file() or (entry.is_symlink() and not path.exists()):
                            files.append(path)
                    except OSError as error:  # a ring of links, or a link through a closed folder
                        self._fail(path, error)
        except OSError as error:  # entries read before the error are kept
            self._fail(folder, error)
        return sorted(below), sorted(linked), sorted(files)

    def _fail(self, path: Path, error: OSError) -> None:
        self.failures.append((path, (error.strerror or str(error)).lower()))


def _identity(folder: Path) -> tuple[int, int] | str:
    status = folder.stat()
    # Some file systems of Windows have no file numbers.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)
