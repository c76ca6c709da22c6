"""Ten seconds as the world sounds, for a teacher that hears well only if it hears that long.

One to three tracks at once, each of a source: a long recording goes on, a short one comes again and
again, in other takes where there are some, at other speeds, with pauses. A track may end and
another source take its place. Some lie over made noise, some in a room.
(`train.audio.mixtures` makes windows of 1.5 s, for a teacher that hears those.)

Chance decides of a `Plan` first, which holds no samples. `Tracks.draw` makes sound of it here;
`train.audio.tracks_on_device` makes the same of many plans at once, on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.audio.mixtures import PEAK_DB, QUIETER_DB
from train.audio.noise import LOUDNESS, make_noise
from train.datasets.prepared import FULL_SCALE, ClipSet

SECONDS = 10.0
AT_ONCE = (0.6, 0.3, 0.1)
"""How often there are one, two, three tracks."""

LONG_S = 4.0
"""A recording of this length goes on; a shorter one is repeated."""

CHANGES, CHANGE_S = 0.1, (2.0, 7.0)
"""How often another source takes a track over, and after how long.

A teacher that hears ten seconds lets what it says of a part depend on the rest. The rarer changes
are, the more of that a pupil can know from its 1.5 s.
"""

WARPED, WARP, TAKE_WARP = 0.6, 0.45, 0.04
"""Part of the tracks that are played slower or faster, how far at most (as a logarithm), and how
far takes differ from each other."""

PAUSE_S = 1.5
"""The longest mean pause of a track between takes."""

ALONE_PAUSE_S, ALONE_AT_S = 8.0, 6.0
"""The longest mean pause in a track whose takes come alone, and when its first one comes at the
latest."""

NOISE_SHARE, SNR_DB = 0.25, (0.0, 40.0)
ROOM_SHARE, ROOM_S = 0.2, (0.1, 0.7)
N_NOISES = 64

QUIETEST = 1e-4
"""A stretch whose root mean square is lower is not brought to 1."""

Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Take:
    """A sound in a track.

    Attributes:
        at: Its first sample in the mixture.
        n: Samples of the mixture that it fills.
        begin: Its first sample in the array of all clips.
        n_read: Samples that are read there; beyond the last one it stays as it is.
        speed: Samples there for one of the mixture.
    """

    at: int
    n: int
    begin: int
    n_read: int
    speed: float


@dataclass(frozen=True)
class Stretch:
    """Part of a track in which one source sounds, with a root mean square of 1.

    Attributes:
        begin: Its first sample in the mixture.
        end: One after its last sample.
        takes: What sounds there, one after the other.
        source: Number of the source.
    """

    begin: int
    end: int
    takes: list[Take]
    source: int


@dataclass(frozen=True)
class Plan:
    """What a mixture is made of; levels are factors.

    Attributes:
        tracks: Stretches of each track.
        gains: Level of each track.
        noise: Which made noise lies under it, and its level; None for none.
        echo: Response of the room, from its first sample on; None for none.
        peak: Highest absolute sample.
    """

    tracks: list[list[Stretch]]
    gains: list[np.float32]
    noise: tuple[int, np.float32] | None
    echo: npt.NDArray[np.float64] | None
    peak: np.float32


class Tracks:
    """Draws mixtures; the same generator gives the same ones.

    Attributes:
        clips: Recordings of one channel.
        n_samples: Of a mixture.
        sources: Names of the sources.
        noises: Made noises, ``(n_samples,)`` each, with a root mean square of `LOUDNESS`.
    """

    def __init__(
        self, clips: ClipSet, weights: Sequence[float] | None = None, alone: float = 0.0
    ) -> None:
        """Get ready.

        Args:
            clips: With their sources.
            weights: How often each source is drawn, in the order of their first clips; all alike
                unless given.
            alone: Part of the stretches in which short takes come alone, with long pauses.
        """
        self.clips, self.alone = clips, alone
        self.n_samples = round(SECONDS * clips.sample_rate)
        takes: dict[str, list[int]] = {}
        for index, clip in enumerate(clips.clips):
            takes.setdefault(clip.source, []).append(index)
        self.sources = tuple(takes)
        self._takes = [np.array(own) for own in takes.values()]
        shares = np.ones(len(takes)) if weights is None else np.asarray(weights, float)
        self._edges = np.cumsum(shares / shares.sum())
        self.noises = [
            make_noise(np.random.default_rng((7, k)), self.n_samples, clips.sample_rate)
            for k in range(N_NOISES)
        ]

    def draw(self, random: np.random.Generator, n: int) -> Waveform:
        """``(n, n_samples)`` in [-1, 1]."""
        return np.stack([self.render(self.plan(random)) for _ in range(n)])

    def plan(self, random: np.random.Generator) -> Plan:
        """Decide of a mixture."""
        tracks, gains = [], []
        for number in range(random.choice(3, p=AT_ONCE) + 1):
            tracks.append(self._plan_track(random))
            gains.append(_gain(-random.uniform(0, QUIETER_DB) if number else 0.0))
        noise = echo = None
        if random.random() < NOISE_SHARE:
            noise = int(random.integers(N_NOISES)), _gain(-random.uniform(*SNR_DB))
        if random.random() < ROOM_SHARE:
            echo = _plan_room(random, self.clips.sample_rate)
        return Plan(tracks, gains, noise, echo, _gain(random.uniform(*PEAK_DB)))

    def render(self, plan: Plan) -> Waveform:
        """Make the mixture of a plan: ``(n_samples,)``."""
        mixed = np.zeros(self.n_samples, np.float32)
        for stretches, gain in zip(plan.tracks, plan.gains, strict=True):
            track = np.zeros(self.n_samples, np.float32)
            for stretch in stretches:
                self._fill(stretch, track)
            mixed += track * gain
        if plan.noise is not None:
            number, gain = plan.noise
            mixed += self.noises[number] / np.float32(LOUDNESS) * gain
        if plan.echo is not None:
            mixed = _in_a_room(mixed, plan.echo)
        highest = max(float(np.abs(mixed).max()), 1e-6)
        return (mixed * plan.peak / np.float32(highest)).astype(np.float32)

    def _plan_track(self, random: np.random.Generator) -> list[Stretch]:
        rate, at, stretches = self.clips.sample_rate, 0, []
        while at < self.n_samples:
            end = self.n_samples
            if random.random() < CHANGES:
                end = min(end, at + round(random.uniform(*CHANGE_S) * rate))
            stretches.append(self._plan_stretch(random, at, end))
            at = end
        return stretches

    def _plan_stretch(self, random: np.random.Generator, begin: int, end: int) -> Stretch:
        """Let one source sound in a stretch."""
        rate = self.clips.sample_rate
        place = np.searchsorted(self._edges, random.random(), side="right")
        source = min(int(place), len(self._takes) - 1)
        choices = self._takes[source]
        warp = random.uniform(-WARP, WARP) if random.random() < WARPED else 0.0
        pause = random.uniform(0, PAUSE_S)
        at = begin + (round(random.uniform(0, 0.5) * rate) if random.random() < 0.5 else 0)
        short = self.clips.clips[choices[0]].n_samples <= LONG_S * rate
        if self.alone and short and random.random() < self.alone:
            pause = random.uniform(PAUSE_S, ALONE_PAUSE_S)
            at = min(begin + round(random.uniform(0, ALONE_AT_S) * rate), max(begin, end - rate))
        takes = []
        while at < end:
            clip = self.clips.clips[random.choice(choices)]
            speed = float(np.exp(warp + random.uniform(-TAKE_WARP, TAKE_WARP) * (warp != 0.0)))
            wanted = min(end - at, int(clip.n_samples / speed))
            if clip.n_samples > LONG_S * rate:
                first = int(random.integers(0, max(1, clip.n_samples - int(wanted * speed))))
            else:
                first = 0
            n_read = min(int(wanted * speed) + 1, clip.n_samples - first)
            n = n_read
            if speed != 1.0 and n_read > 1:
                n = max(1, int(n_read / speed))
            n = min(n, end - at)
            takes.append(Take(at, n, clip.offset + first, n_read, speed))
            at += max(n, rate // 20) + int(random.exponential(pause) * rate)
        return Stretch(begin, end, takes, source)

    def _fill(self, stretch: Stretch, track: Waveform) -> None:
        loudness, heard = 0.0, 0
        for take in stretch.takes:
            read = self.clips.samples[take.begin : take.begin + take.n_read]
            sound = read.astype(np.float32) / FULL_SCALE
            if take.speed != 1.0 and len(sound) > 1:
                sound = np.interp(np.arange(take.n) * take.speed, np.arange(len(sound)), sound)
            sound = sound[: take.n].astype(np.float32)
            track[take.at : take.at + take.n] = sound
            loudness += float(np.square(sound).sum())
            heard += take.n
        scale = np.float32(max(np.sqrt(loudness / max(heard, 1)), QUIETEST))
        track[stretch.begin : stretch.end] /= scale


def _gain(level_db: float) -> np.float32:
    return np.float32(10 ** (level_db / 20))


def _plan_room(random: np.random.Generator, rate: int) -> npt.NDArray[np.float64]:
    n = round(random.uniform(*ROOM_S) * rate)
    echo = random.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    echo *= random.uniform(0.1, 0.8) / np.sqrt(np.sum(echo**2))
    echo[0] += 1
    return echo


def _in_a_room(sound: Waveform, echo: npt.NDArray[np.float64]) -> Waveform:
    size = 1 << (len(sound) + len(echo) - 1).bit_length()
    both = np.fft.rfft(sound, size) * np.fft.rfft(echo, size)
    return np.fft.irfft(both, size)[: len(sound)].astype(np.float32)
