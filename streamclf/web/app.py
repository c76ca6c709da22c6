"""The application: all pages behind one gate."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from streamclf.web import live
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.pages import health, now

STATIC = Path(__file__).with_name("static")
MAX_BODY = 1_000_000
"""Longest body of a request, in bytes."""


def build_app(context: WebContext) -> web.Application:
    """Make the application with all pages.

    Each page's module adds its own: ``module.add_routes(pages, context)``.
    """
    pages = web.Application(client_max_size=MAX_BODY)
    pages.router.add_static("/static", STATIC)
    for module in (live, now, health):
        module.add_routes(pages, context)
    if not context.options.base_path:
        pages[CONTEXT] = context
        return pages
    app = web.Application(client_max_size=MAX_BODY)
    app[CONTEXT] = context
    app.add_subapp(context.options.base_path, pages)
    return app
