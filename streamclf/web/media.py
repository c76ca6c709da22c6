"""Audio and pictures of clips, by their row in the store and never by a path."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections import OrderedDict
from pathlib import Path

from aiohttp import web

from streamclf.core.errors import RecordingError
from streamclf.pipeline.spectrogram_png import DARK, LIGHT, draw_clip
from streamclf.store.clips import find_clip_file
from streamclf.web.asking import ask
from streamclf.web.context import WebContext
from streamclf.web.words import WHY_GONE

FLAC = "audio/flac"
_KEPT_PICTURES = 200
_LARGEST_ROW = 2**63 - 1
_MOVED = "The file of this clip was moved or deleted."


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the clips to the application."""
    media = _Media()
    app.router.add_get(r"/media/clips/{id:[0-9]{1,19}}", media.play)
    app.router.add_get(r"/media/clips/{id:[0-9]{1,19}}/picture", media.draw)


class _Media:
    def __init__(self) -> None:
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._drawing = asyncio.Lock()

    async def play(self, request: web.Request) -> web.StreamResponse:
        """Answer with the audio of a clip, or with the parts of it that are asked for."""
        path = await _find(request)
        return web.FileResponse(
            path,
            headers={
                "Content-Type": FLAC,
                "Content-Disposition": f'inline; filename="{_plain(path.name)}"',
                "Cache-Control": "private, no-cache",
            },
        )

    async def draw(self, request: web.Request) -> web.StreamResponse:
        """Answer with the picture of a clip; ``?light=1`` for a light page."""
        tones = LIGHT if request.query.get("light") == "1" else DARK
        path = await _find(request)
        status = await asyncio.to_thread(path.stat)
        said = f"{path}|{tones}|{status.st_mtime_ns}|{status.st_size}".encode(
            "utf-8", "surrogatepass"
        )
        tag = hashlib.sha256(said).hexdigest()[:32]
        headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
        if any(each.value in (tag, "*") for each in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        async with self._drawing:  # one at a time, so that the audio keeps its processor
            picture = self._pictures.get(tag)
            if picture is None:
                try:
                    picture = await asyncio.to_thread(draw_clip, path, tones)
                except RecordingError as error:
                    raise web.HTTPNotFound(text="This clip cannot be drawn.") from error
                self._pictures[tag] = picture
                while len(self._pictures) > _KEPT_PICTURES:
                    self._pictures.popitem(last=False)
        return web.Response(body=picture, content_type="image/png", headers=headers)


async def _find(request: web.Request) -> Path:
    """Find the file of a clip.

    Raises:
        web.HTTPNotFound: There is no such clip, or it is gone.
    """
    row = int(request.match_info["id"])

    def look_up(store: sqlite3.Connection) -> tuple[str, str, int | None, str | None] | None:
        found: tuple[str, str, int | None, str | None] | None = store.execute(
            "SELECT folder, path, gone_us, gone_why FROM clips WHERE id = ?", (row,)
        ).fetchone()
        return found

    found = await ask(request, look_up) if row <= _LARGEST_ROW else None
    if found is None:
        raise web.HTTPNotFound(text="There is no such clip.")
    folder, path, gone_us, why = found
    if gone_us is not None:
        raise web.HTTPNotFound(text=WHY_GONE.get(why or "", _MOVED))
    file = await asyncio.to_thread(find_clip_file, folder, path)
    if file is None:
        raise web.HTTPNotFound(text=_MOVED)
    return file


def _plain(name: str) -> str:
    """The name of a file as any header can hold it."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
