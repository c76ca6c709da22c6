"""Sessions: signed cookies, and the tokens that forms send back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamclf.web.ended_sessions import EndedSessions
from streamclf.web.keys import Keys

LASTS_S = 30 * 24 * 3600
"""How long somebody stays logged in, in seconds."""
_MAX_LENGTH = 300
_Kind: TypeAlias = Literal["guest", "owner"]


@dataclass(frozen=True)
class Session:
    """A browser that is known again.

    Attributes:
        name: Random name.
        until_s: When it ends, in seconds since 1970.
        kind: ``owner`` for somebody who gave the password.
    """

    name: str
    until_s: int
    kind: _Kind

    @property
    def is_owner(self) -> bool:
        """Whether somebody gave the password."""
        return self.kind == "owner"


class Sessions:
    """Makes and reads the cookies of sessions.

    Nothing of a session is kept but its end, so sessions outlast the process. A new password ends
    them all, as it changes the key that signs them.

    Args:
        now: Clock in seconds since 1970.
        ended: Sessions that were logged out; none by default.
    """

    def __init__(
        self, now: Callable[[], float] = time.time, ended: EndedSessions | None = None
    ) -> None:
        self._now = now
        self._ended = EndedSessions(None, now) if ended is None else ended

    def begin(self, kind: _Kind) -> Session:
        """Begin a session."""
        return Session(secrets.token_hex(16), int(self._now()) + LASTS_S, kind)

    def end(self, session: Session) -> None:
        """End a session; whoever has its cookie is logged out."""
        self._ended.add(session.name, session.until_s)

    def write(self, session: Session, keys: Keys) -> str:
        """Write the value of a cookie."""
        said = f"{session.name}.{session.until_s}.{session.kind}"
        return f"{said}.{_sign(keys, 'session', said)}"

    def read(self, value: str | None, keys: Keys) -> Session | None:
        """Read the value of a cookie; None if it is not of this page, or has ended."""
        if not value or len(value) > _MAX_LENGTH or not value.isascii():
            return None
        said, _, signature = value.rpartition(".")
        if not hmac.compare_digest(signature, _sign(keys, "session", said)):
            return None
        name, until, kind = said.split(".")
        session = Session(name, int(until), "owner" if kind == "owner" else "guest")
        return None if session.until_s <= self._now() or name in self._ended else session


def token_of(session: Session, keys: Keys) -> str:
    """Token that each form of a session sends; no other page can know it."""
    return _sign(keys, "token", session.name)


def is_token(said: str, session: Session, keys: Keys) -> bool:
    """Whether somebody sent the session's token."""
    return hmac.compare_digest(said.encode("utf-8", "replace"), token_of(session, keys).encode())


def cookie_name(store: str) -> str:
    """Name of the cookie; two pages on one machine, which share cookies, have different ones."""
    return f"streamclf_{hashlib.sha256(store.encode()).hexdigest()[:8]}"


def _sign(keys: Keys, purpose: str, text: str) -> str:
    return hmac.new(keys.signing, f"{purpose}|{text}".encode(), hashlib.sha256).hexdigest()
