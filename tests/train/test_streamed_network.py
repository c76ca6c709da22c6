"""mn04's layers made for streams: they hear what the published network hears, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch

from train.nets.efficientat import EfficientAT, FrontEnd
from train.nets.layers import count_parameters
from train.nets.streamed_network import (
    FLOOR,
    FRAMES_PER_STEP,
    HOP_LENGTH,
    N_FFT,
    WINDOW_SAMPLES,
    StreamedBody,
    StreamedMel,
    StreamedNet,
)

pytestmark = pytest.mark.train


def test_front_end_hears_what_the_published_one_hears() -> None:
    random = np.random.default_rng(1)
    low = (0.05 * random.standard_normal(16000)).astype(np.float32)
    high = soxr.resample(low, 16000, 32000).astype(np.float32)
    with torch.inference_mode():
        published = FrontEnd()(torch.from_numpy(high)[None])[0]
        # Begun 4 ms later, its frames 0, 4, 8 lie at 20, 70, 120 ms: frames 2, 7, 12 of the other.
        front_end = StreamedMel()
        spectra = front_end(torch.from_numpy(low[64:])[None])[0]
    own = (spectra + np.log(FLOOR) + 4.5) / 5.0
    pairs = own[:, ::4][:, :15], published[: len(own), 2::5][:, :15]
    # The last bands reach above 8 kHz, where a resampler's filter decides.
    below = slice(0, 98)
    # Emphasis before the window or after it differs in the valleys of the lowest bands.
    differences = (pairs[0][below] - pairs[1][below]).abs()
    assert differences.mean() < 0.01, differences.mean()
    assert differences[20:].max() < 0.1, differences[20:].max()
    assert front_end.n_mels == 105
    # Above them is silence for the published network, too.
    silence = (np.log(FLOOR) + 4.5) / 5.0
    assert (published[110:] - silence).mean() < 0.05 < (published[:98] - silence).mean() - 1


def test_front_end_by_fft_is_that_by_convolutions() -> None:
    waveform = 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(3))
    front_end = StreamedMel()
    power = front_end.power_by_fft(waveform)
    torch.testing.assert_close(front_end.power(waveform), power, rtol=1e-3, atol=1e-8)
    assert power.shape == (2, 105, front_end.n_frames(8000))


def test_frames_are_shared_at_steps_of_a_tenth_of_a_second() -> None:
    torch.manual_seed(1)
    network = StreamedNet().eval()
    assert HOP_LENGTH * FRAMES_PER_STEP == 1600
    waveform = 0.1 * torch.randn(1, 48000)
    with torch.inference_mode():
        frames = network.body(network.front_end(waveform))
        alone = network.body(network.front_end(waveform[:, 3 * 1600 : 3 * 1600 + WINDOW_SAMPLES]))
    assert alone.shape == (1, 384, network.body.n_window_frames)
    assert frames.shape[2] == StreamedBody.n_frames((48000 - N_FFT) // HOP_LENGTH + 1)
    torch.testing.assert_close(alone, frames[:, :, 3 : 3 + alone.shape[2]], atol=1e-5, rtol=1e-4)
    assert count_parameters(network) < 1_000_000


def test_kernel_with_fewer_taps_says_the_same_of_a_steady_sound() -> None:
    torch.manual_seed(2)
    published = EfficientAT().eval()
    block = published.features[13].block[1]  # five taps, here one
    maps = torch.rand(1, block[0].in_channels, 8, 1).expand(-1, -1, -1, 9).contiguous()
    with torch.inference_mode():
        steady = block(maps)[..., 2]  # far from both ends
        one_tap = StreamedBody(published).layers[13].block[1](maps)
    torch.testing.assert_close(one_tap[..., 4], steady)
