"""Speech and music from Debian's packages, to complement sets of other sounds.

Speech: the telephone prompts of Asterisk in five languages (16 kHz, one speaker each; CC BY-SA)
and the spoken descriptions of Tux Paint's stamps in eleven (several speakers; GPL). Music: the
scores of The Battle for Wesnoth, SuperTux, Extreme Tux Racer and LinCity-NG (GPL, CC BY-SA). About
600 MB of packages. ``SOURCES.txt`` in the folder names packages and versions; each package's own
``copyright`` file is kept beside its sounds.

Layout: ``speech/LANGUAGE/NAME.g722`` (or ogg, wav, flac, mp3) and ``music/ALBUM/NAME.ogg``. Folds
keep whole languages and whole albums apart; only Wesnoth's long score is spread over three folds by
track. Other languages and albums are put into folds by the order of their names.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from streamclf.core.find_audio_files import is_hidden
from train.datasets.dataset import DataSet, Listing, Recording
from train.datasets.debian_packages import fetch_packages, keep_copyright, keep_sound
from train.datasets.files import audio_below
from train.datasets.prepared import Clip, ClipSet, is_prepared

LABELS = ("speech", "music")
N_FOLDS = 5
FOLD_OF = {
    **dict.fromkeys(["en", "el", "ro"], 1),
    **dict.fromkeys(["es", "ca", "nl"], 2),
    **dict.fromkeys(["fr", "da"], 3),
    **dict.fromkeys(["it", "bg", "lt"], 4),
    **dict.fromkeys(["ru", "be"], 5),
    "supertux": 4,
    **dict.fromkeys(["etr", "lincity-ng"], 5),
}
"""Fold of a language or an album."""

SPREAD = "wesnoth"
"""The album whose tracks are spread over the first three folds."""

ANY_LANGUAGE = "*"
"""Stands for the language code at the end of a file's name."""

PACKAGES = {
    **{
        f"asterisk-core-sounds-{code}-g722": ("speech", code, "usr/share/asterisk/**/*.g722")
        for code in ("en", "es", "fr", "it", "ru")
    },
    "tuxpaint-stamps-default": ("speech", ANY_LANGUAGE, "usr/**/*_desc_??.ogg"),
    "wesnoth-1.16-music": ("music", "wesnoth", "usr/**/music/*.ogg"),
    "supertux-data": ("music", "supertux", "usr/**/music/**/*.ogg"),
    "extremetuxracer-data": ("music", "etr", "usr/**/music/*.ogg"),
    "lincity-ng-data": ("music", "lincity-ng", "usr/**/music/**/*.ogg"),
}
"""Class, language or album, and pattern of the sounds of each Debian package."""

_MIN_BYTES = 4000
"""Shorter prompts are pauses and beeps."""

_TRUNCATED = ("northerners.ogg", "music-misc-christmas_theme.ogg")
"""Files whose end is damaged in the package."""


class SpeechMusic(DataSet):
    """Speech and music, as two classes."""

    downloads: ClassVar[bool] = True

    def recognises(self, folder: Path) -> bool:
        """Recognise two folders of these names that hold only folders, with no other beside."""
        beside = {p.name for p in folder.iterdir() if p.is_dir() and not is_prepared(p)}
        inner = [path for label in LABELS for path in (folder / label).glob("*")]
        seen = {name for name in beside if name[0] != "_" and not is_hidden(name)}
        return seen == set(LABELS) and all(
            path.is_dir() or path.suffix == ".copyright" for path in inner
        )

    def list_clips(self, folder: Path) -> Listing:
        """List every recording; its source is its language, or its album and track."""
        recordings = []
        for target, label in enumerate(LABELS):
            groups = sorted(
                path
                for path in (folder / label).glob("*")
                if path.is_dir() and not is_hidden(path.name)
            )
            for number, group in enumerate(groups):
                for index, path in enumerate(audio_below(group)):
                    fold = FOLD_OF.get(group.name, 1 + number % N_FOLDS)
                    if group.name == SPREAD:
                        fold = 1 + index % 3
                    source = group.name if label == "speech" else f"{group.name}/{path.stem}"
                    name = path.relative_to(folder).as_posix()
                    recordings.append(Recording(path, name, fold, target, source))
        return Listing(tuple(recordings), LABELS)

    def download(self, folder: Path) -> None:
        """Fetch the packages with ``apt-get`` and take the sounds out of them; needs no root."""
        fetch_packages(
            list(PACKAGES), folder, lambda name, root: _take_sounds(root, folder, *PACKAGES[name])
        )


def cut_into_pieces(clips: ClipSet, n_samples: int) -> ClipSet:
    """Cut the audio into clips of one length, each within one source; remainders are left out.

    Args:
        clips: Recordings of any length, one after the other in the array, a source's together.
        n_samples: Length of a piece; recordings shorter than that run on into the next recording of
            their source.
    """
    pieces: list[Clip] = []
    run: list[Clip] = []
    for clip in (*clips.clips, None):
        if clip is not None and run and clip.source == run[-1].source and _follows(clip, run[-1]):
            run.append(clip)
            continue
        if run:
            first, end = run[0], run[-1].offset + run[-1].n_samples
            starts = range(first.offset, end - n_samples + 1, n_samples)
            pieces += [
                replace(first, filename=f"{first.filename}#{k}", offset=start, n_samples=n_samples)
                for k, start in enumerate(starts)
            ]
        run = [clip] if clip is not None else []
    return replace(clips, clips=tuple(pieces))


def choose_pieces(clips: ClipSet, n_samples: int, n_each: int) -> ClipSet:
    """Cut pieces of one length; take at most ``n_each`` of a class and fold, evenly from all."""
    pieces = cut_into_pieces(clips, n_samples)
    groups: dict[tuple[float, int], list[int]] = {}
    for index, clip in enumerate(pieces.clips):
        groups.setdefault((clip.target, clip.fold), []).append(index)
    chosen = [
        own[k]
        for own in groups.values()
        for k in sorted(set(np.linspace(0, len(own) - 1, n_each).astype(int).tolist()))
    ]
    return pieces.take(sorted(chosen))


def _follows(clip: Clip, before: Clip) -> bool:
    same = clip.fold == before.fold and clip.target == before.target
    return same and clip.offset == before.offset + before.n_samples


def _take_sounds(unpacked: Path, folder: Path, label: str, group: str, pattern: str) -> None:
    for path in sorted(set(unpacked.glob(pattern))):
        name = path.stem[-2:] if group == ANY_LANGUAGE else group
        known = name in FOLD_OF or name == SPREAD
        if known and path.name not in _TRUNCATED and path.stat().st_size >= _MIN_BYTES:
            keep_sound(path, folder / label / name)
    keep_copyright(unpacked, folder / label)


SPEECH_MUSIC = SpeechMusic(
    name="speech-music",
    title="speech and music from Debian's packages",
    url="https://packages.debian.org",
    licence="CC BY-SA and GPL, as each package's copyright file says",
    citation="Debian packages " + ", ".join(PACKAGES),
    layout="speech/LANGUAGE/NAME.ogg and music/ALBUM/NAME.ogg",
    n_classes=2,
    places=("speech-music",),
    megabytes=600,
)
DATASETS = (SPEECH_MUSIC,)

if __name__ == "__main__":
    from train.datasets.command import main

    sys.exit(main("speech_music"))
