# ruff: noqa: E402
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import onnxruntime
from graphs import trace

from train.nets.dft import FramePower, choose_phases
from train.nets.log_mel import LogMel, hann_window, mel_filters

pytestmark = pytest.mark.train

# The sizes of all networks here, one whose hop shares nothing with the frame, and the smallest.
SIZES = [(640, 320), (640, 400), (512, 400), (256, 160), (2048, 150), (1024, 512), (90, 30),
         (64, 17), (4, 2), (2, 1)]  # fmt: skip


def true_power(waveform, window, hop_length):
    """Power of all frequencies but nought by NumPy's FFT in float64: (batch, bins, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(np.float64), len(window), 1)
    spectra = np.fft.rfft(frames[:, ::hop_length] * window)
    return (np.abs(spectra) ** 2)[..., 1:].transpose(0, 2, 1)


@pytest.mark.parametrize(("n_fft", "hop_length"), SIZES)
@pytest.mark.parametrize("n_more", [0, 1, 777])
def test_frame_power_is_the_spectrum_of_each_frame(n_fft, hop_length, n_more):
    random = np.random.default_rng(n_fft)
    window = random.uniform(0.1, 1, n_fft) / n_fft
    waveform = random.uniform(-1, 1, (2, n_fft + n_more)).astype(np.float32)
    power = FramePower(window, hop_length)
    assert sorted(power.bins) == list(range(1, n_fft // 2 + 1))
    given = power(torch.from_numpy(waveform)[:, None]).numpy()[:, np.argsort(power.bins)]
    expected = true_power(waveform, window, hop_length)
    assert given.shape == expected.shape
    np.testing.assert_allclose(given, expected, atol=1e-6 * expected.max(), rtol=1e-4)


def test_full_scale_sine_has_the_power_one():
    sine = np.sin(2 * np.pi * 40 * np.arange(640) / 640 + 0.3).astype(np.float32)
    power = FramePower(hann_window(640), 320)
    given = power(torch.from_numpy(sine)[None, None])[0, :, 0]
    assert given[power.bins == 40].item() == pytest.approx(1, abs=1e-5)


def test_odd_frames_are_refused():
    with pytest.raises(ValueError, match="n_fft is 15, must be even"):
        FramePower(hann_window(15), 5)


@pytest.mark.parametrize(("n_fft", "hop_length"), SIZES)
def test_phases_divide_the_hop_and_leave_even_taps(n_fft, hop_length):
    n_phases = choose_phases(n_fft, hop_length)
    assert hop_length % n_phases == 0
    assert n_fft % (2 * n_phases) == 0


def session(network, n_samples):
    content = trace(network.eval(), n_samples, "features").SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]), len(content)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(640, 320), (640, 400), (512, 400)])
def test_graph_of_log_mel_is_exact_and_small(n_fft, hop_length):
    front_end = LogMel(16000, n_fft, hop_length, 64)
    opened, n_bytes = session(front_end, 24000)
    assert n_bytes < 500_000
    window, filters = hann_window(n_fft), mel_filters(16000, n_fft, 64, 50, 8000)[:, 1:]
    noise = np.random.default_rng(1).uniform(-1, 1, (3, 24000)).astype(np.float32)
    for level in (1.0, 0.05, 1e-4, 0.0):
        waveform = noise * np.float32(level)
        power = np.einsum("mk,bkf->bmf", filters, true_power(waveform, window, hop_length))
        expected = np.log1p(power * 1e8)
        (given,) = opened.run(None, {"waveform": waveform})
        np.testing.assert_allclose(given, expected, atol=1e-5)
        with torch.no_grad():
            in_torch = front_end(torch.from_numpy(waveform)).numpy()
            by_fft = front_end.compress(front_end.power_by_fft(torch.from_numpy(waveform)))
        np.testing.assert_allclose(in_torch, expected, atol=1e-5)
        np.testing.assert_allclose(by_fft.numpy(), expected, atol=1e-5)


def test_frames_do_not_depend_on_where_the_waveform_begins():
    front_end = LogMel(16000, 640, 400, 64)
    waveform = torch.rand(1, 24000, generator=torch.Generator().manual_seed(1)) - 0.5
    whole, later = front_end(waveform), front_end(waveform[:, 1200:])
    # Up to the last digit: some processors sum the last frames in another order.
    torch.testing.assert_close(whole[..., 3:], later, rtol=1e-6, atol=0)


def test_graph_of_log_mel_takes_any_length_once_its_axis_is_freed():
    # The shared stem runs over stretches of any length: no size of the window may be in the nodes.
    model = trace(LogMel(16000, 640, 400, 64).eval(), 24000, "features")
    del model.graph.value_info[:]
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "samples"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "frames"
    opened = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    waveform = np.random.default_rng(1).uniform(-1, 1, (1, 48007)).astype(np.float32)
    (given,) = opened.run(None, {"waveform": waveform})
    with torch.no_grad():
        expected = LogMel(16000, 640, 400, 64)(torch.from_numpy(waveform)).numpy()
    np.testing.assert_allclose(given, expected, atol=1e-5)
