"""Audio that a search of folders leaves out because of its ending: nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

from streamclf.core.audio_endings import OTHERS, UNREADABLE
from streamclf.core.text_format import format_count

AnyPath = TypeVar("AnyPath", bound=PurePath)
_HEAD_BYTES = 12
_BEGINS = (b"fLaC", b"OggS", b"wvpk", b".snd", b"caff", b"riff", b"ID3\x03", b"ID3\x04")
_FORMS = {b"RIFF": b"WAVE", b"RIFX": b"WAVE", b"RF64": b"WAVE", b"BW64": b"WAVE", b"FORM": b"AIF"}


def describe_passed_over(where: str, files: Iterable[Path]) -> list[str]:
    """Describe the audio among files whose ending is none of a recording.

    Only the first bytes of files are read, and none of files that are known to be others.

    Args:
        where: The folder or pattern, as the user gave it.
        files: The files.

    Returns:
        A warning about audio of other endings, and one about recordings that only the programs of
        their makers read; none where there are no such files.
    """
    unknown, unreadable = _tell_apart(files)
    audio = [path for path in unknown if _begins_as_audio(path)]
    lines = []
    if audio:
        lines.append(
            f"warning: {where}: left out {format_count(len(audio), 'file')} with audio, but with "
            f"other endings ({_some(audio)}): name the files themselves to hear them"
        )
    return lines + _describe_unreadable(where, unreadable)


def describe_listed(where: str, files: Iterable[PurePath]) -> list[str]:
    """Describe files of a store whose ending is none of a recording; none of them is opened.

    Args:
        where: The store, as it is shown.
        files: The files.

    Returns:
        A warning about unknown endings, and one about recordings that only the programs
        of their makers read; none where there are no such files.
    """
    unknown, unreadable = _tell_apart(files)
    lines = []
    if unknown:
        lines.append(
            f"warning: {where}: left out {format_count(len(unknown), 'file')} of unknown "
            f"endings ({_some(unknown)}): rename those that hold audio"
        )
    return lines + _describe_unreadable(where, unreadable)


def _tell_apart(files: Iterable[AnyPath]) -> tuple[list[AnyPath], list[AnyPath]]:
    """Files of unknown endings, and those that only their makers' programs read."""
    unknown, unreadable = list[AnyPath](), list[AnyPath]()
    for path in files:
        ending = path.suffix.lower()
        if ending in UNREADABLE:
            unreadable.append(path)
        elif ending not in OTHERS:
            unknown.append(path)
    return unknown, unreadable


def _describe_unreadable(where: str, files: Sequence[PurePath]) -> list[str]:
    if not files:
        return []
    makers = sorted({UNREADABLE[path.suffix.lower()] for path in files})
    return [
        f"warning: {where}: left out {format_count(len(files), 'recording')} that only "
        f"programs of {' and '.join(makers)} read ({_some(files)}): convert to WAV first"
    ]


def _some(files: Sequence[PurePath]) -> str:
    return f"{files[0]}{', ...' if len(files) > 1 else ''}"


def _begins_as_audio(path: Path) -> bool:
    """Whether a file begins as one of sound alone."""
    if not path.is_file():  # opening a pipe would wait for its writer
        return False
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # a file that is no recording by its name owes nobody its content
        return False
    form = _FORMS.get(head[:4])
    return head.startswith(_BEGINS) or (form is not None and head[8:].startswith(form))
