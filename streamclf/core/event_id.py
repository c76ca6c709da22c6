"""The name that an event keeps from its beginning to its end."""

from __future__ import annotations


def event_id(label: str, onset: int) -> str:
    """Return the name of an event.

    Events of one label never overlap, so label and onset identify an event within a stream. The
    name depends on nothing else: the same audio gives the same names, live or from disk, and for
    every block size.
    """
    return f"{label}-{onset}"
