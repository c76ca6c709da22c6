"""The gate: each request passes it, whatever it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlencode

from aiohttp import web

from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.redaction import one_line
from streamclf.runs.console import say
from streamclf.web.asking import StartingError
from streamclf.web.attempts import Attempts
from streamclf.web.bodies import check_body, read_form, take_body
from streamclf.web.connections import Connections, abort
from streamclf.web.context import WebContext
from streamclf.web.ended_sessions import EndedSessions
from streamclf.web.keys import KeyFile, Keys
from streamclf.web.options import PageOptions
from streamclf.web.rendering import (
    MAY_LOG_OUT,
    TOKEN,
    TOKEN_FIELD,
    own_path,
    redirect,
    refuse,
    tell_starting,
    wants_page,
)
from streamclf.web.sessions import LASTS_S, Session, Sessions, cookie_name, is_token, token_of
from streamclf.web.static_files import marked
from streamclf.web.viewer import (
    VIEWER,
    Viewer,
    find_viewer,
    is_forwarded,
    is_local,
    is_sent_elsewhere,
    may_name,
)

CHECK_S = 5.0
"""Time after which an answer that goes on is ended, once its viewer is logged out."""
OPEN_PATHS = (
    "/login", "/api/session",
    "/static/style.css", "/static/icon.svg",
    marked("/static/style.css"), marked("/static/icon.svg"),
)  # fmt: skip
"""All that somebody sees who is not logged in: the form of the password, and its looks."""
_OPEN = (*OPEN_PATHS, "")  # the base path alone only leads to the first page
TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 - the header's name
_SAFE = ("GET", "HEAD", "OPTIONS")
_SHOWN = 100
_LONGEST_REASON = 500
_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)
"""Key, in a request, of the session that it belongs to."""


class Gate:
    """The gate in front of all pages.

    Args:
        context: What all pages share.
        connections: The open connections; None where nobody limits them.
    """

    def __init__(self, context: WebContext, connections: Connections | None = None) -> None:
        self.attempts = Attempts()
        self._tried: str | None = None
        self.sessions = Sessions(ended=EndedSessions(_ended_beside(context.keys)))
        self._options = context.options
        self._file = KeyFile(context.keys)
        self._cookie = cookie_name(str(context.keys or context.store))
        # One without a single connection is false, and still the one to use.
        self._connections = Connections() if connections is None else connections
        self._hashing = asyncio.Lock()

    @property
    def keys(self) -> Keys:
        """The keys as they are now.

        Raises:
            StoreError: Their file cannot be read.
        """
        return self._file.keys

    @web.middleware
    async def middleware(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let a request pass, or refuse it."""
        with self._connections.handling(request.transport):
            try:
                return await self._answer(request, handler)
            except web.HTTPError as error:
                return _explain(request, error)
            except TimeoutError:
                return refuse(request, 408, "The request did not arrive in time: try again.")
            except StartingError:
                return tell_starting(request)
            except StreamclfError as error:
                say(f"warning: the page: {error}")
                return refuse(request, 503, _sentence(str(error)))
            except ConnectionError:  # who asked has gone
                raise
            except Exception as error:  # any error: a page must not end the others
                path, reason = request.path[:_SHOWN], str(error)[:_LONGEST_REASON]
                say(f"error: the page: {path}: {type(error).__name__}: {reason}")
                return refuse(request, 500, "This is a mistake in streamclf: the log tells more.")

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what each answer tells a browser: to load nothing from elsewhere, for example."""
        viewer = request.get(VIEWER)
        framed = viewer is not None and viewer.through_ingress
        framers = "'self'" if framed else "'none'"
        headers = response.headers
        headers.setdefault(
            "Content-Security-Policy",
            "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
            f"frame-ancestors {framers}",
        )
        headers["X-Content-Type-Options"] = "nosniff"
        # With no-referrer, browsers leave the origin out of forms, which is looked at here.
        headers["Referrer-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers.setdefault("Cache-Control", "no-store")
        headers["Server"] = "streamclf"

    async def check_password(self, password: str, address: str) -> float | None:
        """Look at a password.

        Returns:
            None if it is right; else the pause in seconds before the next try, which may be 0.0.
        """
        keys = self.keys
        if keys.password != self._tried:  # nobody has tried the new one yet
            self.attempts, self._tried = Attempts(), keys.password
        pause_s = self.attempts.begin(address)
        if pause_s > 0:
            return pause_s
        # One after the other, so that many tries at once leave the processor to the audio.
        async with self._hashing:
            right = await asyncio.to_thread(keys.matches, password)
        if right:
            self.attempts.forgive(address)
            return None
        say(f"warning: the page: wrong password from {one_line(address)}")
        return 0.0

    def write_cookie(
        self, request: web.Request, response: web.StreamResponse, session: Session
    ) -> None:
        """Give a browser its session."""
        viewer = request[VIEWER]
        response.set_cookie(
            self._cookie,
            self.sessions.write(session, self.keys),
            max_age=LASTS_S if session.is_owner else None,
            path=f"{viewer.prefix}{self._options.base_path}" or "/",
            secure=viewer.scheme == "https",
            httponly=True,
            samesite="Lax",
        )

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        options = self._options
        viewer = request[VIEWER] = find_viewer(request, options)
        if not may_name(viewer, options) or is_sent_elsewhere(request, viewer, options):
            return refuse(request, 403, _foreign_name(viewer))
        keys = self.keys
        if keys.password is None and (problem := lacks_password(options)):
            return refuse(request, 403, _sentence(problem))
        if keys.password is None and is_forwarded(request):
            return refuse(request, 403, _UNNAMED_PROXY)
        if _is_from_elsewhere(request, viewer):
            return refuse(request, 403, "Another page asks for this, and only this one may.")
        known = self.sessions.read(request.cookies.get(self._cookie), keys)
        session = request[SESSION] = known or self.sessions.begin("guest")
        _check_dates(request)
        check_body(request, is_known=session.is_owner or keys.password is None)
        request[TOKEN] = token_of(session, keys)
        request[MAY_LOG_OUT] = session.is_owner and keys.password is not None
        if not (session.is_owner or keys.password is None or own_path(request) in _OPEN):
            response = self._ask_password(request)
        elif request.method not in _SAFE and not await self._has_token(request, session, keys):
            response = refuse(request, 403, "The form is too old: load the page again, then retry.")
        elif session.is_owner and keys.password is not None:
            response = await self._answer_owner(request, handler)
        else:
            response = await handler(request)
        if known is None and not response.prepared and self._cookie not in response.cookies:
            self.write_cookie(request, response, session)
        return response

    async def _has_token(self, request: web.Request, session: Session, keys: Keys) -> bool:
        # A connection whose body does not come has no right to its place.
        with self._connections.waiting(request.transport):
            said = request.headers.get(TOKEN_HEADER)
            if said is None:
                said = (await read_form(request)).get(TOKEN_FIELD)
            else:
                await take_body(request)  # so that no handler waits for a slow one
        return said is not None and is_token(said, session, keys)

    async def _answer_owner(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer somebody who is logged in, as long as they are: an event stream may go on."""

        async def watch() -> None:
            # A file of keys that cannot be read lets nobody in, and so nobody stay.
            with suppress(StreamclfError):
                while self.sessions.read(request.cookies.get(self._cookie), self.keys) is not None:
                    await asyncio.sleep(CHECK_S)
            if request.transport is not None:
                abort(request.transport)

        watching = asyncio.create_task(watch())
        try:
            return await handler(request)
        finally:
            watching.cancel()

    def _ask_password(self, request: web.Request) -> web.StreamResponse:
        if not wants_page(request) or request.method not in _SAFE:
            return refuse(request, 401, "Log in first.")
        path = f"{own_path(request) or '/'}?{request.rel_url.raw_query_string}".rstrip("?")
        return redirect(request, f"/login?{urlencode({'next': path})}")


def _ended_beside(keys: Path | None) -> Path | None:
    """Path of the file of ended sessions."""
    return None if keys is None else keys.with_name(f"{keys.stem}-ended.txt")


def check_access(options: PageOptions, keys: Path | None) -> None:
    """Refuse an address that others can reach, where no password is set.

    Args:
        options: Where the page is.
        keys: File of the password; None if there is none.

    Raises:
        UsageError: There is no password.
        StoreError: The file of the password cannot be read.
    """
    known = KeyFile(keys).keys  # which tells at the start, not to each visitor, what is wrong
    problem = lacks_password(options)
    if problem and known.password is None:
        raise UsageError(problem)


def lacks_password(options: PageOptions) -> str:
    """Say why the page needs a password, if none is set; empty if it needs none."""
    if not is_local(options.host):
        reason = f"--host {options.host}: other machines can reach this address"
    elif options.proxies:
        reason = f"--proxy {options.proxies[0]}: others can reach the page through it"
    elif options.public_url is not None:
        reason = f"--public-url {options.public_url}: others can reach the page"
    else:
        return ""
    return f"{reason}, and it has no password: set one by `streamclf serve --set-password`"


_UNNAMED_PROXY = (
    "A proxy asks for this page, and the page has no password: set one by streamclf serve "
    "--set-password, and name the proxy by --proxy."
)


def _foreign_name(viewer: Viewer) -> str:
    shown = one_line(viewer.host[:_SHOWN]) or "missing"
    return (
        f"The name {shown} is not this page's own: open it by the address that streamclf named at "
        "its start, or name the other one by --public-url."
    )


def _is_from_elsewhere(request: web.Request, viewer: Viewer) -> bool:
    """Whether another page asks for more than to be led here by a link."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin.lower() != viewer.origin
    site = request.headers.get("Sec-Fetch-Site", "none")
    led = request.method in _SAFE and request.headers.get("Sec-Fetch-Mode") == "navigate"
    return site not in ("same-origin", "none") and not led


def _check_dates(request: web.Request) -> None:
    """Refuse dates that aiohttp would only stumble over in the middle of its answer.

    Raises:
        web.HTTPBadRequest: A date is none.
    """
    try:
        _ = request.if_modified_since, request.if_unmodified_since, request.if_range
    except (ValueError, OverflowError) as error:
        raise web.HTTPBadRequest from error


def _explain(request: web.Request, error: web.HTTPError) -> web.StreamResponse:
    """Make a small page of an error that aiohttp or a page raised."""
    if error.content_type == "application/json":
        raise error
    text = _TEXTS.get(error.status, f"{error.reason}.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        text = "The request is too long: send less. The limit is 1 MB, and 64 kB before the login."
    elif error.text and not error.text.startswith(str(error.status)):
        text = error.text
    response = refuse(request, error.status, text)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    if error.status in (411, 413, 415):
        response.force_close()
    return response


_TEXTS = {
    400: "The request is broken: load the page again, then retry.",
    404: "There is no such page.",
    405: "This cannot be asked for in this way.",
    411: "The length of the request is missing: log in first, or tell it by Content-Length.",
    415: "The request is compressed: send it as it is.",
}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
