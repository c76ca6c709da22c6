"""Examples as they may sound another day: nearer or farther, in another room, over noise.

One recording shows one level, one room and one noise, and a layer that is fitted to it alone takes
these for the sound. So each example is also heard in scenes: at a drawn level, over coloured noise,
every other one with a drawn reverberation. What is drawn follows from the example's audio, so the
same examples teach the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streamclf.core.records import Waveform
from streamclf.teach.trimming import frame_power

N_SCENES = 4
LEVEL_DB = (-40.0, -12.0)
"""Level of the example's loudest frame, in dB of full scale, from and to."""
SNR_DB = (6.0, 30.0)
"""The same over the noise."""
SLOPE_DB = (0.0, 9.0)
"""Fall of the noise's spectrum in dB an octave."""
REVERBERATION_S = (0.2, 0.8)
"""Time in which reverberation falls by 60 dB."""
REVERBERATION_DB = (-9.0, 2.0)
"""Level of the reverberation relative to the direct sound."""
LONGEST_S = 12.0
"""Part of a long example that a scene holds."""
PEAK = 0.99
LOWEST_HZ = 60.0


@dataclass(frozen=True, eq=False)
class ExampleScene:
    """A stretch of audio with an example in it.

    Attributes:
        waveform: ``(samples,)``.
        onset: Position of the example's first sample.
        offset: Position after its last one.
    """

    waveform: Waveform
    onset: int
    offset: int


def make_scenes(
    sound: Waveform, sample_rate: int, n_scenes: int = N_SCENES
) -> Iterator[ExampleScene]:
    """Put an example into scenes.

    Args:
        sound: ``(samples,)``, trimmed.
        sample_rate: In Hz.
        n_scenes: How many.
    """
    random = np.random.default_rng(zlib.crc32(sound.tobytes()))
    sound = sound[: round(LONGEST_S * sample_rate)]
    sound = sound / np.sqrt(frame_power(sound, sample_rate).max())
    for number in range(n_scenes):
        before = round(random.uniform(1.5, 2.5) * sample_rate)
        after = 3 * sample_rate
        heard = _reverberate(sound, random, sample_rate) if number % 2 else sound
        waveform = _noise(random, before + sound.size + after, sample_rate)
        waveform *= 10 ** (-random.uniform(*SNR_DB) / 20)
        heard = heard[: sound.size + after]
        waveform[before : before + heard.size] += heard
        waveform *= 10 ** (random.uniform(*LEVEL_DB) / 20)
        waveform *= min(1.0, PEAK / float(np.abs(waveform).max()))
        yield ExampleScene(waveform.astype(np.float32), before, before + sound.size)


def _noise(random: np.random.Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Make noise of a random slope with a root mean square of 1."""
    frequencies = np.fft.rfftfreq(n_samples, 1 / sample_rate)
    octaves = np.log2(np.maximum(frequencies, LOWEST_HZ) / LOWEST_HZ)
    gain = 10 ** (-random.uniform(*SLOPE_DB) * octaves / 20)
    gain[frequencies < LOWEST_HZ / 2] = 0
    noise = np.fft.irfft(np.fft.rfft(random.standard_normal(n_samples)) * gain, n_samples)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), dtype=np.float32)


def _reverberate(sound: Waveform, random: np.random.Generator, sample_rate: int) -> Waveform:
    """Add the reverberation of a room: noise that dies away."""
    n_tail = round(random.uniform(*REVERBERATION_S) * sample_rate)
    tail = random.standard_normal(n_tail) * 10 ** (-3 * np.arange(n_tail) / n_tail)
    tail *= 10 ** (random.uniform(*REVERBERATION_DB) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = sound.size + n_tail - 1
    power_of_two = 1 << (size - 1).bit_length()
    spectrum = np.fft.rfft(sound, power_of_two) * np.fft.rfft(tail, power_of_two)
    return np.asarray(np.fft.irfft(spectrum, power_of_two)[:size], dtype=np.float32)
