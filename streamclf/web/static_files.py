"""Stylesheet, scripts and icon, which a browser keeps.

Their address holds a mark that changes with any of them, so a browser asks for each only once. It
is a folder of the address, so that scripts that import each other stay under the same mark.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).with_name("static")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER = "private, max-age=31536000, immutable"


@cache
def static_files() -> dict[str, bytes]:
    """All files by their names."""
    found = sorted(path for path in FOLDER.iterdir() if path.suffix in _TYPES)
    return {path.name: path.read_bytes() for path in found}


@cache
def static_mark() -> str:
    """Mark of the files as they are."""
    digest = hashlib.sha256()
    for name, data in static_files().items():
        digest.update(f"{name}|{len(data)}|".encode() + data)
    return digest.hexdigest()[:12]


def marked(path: str) -> str:
    """Put the mark into the address of a file; other addresses stay as they are."""
    before, folder, name = path.rpartition("static/")
    return f"{before}static/{static_mark()}/{name}" if folder and "/" not in name else path


def add_routes(app: web.Application) -> None:
    """Add the files to the application."""
    app.router.add_get(r"/static/{mark:[0-9a-f]{12}}/{name:[a-z0-9_.]+}", _show)
    app.router.add_get(r"/static/{name:[a-z0-9_.]+}", _show)


async def _show(request: web.Request) -> web.Response:
    name, mark = request.match_info["name"], static_mark()
    data = static_files().get(name)
    if data is None:
        raise web.HTTPNotFound
    tag = f"{mark}-{name}"
    # A page of another version asks by its mark: it gets what is there, and does not keep it.
    fresh = request.match_info.get("mark") == mark
    headers = {
        "ETag": f'"{tag}"',
        "Cache-Control": _FOREVER if fresh else "private, no-cache",
    }
    if any(each.value in (tag, "*") for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    kind = _TYPES[Path(name).suffix]
    charset = "utf-8" if kind.startswith("text/") else None
    return web.Response(body=data, content_type=kind, charset=charset, headers=headers)
