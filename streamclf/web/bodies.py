"""Bodies of requests: how long they may be, how long they may take, and what a form says.

aiohttp has a reader of forms as well. It takes many kinds of forms and encodings, of which no page
sends any, and raises errors of all sorts for those that are broken. Whoever is not logged in could
fill the log with them.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from multidict import MultiDict

from streamclf.core.errors import UsageError

MAX_BODY = 1_000_000
"""Longest body of a request, in bytes."""
MAX_FORM_OF_STRANGERS = 64_000
"""Longest body of somebody who is not logged in: a password, and the page that follows."""
BODY_S = 20.0
"""Time in which a body must be there."""
MAX_FIELDS = 2000
"""Most fields of a form."""
FORM = "application/x-www-form-urlencoded"
_Body = TypeVar("_Body")


def media_type(request: web.Request) -> str:
    """Media type of a body, without its parameters; aiohttp takes a second for a strange one."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def check_body(request: web.Request, *, is_known: bool) -> None:
    """Refuse a body by what its header says, before it is read.

    Args:
        request: The request.
        is_known: Whether who sends it may see the pages.

    Raises:
        web.HTTPError: It is too long, is compressed, or a stranger does not tell its length.
    """
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType
    n_bytes = request.content_length
    if n_bytes is None:
        if request.can_read_body and not is_known:
            raise web.HTTPLengthRequired
        return
    limit = MAX_BODY if is_known else MAX_FORM_OF_STRANGERS
    if n_bytes > limit:
        raise web.HTTPRequestEntityTooLarge(limit, n_bytes)


async def take_body(request: web.Request) -> bytes:
    """Wait for a body, and keep it for whoever reads it later.

    Raises:
        TimeoutError: It did not arrive in time.
        web.HTTPError: It is too long, or broken.
    """
    async with asyncio.timeout(BODY_S):
        try:
            return await request.read()
        except web.RequestPayloadError as error:
            raise web.HTTPBadRequest from error


async def read_form(request: web.Request) -> MultiDict[str]:
    """Read a form; empty where the body is something else.

    Raises:
        TimeoutError: It did not arrive in time.
        web.HTTPError: It is too long, or broken.
    """
    if media_type(request) != FORM:
        return MultiDict()
    text = (await take_body(request)).decode("utf-8", "replace")
    try:
        return MultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise web.HTTPBadRequest from error


async def read_json(request: web.Request, kind: type[_Body]) -> _Body:
    """Read a body of JSON.

    Raises:
        UsageError: It is no JSON, or not of this type.
    """
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not as `{kind.__name__}` is: {error}") from error
