"""The page that asks for the password."""

from __future__ import annotations

import math

from aiohttp import web

from streamclf.core.text_format import format_count
from streamclf.web.bodies import read_form
from streamclf.web.context import WebContext
from streamclf.web.rendering import MAY_LOG_OUT, TOKEN, answer_json, redirect, render
from streamclf.web.security import SESSION, Gate
from streamclf.web.viewer import VIEWER


def add_routes(app: web.Application, context: WebContext, gate: Gate) -> None:
    """Add the page to the application."""
    page = _LoginPage(gate)
    app.router.add_get("/login", page.show)
    app.router.add_post("/login", page.log_in)
    app.router.add_post("/logout", page.log_out)
    app.router.add_get("/api/session", page.describe)


class _LoginPage:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the form; send on whoever needs none."""
        following = request.query.get("next", "")
        if self._may_pass(request):
            return redirect(request, following)
        return render(request, "login.html", problem="", next=following)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """Look at the password."""
        form = await read_form(request)
        following = form.get("next", "")
        if self._gate.keys.password is None:
            return redirect(request, following)
        address = request[VIEWER].address
        pause_s = await self._gate.check_password(form.get("password", ""), address)
        if pause_s is not None:
            problem, status = "This is not the password.", 401
            if pause_s > 0:
                wait = format_count(math.ceil(pause_s), "second")
                problem, status = f"Too many wrong passwords: wait {wait}, then try again.", 429
            response = render(request, "login.html", status, problem=problem, next=following)
            if pause_s > 0:
                response.headers["Retry-After"] = str(math.ceil(pause_s))
            return response
        answer = redirect(request, following)
        # A new session, so that nobody who knew the old one is logged in with it.
        self._gate.write_cookie(request, answer, self._gate.sessions.begin("owner"))
        return answer

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """End the session."""
        if request[SESSION].is_owner:  # others have nothing that could end
            self._gate.sessions.end(request[SESSION])
        answer = redirect(request, "/login")
        self._gate.write_cookie(request, answer, self._gate.sessions.begin("guest"))
        return answer

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """Tell a program whether it is logged in, and the token that it sends back."""
        return answer_json(
            {
                "schema": 1,
                "needs_password": self._gate.keys.password is not None,
                "logged_in": self._may_pass(request),
                "may_log_out": request[MAY_LOG_OUT],
                "csrf": request[TOKEN],
            }
        )

    def _may_pass(self, request: web.Request) -> bool:
        return self._gate.keys.password is None or request[SESSION].is_owner
