"""Opening of the source that ``--source`` and its options describe."""

from __future__ import annotations

from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_url
from streamclf.sources.base import Source
from streamclf.sources.options import SourceOptions


def open_source(
    options: SourceOptions, channel: int | None = None, *, beside_others: bool = False
) -> Source:
    """Open a live source.

    Args:
        options: The source and its options.
        channel: The channel that will be classified, from 1. A microphone is opened with at least
            this many channels.
        beside_others: Whether this process has a microphone already. Another one is then recorded
            by a process of its own.

    Raises:
        UsageError: The source is of no known kind, or a URL was given as a microphone.
        SourceError: The source cannot be opened.
    """
    name = options.source
    if name is None:
        _check_device(options.device)
        from streamclf.sources.microphone.microphone import Microphone

        backend = None
        if beside_others:
            from streamclf.sources.microphone.child_backend import ChildBackend

            backend = ChildBackend()
        return Microphone(
            options.device, channels=channel, reconnect=options.reconnect, backend=backend
        )
    if name == "-":
        from streamclf.sources.stream.raw_format import RawFormat
        from streamclf.sources.stream.standard_input import StandardInput

        return StandardInput(RawFormat.parse(options.raw) if options.raw else None)
    if name.startswith("sim:"):
        from streamclf.sources.simulated.faults import parse_name
        from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

        path, faults = parse_name(name.removeprefix("sim:"))
        speed = 1.0 if options.speed is None else options.speed
        return SimulatedMicrophone(path, speed=speed, loop=options.loop, faults=faults)
    if "://" in name:
        from streamclf.sources.stream.url_stream import UrlStream

        return UrlStream(name, reconnect=options.reconnect)
    raise _unknown_kind(name)


def check_source(options: SourceOptions) -> None:
    """Check what can be told of a source without opening it.

    Raises:
        UsageError: The source is of no known kind, or its faults or its speed are out of range.
    """
    name = options.source
    if name is None:
        _check_device(options.device)
    elif name == "-":
        return
    elif name.startswith("sim:"):
        from streamclf.sources.simulated.faults import parse_name
        from streamclf.sources.simulated.paced_clock import check_speed

        parse_name(name.removeprefix("sim:"))
        check_speed(1.0 if options.speed is None else options.speed)
    elif "://" in name:
        from streamclf.sources.stream.url_stream import check_url

        check_url(name)
    else:
        raise _unknown_kind(name)


def _check_device(name: str | None) -> None:
    if name is not None and (name.startswith("sim:") or "://" in name):
        raise UsageError(
            f"--device {mask_url(name)}: is no microphone: a URL and sim:FILE are chosen by "
            "--source, and by url in [[sources]]"
        )


def _unknown_kind(name: str) -> UsageError:
    if _is_folder(name):
        return UsageError(
            f"--source {name}: is a folder: streamclf file {name} analyses the recordings in it"
        )
    if _exists(name):
        return UsageError(
            f"--source {name}: is a file: streamclf file {name} analyses it, "
            f"--source sim:{name} plays it as a microphone"
        )
    return UsageError(
        f"--source {mask_url(name)}: must be - (standard input), sim:FILE or a URL such as "
        "rtsp://...; a microphone is chosen by --device"
    )


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:
        return False


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # the name is too long, or a folder above it is closed to this user
        return False
