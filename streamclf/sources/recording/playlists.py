"""Playlists and URLs in place of recordings, with error messages that say what to do."""

from __future__ import annotations

import re
from pathlib import PurePath
from urllib.parse import urlsplit

from streamclf.core.errors import RecordingError
from streamclf.core.redaction import mask_url

PLAYLISTS = frozenset([".pls", ".m3u", ".m3u8", ".xspf", ".asx", ".wax", ".wvx", ".ram"])
"""Endings of playlists, which name audio and hold none."""

FILE_PLAYLIST = (
    "is a playlist, not audio: give the recordings that it names; streamclf listen --source URL "
    "listens to a stream that it names"
)
STREAM_PLAYLIST = (
    "is a playlist, which names a stream: open it as text and give --source the URL in it"
)

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_HEADS = (b"#EXTM3U", b"[playlist]", b"<asx", b"<ASX", b"#EXTINF")


def check_name(name: str) -> None:
    """Refuse a URL as the name of a recording.

    Raises:
        RecordingError: The name is a URL.
    """
    if _URL.match(name):
        shown = mask_url(name)
        raise RecordingError(
            f"{shown}: is a URL, not a file: streamclf listen --source {shown} listens to it"
        )


def is_playlist(path: PurePath, head: bytes) -> bool:
    """Whether a file without audio is a playlist, judged by its first bytes or its name."""
    begins_so = head.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(_HEADS)
    return begins_so or path.suffix.lower() in PLAYLISTS


def names_playlist(url: str) -> bool:
    """Whether a URL is that of a playlist, except HLS (``.m3u8``), which FFmpeg opens."""
    path = urlsplit(url).path.lower()
    return any(path.endswith(ending) for ending in PLAYLISTS - {".m3u8"})
