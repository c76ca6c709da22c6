"""Recordings of speech and of music as they are, unmixed: what a label is taken for there.

Mixtures hold too much at once to show how often a syllable becomes a sneeze in an hour of speech,
and labelled clips hold no speech. So recordings in which a teacher hears speech, or music, are laid
one behind the other, those of a package together, as one voice speaks and one game plays. A label
that the teacher denies there, and denied in each recording alone, does not sound there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.datasets.prepared import ClipSet
from train.evaluation.agreement import SAID

KINDS = ("Speech", "Music")

PIECE_S, PART_S = 60.0, 10.0
"""Seconds of a piece, and of each of its parts, which the teacher hears."""

LONGEST_S = 10.0
"""Seconds taken from the middle of a longer recording."""

LEFT_OUT = ("instruments",)
"""Packages that are not heard: notes that rules made, one by one, are no music."""

PAUSE_S, FAINT_DB = 1.0, -65.0
"""Between two recordings, and the level of the noise there, in dB of full scale."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A minute of recordings of one kind.

    Attributes:
        kind: `KINDS`.
        waveform: ``(samples,)``, float32 in [-1, 1].
        said: ``(stretches, labels)``: the highest of what the teacher said of each recording that
            sounds in a stretch.
    """

    kind: str
    waveform: npt.NDArray[np.float32]
    said: npt.NDArray[np.float32]


def make_pieces(
    clips: ClipSet, scores: npt.NDArray[np.floating], labels: Sequence[str], seed: int = 1
) -> Iterator[Piece]:
    """Lay recordings of each kind one behind the other, package by package.

    Args:
        clips: Recordings of many kinds.
        scores: ``(clips, labels)``: what the teacher says of each, heard alone.
        labels: The labels, `KINDS` among them.
        seed: Of everything drawn at random.

    Yields:
        Pieces of `PIECE_S`, each kind's until its recordings are over.
    """
    rate = clips.sample_rate
    n_piece, n_stretch, n_pause = (round(s * rate) for s in (PIECE_S, PART_S, PAUSE_S))
    own = scores[:, [labels.index(kind) for kind in KINDS]]
    packages = np.array([clip.source.split("/")[0] for clip in clips.clips])
    random = np.random.default_rng(seed)
    for column, kind in enumerate(KINDS):
        chosen = (own[:, column] >= SAID) & (own.argmax(axis=1) == column)
        order = random.permutation(np.flatnonzero(chosen & ~np.isin(packages, LEFT_OUT)))
        piece, at = _quiet(kind, n_piece, len(labels), random), 0
        for index in order[np.argsort(packages[order], kind="stable")]:
            sound = _middle(clips.waveform(int(index)), round(LONGEST_S * rate))
            if at + len(sound) > n_piece:
                yield piece
                piece, at = _quiet(kind, n_piece, len(labels), random), 0
            piece.waveform[at : at + len(sound)] = sound
            rows = slice(at // n_stretch, (at + len(sound) - 1) // n_stretch + 1)
            piece.said[rows] = np.maximum(piece.said[rows], scores[index])
            at += len(sound) + n_pause
        if at:
            yield piece


def _quiet(kind: str, n_samples: int, n_labels: int, random: np.random.Generator) -> Piece:
    """A piece of faint noise, to be filled."""
    noise = 10 ** (FAINT_DB / 20) * random.standard_normal(n_samples)
    said = np.zeros((round(PIECE_S / PART_S), n_labels), np.float32)
    return Piece(kind, noise.astype(np.float32), said)


def _middle(sound: npt.NDArray[np.float32], longest: int) -> npt.NDArray[np.float32]:
    begin = max(0, (len(sound) - longest) // 2)
    return sound[begin : begin + longest]
