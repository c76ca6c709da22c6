"""Ten seconds as the world sounds, for a teacher that hears well only if it hears that long.

One to three tracks at once, each of a source: a long recording goes on, a short one comes again and
again, in other takes where there are some, at other speeds, with pauses. A track may end and
another source take its place. Some lie over made noise, some in a room.
(`train.audio.mixtures` makes windows of 1.5 s, for a teacher that hears those.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from train.audio.mixtures import PEAK_DB, QUIETER_DB
from train.audio.noise import make_noise
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

NOISE_SHARE, SNR_DB = 0.25, (0.0, 40.0)
ROOM_SHARE, ROOM_S = 0.2, (0.1, 0.7)
N_NOISES = 64

Waveform = npt.NDArray[np.float32]


class Tracks:
    """Draws mixtures; the same generator gives the same ones.

    Attributes:
        clips: Recordings of one channel.
        n_samples: Of a mixture.
    """

    def __init__(self, clips: ClipSet, weights: Sequence[float] | None = None) -> None:
        """Get ready.

        Args:
            clips: With their sources.
            weights: How often each source is drawn, in the order of their first clips; all alike
                unless given.
        """
        self.clips = clips
        self.n_samples = round(SECONDS * clips.sample_rate)
        takes: dict[str, list[int]] = {}
        for index, clip in enumerate(clips.clips):
            takes.setdefault(clip.source, []).append(index)
        self.sources = tuple(takes)
        self._takes = [np.array(own) for own in takes.values()]
        shares = np.ones(len(takes)) if weights is None else np.asarray(weights, float)
        self._edges = np.cumsum(shares / shares.sum())
        self._noises = [
            make_noise(np.random.default_rng((7, k)), self.n_samples, clips.sample_rate)
            for k in range(N_NOISES)
        ]

    def draw(self, random: np.random.Generator, n: int) -> Waveform:
        """``(n, n_samples)`` in [-1, 1]."""
        return np.stack([self._draw_one(random) for _ in range(n)])

    def _draw_one(self, random: np.random.Generator) -> Waveform:
        mixed = np.zeros(self.n_samples, np.float32)
        for number in range(random.choice(3, p=AT_ONCE) + 1):
            mixed += self._track(random) * _gain(-random.uniform(0, QUIETER_DB) if number else 0.0)
        if random.random() < NOISE_SHARE:
            noise = self._noises[random.integers(N_NOISES)]
            mixed += noise / np.float32(0.1) * _gain(-random.uniform(*SNR_DB))
        if random.random() < ROOM_SHARE:
            mixed = _in_a_room(mixed, random, self.clips.sample_rate)
        highest = max(float(np.abs(mixed).max()), 1e-6)
        return (mixed * _gain(random.uniform(*PEAK_DB)) / np.float32(highest)).astype(np.float32)

    def _track(self, random: np.random.Generator) -> Waveform:
        """``(n_samples,)``, where it sounds of a root mean square of 1."""
        rate, track, at = self.clips.sample_rate, np.zeros(self.n_samples, np.float32), 0
        while at < self.n_samples:
            end = self.n_samples
            if random.random() < CHANGES:
                end = min(end, at + round(random.uniform(*CHANGE_S) * rate))
            self._fill(random, track[at:end])
            at = end
        return track

    def _fill(self, random: np.random.Generator, track: Waveform) -> None:
        """Let one source sound in a stretch."""
        rate = self.clips.sample_rate
        place = np.searchsorted(self._edges, random.random(), side="right")
        takes = self._takes[min(int(place), len(self._takes) - 1)]
        warp = random.uniform(-WARP, WARP) if random.random() < WARPED else 0.0
        pause = random.uniform(0, PAUSE_S)
        at = round(random.uniform(0, 0.5) * rate) if random.random() < 0.5 else 0
        loudness, heard = 0.0, 0
        while at < len(track):
            clip = self.clips.clips[random.choice(takes)]
            speed = np.exp(warp + random.uniform(-TAKE_WARP, TAKE_WARP) * (warp != 0.0))
            wanted = min(len(track) - at, int(clip.n_samples / speed))
            if clip.n_samples > LONG_S * rate:
                first = random.integers(0, max(1, clip.n_samples - int(wanted * speed)))
            else:
                first = 0
            begin = clip.offset + int(first)
            n_read = min(int(wanted * speed) + 1, clip.n_samples - int(first))
            sound = self.clips.samples[begin : begin + n_read].astype(np.float32) / FULL_SCALE
            if speed != 1.0 and len(sound) > 1:
                n = max(1, int(len(sound) / speed))
                sound = np.interp(np.arange(n) * speed, np.arange(len(sound)), sound)
            sound = sound[: len(track) - at].astype(np.float32)
            track[at : at + len(sound)] = sound
            loudness += float(np.square(sound).sum())
            heard += len(sound)
            at += max(len(sound), rate // 20) + int(random.exponential(pause) * rate)
        track /= np.float32(max(np.sqrt(loudness / max(heard, 1)), 1e-4))


def _gain(level_db: float) -> np.float32:
    return np.float32(10 ** (level_db / 20))


def _in_a_room(sound: Waveform, random: np.random.Generator, rate: int) -> Waveform:
    n = round(random.uniform(*ROOM_S) * rate)
    echo = random.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    echo *= random.uniform(0.1, 0.8) / np.sqrt(np.sum(echo**2))
    echo[0] += 1
    size = 1 << (len(sound) + n - 1).bit_length()
    both = np.fft.rfft(sound, size) * np.fft.rfft(echo, size)
    return np.fft.irfft(both, size)[: len(sound)].astype(np.float32)
