"""Windows of sounds as they overlap in the world: one to three at once, over noise, at any level.

They have no labels: somebody who knows sounds, a teacher, says what is in them (`train.imitate`).
It hears them as loud as it knows them; who learns from it is to hear the same from further away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.audio.noise import make_noise
from train.audio.scenes import frame_power
from train.datasets.prepared import FULL_SCALE, ClipSet

SOUNDS_AT_ONCE = (0.35, 0.5, 0.15)
"""How often a window holds one sound, two, three."""

QUIETER_DB = 12.0
"""By how much the others lie below the first, at most."""

WARPED_SHARE, WARP = 0.6, 0.3
"""Part of the sounds that are played slower or faster, by a factor of at most e to that."""

REACH = 0.4
"""Part of a window by which it may begin before its clip; it may end half beyond."""

NOISE_SHARE, SNR_DB = 0.35, (0.0, 40.0)
"""Part of the windows that have noise, and by how much the sounds' mean stands above its own."""

DENOISED_SHARE, DENOISED_SNR_DB = 0.7, (0.0, 30.0)
"""The same where the teacher does not hear that noise; above it stands the loudest frame, as in
the soundscapes."""

PEAK_DB = (-20.0, 0.0)
"""How loud a teacher hears a window."""

QUIET_SHARE, QUIET_DB = 0.6, 40.0
"""Part of the windows that are quieter than that, and by how much at most."""

N_NOISES, NOISE_S = 128, 6.0
NEXT_TO_NOTHING = 3e-3
"""A stretch that never gets louder than this is drawn again."""

N_TRIES = 5

Windows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Clips that windows are cut from.

    Attributes:
        clips: Of one channel.
        share: How often, beside the other sources.
        by_fold: Some of the set's folds, not the whole of it.
    """

    clips: ClipSet
    share: float
    by_fold: bool = True


class Mixtures:
    """Draws windows; the same generator gives the same ones.

    Attributes:
        sources: What is mixed.
        n_samples: Of a window.
        through_noise: A teacher is to hear windows without the noise that lies over them.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        noise_share: float,
        n_samples: int,
        *,
        through_noise: bool = False,
    ) -> None:
        """Get ready.

        Args:
            sources: All at one rate.
            noise_share: How often a sound is made noise, beside the sources.
            n_samples: Of a window.
            through_noise: Whether a teacher is to hear less noise than there is.
        """
        self.sources, self.n_samples = tuple(sources), n_samples
        self.through_noise = through_noise
        self._clips = [source.clips for source in sources]
        shares = np.array([*(source.share for source in sources), noise_share])
        self._shares = shares / shares.sum()
        rate = self._clips[0].sample_rate
        length = max(round(NOISE_S * rate), 2 * n_samples)
        self._noises = [
            make_noise(np.random.default_rng((0, k)), length, rate) for k in range(N_NOISES)
        ]

    def draw(self, random: np.random.Generator, n: int) -> tuple[Windows, Windows]:
        """``(n, n_samples)`` in [-1, 1], twice: windows, and what a teacher hears of them."""
        pairs = [self._draw_one(random) for _ in range(n)]
        return np.stack([heard for heard, _ in pairs]), np.stack([taught for _, taught in pairs])

    def _draw_one(self, random: np.random.Generator) -> tuple[Windows, Windows]:
        mixed = np.zeros(self.n_samples, np.float32)
        for number in range(random.choice(3, p=SOUNDS_AT_ONCE) + 1):
            level = -random.uniform(0, QUIETER_DB) if number else 0.0
            mixed += _at_level(self._sound(random), level)
        taught = mixed
        share, snr_db, reference = NOISE_SHARE, SNR_DB, np.float32(1)
        if self.through_noise:
            share, snr_db = DENOISED_SHARE, DENOISED_SNR_DB
            loudest = frame_power(mixed, self._clips[0].sample_rate).max()
            reference = np.float32(np.sqrt(loudest or 1.0))
        if random.random() < share:
            noise = self._noise(random, self.n_samples)
            mixed = mixed + _at_level(noise, -random.uniform(*snr_db)) * reference
        scale = 10 ** (random.uniform(*PEAK_DB) / 20) / max(np.abs(mixed).max(), 1e-6)
        quiet_db = random.uniform(0, QUIET_DB) if random.random() < QUIET_SHARE else 0.0
        heard = (mixed * scale * 10 ** (-quiet_db / 20)).astype(np.float32)
        return heard, ((taught if self.through_noise else mixed) * scale).astype(np.float32)

    def _sound(self, random: np.random.Generator) -> npt.NDArray[np.float32]:
        """A stretch of something, some of them at another speed."""
        if random.random() >= WARPED_SHARE:
            return self._stretch(random, self.n_samples)
        speed = np.exp(random.uniform(-WARP, WARP))
        stretch = self._stretch(random, int(np.ceil(self.n_samples * speed)) + 1)
        places = np.arange(self.n_samples) * speed
        return np.interp(places, np.arange(len(stretch)), stretch).astype(np.float32)

    def _stretch(self, random: np.random.Generator, n_samples: int) -> npt.NDArray[np.float32]:
        cut = np.zeros(n_samples, np.float32)
        for _ in range(N_TRIES):
            chosen = random.choice(len(self._shares), p=self._shares)
            if chosen == len(self._clips):
                return self._noise(random, n_samples)
            clips = self._clips[chosen]
            clip = clips.clips[random.integers(len(clips.clips))]
            first = -int(REACH * n_samples)
            start = int(random.integers(first, max(clip.n_samples - n_samples // 2, first + 1)))
            begin, end = max(start, 0), min(start + n_samples, clip.n_samples)
            if end > begin:
                heard = clips.samples[clip.offset + begin : clip.offset + end]
                cut[begin - start : end - start] = heard * np.float32(1 / FULL_SCALE)
                if np.abs(cut).max() > NEXT_TO_NOTHING:
                    return cut
                cut[:] = 0
        return cut

    def _noise(self, random: np.random.Generator, n_samples: int) -> npt.NDArray[np.float32]:
        noise = self._noises[random.integers(len(self._noises))]
        start = random.integers(0, len(noise) - n_samples + 1)
        return noise[start : start + n_samples]


def _at_level(sound: npt.NDArray[np.float32], level_db: float) -> npt.NDArray[np.float32]:
    """A sound whose root mean square lies at a level; silence stays silence."""
    loudness = float(np.sqrt(np.mean(sound**2)))
    return sound * np.float32(10 ** (level_db / 20) / max(loudness, 1e-6))
