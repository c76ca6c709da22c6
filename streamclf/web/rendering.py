"""Pages made from templates, whose links are relative to the page itself.

So they hold under any base path, whether or not whoever is in front says what it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from streamclf.web.context import CONTEXT

TOKEN = "csrf"  # noqa: S105 - the key's name
"""Key, in a request, of the token that its page's forms send; also the name of their field."""
MAY_LOG_OUT = "may_log_out"
"""Key, in a request, of whether somebody is logged in."""


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
    """Return a link from the page of a request to another one: ``../static/style.css``.

    Args:
        request: The request.
        path: The other page, from the root of the pages, with or without ``/`` in front.
    """
    base = request.config_dict[CONTEXT].options.base_path
    own = request.rel_url.raw_path.removeprefix(base).lstrip("/")
    # "./" in front, so that no path is taken for another host or a scheme.
    return ("../" * own.count("/") or "./") + path.lstrip("/")


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
            csrf=request.get(TOKEN, ""),
            may_log_out=request.get(MAY_LOG_OUT, False),
            version=request.config_dict[CONTEXT].version,
            **values,
        )
    )
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


def redirect(request: web.Request, path: str) -> web.Response:
    """Send a browser to another page, after a form was taken."""
    return web.Response(status=303, headers={"Location": link(request, path)})


def wants_page(request: web.Request) -> bool:
    """Whether who asks can show a page, and is no program or script."""
    base = request.config_dict[CONTEXT].options.base_path
    path = request.rel_url.raw_path.removeprefix(base)
    return "text/html" in request.headers.get("Accept", "") and not path.startswith("/api/")


def refuse(request: web.Request, status: int, text: str) -> web.Response:
    """Answer with an error: a small page for people, one line of JSON for programs."""
    if wants_page(request):
        return render(request, "error.html", status, title=_TITLES.get(status, "Error"), text=text)
    return web.json_response({"error": text}, status=status)


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
