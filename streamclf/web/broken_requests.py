"""Answers to what is no HTTP request, in the page's own words."""

from __future__ import annotations

from aiohttp import web

_TEXT = '{"error": "This is no request that can be read."}'


class RequestHandler(web.RequestHandler):
    """Connection that tells nobody how it reads requests, nor what with."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that cannot be read, or whose answer failed."""
        super().handle_error(request, status, exc, message)  # which writes the log
        answer = web.Response(status=status, text=_TEXT, content_type="application/json")
        answer.headers["Server"] = "streamclf"
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.force_close()
        return answer
