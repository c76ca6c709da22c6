"""The application: all pages behind one gate."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from streamclf.web import (
    api,
    backtest_api,
    listening,
    live,
    media,
    metrics,
    static_files,
    teach_api,
)
from streamclf.web.bodies import MAX_BODY
from streamclf.web.connections import Connections
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.pages import (
    backtest,
    day,
    events,
    health,
    like,
    login,
    now,
    sounds,
    teach,
    unknown,
)
from streamclf.web.places import PLACES, Places
from streamclf.web.security import Gate

_PAGES: tuple[Callable[[web.Application, WebContext], None], ...] = (
    live.add_routes,
    api.add_routes,
    media.add_routes,
    now.add_routes,
    day.add_routes,
    events.add_routes,
    like.add_routes,
    sounds.add_routes,
    unknown.add_routes,
    teach.add_routes,
    teach_api.add_routes,
    backtest.add_routes,
    backtest_api.add_routes,
    health.add_routes,
    metrics.add_routes,
)
"""What adds the pages."""


def build_app(context: WebContext, connections: Connections | None = None) -> web.Application:
    """Make the application with all pages.

    Args:
        context: What all pages share.
        connections: The open connections, whose time is limited; None for no limits.
    """
    gate = Gate(context, connections)
    pages = web.Application(client_max_size=MAX_BODY)
    static_files.add_routes(pages)
    login.add_routes(pages, context, gate)
    listening.add_routes(pages, context, gate)
    for add_routes in _PAGES:
        add_routes(pages, context)
    app = pages
    if base := context.options.base_path:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get(base, _show_first_page)
        app.add_subapp(base, pages)
    app[CONTEXT] = context
    places = app[PLACES] = Places()
    app.on_shutdown.append(places.close)
    app.middlewares.append(gate.middleware)
    app.on_response_prepare.append(gate.add_headers)
    return app


async def _show_first_page(request: web.Request) -> web.StreamResponse:
    base = request.config_dict[CONTEXT].options.base_path
    return web.Response(status=303, headers={"Location": f"{base.rpartition('/')[2]}/"})
