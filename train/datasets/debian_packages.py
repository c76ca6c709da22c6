"""Sounds from Debian's packages: fetched with apt-get, unpacked with dpkg-deb, without root."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from train.base.errors import DatasetError
from train.datasets.progress import show_progress

SOURCES = "SOURCES.txt"
"""File with the names and versions of the packages."""


def fetch_packages(
    packages: Sequence[str], folder: Path, take: Callable[[str, Path], None]
) -> None:
    """Fetch packages one by one and take the wanted files out of each.

    Args:
        packages: Names of the packages.
        folder: Folder that `SOURCES` is written into once all packages were taken.
        take: Called with a package's name and the folder that it was unpacked into, which is
            deleted afterwards.

    Raises:
        DatasetError: A tool is missing, or a package cannot be fetched or unpacked.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DatasetError(
                f"--download: the sounds come from Debian's packages and {tool} is not here; "
                f"unpack {', '.join(packages)} into {folder} by other means"
            )
    sources = []
    with show_progress("fetching", len(packages), "packages") as update:
        for number, package in enumerate(packages, start=1):
            with tempfile.TemporaryDirectory() as work:
                archive = _fetch(package, Path(work))
                sources.append(archive.stem)
                unpacked = Path(work) / "unpacked"
                try:
                    subprocess.run(["dpkg-deb", "-x", str(archive), str(unpacked)], check=True)
                    take(package, unpacked)
                except (OSError, subprocess.CalledProcessError) as error:
                    raise DatasetError(
                        f"{archive.name}: cannot be unpacked into {folder}: {error}"
                    ) from error
            update(number)
    (folder / SOURCES).write_text("\n".join(sources) + "\n", encoding="utf-8")


def keep_sound(path: Path, folder: Path) -> None:
    """Copy a file under a name that contains its last folders, as two files may share a name."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / "-".join(path.parts[-3:]))


def keep_copyright(unpacked: Path, folder: Path) -> None:
    """Copy a package's ``copyright`` file into the folder of its sounds."""
    for path in unpacked.glob("usr/share/doc/*/copyright"):
        shutil.copyfile(path, folder / f"{path.parent.name}.copyright")


def _fetch(package: str, work: Path) -> Path:
    result = subprocess.run(
        ["apt-get", "download", "-q", package], cwd=work, capture_output=True, text=True
    )  # fmt: skip
    archives = list(work.glob("*.deb"))
    if result.returncode or not archives:
        reason = " ".join(result.stderr.split())[-200:] or "no such package"
        raise DatasetError(
            f"{package}: apt-get cannot fetch it: {reason}; run apt-get update and try again"
        )
    return archives[0]
