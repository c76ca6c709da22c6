"""Text for people: counts with their nouns, durations, and places in a recording."""

from __future__ import annotations

import re


def format_count(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 window``, ``2 windows``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def mark_off(name: str) -> str:
    """Write a name as it stands in a list: in quotes if it might be taken for more than one."""
    if re.search(r'[;,()"]|^\W', name) is None:
        return name
    quoted = name.replace('"', "'")
    return f'"{quoted}"'


def format_length(seconds: float) -> str:
    """Write a duration for people: ``4.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def format_pace(times: float) -> str:
    """Write how many times as fast as real time something is: ``157x``, ``3.2x``, ``0.28x``."""
    return f"{times:.0f}x" if times >= 9.5 else f"{times:.2g}x"


def format_place(seconds: float) -> str:
    """Write a place in a recording for people: ``0:12``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_bytes(n_bytes: float) -> str:
    """Write a size for people: ``3.4 GB``, of a thousand million bytes."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
