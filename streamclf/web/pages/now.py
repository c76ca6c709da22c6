"""The page Now: what sounds at this moment, at each source."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from aiohttp import web

from streamclf.core.text_format import format_length
from streamclf.web.context import WebContext
from streamclf.web.health_texts import STATE_WORDS
from streamclf.web.listening import LISTENING, PATH
from streamclf.web.live import BROADCAST
from streamclf.web.rendering import render

LOWEST_DB = -72.0
"""Level at the left end of a meter; its right end is full scale."""
N_ENDED = 12
N_TROUBLES = 6


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page."""
    app.router.add_get("/", show)


async def show(request: web.Request) -> web.Response:
    """Show everything as it is now; a script makes it live."""
    broadcast = request.app[BROADCAST]
    snapshot = await asyncio.to_thread(broadcast.hub.snapshot)
    now_ms = snapshot["now"]
    sounding = [
        {**event, "for": _lasting(event, now_ms)}
        for source in snapshot["sources"]
        for event in source["open"]
    ]
    return render(
        request, "now.html", page="now", snapshot=snapshot, sounding=sounding,
        ended=snapshot["ended"][:N_ENDED], troubles=snapshot["troubles"][:N_TROUBLES],
        process_troubles=await broadcast.troubles(),
        time=_clock(now_ms), clock=_clock, length=_length, fraction=fraction, words=STATE_WORDS,
        template=_EMPTY, level=tell_level, mark=mark,
        sound_path=PATH if request.app[LISTENING].is_allowed else "",
    )  # fmt: skip


_EMPTY: dict[str, Any] = {
    "source": "", "state": "waiting", "level": None, "sounds": [], "overload": "",
    "last_heard": None, "clipped": False, "muted": False, "verdict": None, "scored": True,
    "calibration_db": None, "may_be_heard": False,
}  # fmt: skip
"""A source of which nothing is known yet: what a script fills."""


def fraction(db: float | None) -> float:
    """Place of a level on its meter, 0..1."""
    return 0.0 if db is None else round(min(max(1 - db / LOWEST_DB, 0.0), 1.0), 3)


def mark(threshold: float | None) -> float:
    """Place of a threshold on the bar of a score; outside where there is none."""
    return -9 if threshold is None else round(min(100 * threshold, 98.5), 1)


def tell_level(source: dict[str, Any]) -> str:
    """Write a level: in dB SPL where the source is calibrated, else in dB re full scale."""
    if source["level"] is None:
        return "–"
    if source["muted"]:
        return STATE_WORDS["silent"]
    if source["clipped"]:
        return "too loud"
    db = round(source["level"] + (source["calibration_db"] or 0.0))
    unit = "dB" if source["calibration_db"] is None else "dB SPL"
    return f"{db} {unit}".replace("-", "−")


def _lasting(event: dict[str, Any], now_ms: int) -> str:
    if event["onset"] is None:
        return ""
    seconds = max(now_ms - event["onset"], 0) / 1000
    return f"{seconds:.0f} s" if seconds < 59.5 else format_length(seconds)


def _length(seconds: float | None) -> str:
    return "" if seconds is None else format_length(seconds)


def _clock(ms: int | None) -> str:
    """Write a moment by the place's clock: ``14:02:33``."""
    return "" if ms is None else f"{datetime.fromtimestamp(ms / 1000):%H:%M:%S}"
