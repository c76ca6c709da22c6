"""What lies below a folder, for all who look for audio: one rule for recordings and for training.

- What is hidden is left alone (names that begin with a dot), and so are the folders in which
  systems keep what was thrown away, snapshots and thumbnails (`SYSTEM_FOLDERS`).
- Links are followed, and each real folder is walked once: links may form a ring. A folder that is
  reached both ways has its own name, not the link's.
- A folder that may not be read costs what lies in it, and is told.
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
"""In lower case; each system names them so."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left alone wherever folders are walked."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


class Walk:
    """Walks folders, each real one once over all that it is asked for.

    Args:
        skip: Asked of each folder below the one that is walked; True leaves it out.

    Attributes:
        failures: What could not be read: the path and why.
        astray: Links that lead nowhere, but for those that `files` names.
    """

    def __init__(self, skip: Callable[[Path], bool] = lambda folder: False) -> None:
        self.failures: list[tuple[Path, str]] = []
        self.astray: list[Path] = []
        self._skip = skip
        self._walked: set[tuple[int, int] | str] = set()

    def has_walked(self, folder: Path) -> bool:
        """Whether the walk has been in a folder, by whatever name."""
        try:
            return _identity(folder) in self._walked
        except OSError:
            return False

    def files(self, top: Path, endings: frozenset[str]) -> list[Path]:
        """Files with certain endings at any depth below a folder, sorted.

        Args:
            top: The folder; its own name does not matter.
            endings: In lower case, with the dot. A link with such an ending that leads nowhere is
                among the files, so that whoever opens it is told.
        """
        found: list[Path] = []
        for _, paths in self.folders(top):
            for path in paths:
                if path.suffix.lower() in endings:
                    found.append(path)
                elif path.is_symlink() and not path.exists():
                    self.astray.append(path)
        return sorted(found)

    def folders(self, top: Path) -> Iterator[tuple[Path, list[Path]]]:
        """Each folder from ``top`` down, with its files and the links that lead nowhere."""
        folders, links = [top], list[Path]()
        while folders or links:
            # Real folders come first, so that a link does not give its name to what it leads to.
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
        """Real folders in it, links to folders, and files; each sorted."""
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
                    except OSError as error:  # a link into a ring, or through a closed folder
                        self._fail(path, error)
        except OSError as error:  # what was read before it stands
            self._fail(folder, error)
        return sorted(below), sorted(linked), sorted(files)

    def _fail(self, path: Path, error: OSError) -> None:
        self.failures.append((path, (error.strerror or str(error)).lower()))


def _identity(folder: Path) -> tuple[int, int] | str:
    status = folder.stat()
    # Some of Windows' file systems number nothing.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)
