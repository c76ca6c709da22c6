"""Places in stores, through fsspec: S3, Google, Azure, SSH, HTTP, ... as the user installs them."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import count
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote

from streamclf.archive.place import (
    ASIDE,
    ChangedError,
    FoundFile,
    Listing,
    Patience,
    Place,
    check_same,
    without_credentials,
)
from streamclf.archive.remote_file import FIRST_BYTES, RemoteFile, run_aside
from streamclf.core import log
from streamclf.core.audio_endings import SUFFIXES
from streamclf.core.errors import PlaceError, UsageError
from streamclf.core.find_audio_files import is_hidden
from streamclf.core.redaction import HIDDEN, mask_text, one_line
from streamclf.core.text_format import format_count
from streamclf.sources.recording.passed_over import describe_listed

T = TypeVar("T")

_OBJECT_STORES = frozenset("s3 s3a gs gcs abfs abfss az adl oss oci r2 cos obs tos memory".split())
"""Protocols by which a file is there whole or not at all once it was put."""
_READ_ONLY = frozenset(["http", "https", "github", "zip", "tar", "data"])
_CACHING = frozenset("s3 s3a gs gcs abfs abfss az".split())
"""Protocols whose listings are kept for a while unless they are told not to."""
_LASTING = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
    ImportError,
)
"""Errors that the same request would meet again."""
_LASTING_NAMES = re.compile(r"Credential|Authenti|ParamValidation|ProfileNotFound|InvalidRegion")
"""Names of such errors in the packages of the stores, which are not imported here."""
_MARKS = (
    "ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated",
    "modified", "created",
)  # fmt: skip
"""Keys by which stores tell that a file is another one, the surest first."""
_SECRET_KEY = re.compile(r"key|secret|token|pass|cred|sas|connection_string|auth", re.IGNORECASE)
_SECRET_VARIABLES = re.compile(r"SECRET|TOKEN|PASSWORD|ACCOUNT_KEY|CONNECTION_STRING|SAS")
_SLOWEST = 100_000
"""Bytes a second that a store takes at least, before putting counts as too slow."""
_SMALLEST_RANGE = 65_536


class RemotePlace(Place):
    """A folder in a store.

    Args:
        url: Its URL, as fsspec reads it. The store's credentials come from where its own tools
            look for them.
        patience: How long it is asked again.

    Raises:
        UsageError: The URL cannot be understood, or the package for it is not installed.
    """

    is_remote = True

    def __init__(self, url: str, patience: Patience) -> None:
        self.url = without_credentials(url)
        self._patience = patience
        self._closed = threading.Event()
        self._hurried = threading.Event()
        self._has_answered = self._is_out = False
        self._fs, root = _open_store(url, self.url, patience)
        self._root = root.rstrip("/")
        self._scheme = url.split("://", 1)[0].split("::")[0].lower()
        self._secrets = _find_secrets(url, self._fs.storage_options)
        # Stores that are no asynchronous ones may have one connection for all threads.
        self._one_by_one = None if self._fs.async_impl else threading.Lock()
        self.max_requests = 24 if self._fs.async_impl else 1

    def close(self) -> None:
        """Make requests that wait give up soon, see `Place.close`."""
        self._closed.set()
        self._hurried.set()

    def hurry(self) -> None:
        """Wait for no outage any more, see `Place.hurry`."""
        self._hurried.set()

    def read(self, name: str) -> bytes:
        """Read a whole file, see `Place.read`."""
        path = self._path(name)
        data: bytes = self._ask(name, "cannot be read", lambda: self._fs.cat_file(path))
        return data

    def put_whole(self, name: str, data: bytes) -> None:
        """Put a file in its place, see `Place.put_whole`."""
        if self._scheme in _READ_ONLY:
            raise PlaceError(f"{self}: takes no results: name a folder or an object store")
        path, extra_s = self._path(name), len(data) / _SLOWEST
        try:
            if self._scheme in _OBJECT_STORES:
                self._ask(
                    name, "cannot be written", lambda: self._fs.pipe_file(path, data), extra_s
                )
            else:
                self._put_aside(name, path, data, extra_s)
        except FileNotFoundError as error:
            raise PlaceError(
                f"{self}/{name}: cannot be written: there is no such bucket or folder: create it"
            ) from error

    def _put_aside(self, name: str, path: str, data: bytes, extra_s: float) -> None:
        """Put a file under another name, then rename it, where a store shows what is half there."""
        folder, _, last = path.rpartition("/")
        aside = f"{folder}/.{last}.{os.urandom(6).hex()}{ASIDE}"

        def put() -> None:
            self._fs.makedirs(folder, exist_ok=True)
            self._fs.pipe_file(aside, data)
            try:
                self._fs.mv(aside, path)
            except Exception:  # some servers rename onto nothing that is there
                if not self._fs.exists(path):
                    raise
                self._fs.rm_file(path)
                self._fs.mv(aside, path)

        self._ask(name, "cannot be written", put, extra_s)

    def exists(self, name: str) -> bool:
        """Whether a file is there now, see `Place.exists`."""
        try:
            self._size(name)
        except FileNotFoundError:
            return False
        return True

    def names(self, below: str = "") -> dict[str, int]:
        """List the files below a folder, see `Place.names`."""
        try:
            return {name: size for name, size, _ in self._find(below) if not name.endswith(ASIDE)}
        except FileNotFoundError:
            return {}

    def remove(self, name: str) -> None:
        """Remove a file, see `Place.remove`."""
        path = self._path(name)
        try:
            self._ask(name, "cannot be removed", lambda: self._fs.rm_file(path))
        except FileNotFoundError:
            return

    def list_recordings(self) -> Listing:
        """List the recordings below the place, see `Place.list_recordings`."""
        try:
            found = list(self._find(""))
        except FileNotFoundError:
            found = []
        if not found:
            raise PlaceError(f"{self}: there is nothing: is its name right?")
        listing, others = Listing(), list[PurePosixPath]()
        for name, size, mark in found:
            path = PurePosixPath(name)
            if any(map(is_hidden, path.parts)):
                continue
            if path.suffix.lower() in SUFFIXES:
                listing.files.append(FoundFile(name, size, mark))
            else:
                others.append(path)
        listing.notes += describe_listed(str(self), sorted(others))
        if not listing.files:
            raise PlaceError(f"{self}: holds no recordings, but {format_count(len(found), 'file')}")
        return listing

    def complete(self, found: FoundFile) -> FoundFile:
        """Return a listed recording with its size, see `Place.complete`."""
        if found.bytes >= 0:
            return found
        try:
            info = self._info(found.path)
        except FileNotFoundError as error:
            raise PlaceError(f"{self}/{found.path}: is not there any more") from error
        if info["size"] is None:
            raise PlaceError(f"{self}/{found.path}: the server does not tell its size")
        return FoundFile(found.path, int(info["size"]), _mark(info))

    def check_unchanged(self, path: str, n_bytes: int, mark: str) -> None:
        """Check that a recording is there as it was listed, see `Place.check_unchanged`."""
        try:
            info = self._info(path)
        except FileNotFoundError as error:
            raise ChangedError(f"{self}/{path}: is not there any more") from error
        found = n_bytes if info["size"] is None else int(info["size"])
        check_same(f"{self}/{path}", (n_bytes, mark), (found, _mark(info, mark)))

    def open_file(self, path: str, n_bytes: int, first_bytes: int | None = None) -> RemoteFile:
        """Return a recording, see `Place.open_file`."""
        return RemoteFile(
            PurePosixPath(f"/{self._root}/{path}"),
            n_bytes,
            lambda start, end: self._fetch_again(path, start, end),
            first_bytes or FIRST_BYTES,
        )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _size(self, name: str) -> int:
        return int(self._info(name)["size"] or 0)

    def _info(self, name: str) -> dict[str, Any]:
        path = self._path(name)
        info: dict[str, Any] = self._ask(name, "cannot be looked for", lambda: self._fs.info(path))
        if info.get("type") == "directory":
            raise FileNotFoundError(name)
        return info

    def _find(self, below: str) -> Iterator[tuple[str, int, str]]:
        """Yield each file below a folder: name, size in bytes, mark; sorted."""
        top = self._path(below)

        def find() -> dict[str, dict[str, Any]]:
            self._fs.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._fs.find(top, detail=True)
            return found

        # A long listing has many requests, each of which has the time of one.
        found = self._ask(below, "cannot be listed", find, float("inf"))
        prefix = f"{self._root}/"
        for path in sorted(found):
            info = found[path]
            full = path if path.startswith(prefix) else f"/{path.lstrip('/')}"
            if full.startswith(prefix) and info.get("type") != "directory":
                size = info.get("size")
                yield full[len(prefix) :], -1 if size is None else int(size), _mark(info)

    def _fetch_again(self, path: str, start: int, end: int) -> bytes:
        """Fetch a range of a recording, or its beginning where all of it comes too slowly.

        Raises:
            PlaceError: It cannot be had, or the recording is gone.
        """
        try:
            return self._fetch(path, start, end)
        except FileNotFoundError as error:
            raise ChangedError(f"{self}/{path}: is not there any more") from error

    def _fetch(self, name: str, start: int, end: int) -> bytes:
        path = self._path(name)
        wanted = end - start

        def fetch() -> bytes:
            data = self._fs.cat_file(path, start=start, end=start + wanted)
            if len(data) > wanted and len(data) >= end:  # a server that knows no ranges
                data = data[start : start + wanted]
            return _whole(data, wanted)

        def ask_for_less() -> None:
            nonlocal wanted
            wanted = max(wanted // 4, min(_SMALLEST_RANGE, wanted))

        return self._ask(name, "cannot be read", fetch, on_timeout=ask_for_less)

    def _ask(
        self,
        name: str,
        what: str,
        request: Callable[[], T],
        extra_s: float = 0.0,
        on_timeout: Callable[[], None] = lambda: None,
    ) -> T:
        """Make a request, and make it again after failures that may pass.

        Args:
            name: File that it is about.
            what: What fails, for the message.
            request: The request.
            extra_s: Seconds that it may take beyond the usual.
            on_timeout: Called when no answer came in time.

        Raises:
            FileNotFoundError: There is no such file.
            PlaceError: It failed each time, or for a reason that lasts.
        """
        patience = self._patience
        wait_s, shown, began = patience.first_s, f"{self}/{name}".rstrip("/"), time.monotonic()
        for n_tries in count(1):
            try:
                answer = self._in_time(request, patience.timeout_s + extra_s)
                self._note_answer()
                return answer
            except FileNotFoundError:
                self._note_answer()
                raise
            except FutureTimeoutError:
                reason = f"no answer in {patience.timeout_s:g} s"
                on_timeout()
            except Exception as error:
                reason = self._reason(error)
                if isinstance(error, _LASTING) or _LASTING_NAMES.search(type(error).__name__):
                    raise PlaceError(f"{shown}: {what}: {reason}") from None
            spent_s = time.monotonic() - began
            told = f"{shown}: {what} for {spent_s:.0f} s: {reason}"
            if self._gives_up(n_tries, wait_s, spent_s, told):
                break
            wait_s = min(2 * wait_s, patience.limit_s)
        if self._closed.is_set():
            raise PlaceError(f"{shown}: {what}: stopped")
        raise PlaceError(f"{shown}: {what}, {n_tries} tries in {spent_s:.0f} s: {reason}")

    def _gives_up(self, n_tries: int, wait_s: float, spent_s: float, told: str) -> bool:
        """Wait before the next try of a request; returns whether there is none."""
        if n_tries < self._patience.tries:
            return self._closed.wait(wait_s)
        if not self._has_answered or spent_s >= self._patience.outage_s:
            return True
        self._tell_outage(told)
        return self._hurried.wait(wait_s)

    def _note_answer(self) -> None:
        self._has_answered = True
        if self._is_out:
            self._is_out = False
            log.say(f"{self}: answers again")

    def _tell_outage(self, told: str) -> None:
        """Tell once that a store does not answer, whichever of its files is asked for."""
        if not self._is_out:
            self._is_out = True
            minutes = self._patience.outage_s / 60
            log.say(f"warning: {told}; it is asked again for up to {minutes:.0f} minutes")

    def _in_time(self, request: Callable[[], T], timeout_s: float) -> T:
        if self._closed.is_set():
            raise FutureTimeoutError

        def run() -> T:
            if self._one_by_one is None:
                return request()
            with self._one_by_one:
                return request()

        future = run_aside(run)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return future.result(min(0.5, max(deadline - time.monotonic(), 0.0)))
            except FutureTimeoutError:
                if future.done() or self._closed.is_set() or time.monotonic() >= deadline:
                    raise

    def _reason(self, error: BaseException) -> str:
        """Return what went wrong in one line, without secrets."""
        text = str(error) or type(error).__name__
        if isinstance(error, PermissionError):
            text = f"not allowed ({text})"
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return mask_text(one_line(text.strip()))[:300]


class _IncompleteError(Exception):
    """A body that has fewer bytes than it should."""


def _whole(data: bytes, n_bytes: int) -> bytes:
    if len(data) != n_bytes:
        raise _IncompleteError(f"{len(data)} of {n_bytes} bytes came")
    return data


def _open_store(url: str, shown: str, patience: Patience) -> tuple[Any, str]:
    """Open the store behind a URL; returns it and the path within it."""
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(
            f"{shown}: needs fsspec: pip install 'streamclf[archive]', and the package of the store"
        ) from error
    scheme = url.split("://", 1)[0].split("::")[0].lower()
    options: dict[str, Any] = {"use_listings_cache": False} if scheme in _CACHING else {}
    said = fsspec.config.conf.get(scheme, {})
    if scheme in ("s3", "s3a") and "config_kwargs" not in said:
        # Attempts are counted and told here, so they are not multiplied by those of its client.
        options["config_kwargs"] = {
            "retries": {"max_attempts": 0},
            "read_timeout": patience.timeout_s,
            "connect_timeout": patience.timeout_s,
        }
    try:
        store, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise UsageError(f"{shown}: {one_line(str(error))}") from error
    except ValueError as error:
        raise UsageError(f"{shown}: {mask_text(one_line(str(error)))}") from error
    except Exception as error:  # a server that does not answer, a user who may not log in
        secrets = _find_secrets(url, {})
        text = mask_text(one_line(str(error) or type(error).__name__))
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        raise PlaceError(f"{shown}: cannot be opened: {text}") from None
    return store, str(root)


def _mark(info: dict[str, Any], planned: str = "") -> str:
    """Return a mark of a file, with the key by which the store tells it.

    Args:
        info: What the store tells.
        planned: A mark that it is compared with: then that of the same key. Where the store does
            not tell that (a listing may tell more than a question for one file), it is the same.
    """
    asked = planned.partition("=")[0]
    for key in (asked,) if asked else _MARKS:
        if info.get(key):
            return f"{key}={str(info[key]).strip(chr(34))}"
    return planned


def _find_secrets(url: str, options: dict[str, Any]) -> list[str]:
    """List the words that no message may hold, the longest first."""
    found = {
        each
        for password in (r"([^@]+)@", r"(.+)@")  # it may hold an @ that is not quoted
        for said in re.findall(f"://[^/@:]*:{password}", url)
        for each in (said, unquote(said))
    }
    found |= {value for _, value in re.findall(r"[?&]([^=&]+)=([^&]+)", url)}
    found |= {value for name, value in os.environ.items() if _SECRET_VARIABLES.search(name)}
    stack: list[tuple[str, Any]] = list(options.items())
    while stack:
        key, value = stack.pop()
        if isinstance(value, dict):
            stack += value.items()
        elif isinstance(value, str) and _SECRET_KEY.search(key):
            found.add(value)
    return sorted((each for each in found if len(each) >= 4), key=len, reverse=True)
