"""Speech as a microphone hears it all day: words, syllables and pauses, one after the other.

A few clips of clear speech do not show what speech is made of where nobody reads aloud: single
words and syllables, pauses, the beginning of a word at the end of a window, a telephone's band, a
microphone that clips. A last layer that has learned only the clips takes some of it for sneezes.

So recordings of speech, and free sounds in which a teacher hears speech before the other labels
(`train.hear_sources`), are put one after the other, with pauses, into stretches as long as a clip.
Every window of a stretch in which something is heard is speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from train.audio.noise import at_level, make_noise
from train.base.errors import UsageError
from train.datasets import speech_music
from train.datasets.audioset import columns_of, read_label_names
from train.datasets.free_sounds import HELD_OUT
from train.datasets.prepared import ClipSet
from train.pocket_parts.strangers import MEANS, read_scores

Waveform = npt.NDArray[np.float32]

LABEL = "speech"
N_STRETCHES = 600
WEIGHT = 0.15
"""Weight of one of their windows, relative to those of clips. With more of it, coughs and laughter
become speech."""

SURE = 0.3
"""A sound is taken where the teacher's score of the label is this or more, and of none higher."""

JUDGES = (*HELD_OUT, "klettres-data", "ktuberling-data")
"""Packages by whose speech, syllables and music false events are counted."""

COUGHS = "covid19-cough+dataset"
"""Recordings in which somebody coughs and perhaps says something."""

LEFT_OUT = {*JUDGES, *speech_music.PACKAGES, COUGHS}
"""Packages of free sounds that nothing is taken from. What ``--speech-music`` has in folds, by
which runs are judged, is taken from there instead."""

PAUSE_S = (0.1, 2.0)
"""Pause between two sounds, from and to; short ones are more frequent."""

PAUSE_DB = (-85.0, -55.0)
"""Noise that fills the pauses, in dB of full scale, where each sound peaks at 0 dB."""

CONDITIONS = (
    "plain", "plain", "noise", "telephone", "clipped", "plain", "plain", "noise",
)  # fmt: skip
"""What happens to the stretches, in turn."""

SNR_DB = (0.0, 35.0)
"""Level of full scale over the noise, from and to, less `PEAK_OVER_MEAN_DB`."""

PEAK_OVER_MEAN_DB = 6.0
TELEPHONE_RATE = 8_000
CLIPPING_DB = (3.0, 20.0)
"""How far above full scale the peaks would be that are clipped, from and to."""

LEVEL_DB = (-40.0, 0.0)
"""Level of a stretch, from and to."""


@dataclass(frozen=True, eq=False)
class MoreSpeech:
    """Speech of which stretches are made.

    Attributes:
        target: Its class.
        sets: Sounds of one sample rate.
    """

    target: int
    sets: tuple[ClipSet, ...]


def choose_speech(
    sounds: ClipSet, heard: Path, label_names: Path, labels: Sequence[str]
) -> ClipSet:
    """Choose the sounds in which the teacher hears speech before the other labels.

    Args:
        sounds: To choose from.
        heard: What the teacher hears in each source, a file of `train.hear_sources`.
        label_names: AudioSet's class_labels_indices.csv.
        labels: Of the network.

    Raises:
        UsageError: Nothing is left.
        DatasetError: A file cannot be read.
    """
    scores = read_scores(heard)
    known = [each for each in labels if each in MEANS]
    columns = columns_of(read_label_names(label_names), tuple(known), MEANS)
    own = known.index(LABEL)
    kept = []
    for row, clip in enumerate(sounds.clips):
        if clip.source not in scores or clip.source.split("/")[0] in LEFT_OUT:
            continue
        of_labels = [scores[clip.source][each].max() for each in columns]
        if of_labels[own] >= SURE and of_labels[own] == max(of_labels):
            kept.append(row)
    if not kept:
        raise UsageError(
            f"--more-speech: {heard} names none of the {len(sounds.clips)} sounds as speech; take "
            "the file that train.hear_sources made of the same sounds, or leave --more-speech out"
        )
    return sounds.take(kept)


def make_stretches(
    sets: Sequence[ClipSet], n: int, n_samples: int, random: np.random.Generator
) -> Waveform:
    """Make stretches, each of one package or language: ``(n, n_samples)``.

    A package is drawn by the root of how many sounds it has, so that none outweighs all others.

    Args:
        sets: Sounds to put one after the other, of one sample rate.
        n: How many stretches.
        n_samples: Samples of each.
        random: Source of random numbers.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    for number, sounds in enumerate(sets):
        for row, clip in enumerate(sounds.clips):
            groups.setdefault((number, clip.source.split("/")[0]), []).append(row)
    names = list(groups)
    shares = np.sqrt([len(rows) for rows in groups.values()])
    drawn = random.choice(len(names), n, p=shares / shares.sum())
    stretches = []
    for number, k in enumerate(drawn):
        sounds = sets[names[k][0]]
        stretch = _join(sounds, groups[names[k]], n_samples, random)
        condition = CONDITIONS[number % len(CONDITIONS)]
        stretches.append(_change(stretch, sounds.sample_rate, condition, random))
    return np.stack(stretches)


def _join(
    sounds: ClipSet, rows: Sequence[int], n_samples: int, random: np.random.Generator
) -> Waveform:
    """Sounds one after the other, each with its peak at 0 dB, from somewhere in the first on."""
    parts: list[Waveform] = []
    length = -n_samples
    while length < n_samples:
        sound = sounds.waveform(int(random.choice(rows)))
        if len(sound) > n_samples:
            begin = int(random.integers(0, len(sound) - n_samples + 1))
            sound = sound[begin : begin + n_samples]
        pause_s = np.exp(random.uniform(*np.log(PAUSE_S)))
        pause = np.zeros(round(sounds.sample_rate * pause_s), np.float32)
        parts += [sound / max(float(np.abs(sound).max()), 1e-4), pause]
        length += len(sound) + len(pause)
    begin = int(random.integers(0, length + 1))
    stretch = np.concatenate(parts)[begin : begin + n_samples]
    noise = make_noise(random, n_samples, sounds.sample_rate)
    return (stretch + at_level(noise, random.uniform(*PAUSE_DB))).astype(np.float32)


def _change(
    stretch: Waveform, sample_rate: int, condition: str, random: np.random.Generator
) -> Waveform:
    """Lay a stretch over noise, send it by telephone or clip it; and give it a level."""
    if condition == "noise":
        noise = make_noise(random, len(stretch), sample_rate)
        stretch = stretch + at_level(noise, -PEAK_OVER_MEAN_DB - random.uniform(*SNR_DB))
    elif condition == "telephone":
        small = soxr.resample(stretch, sample_rate, TELEPHONE_RATE)
        again = soxr.resample(small, TELEPHONE_RATE, sample_rate)[: len(stretch)]
        stretch = np.pad(again, (0, len(stretch) - len(again)))
    elif condition == "clipped":
        stretch = np.clip(stretch * 10 ** (random.uniform(*CLIPPING_DB) / 20), -1, 1)
    return (stretch * 10 ** (random.uniform(*LEVEL_DB) / 20)).astype(np.float32)
