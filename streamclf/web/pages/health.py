"""The page Health: whether all is heard, what was lost and why, and what room is left."""

from __future__ import annotations

import asyncio

from aiohttp import web

from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.health_texts import (
    health_texts,
    process_facts,
    source_facts,
    target_facts,
    target_title,
    tell_kept,
)
from streamclf.web.rendering import render


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page."""
    app.router.add_get("/health", show)


async def show(request: web.Request) -> web.Response:
    """Show how the process and its sources fare."""
    health = await asyncio.to_thread(request.config_dict[CONTEXT].health)
    sources = [(source, source_facts(source)) for source in health.get("sources", ())]
    targets = [
        (target, target_title(target), target_facts(target)) for target in health.get("targets", ())
    ]
    store = health.get("store")
    return render(
        request, "health.html", page="health", said=health_texts(health),
        facts=process_facts(health), sources=sources, targets=targets, store=store,
        kept=tell_kept(store or {}),
    )  # fmt: skip
