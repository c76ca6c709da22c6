"""Soundscapes: clips at known times over noise, to measure where a network finds them.

A scene has noise of one level and colour (`train.audio.noise`) and one clip after another, each at
such a level that its loudest part is the scene's ``snr_db`` above the noise. Digital silence and
quiet tails are cut off first, so that an event lasts as long as its sound. Classes come in turn,
and each class's clips in turn, in an order and at distances that are drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.audio.noise import make_noise
from train.base.errors import UsageError
from train.datasets.prepared import ClipSet

FRAME_S = 0.05
"""Length of the frames whose power is measured."""

QUIET = 1e-4
"""Frames at a clip's ends with less than this part of its loudest frame's power are cut off."""

PAUSE_S = (1.0, 6.0)
"""Pause between two events, from and to."""

EARLIER_S = 2.0
"""Longest time by which an event may begin before the last one's end, where events may overlap."""

LEVEL_DB = (-35.0, -15.0)
"""Level of the loudest frame of a scene's events, in dB of full scale, from and to."""

PEAK = 0.99


@dataclass(frozen=True)
class TrueEvent:
    """A sound with its position, in samples from the scene's start."""

    label: str
    onset: int
    offset: int


@dataclass(frozen=True, eq=False)
class Scene:
    """A soundscape.

    Attributes:
        name: Name as in ``scene-001``.
        waveform: ``(samples,)`` float32 in [-1, 1].
        sample_rate: In Hz.
        snr_db: Loudest frame of each event over the noise's mean.
        events: The events, in the order of their onsets.
    """

    name: str
    waveform: npt.NDArray[np.float32]
    sample_rate: int
    snr_db: float
    events: tuple[TrueEvent, ...]


def make_scenes(
    clips: ClipSet,
    n_scenes: int,
    *,
    seconds: float = 60.0,
    snr_db: Sequence[float] = (0.0, 10.0, 20.0, 30.0),
    seed: int = 1,
    overlap: bool = False,
) -> Iterator[Scene]:
    """Make scenes; the same clips and the same seed give the same scenes.

    Args:
        clips: Clips of one channel; those without sound are passed over.
        n_scenes: How many scenes.
        seconds: Length of a scene.
        snr_db: Levels of the scenes, in turn.
        seed: Seed of everything drawn at random.
        overlap: Whether events may begin before the last one's end.

    Raises:
        UsageError: No clip fits into a scene.
    """
    random = np.random.default_rng(seed)
    deck = _Deck(clips, random)
    for number in range(n_scenes):
        yield _make_scene(
            f"scene-{number + 1:03d}", deck, random,
            n_samples=round(seconds * clips.sample_rate),
            snr_db=snr_db[number % len(snr_db)], overlap=overlap,
        )  # fmt: skip


def trim(waveform: np.ndarray, sample_rate: int) -> npt.NDArray[np.float32]:
    """Cut the quiet frames off both ends of a clip; a silent clip becomes empty."""
    power = frame_power(waveform, sample_rate)
    loud = np.flatnonzero((power >= QUIET * power.max(initial=0)) & (power > 0))
    if not loud.size:
        return waveform[:0]
    frame = _frame(sample_rate)
    return waveform[loud[0] * frame : (loud[-1] + 1) * frame]


class _Deck:
    """Sounds dealt class by class, as from a deck; none comes again before all others came."""

    def __init__(self, clips: ClipSet, random: np.random.Generator) -> None:
        self.sample_rate = clips.sample_rate
        self._clips, self._random = clips, random
        self._of_class: dict[int, list[int]] = {}
        for index, clip in enumerate(clips.clips):
            self._of_class.setdefault(int(clip.target), []).append(index)
        self._classes: list[int] = []
        self._left: dict[int, list[int]] = {}
        self._kept: list[tuple[str, npt.NDArray[np.float32]]] = []

    def put_back(self, label: str, sound: npt.NDArray[np.float32]) -> None:
        """Keep a sound that did not fit for the next scene; else long sounds would be too rare."""
        self._kept.append((label, sound))

    def deal(self, n_longest: int) -> tuple[str, npt.NDArray[np.float32]]:
        """Deal the next sound of at most ``n_longest`` samples.

        Returns:
            Its label, and the trimmed sound.

        Raises:
            UsageError: No sound is that short.
        """
        if self._kept:
            return self._kept.pop()
        for _ in range(2 * len(self._clips.clips)):
            if not self._classes:
                self._classes = self._random.permutation(sorted(self._of_class)).tolist()
            target = self._classes.pop()
            if not self._left.get(target):
                self._left[target] = self._random.permutation(self._of_class[target]).tolist()
            sound = trim(self._clips.waveform(self._left[target].pop()), self._clips.sample_rate)
            if 0 < len(sound) <= n_longest:
                return self._clips.labels[target], sound
        raise UsageError(
            f"no clip of {self._clips.name} fits into {n_longest / self._clips.sample_rate:.1f} s: "
            "make the scenes longer with --seconds"
        )


def _make_scene(
    name: str,
    deck: _Deck,
    random: np.random.Generator,
    *,
    n_samples: int,
    snr_db: float,
    overlap: bool,
) -> Scene:
    sample_rate = deck.sample_rate
    waveform = make_noise(random, n_samples, sample_rate)
    level = 10 ** (random.uniform(*LEVEL_DB) / 20)
    waveform *= level * 10 ** (-snr_db / 20) / np.sqrt(np.mean(waveform**2))
    events: list[TrueEvent] = []
    end = 0
    while True:
        earliest, latest = PAUSE_S
        if overlap and events:
            earliest -= PAUSE_S[0] + EARLIER_S
        onset = end + round(random.uniform(earliest, latest) * sample_rate)
        # The end of the scene is a pause away, too, so that it does not give the last event away.
        room = n_samples - round(PAUSE_S[0] * sample_rate)
        label, sound = deck.deal(room - round(PAUSE_S[1] * sample_rate))
        same = [event.offset for event in events if event.label == label]
        onset = max(onset, 0, *(offset + round(PAUSE_S[0] * sample_rate) for offset in same))
        if onset + len(sound) > room:
            deck.put_back(label, sound)
            break
        loudest = frame_power(sound, sample_rate).max()
        waveform[onset : onset + len(sound)] += sound * (level / np.sqrt(loudest))
        events.append(TrueEvent(label, onset, onset + len(sound)))
        end = max(end, onset + len(sound))
    waveform *= min(1.0, PEAK / max(float(np.abs(waveform).max()), 1e-12))
    events.sort(key=lambda event: event.onset)
    return Scene(name, waveform, sample_rate, snr_db, tuple(events))


def _frame(sample_rate: int) -> int:
    return max(1, round(FRAME_S * sample_rate))


def frame_power(waveform: np.ndarray, sample_rate: int) -> npt.NDArray[np.float64]:
    """``(frames,)``, mean square of each frame; the last frame may be shorter."""
    frame = _frame(sample_rate)
    starts = np.arange(0, len(waveform), frame)
    if not starts.size:
        return np.zeros(0)
    squares = np.add.reduceat(waveform.astype(np.float64) ** 2, starts)
    return squares / np.minimum(frame, len(waveform) - starts)
