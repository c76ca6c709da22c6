"""``/metrics`` for Prometheus, and ``/healthz`` for what keeps containers alive.

`streamclf.web.exposition` writes the metrics.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from streamclf.web.context import CONTEXT, WebContext

METRICS_PATH = "/metrics"
ALIVE_PATH = "/healthz"


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add both to the application."""
    app.router.add_get(METRICS_PATH, show_metrics)
    app.router.add_get(ALIVE_PATH, show_alive)


async def show_metrics(request: web.Request) -> web.Response:
    """Answer with all metrics, in the form that the asker prefers."""
    context = request.config_dict[CONTEXT]
    accept = ",".join(request.headers.getall("Accept", []))
    body, content_type = await asyncio.to_thread(_expose, context, accept)
    response = web.Response(body=body, headers={"Content-Type": content_type})
    response.enable_compression()
    return response


def _expose(context: WebContext, accept: str) -> tuple[bytes, str]:
    from streamclf.web.exposition import expose  # which costs nothing where nobody asks

    return expose(context, accept)


async def show_alive(request: web.Request) -> web.Response:
    """Tell that the process lives, and nothing else: 503 where it hears nothing any more."""
    alive = request.config_dict[CONTEXT].is_alive()
    return web.Response(text="alive\n" if alive else "not alive\n", status=200 if alive else 503)
