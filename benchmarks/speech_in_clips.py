"""What ``--privacy speech`` misses: clips of dogs that hold speech and are written all the same.

    python -m benchmarks.speech_in_clips --dogs ESC-50 cs=FOLDER nl=FOLDER ... [--model M]

``LANGUAGE=FOLDER`` are recordings of speech, twelve minutes of each at most (``--minutes``). They
are laid, with pauses in between (4 s on average, ``--pause``), over dogs that bark every few
seconds (ESC-50, clips of all folds), 0 to 30 dB below the barks, and over a floor of faint noise.
The engine finds events, and the clip sink cuts their clips, as ``streamclf file --clips`` does; its
judge of speech has several factors of its scores, and margins.

A clip holds speech if `LEAST_S` of it are active speech: frames of 20 ms within `ACTIVE_DB` of the
loudest of their recording. Missed is such a clip that is written. Levels are those of active
frames. Each cell holds the part of the clips with speech that are missed, and the seconds of active
speech in them.

The rows "none" are what is paid for it: the part of the clips of the same dogs, without any speech,
that are withheld. ``--over all`` takes ESC-50's other sounds in place of dogs.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.false_alarms import read_recordings
from streamclf import ArraySource, Classifier, Engine, Model, Settings, find_model
from streamclf.core.records import Block, Gap, Result, StreamStarted
from streamclf.core.unknown import SILENCE
from streamclf.sinks.clips.clips import ClipSink, EventClip
from streamclf.sinks.clips.speech import SpeechJudge
from train.audio.noise import at_level, make_noise

Waveform = npt.NDArray[np.float32]

LEVELS_DB = (0, -6, -12, -20, -30)
FACTORS = (0.4, 0.6, 1.0, 1.5, 2.0)
MARGINS_S = (1.0, 2.0, 3.0, 5.0)
BARK_DB = -20.0
FLOOR_DB = -75.0
LEAST_S = 0.2
ACTIVE_DB = 25.0
FRAME_S = 0.02
SCENE_S = 300.0
PEOPLE = frozenset(
    "breathing crying_baby laughing coughing sneezing snoring clapping drinking_sipping".split()
)
"""Sounds of ESC-50 under which voices of its own may lie."""


@dataclass(frozen=True)
class Scene:
    """A stretch of audio: what lies under it, and what is said over it, each to be mixed.

    Attributes:
        name: The language.
        background: ``(samples,)``.
        speech: ``(samples,)``, active frames at 0 dB of the background's.
        active: Whether somebody speaks, for each sample.
    """

    name: str
    background: Waveform
    speech: Waveform
    active: npt.NDArray[np.bool_]


def main() -> None:
    options = _parser().parse_args()
    scorer = Classifier(Model(find_model(options.model), provider="cpu"))
    rate = scorer.card.sample_rate
    random = np.random.default_rng(options.seed)
    sounds = list(read_sounds(options.dogs, rate, options.over))
    scenes = []
    for named in options.speech:
        name, _, folder = named.partition("=")
        scenes += make_scenes(name, folder, sounds, random, rate, options)
    speech_s = sum(int(scene.active.sum()) for scene in scenes) / rate
    hours = sum(len(scene.background) for scene in scenes) / rate / 3600
    print(f"{speech_s / 60:.0f} min of active speech in {hours:.2f} h, {options.hop:g} s hop")
    print("level | language | clips with speech | " + " | ".join(
        f"x {factor:g}/{margin:g}s" for factor in FACTORS for margin in MARGINS_S
    ))  # fmt: skip
    for level_db in (None, *LEVELS_DB):
        counts: dict[str, npt.NDArray[np.int64]] = {}
        for scene in scenes:
            found = judge_scene(scorer, scene, level_db, options.hop, random)
            counts[scene.name] = counts.get(scene.name, 0) + found
        counts["all"] = sum(counts.values())
        for name, (all_clips, *passed) in counts.items():
            n_clips, n_samples = all_clips
            level = "none" if level_db is None else f"{level_db} dB"
            cells = [f"{n_clips} ({n_samples / rate:.0f} s)"]
            for n, spoken in passed:
                if level_db is None:  # what counts is what is withheld
                    cells.append(f"{100 * (1 - n / max(n_clips, 1)):.1f}")
                else:
                    cells.append(f"{100 * n / max(n_clips, 1):.1f} ({spoken / rate:.0f} s)")
            print(f"{level} | {name} | {' | '.join(cells)}", flush=True)


def read_sounds(data: Path, rate: int, over: str) -> Iterator[Waveform]:
    """ESC-50's clips of dogs, or of all sounds but those of people, at `BARK_DB`."""
    with (data / "meta" / "esc50.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        wanted = row["category"] == "dog" if over == "dogs" else row["category"] not in PEOPLE
        if wanted:
            for waveform in read_recordings(str(data / "audio" / row["filename"]), rate):
                if np.abs(waveform).max() > SILENCE:
                    yield to_level(waveform, rate, BARK_DB)


def make_scenes(
    name: str,
    folder: str,
    sounds: list[Waveform],
    random: np.random.Generator,
    rate: int,
    options: argparse.Namespace,
) -> Iterator[Scene]:
    """Scenes of `SCENE_S`, up to the minutes of active speech that are asked for."""
    recordings = [each for each in read_recordings(folder, rate) if each.size > 0.5 * rate]
    random.shuffle(recordings)
    left, size = options.minutes * 60 * rate, round(SCENE_S * rate)
    while left > 0 and recordings:
        background, speech = np.zeros(size, np.float32), np.zeros(size, np.float32)
        active = np.zeros(size, np.bool_)
        at = round(random.exponential(options.pause) * rate)
        while recordings and at + recordings[-1].size < size:
            said = to_level(recordings.pop(), rate, BARK_DB)
            end = at + said.size
            speech[at:end] = said
            active[at:end] = is_active(said, rate)
            at = end + round((0.5 + random.exponential(options.pause - 0.5)) * rate)
        if recordings and recordings[-1].size >= size:
            recordings.pop()
        at = 0
        while at + 5 * rate < size:
            sound = sounds[random.integers(len(sounds))]
            end = min(at + sound.size, size)
            background[at:end] += sound[: end - at]
            at = end + round(random.exponential(3.0) * rate)
        left -= int(active.sum())
        yield Scene(name, background, speech, active)


def is_active(waveform: Waveform, rate: int) -> npt.NDArray[np.bool_]:
    """Whether each sample lies in an active frame."""
    size = round(FRAME_S * rate)
    n_frames = -(-waveform.size // size)
    padded = np.pad(waveform, (0, n_frames * size - waveform.size)).reshape(n_frames, size)
    power = (padded.astype(np.float64) ** 2).mean(axis=1)
    active: npt.NDArray[np.bool_] = power >= power.max() * 10 ** (-ACTIVE_DB / 10)
    return np.repeat(active & (power > 0), size)[: waveform.size]


def to_level(waveform: Waveform, rate: int, level_db: float) -> Waveform:
    """Scale a sound so that its active frames have a root mean square of ``level_db``."""
    loudness = np.sqrt((waveform[is_active(waveform, rate)].astype(np.float64) ** 2).mean())
    return (waveform * (10 ** (level_db / 20) / loudness)).astype(np.float32)


def judge_scene(
    scorer: Classifier,
    scene: Scene,
    level_db: float | None,
    hop_s: float,
    random: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Count the clips with speech (all, where nobody speaks), and those that each judge passes.

    Returns:
        ``(1 + judges, 2)``: clips, and samples of active speech in them.
    """
    rate = scorer.card.sample_rate
    floor = at_level(make_noise(random, len(scene.background), rate), FLOOR_DB)
    mixed = scene.background + floor
    if level_db is not None:
        mixed = mixed + 10 ** (level_db / 20) * scene.speech
    source = ArraySource(np.clip(mixed, -1, 1).astype(np.float32), rate)
    items: list[StreamStarted | Result | Block | Gap] = []
    results: list[StreamStarted | Result] = []
    for result in Engine(scorer, Settings(hop_s)).run(source, on_audio=items.append):
        results.append(result)
    judges: list[SpeechJudge | None] = [None]
    judges += [SpeechJudge(factor, margin) for factor in FACTORS for margin in MARGINS_S]
    counts = []
    for judge in judges:
        sink = _CountingSink(scene.active if level_db is not None else None, rate, judge)
        for result in results:
            if isinstance(result, StreamStarted):
                sink.begin(result)
                for item in items:
                    sink.hear(item)
            else:
                sink.write(result)
        sink.close()
        counts.append((sink.n_clips, sink.n_spoken))
    return np.array(counts)


class _CountingSink(ClipSink):
    """Clip sink that counts the clips that it would write, if somebody speaks in them."""

    def __init__(
        self, active: npt.NDArray[np.bool_] | None, rate: int, judge: SpeechJudge | None
    ) -> None:
        super().__init__(Path("none"), speech=judge)
        self._labels = SpeechJudge()
        self._active, self._least = active, round(LEAST_S * rate)
        self.n_clips = self.n_spoken = 0

    def begin(self, stream: StreamStarted) -> None:
        super().begin(stream)
        self._labels.begin(stream)

    def _save(self, event_clip: EventClip) -> None:
        if self._labels.is_speech_label(event_clip.event.label):
            return  # its clip is withheld whatever the threshold
        if self._active is None:
            self.n_clips += 1
        else:
            spoken = int(self._active[event_clip.begin : event_clip.end].sum())
            if spoken >= self._least:
                self.n_clips += 1
                self.n_spoken += spoken


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", nargs="+", metavar="LANGUAGE=FOLDER")
    parser.add_argument("--dogs", type=Path, required=True, metavar="ESC-50")
    parser.add_argument("--over", choices=("dogs", "all"), default="dogs")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--hop", type=float, default=0.5)
    parser.add_argument("--minutes", type=float, default=12.0, help="of active speech, each (12)")
    parser.add_argument("--pause", type=float, default=4.0, help="mean pause in seconds (4)")
    parser.add_argument("--seed", type=int, default=5)
    return parser


if __name__ == "__main__":
    main()
