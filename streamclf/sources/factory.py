"""From ``--source`` and its options to a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_url
from streamclf.sources.base import Source


@dataclass(frozen=True)
class SourceOptions:
    """What the command line says of the source.

    Attributes:
        source: None for a microphone, ``-``, ``sim:FILE`` or a URL.
        device: The microphone, by index or part of its name.
        reconnect: Whether a lost microphone or network stream is waited for.
        raw: Layout of headerless samples on standard input.
        speed: Of a simulated microphone, times real pace.
        loop: Whether a simulated microphone begins again.
        channel: The one that will be listened to, from 1; a microphone records up to it.
    """

    source: str | None = None
    device: str | None = None
    reconnect: bool = True
    raw: str | None = None
    speed: float | None = None
    loop: bool = False
    channel: int | None = None

    def __post_init__(self) -> None:
        simulated = self.source is not None and self.source.startswith("sim:")
        lost = self.source is None or "://" in self.source
        for option, given, fits, needs in [
            ("--device", self.device is not None, self.source is None, "a microphone"),
            ("--no-reconnect", not self.reconnect, lost, "a microphone or a URL"),
            ("--raw", self.raw is not None, self.source == "-", "--source -"),
            ("--speed", self.speed is not None, simulated, "--source sim:FILE"),
            ("--loop", self.loop, simulated, "--source sim:FILE"),
        ]:
            if given and not fits:
                heard = mask_url(self.source) if self.source else "the microphone"
                raise UsageError(f"{option} goes with {needs}, the source here is {heard}")


def open_source(options: SourceOptions) -> Source:
    """Open a live source.

    Raises:
        UsageError: The source is none of those known.
        SourceError: It cannot be opened.
    """
    name = options.source
    if name is None:
        from streamclf.sources.microphone.microphone import Microphone

        return Microphone(
            device=options.device, channels=options.channel, reconnect=options.reconnect
        )
    if name == "-":
        from streamclf.sources.stream.raw_format import RawFormat
        from streamclf.sources.stream.standard_input import StandardInput

        return StandardInput(RawFormat.parse(options.raw) if options.raw else None)
    if name.startswith("sim:"):
        from streamclf.sources.simulated.faults import parse_name
        from streamclf.sources.simulated.simulated import SimulatedMicrophone

        path, faults = parse_name(name.removeprefix("sim:"))
        speed = 1.0 if options.speed is None else options.speed
        return SimulatedMicrophone(path, speed=speed, loop=options.loop, faults=faults)
    if "://" in name:
        from streamclf.sources.stream.url_stream import UrlStream

        return UrlStream(name, reconnect=options.reconnect)
    if _exists(name):
        raise UsageError(
            f"--source {name}: is a file: streamclf file {name} analyses it, "
            f"--source sim:{name} plays it as a microphone"
        )
    raise UsageError(
        f"--source {mask_url(name)}: must be - (standard input), sim:FILE or a URL such as "
        "rtsp://...; a microphone is chosen by --device"
    )


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # the name is too long, or a folder above may not be entered
        return False
