"""What a place where archives and results lie must be able to do."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from streamclf.core.errors import PlaceError
from streamclf.core.redaction import mask_url
from streamclf.sources.containers.streamed_file import File

ASIDE = ".part"
"""Ending of a file that is not yet in its place."""
PROBE = "manifest/.probe"
"""Name of a file that is put and removed, to see whether this can be done."""


@dataclass(frozen=True)
class Patience:
    """How long a store is asked again.

    Attributes:
        tries: Number of attempts in all.
        first_s: Seconds before the second attempt; they double from one to the next.
        limit_s: Longest wait in seconds.
        timeout_s: Seconds in which an answer must be there.
        outage_s: Seconds for which a store that has answered before is asked again.
    """

    tries: int = 7
    first_s: float = 0.5
    limit_s: float = 30.0
    timeout_s: float = 60.0
    outage_s: float = 0.0


class ChangedError(PlaceError):
    """A recording is gone, or is not the one that was planned."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A recording that was listed.

    Attributes:
        path: Path below the place, with ``/``.
        bytes: Its size; -1 where the listing does not tell it.
        mark: What changes when the file does: its ETag or its time of change; empty for none.
        why: Why it cannot be opened, where the listing tells; empty where it may be.
    """

    path: str
    bytes: int
    mark: str
    why: str = ""


@dataclass
class Listing:
    """What a search for recordings found.

    Attributes:
        files: The recordings, sorted by their paths, and folders that cannot be read.
        notes: What was left out on purpose, one line each.
    """

    files: list[FoundFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Place(ABC):
    """A folder, here or in a store. Names are relative to it, with ``/``.

    Attributes:
        url: Where it is, without credentials: an absolute path, or a URL.
        is_remote: Whether each request takes a while, so that many are worth making at once.
        max_requests: Number of requests that may run at once.
    """

    url: str
    is_remote: bool = False
    max_requests: int = 4

    def __str__(self) -> str:
        return self.url

    def close(self) -> None:
        """Make requests that wait give up soon. Safe to call twice, and from another thread."""

    def hurry(self) -> None:
        """Wait for no outage any more; what can be put now is put. From any thread."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: There is none.
            PlaceError: It cannot be read.
        """

    @abstractmethod
    def put_whole(self, name: str, data: bytes) -> None:
        """Put a file in its place, whole or not at all; one that is there is replaced.

        Raises:
            PlaceError: It cannot be written.
        """

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether a file is there now.

        Raises:
            PlaceError: This cannot be found out.
        """

    @abstractmethod
    def names(self, below: str = "") -> dict[str, int]:
        """List the files below a folder, each with its size in bytes; empty where there are none.

        Raises:
            PlaceError: The folder cannot be listed.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            PlaceError: It cannot be removed.
        """

    def check_takes(self) -> None:
        """Check that files can be put here, before long work whose results would be lost.

        Raises:
            PlaceError: They cannot.
        """
        self.put_whole(PROBE, b"")
        self.remove(PROBE)

    def remove_asides(self) -> None:
        """Remove what was written aside and never came to its place, after some time.

        Raises:
            PlaceError: It cannot be removed.
        """

    @abstractmethod
    def list_recordings(self) -> Listing:
        """List the recordings below the place, as ``streamclf file FOLDER`` would find them.

        Of a remote place, clips that streamclf wrote are among them: only their first bytes tell.

        Raises:
            PlaceError: The place itself cannot be listed.
        """

    def complete(self, found: FoundFile) -> FoundFile:
        """Return a listed recording with its size, which some listings do not tell.

        Raises:
            PlaceError: It cannot be found out.
        """
        return found

    @abstractmethod
    def open_file(self, path: str, n_bytes: int, first_bytes: int | None = None) -> File:
        """Return a recording, to be read now or later.

        Args:
            path: Its path below the place.
            n_bytes: Its size.
            first_bytes: Bytes of the first range of a remote one; None for a header's.
        """

    @abstractmethod
    def check_unchanged(self, path: str, n_bytes: int, mark: str) -> None:
        """Check that a recording is there as it was listed.

        Args:
            path: Its path below the place.
            n_bytes: Its size when it was listed.
            mark: Its mark when it was listed; empty for one that is not compared.

        Raises:
            ChangedError: It is gone, or has changed since then.
            PlaceError: This cannot be found out.
        """


def check_same(name: str, planned: tuple[int, str], found: tuple[int, str]) -> None:
    """Check that a file is the one that was listed, by its size and its mark.

    Raises:
        ChangedError: It is not.
    """
    if planned[0] != found[0]:
        raise ChangedError(
            f"{name}: has changed since the plan: {found[0]} bytes, planned {planned[0]}: plan anew"
        )
    if planned[1] and planned[1] != found[1]:
        raise ChangedError(f"{name}: has changed since the plan: plan anew")


def without_credentials(url: str) -> str:
    """Remove the password and the query from a URL; a user's name stays."""
    return re.split(r"[?#]", mask_url(url).replace(":***@", "@"), maxsplit=1)[0].rstrip("/")
