"""Examples of a sound as features: of each recording the windows that hold the sound.

A recording goes through the same engine as what is heard live, so that the features are those that
the sound will have then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import UsageError
from streamclf.core.records import Average, Waveform
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource
from streamclf.teach.changed_audio import make_scenes
from streamclf.teach.trimming import trim

Features = npt.NDArray[np.float32]

HOP_S = 0.5
MIN_PART = 0.5
"""Least part of a sound, or of a window for a longer sound, that a window of an example holds."""


@dataclass(frozen=True, eq=False)
class Passage:
    """Windows of a stretch of audio, one every hop.

    Attributes:
        features: ``(windows, size)`` float32.
        scores: Scores of the model's labels, ``(windows, classes)``.
        holds: Part of the sound that each window holds, ``(windows,)`` in 0..1.
        seconds: Length of the audio.
    """

    features: Features
    scores: Features
    holds: npt.NDArray[np.float64]
    seconds: float

    @property
    def sounding(self) -> npt.NDArray[np.bool_]:
        """Which windows hold the sound; at least one."""
        chosen = self.holds >= MIN_PART
        chosen[int(np.argmax(self.holds))] = True
        return chosen


@dataclass(frozen=True, eq=False)
class Example:
    """An example of a sound.

    Attributes:
        name: Name of its file, or of the event that it is.
        plain: The recording as it is.
        scenes: The sound in scenes (`streamclf.teach.changed_audio`).
        audio: Digest of the sound; empty where no audio is there, but features alone.
    """

    name: str
    plain: Passage
    scenes: tuple[Passage, ...]
    audio: bytes = b""

    @property
    def windows(self) -> Features:
        """Features of all windows that hold the sound, ``(windows, size)``."""
        passages = (self.plain, *self.scenes)
        return np.concatenate([each.features[each.sounding] for each in passages])


def leave_out_repeats(
    examples: Sequence[Example], against: Sequence[Example]
) -> tuple[list[Example], list[tuple[str, str]]]:
    """Leave out examples of the same audio as another: they hold nothing that it does not.

    Left in, a sound would be found by layers that were fitted to it, where the figure says that
    they were not.

    Args:
        examples: Examples of a sound.
        against: Examples of sounds that are not it.

    Returns:
        The examples, and the names of those that are left out, each with the one that stays.

    Raises:
        UsageError: The same audio is said to be the sound and not to be it.
    """
    kept: dict[bytes | str, Example] = {}
    repeats = []
    for example in examples:
        same = kept.setdefault(example.audio or example.name, example)
        if same is not example:
            repeats.append((example.name, same.name))
    for other in against:
        denied = kept.get(other.audio or other.name)
        if denied is not None:
            what = denied.name if denied.name == other.name else f"{denied.name}, or {other.name},"
            raise UsageError(
                f"{what} is said to be the sound, and not to be it: leave out one of the two"
            )
    return [*kept.values()], repeats


class ExampleReader:
    """Reader of examples with one model.

    Args:
        classifier: A classifier that gives features.

    Attributes:
        sample_rate: Rate in Hz that examples are brought to.
        window: Length of a window in samples.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._engine = Engine(classifier, Settings(HOP_S, average_s=0.0))
        self.sample_rate = classifier.card.sample_rate
        self.window = classifier.card.window_samples

    def hear(self, name: str, waveform: Waveform) -> Example:
        """Hear a recording as it is, and in scenes.

        Args:
            name: Its name.
            waveform: ``(samples,)`` at the model's rate, not silent.
        """
        sound = trim(waveform, self.sample_rate)
        scenes = make_scenes(sound, self.sample_rate)
        return Example(
            name,
            self.listen(sound, 0, sound.size),
            tuple(self.listen(each.waveform, each.onset, each.offset) for each in scenes),
            hashlib.sha256(sound.tobytes()).digest(),
        )

    def listen(self, waveform: Waveform, onset: int, offset: int) -> Passage:
        """Hear a stretch of audio.

        Args:
            waveform: ``(samples,)`` at the model's rate.
            onset: First sample of the sound in it.
            offset: Sample after its last one.

        Raises:
            UsageError: The network hears nothing in it, as it is silent.
        """
        source = ArraySource(waveform, self.sample_rate)
        heard = [each for each in self._engine.run(source) if isinstance(each, Average)]
        heard = [each for each in heard if each.scores.features is not None]
        if not heard:
            raise UsageError("an example is silent: name recordings that hold the sound")
        begins = np.array([each.position for each in heard])
        ends = np.array([each.end for each in heard])
        common = np.minimum(ends, offset) - np.maximum(begins, onset)
        holds = np.clip(common / min(self.window, offset - onset), 0.0, 1.0)
        features = [each.scores.features for each in heard]
        return Passage(
            np.stack([each for each in features if each is not None]),
            np.stack([each.scores.values for each in heard]),
            holds,
            waveform.size / self.sample_rate,
        )
