"""The password and the sessions' secret, in a file that nobody else may read."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamclf.core.errors import StoreError, UsageError

MIN_PASSWORD, MAX_PASSWORD = 8, 1024
"""Lengths of a password in characters."""
_N, _R, _P = 2**14, 8, 1
"""Cost of scrypt: 16 MB, and a twentieth of a second on a small machine."""
_MAX_MEMORY = 64 * 2**20
_NOBODY_ELSE = 0o600


@dataclass(frozen=True)
class Keys:
    """What the file holds.

    Attributes:
        secret: Secret that signs sessions.
        password: Password as scrypt left it, in hexadecimal, behind its salt and a ``$``; None if
            no password is set.
    """

    secret: str
    password: str | None = None

    @property
    def signing(self) -> bytes:
        """Key of signatures; another one after each change of the password."""
        return hashlib.sha256(f"{self.secret}|{self.password}".encode()).digest()

    def matches(self, password: str) -> bool:
        """Whether a password is the right one; takes the same time either way."""
        salt, _, known = (self.password or "").partition("$")
        tried = _scramble(password[:MAX_PASSWORD], salt)
        return hmac.compare_digest(tried, known) and self.password is not None


class KeyFile:
    """The file, read anew whenever it has changed: a new password counts at once.

    Args:
        path: The file; None for keys that last as long as the process, without a password.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._keys = Keys(secrets.token_hex(32))
        self._seen: tuple[int, int, int] | None = None
        self._lock = threading.Lock()

    @property
    def keys(self) -> Keys:
        """The keys.

        Raises:
            StoreError: The file cannot be read or made.
        """
        if self._path is None:
            return self._keys
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_size, status.st_ino)
                if seen != self._seen:
                    self._keys, self._seen = _read(self._path, status.st_mode), seen
            except FileNotFoundError:
                # Whoever deletes the file takes the password away, and ends all sessions.
                self._keys = Keys(secrets.token_hex(32))
                _write(self._path, self._keys)
                self._seen = None
            except OSError as error:
                raise _refusal(self._path, error) from error
            return self._keys


def set_password(path: Path, password: str) -> None:
    """Set the password; ends all sessions.

    Raises:
        UsageError: It is too short or too long.
        StoreError: The file cannot be written.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise UsageError(
            f"the password has {len(password)} characters, must have {MIN_PASSWORD} to "
            f"{MAX_PASSWORD}: choose another one"
        )
    salt = secrets.token_hex(16)
    _write(path, Keys(secrets.token_hex(32), f"{salt}${_scramble(password, salt)}"))


def _scramble(password: str, salt: str) -> str:
    said = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(said, salt=salt.encode(), n=_N, r=_R, p=_P, maxmem=_MAX_MEMORY).hex()


def _read(path: Path, mode: int) -> Keys:
    if os.name == "posix" and mode & 0o077:
        path.chmod(_NOBODY_ELSE)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        secret, password = said["secret"], said["password"]
        if not isinstance(secret, str) or not isinstance(password, str | None):
            raise TypeError
        if len(secret) < 32:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{path}: holds no keys of the page: delete it, and set the password anew by "
            "`streamclf serve --set-password`"
        ) from None
    return Keys(secret, password)


def _write(path: Path, keys: Keys) -> None:
    """Write the file aside, and put it in its place at once."""
    text = json.dumps({"secret": keys.secret, "password": keys.password}) + "\n"
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes a file that its owner alone may read.
        number, aside = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            _give_to_owner_of(path.parent, number)
        Path(aside).replace(path)
    except OSError as error:
        if aside is not None:
            with suppress(OSError):
                Path(aside).unlink()
        raise _refusal(path, error) from error


def _give_to_owner_of(folder: Path, file: int) -> None:
    """Give what root has made to the owner of its folder: a service has a user of its own."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)


def _refusal(path: Path, error: OSError) -> StoreError:
    reason = (error.strerror or str(error)).lower()
    return StoreError(
        f"{path}: cannot be read or written: {reason}; the page keeps its password there: give "
        "yourself the rights, or name another store"
    )
