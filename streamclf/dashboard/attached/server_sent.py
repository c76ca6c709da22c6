"""Reader of server-sent events, by the lines of an answer (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSent:
    """An event.

    Attributes:
        kind: Its type.
        data: Its data.
        id: Place in the stream up to which everything is known by now; empty if none was told.
    """

    kind: str
    data: str
    id: str


def read_events(lines: Iterable[bytes], seen: str = "") -> Iterator[ServerSent]:
    """Yield the events of a stream; one that is cut off is left out.

    Args:
        lines: The lines, each with its end.
        seen: Place in the stream that was told before.
    """
    kind, data, place = "message", list[str](), seen
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            if data:
                seen = place
                yield ServerSent(kind, "\n".join(data), seen)
            kind, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            place = value
