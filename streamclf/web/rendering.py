"""Pages made from templates, whose links are relative to the page itself.

So they hold under any base path, whether or not whoever is in front says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from streamclf.web.context import CONTEXT
from streamclf.web.json_text import write_json
from streamclf.web.static_files import marked
from streamclf.web.words import FILTERS, WHY_GONE

_PLAIN = "/?&=%#:;,+!$()*@~'"
"""What stays as it is in an address. Line breaks and backslashes, for example, do not."""
TOKEN_FIELD = "csrf"  # noqa: S105 - the field's name
"""Field in which forms send their token."""
TOKEN: web.RequestKey[str] = web.RequestKey("csrf", str)
"""Key, in a request, of the token that its page's forms send."""
MAY_LOG_OUT: web.RequestKey[bool] = web.RequestKey("may_log_out", bool)
"""Key, in a request, of whether somebody is logged in."""


@cache
def environment() -> Environment:
    """The templates; what they show is escaped."""
    made = Environment(
        loader=PackageLoader("streamclf.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals["why_gone"] = WHY_GONE
    return made


def own_path(request: web.Request) -> str | None:
    """Path of a request below the base path, as it was sent; None for one beside it."""
    base = request.config_dict[CONTEXT].options.base_path
    path = request.rel_url.raw_path
    return path.removeprefix(base) if path == base or path.startswith(f"{base}/") else None


def link(request: web.Request, path: str) -> str:
    """Return a link from the page of a request to another one: ``../static/style.css``.

    Args:
        request: The request.
        path: The other page, from the root of the pages, with or without ``/`` in front.
    """
    own = (own_path(request) or "").lstrip("/")
    # "./" in front, so that no path is taken for another host or a scheme.
    return ("../" * own.count("/") or "./") + marked(path.lstrip("/"))


def render(request: web.Request, name: str, /, status: int = 200, **values: Any) -> web.Response:
    """Make a page of a template.

    Besides the values a template has ``link("/day")``, ``csrf`` (the token that each form sends as
    its field ``csrf``), ``may_log_out``, and ``version``.
    """
    text = (
        environment()
        .get_template(name)
        .render(
            link=lambda path: link(request, path),
            csrf=request.get(TOKEN, ""),
            may_log_out=request.get(MAY_LOG_OUT, False),
            version=request.config_dict[CONTEXT].version,
            **values,
        )
    )
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


def redirect(request: web.Request, path: str) -> web.Response:
    """Send a browser to another page; to the first one in place of one outside these pages."""
    steps = re.split(r"[?#]", path, maxsplit=1)[0].replace("\\", "/").split("/")
    if any(unquote(step) in (".", "..") for step in steps):
        path = "/"
    place = quote(link(request, path), safe=_PLAIN)
    return web.Response(status=303, headers={"Location": place})


def wants_page(request: web.Request) -> bool:
    """Whether who asks can show a page, and is no program or script."""
    accepted = "text/html" in request.headers.get("Accept", "")
    return accepted and not (own_path(request) or "").startswith("/api/")


def answer_json(
    value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with JSON that every reader takes: a number that is none (NaN) is null."""
    text = write_json(value)
    return web.Response(
        status=status, text=text, content_type="application/json", charset="utf-8", headers=headers
    )


def refuse(request: web.Request, status: int, text: str) -> web.Response:
    """Answer with an error: a small page for people, one line of JSON for programs."""
    if wants_page(request):
        return render(request, "error.html", status, title=_TITLES.get(status, "Error"), text=text)
    return answer_json({"error": text}, status)


AGAIN_S = 2
"""Seconds after which a browser that came too early asks again by itself."""


def tell_starting(request: web.Request) -> web.Response:
    """Answer somebody who comes while the store is still being opened."""
    if wants_page(request):
        text = "What was heard is being opened. This page comes by itself in a moment."
        answer = render(
            request, "error.html", 503, title="streamclf is starting", text=text, again_s=AGAIN_S
        )
    else:
        text = "The store is being opened: ask again in a moment."
        answer = answer_json({"error": text}, 503)
    answer.headers["Retry-After"] = str(AGAIN_S)
    return answer


_TITLES = {
    400: "This cannot be understood",
    401: "Please log in",
    403: "This is refused",
    404: "There is nothing here",
    408: "This took too long",
    413: "This is too long",
    429: "Please wait",
    500: "Something went wrong",
    503: "This does not work right now",
}
