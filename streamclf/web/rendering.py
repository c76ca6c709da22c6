"""Pages made from templates, whose links are relative to the page itself.

So they hold under any base path, whether or not whoever is in front says what it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from streamclf.web.context import CONTEXT


@cache
def environment() -> Environment:
    """The templates; what they show is escaped."""
    return Environment(
        loader=PackageLoader("streamclf.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def link(request: web.Request, path: str) -> str:
    """Return a link from the page of a request to another one: ``../static/page.css``.

    Args:
        request: The request.
        path: The other page, from the root of the pages, with or without ``/`` in front.
    """
    base = request.config_dict[CONTEXT].options.base_path
    own = request.path.removeprefix(base).lstrip("/")
    return "../" * own.count("/") + path.lstrip("/") or "./"


def render(request: web.Request, name: str, status: int = 200, **values: Any) -> web.Response:
    """Make a page of a template.

    Besides the values a template has ``link("/day")``, ``csrf`` (the token that each form sends as
    its field ``csrf``), ``may_log_out``, and ``version``.
    """
    text = (
        environment()
        .get_template(name)
        .render(
            link=lambda path: link(request, path),
            csrf=request.get("csrf", ""),
            may_log_out=request.get("may_log_out", False),
            version=request.config_dict[CONTEXT].version,
            **values,
        )
    )
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


def redirect(request: web.Request, path: str) -> web.Response:
    """Send a browser to another page, after a form was taken."""
    return web.Response(status=303, headers={"Location": link(request, path)})
