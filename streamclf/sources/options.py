"""Options that choose a live source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_url


@dataclass(frozen=True)
class SourceOptions:
    """Options that choose a live source, and how long it is heard.

    Attributes:
        source: None for a microphone, else ``-``, ``sim:FILE`` or a URL.
        device: The microphone, by index or part of its name; None for the system's default.
        raw: Format of headerless samples on standard input
            (`streamclf.sources.stream.raw_format.RawFormat`).
        speed: Speed of a simulated microphone, in multiples of real time; None for 1, 0 for as fast
            as possible.
        loop: Whether a simulated microphone begins again at its end.
        reconnect: Whether to wait for a lost microphone or network stream.
        duration_s: Seconds of audio after which listening ends; None for no limit.

    Raises:
        UsageError: An option does not belong to this kind of source, or the duration is not
            above 0 seconds.
    """

    panel: ClassVar[str] = "Source"

    source: str | None = option(
        None,
        "--source",
        metavar="SOURCE",
        help="Source to use instead of a microphone: - (standard input), sim:FILE (a "
        "recording, as if live) or a URL.",
    )
    device: str | None = option(
        None,
        "--device",
        "-d",
        metavar="NAME|INDEX",
        help="Microphone to listen to (devices lists them).",
    )
    raw: str | None = option(
        None,
        "--raw",
        metavar="FORMAT:RATE:CHANNELS",
        help="Format of headerless samples on standard input, such as s16le:16000:1.",
    )
    speed: float | None = option(
        None,
        "--speed",
        metavar="TIMES",
        help="Speed of sim:FILE; 1 is real time, 0 is as fast as possible.",
    )
    loop: bool = option(
        False, "--loop", help="Repeat sim:FILE from its beginning whenever it ends."
    )
    reconnect: bool = option(
        True,
        "--no-reconnect",
        help="Exit when the microphone or the URL is lost, instead of reconnecting.",
        negated=True,
    )
    duration_s: float | None = option(
        None, "--duration", metavar="SECONDS", help="Amount of audio after which listening ends."
    )

    @property
    def can_be_lost(self) -> bool:
        """Whether the source is of a kind that is waited for when it is lost."""
        return self.source is None or "://" in self.source

    def __post_init__(self) -> None:
        simulated = self.source is not None and self.source.startswith("sim:")
        for name, given, fits, needs in [
            ("--device", self.device is not None, self.source is None, "a microphone"),
            ("--no-reconnect", not self.reconnect, self.can_be_lost, "a microphone or a URL"),
            ("--raw", self.raw is not None, self.source == "-", "--source -"),
            ("--speed", self.speed is not None, simulated, "--source sim:FILE"),
            ("--loop", self.loop, simulated, "--source sim:FILE"),
        ]:
            if given and not fits:
                heard = mask_url(self.source) if self.source else "the microphone"
                raise UsageError(f"{name} goes with {needs}, the source here is {heard}")
        limit = self.duration_s
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            raise UsageError(f"--duration {limit}: must be above 0 seconds")
