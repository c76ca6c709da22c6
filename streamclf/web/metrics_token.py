"""The token by which a program may read ``/metrics`` where the page has a password."""

from __future__ import annotations

import hmac
import stat
from pathlib import Path

from streamclf.core.errors import UsageError

MIN_TOKEN, MAX_TOKEN = 32, 1024
"""Lengths of a token in characters. So long that nobody can try them all."""
_SCHEME = "bearer "


class MetricsToken:
    """The token, read anew from its file whenever that has changed.

    Args:
        path: The file; None where no token is good.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._token = ""
        self._seen: tuple[int, int, int] | None = None

    def is_said(self, authorization: str | None) -> bool:
        """Whether a request's ``Authorization`` holds the token; compared in constant time.

        Raises:
            UsageError: The file cannot be read, or holds no token.
        """
        if self._path is None or authorization is None:
            return False
        scheme, said = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :].strip()
        known = self.read()
        same = hmac.compare_digest(said.encode("utf-8", "replace"), known.encode())
        return same and scheme.lower() == _SCHEME

    def read(self) -> str:
        """Return the token; empty where there is no file.

        Raises:
            UsageError: The file cannot be read, or holds no token.
        """
        path = self._path
        if path is None:
            return ""
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would hold all pages up
                raise UsageError(f"--metrics-token-file {path}: is no file: name one")
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                with path.open("rb") as file:
                    self._token = _check(path, file.read(MAX_TOKEN + 3))
                self._seen = seen
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"--metrics-token-file {path}: cannot be read: {reason}") from error
        return self._token


def _check(path: Path, content: bytes) -> str:
    """Return the token that a file holds.

    Raises:
        UsageError: It holds none.
    """
    try:
        token = content.decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not (MIN_TOKEN <= len(token) <= MAX_TOKEN and token.isprintable() and " " not in token):
        raise UsageError(
            f"--metrics-token-file {path}: must hold one word of {MIN_TOKEN} to {MAX_TOKEN} ASCII "
            f"characters: make one by `openssl rand -hex 32 > {path}`"
        )
    return token
