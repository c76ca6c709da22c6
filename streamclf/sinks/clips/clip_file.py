"""A clip as a file: its name, what is in it, and how it is written."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import soundfile

from streamclf.core.clip_tags import MADE_BY
from streamclf.core.errors import SinkError
from streamclf.core.records import SoundEvent, Waveform
from streamclf.sinks.base import StreamInfo

_LONGEST_NAME = 80


@dataclass(frozen=True, eq=False)
class Clip:
    """What becomes of an event.

    Attributes:
        path: The file.
        waveform: ``(samples,)`` in [-1, 1].
        rate: In Hz.
        label: The event's; the file's title.
        comment: When its first sample sounded, as `recorded_at` reads it; empty if not known.
    """

    path: Path
    waveform: Waveform
    rate: int
    label: str
    comment: str


def name_clip(stream: StreamInfo, event: SoundEvent) -> Path:
    """``LABEL/RECORDING/TIME_SCORE.flac``: by the clock where that is known, else in seconds.

    `streamclf.core.clip_tags.CLIP_NAME` matches the file's name.
    """
    when = f"{stream.seconds(event.onset):010.3f}"
    if (text := stream.time(event.onset)) is not None:
        # As recorders name their files, so that a clip tells when it was.
        when = re.sub(r"[-:]", "", text[:19]).replace("T", "_") + f"_{text[20:23]}"
    if stream.live:
        place = f"{stream.source} {text[:10]}" if text else stream.source
    else:
        place = re.sub(r"\.\w{1,5}$", "", stream.source)
    score = f"{round(100 * event.score):02d}"
    return Path(tidy(event.label)) / tidy(place) / f"{when}_{score}.flac"


def tell_time(stream: StreamInfo, position: int) -> str:
    """When a sample sounded, in the words of AudioMoth's comment; empty where that is not known."""
    text = stream.time(position)
    if text is None:
        return ""
    date, _, time = text.partition("T")
    zone = time[12:]
    year, month, day = date.split("-")
    told = {"": "", "+00:00": " (UTC)"}.get(zone, f" (UTC{zone})")
    return f"Recorded at {time[:12]} {day}/{month}/{year}{told}"


def encode_clip(clip: Clip) -> bytes:
    """What goes into the file: mono, 16 bits."""
    # In memory: libsndfile refuses names that are no UTF-8, and does not tell a full disk.
    encoded = io.BytesIO()
    with soundfile.SoundFile(
        encoded, "w", clip.rate, channels=1, format="FLAC", subtype="PCM_16"
    ) as file:
        file.title = clip.label
        file.software = MADE_BY
        if clip.comment:  # libsndfile takes no empty one
            file.comment = clip.comment
        file.write(clip.waveform)
    return encoded.getvalue()


def write_clip(path: Path, encoded: bytes) -> None:
    """Write a clip, whole or not at all; one of the same name is of the same event, and replaced.

    Raises:
        SinkError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(encoded)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise SinkError(f"{path}: the clip cannot be written: {reason}") from error


def tidy(name: str) -> str:
    """Fit for a folder on any system."""
    tidied = re.sub(r"[^\w .+-]+", "_", name).strip(" ._")
    return tidied[-_LONGEST_NAME:].strip(" ._") or "_"
