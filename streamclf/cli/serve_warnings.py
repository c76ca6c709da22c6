"""Warnings of `serve --check`: settings that are right, and of which something is not there now.

`serve` waits for a source that is away and goes on without an output that cannot be written, so
none of it is an error. But a check that says nothing of it would be relied on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from streamclf.core.errors import StreamclfError
from streamclf.core.redaction import mask_url
from streamclf.runs.serve.plan import ServePlan, StreamPlan
from streamclf.sources.options import SourceOptions

PROTOCOLS = (
    "ftp", "gopher", "hls", "http", "https", "icecast", "mms", "mmsh", "mmst", "rtmp", "rtmps",
    "rtmpt", "rtp", "rtsp", "rtsps", "sftp", "srt", "srtp", "tcp", "tls", "udp", "udplite", "unix",
)  # fmt: skip
"""Protocols of live streams that FFmpeg knows in most of its builds."""
WITH_HOST = frozenset({"http", "https", "rtmp", "rtmps", "rtsp", "rtsps"})
"""Those whose addresses must name a host."""


def find_warnings(plan: ServePlan) -> Iterator[str]:
    """Find what is missing at this moment; nothing is created, and no stream is opened.

    Args:
        plan: The plan, checked.

    Yields:
        A line each, with its place in the settings file.
    """
    for stream in plan.streams:
        if (warning := _check_source(stream.source)) is not None:
            yield stream.place(warning)
    yield from _check_microphones([each for each in plan.streams if each.is_microphone])
    written = {("--store", plan.writing.store): plan.streams[0]}
    for stream in plan.streams:
        written |= {("--output", path): stream for path in stream.outputs.files}
        if stream.outputs.clips is not None:
            written["--clips", stream.outputs.clips] = stream
    for (flag, path), stream in written.items():
        if (reason := why_unwritable(path)) is not None:
            yield stream.place(f"{flag} {path}: {reason}")


def _check_source(source: SourceOptions) -> str | None:
    name = source.source
    if name is None:
        return None
    if name.startswith("sim:"):
        from streamclf.sources.simulated.faults import parse_name

        path, _ = parse_name(name.removeprefix("sim:"))
        there = Path(path).exists()
        return None if there else f"--source {name}: there is no such file; it is waited for"
    parts = urlsplit(name)
    if parts.scheme not in PROTOCOLS:
        near = get_close_matches(parts.scheme, PROTOCOLS, 1)
        meant = f" (did you mean {near[0]}://?)" if near else ""
        return f"--source {mask_url(name)}: {parts.scheme} is no protocol of live streams{meant}"
    if parts.scheme in WITH_HOST and not parts.hostname:
        return f"--source {mask_url(name)}: names no host: write {parts.scheme}://HOST/..."
    return None


def _check_microphones(streams: list[StreamPlan]) -> Iterator[str]:
    """Find microphones that are not connected."""
    if not streams:
        return
    from streamclf.sources.microphone.devices import choose_input
    from streamclf.sources.microphone.portaudio import PortAudioBackend

    for stream in streams:
        try:
            choose_input(PortAudioBackend().list_devices(), stream.source.device)
        except StreamclfError as error:
            option = "" if stream.source.device is None else f"--device {stream.source.device}: "
            yield stream.place(f"{option}{error}; it is waited for")


def why_unwritable(path: Path) -> str | None:
    """Why this user could write neither a path nor a folder for it; None if nothing speaks so.

    Args:
        path: A file or folder, which need not be there.
    """
    place = path.absolute()
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        if place != path.absolute() and not place.is_dir():
            return f"{place} is no folder"
        if not os.access(place, os.W_OK):
            return f"this user may not write to {place}"
    except OSError as error:
        return f"cannot be written: {(error.strerror or str(error)).lower()}"
    return None
