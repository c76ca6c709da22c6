"""Mixtures of sounds as they overlap in the world: one to three at once, over noise, at any level.

They have no labels; a teacher says what is in them (`train.imitate`). The teacher gets them at the
level it was trained on. The network that learns from it gets them quieter, so that it learns to
recognise the same sounds from further away.
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
"""Probability that a window holds one sound, two, three."""

QUIETER_DB = 12.0
"""Most that the other sounds lie below the first one."""

WARPED_SHARE, WARP = 0.6, 0.3
"""Part of the sounds that are played slower or faster, and the logarithm of the largest factor."""

MAX_LEAD = 0.4
"""Part of a window by which it may begin before its clip; it may end half a window after it."""

NOISE_SHARE, SNR_DB = 0.35, (0.0, 40.0)
"""Part of the windows with noise, and the level of the sounds' mean over the noise's mean."""

DENOISED_SHARE, DENOISED_SNR_DB = 0.7, (0.0, 30.0)
"""The same where the teacher gets no noise; the level is that of the loudest frame, as in the
soundscapes."""

PEAK_DB = (-20.0, 0.0)
"""Peak level of a window as the teacher gets it, from and to."""

QUIET_SHARE, QUIET_DB = 0.6, 40.0
"""Part of the windows that the network gets quieter than the teacher, and by how much at most."""

N_NOISES, NOISE_S = 128, 6.0
MIN_PEAK = 3e-3
"""A stretch whose peak is not above this is drawn again."""

N_TRIES = 5

Waveforms = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Clips that windows are cut from.

    Attributes:
        clips: Clips of one channel.
        share: Relative frequency among the sources.
        by_fold: Whether only some of the set's folds are used.
    """

    clips: ClipSet
    share: float
    by_fold: bool = True


class Mixtures:
    """Draws windows; the same generator gives the same windows.

    Attributes:
        sources: The sources that are mixed.
        n_samples: Length of a window.
        through_noise: Whether the teacher gets windows without the noise that the network gets.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        noise_share: float,
        n_samples: int,
        *,
        through_noise: bool = False,
    ) -> None:
        """Prepare the sources and the noises.

        Args:
            sources: Sources at one sample rate.
            noise_share: Relative frequency of made noise as a sound, among the sources.
            n_samples: Length of a window.
            through_noise: Whether the teacher gets windows without noise.
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

    def draw(self, random: np.random.Generator, n: int) -> tuple[Waveforms, Waveforms]:
        """Draw ``n`` windows, for the network and for the teacher.

        Returns:
            ``(n, n_samples)`` in [-1, 1], twice: the network's windows, then the teacher's.
        """
        pairs = [self._draw_one(random) for _ in range(n)]
        windows, teacher_windows = zip(*pairs, strict=True)
        return np.stack(windows), np.stack(teacher_windows)

    def _draw_one(self, random: np.random.Generator) -> tuple[Waveforms, Waveforms]:
        mixed = np.zeros(self.n_samples, np.float32)
        for number in range(random.choice(3, p=SOUNDS_AT_ONCE) + 1):
            level = -random.uniform(0, QUIETER_DB) if number else 0.0
            mixed += _at_level(self._sound(random), level)
        without_noise = mixed
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
        window = (mixed * scale * 10 ** (-quiet_db / 20)).astype(np.float32)
        teacher_window = (without_noise if self.through_noise else mixed) * scale
        return window, teacher_window.astype(np.float32)

    def _sound(self, random: np.random.Generator) -> npt.NDArray[np.float32]:
        """A stretch of a random sound, in some cases at another speed."""
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
            first = -int(MAX_LEAD * n_samples)
            start = int(random.integers(first, max(clip.n_samples - n_samples // 2, first + 1)))
            begin, end = max(start, 0), min(start + n_samples, clip.n_samples)
            if end > begin:
                samples = clips.samples[clip.offset + begin : clip.offset + end]
                cut[begin - start : end - start] = samples * np.float32(1 / FULL_SCALE)
                if np.abs(cut).max() > MIN_PEAK:
                    return cut
                cut[:] = 0
        return cut

    def _noise(self, random: np.random.Generator, n_samples: int) -> npt.NDArray[np.float32]:
        noise = self._noises[random.integers(len(self._noises))]
        start = random.integers(0, len(noise) - n_samples + 1)
        return noise[start : start + n_samples]


def _at_level(sound: npt.NDArray[np.float32], level_db: float) -> npt.NDArray[np.float32]:
    """Scale a sound to a level of its root mean square; silence stays silence."""
    loudness = float(np.sqrt(np.mean(sound**2)))
    return sound * np.float32(10 ** (level_db / 20) / max(loudness, 1e-6))
