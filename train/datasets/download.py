"""Fetching a data set's archive, and unpacking it without trusting it."""

from __future__ import annotations

import shutil
import tempfile
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

from train.base.errors import DatasetError
from train.datasets.progress import show_progress

MAX_BYTES = 4_000_000_000
"""Largest unpacked size of an archive."""


def fetch_zip(url: str, folder: Path) -> None:
    """Download a zip and unpack its single top folder as ``folder``, completely or not at all.

    Files that the folder already holds stay.

    Raises:
        DatasetError: It cannot be fetched, is no zip, or holds paths that lead out of the folder.
    """
    folder = folder.resolve()
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        with tempfile.TemporaryFile() as archive:
            _download(url, archive)
            if folder.is_dir() and any(folder.iterdir()):
                unpack_zip(archive, folder)
                return
            shutil.rmtree(partial, ignore_errors=True)
            unpack_zip(archive, partial)
        folder.mkdir(exist_ok=True)
        for path in partial.iterdir():
            path.rename(folder / path.name)
    except (OSError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{url}: cannot be fetched into {folder}: {error}; "
            "download and unpack it there by other means"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def unpack_zip(archive, folder: Path) -> None:
    """Unpack a zip into a folder, without its top folder.

    Args:
        archive: An open binary file.
        folder: Target folder, created if missing.

    Raises:
        DatasetError: A member's path leads out of the folder, or it unpacks to too much.
    """
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        total = sum(member.file_size for member in members)
        if total > MAX_BYTES:
            raise DatasetError(f"the archive unpacks to {total} bytes, the limit is {MAX_BYTES}")
        targets = {}
        for member in members:
            parts = PurePosixPath(member.filename.replace("\\", "/")).parts
            if ".." in parts or parts[0] == "/" or ":" in member.filename:
                raise DatasetError(f"the archive holds the path {member.filename!r}: not unpacked")
            if len(parts) > 1:
                targets[folder.joinpath(*parts[1:])] = member
        for path, member in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)


def _download(url: str, target) -> None:
    # urlopen takes other schemes, too; a data set's address in this package is always https.
    if not url.startswith("https://"):
        raise DatasetError(f"{url}: only https:// is fetched")
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310
        total = int(response.headers.get("Content-Length") or 0)
        with show_progress(f"fetching {url}", round(total / 1e6), "MB") as update:
            n_bytes = 0
            while chunk := response.read(1 << 20):
                target.write(chunk)
                n_bytes += len(chunk)
                update(round(n_bytes / 1e6))
    target.seek(0)
