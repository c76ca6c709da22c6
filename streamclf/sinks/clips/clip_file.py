"""Clip files: their names, their tags, and how they are written."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import soundfile

from streamclf.core.clip_tags import MADE_BY
from streamclf.core.errors import SinkError
from streamclf.core.records import SoundEvent, StreamStarted, Waveform

_MAX_NAME = 80


@dataclass(frozen=True, eq=False)
class Clip:
    """The audio of an event, and the file for it.

    Attributes:
        path: The file.
        waveform: ``(samples,)`` in [-1, 1].
        rate: Sample rate in Hz.
        label: Label of the event, which becomes the title of the file.
        comment: Time of the first sample, as `recorded_at` reads it; empty if unknown.
    """

    path: Path
    waveform: Waveform
    rate: int
    label: str
    comment: str


def clip_path(stream: StreamStarted, event: SoundEvent) -> Path:
    """Return the path of a clip, ``LABEL/RECORDING/TIME_SCORE.flac``, inside the clips folder.

    TIME is local time if it is known, else seconds from the start of the recording. A live stream
    has a folder for each day in place of the recording. `streamclf.core.clip_tags.CLIP_NAME`
    matches the file's name.
    """
    when = f"{stream.seconds(event.onset):010.3f}"
    if (text := stream.time(event.onset)) is not None:
        # The form that recorders use in file names, so that streamclf can read it from a clip.
        when = re.sub(r"[-:]", "", text[:19]).replace("T", "_") + f"_{text[20:23]}"
    if stream.live:
        place = f"{stream.source} {text[:10]}" if text else stream.source
    else:
        place = re.sub(r"\.\w{1,5}$", "", stream.source)
    score = f"{round(100 * event.score):02d}"
    return Path(safe_name(event.label)) / safe_name(place) / f"{when}_{score}.flac"


def audiomoth_comment(stream: StreamStarted, position: int) -> str:
    """Format the time of a sample as AudioMoth does in its comments; empty if unknown."""
    text = stream.time(position)
    if text is None:
        return ""
    date, _, time = text.partition("T")
    zone = time[12:]
    year, month, day = date.split("-")
    told = {"": "", "+00:00": " (UTC)"}.get(zone, f" (UTC{zone})")
    return f"Recorded at {time[:12]} {day}/{month}/{year}{told}"


def encode_clip(clip: Clip) -> bytes:
    """Encode a clip as FLAC, mono, 16 bits."""
    # In memory: libsndfile refuses names that are not UTF-8, and does not report a full disk.
    encoded = io.BytesIO()
    with soundfile.SoundFile(
        encoded, "w", clip.rate, channels=1, format="FLAC", subtype="PCM_16"
    ) as file:
        file.title = clip.label
        file.software = MADE_BY
        if clip.comment:  # libsndfile refuses an empty comment
            file.comment = clip.comment
        file.write(clip.waveform)
    return encoded.getvalue()


def write_clip(path: Path, encoded: bytes) -> None:
    """Write a clip, whole or not at all.

    An existing clip of the same name is of the same event, and is replaced.

    Raises:
        SinkError: The clip cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        try:
            _put(path, partial, encoded)
        except FileNotFoundError:
            # A folder that was empty is deleted with the last clip in it, maybe just now.
            _put(path, partial, encoded)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise SinkError(f"{path}: the clip cannot be written: {reason}") from error


def _put(path: Path, partial: Path, encoded: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(encoded)
    partial.replace(path)


def safe_name(name: str) -> str:
    """Turn a text into a folder name that is valid on any system."""
    tidied = re.sub(r"[^\w .+-]+", "_", name).strip(" ._")
    return tidied[-_MAX_NAME:].strip(" ._") or "_"
