"""Places where archives and results lie: folders on this machine, and stores behind a URL.

Results are put whole or not at all. On a disk they are written aside, flushed and renamed; a store
takes each in one request.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from streamclf.archive.local_place import LocalPlace
from streamclf.archive.place import Patience, Place
from streamclf.core.errors import UsageError

__all__ = ["Patience", "Place", "check_apart", "open_place"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")


def open_place(url: str, patience: Patience | None = None, *, outage_s: float = 0.0) -> Place:
    """Open a place.

    Args:
        url: A path, or a URL that fsspec knows: ``s3://bucket/folder/``.
        patience: How long a store is asked again; None for half a minute or so.
        outage_s: Seconds for which a store that has answered before may be down.

    Raises:
        UsageError: The URL cannot be understood, or the package for it is not installed.
    """
    if not _URL.match(url) or url.startswith(("file://", "local://")):
        return LocalPlace(Path(re.sub(r"^(file|local)://(localhost(?=/))?", "", url)))
    from streamclf.archive.remote_place import RemotePlace

    return RemotePlace(url, replace(patience or Patience(), outage_s=outage_s))


def check_apart(archive: Place, results: Place) -> None:
    """Check that results are not put among the recordings.

    Raises:
        UsageError: Both are the same place.
    """
    if archive.url == results.url:
        raise UsageError(
            f"--out {results}: is the archive itself: name another folder for the results"
        )
