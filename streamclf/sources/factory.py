"""Opening of the source that ``--source`` and its options describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_url
from streamclf.sources.base import Source


@dataclass(frozen=True)
class SourceOptions:
    """Options of the command line that choose a source.

    Attributes:
        source: None for a microphone, else ``-``, ``sim:FILE`` or a URL.
        device: The microphone, by index or part of its name.
        reconnect: Whether to wait for a lost microphone or network stream.
        raw: Format of headerless samples on standard input (`RawFormat`).
        speed: Speed of a simulated microphone, in multiples of real time.
        loop: Whether a simulated microphone begins again at its end.
        channel: The channel that will be classified, from 1. A microphone is opened with at least
            this many channels.

    Raises:
        UsageError: An option does not belong to this kind of source.
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
        can_be_lost = self.source is None or "://" in self.source
        for option, given, fits, needs in [
            ("--device", self.device is not None, self.source is None, "a microphone"),
            ("--no-reconnect", not self.reconnect, can_be_lost, "a microphone or a URL"),
            ("--raw", self.raw is not None, self.source == "-", "--source -"),
            ("--speed", self.speed is not None, simulated, "--source sim:FILE"),
            ("--loop", self.loop, simulated, "--source sim:FILE"),
        ]:
            if given and not fits:
                name = mask_url(self.source) if self.source else "the microphone"
                raise UsageError(f"{option} goes with {needs}, the source here is {name}")


def open_source(options: SourceOptions) -> Source:
    """Open a live source.

    Raises:
        UsageError: The source is of no known kind.
        SourceError: The source cannot be opened.
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
        from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

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
    except OSError:  # the name is too long, or a folder above it is closed to this user
        return False
