# ruff: noqa: E402
"""The networks of the literature: as large, as deep and as scheduled as published."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import make_clips

from train.cough import COUGH_FROM, CoughNet, CoughSystem
from train.digits import DigitsBest, DigitsM5, DigitsSystem
from train.envnet import EnvNet, EnvNetSystem
from train.envnetv2 import EnvNetV2, EnvNetV2System
from train.melcnn import MelCnn, MelCnnSystem, relative_to_peak, to_decibels
from train.nets.log_mel import wavelets
from train.wavemsnet import BRANCHES, WaveMsNet, WaveMsSystem
from train.wavemxnet import GROUPS, WaveMxNet, standardise

pytestmark = pytest.mark.train


def n_parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("build", "millions", "digits"),
    [
        (lambda: EnvNet(50), 48.56, 2),
        (lambda: EnvNetV2(50), 101.25, 2),
        (lambda: WaveMsNet(50), 22.18, 2),
        (lambda: WaveMxNet(3, 10), 0.221, 3),
        (lambda: WaveMxNet(5, 10), 0.558, 3),
        (lambda: WaveMxNet(11, 10), 1.784, 3),
        (lambda: WaveMxNet(18, 10), 3.680, 3),
        (lambda: WaveMxNet(34, 10), 3.98, 2),
    ],
)
def test_network_has_the_published_size(build, millions, digits):
    with torch.device("meta"):
        assert round(n_parameters(build()) / 1e6, digits) == millions


def test_digits_nets_have_their_sizes():
    assert n_parameters(DigitsM5(10)) == 25_290
    assert n_parameters(DigitsBest(10)) <= 100_000


def test_envnetv2_has_the_published_shapes():
    with torch.device("meta"):
        network = EnvNetV2(50)
        picture = network.stem(torch.zeros(2, 1, 1, 66650)).transpose(1, 2)
        assert picture.shape == (2, 1, 64, 260)
        assert network.layers(picture).shape == (2, 256, 10, 8)


def test_wavemsnet_maps_have_the_published_shapes():
    network = WaveMsNet(10, phase=2).eval()
    waveform = torch.zeros(1, 66150)
    for branch in network.branches:
        assert branch(waveform[:, None]).shape == (1, 32, 441)
    assert network.front_end(waveform).shape == (1, 96, 441)
    assert network.layers(torch.zeros(1, 2, 96, 441)).shape == (1, 256, 4, 5)


@pytest.mark.parametrize("depth", GROUPS)
def test_wavemxnet_pools_as_published(depth):
    with torch.device("meta"):
        network = WaveMxNet(depth, 10)
        maps = network.stem(torch.zeros(1, 1, 32000))
        assert maps.shape[2] == 2000
        lengths = {2000}
        for layer in network.layers:
            maps = layer(maps)
            lengths.add(maps.shape[2])
    assert sorted(lengths, reverse=True) == [2000, 500, 125, 32][: 2 if depth == 3 else 4]


def test_melcnn_has_the_notebooks_shapes():
    network = MelCnn(10).eval()
    assert network.front_end(torch.zeros(1, 176_400)).shape == (1, 64, 344)
    assert network.body.layers(torch.zeros(1, 2, 64, 344)).shape == (1, 64, 4, 22)


def test_cough_has_the_tutorials_shapes():
    network = CoughNet(1, "log").eval()
    assert network.front_end(torch.zeros(1, 22050)).shape == (1, 64, 44)
    assert network.body.layers(torch.zeros(1, 1, 64, 44)).shape == (1, 128 * 5 * 4)


@pytest.mark.parametrize(
    ("system", "data", "epochs", "rate", "drops", "warm_up"),
    [
        (EnvNetSystem, "esc50", 600, 0.01, (0.5, 0.75), 0),
        (EnvNetSystem, "urbansound8k", 400, 0.01, (0.5, 0.75), 0),
        (EnvNetV2System, "esc50", 1000, 0.1, (0.3, 0.6, 0.9), 10),
        (EnvNetV2System, "esc10", 600, 0.01, (0.5, 0.75), 0),
        (EnvNetV2System, "urbansound8k", 600, 0.1, (0.3, 0.6, 0.9), 10),
        (WaveMsSystem, "esc10", 160, 0.01, (0.375, 0.75, 0.875), 0),
    ],
)
@pytest.mark.parametrize("bc", [False, True])
def test_schedules_are_the_published_ones(system, data, epochs, rate, drops, warm_up, bc):
    made = system()
    clips = make_clips(system)
    clips = type(clips)(**{**vars(clips), "name": data})
    made.configure(
        Namespace(resume=False, bc=bc, strong=False, phase=1, first=None, front_end="learned"),
        clips,
    )
    recipe = made.recipe
    assert recipe.epochs == epochs * (2 if bc else 1)
    assert (recipe.learning_rate, recipe.drops) == (rate, drops)
    assert recipe.warm_up * recipe.epochs == pytest.approx(warm_up)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 5e-4)
    assert recipe.between_classes == bc


def test_standardise_gives_each_window_deviation_one_and_leaves_silence():
    waveform = torch.stack([torch.linspace(0, 1, 100), torch.linspace(5, 5.01, 100)])
    given = standardise(torch.cat([waveform, torch.zeros(1, 100)]))
    torch.testing.assert_close(given.mean(dim=1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(given[:2].std(dim=1, correction=0), torch.ones(2))
    assert not given[2].any()


def test_melcnn_hears_nothing_80_db_below_the_loudest():
    power = torch.tensor([1.0, 1e-4, 1e-7, 1e-9, 0.0])[None, None, None]
    decibels = relative_to_peak(to_decibels(power))
    torch.testing.assert_close(decibels[0, 0, 0], torch.tensor([0.0, -40, -70, -80, -80]))
    # Cached spectra are laid into zeros: those must be silence.
    assert to_decibels(torch.zeros(1)).item() == 0


def test_melcnn_takes_one_channel_for_both():
    network = MelCnn(3).eval()
    random = torch.Generator().manual_seed(1)
    waveform = torch.rand(1, 176_400, generator=random) - 0.5
    decibels = relative_to_peak(to_decibels(network.front_end.power(waveform)[:, None]))
    with torch.no_grad():
        expected = network.body(torch.cat([decibels, decibels], dim=1))
        torch.testing.assert_close(network(waveform), expected)


def test_melcnn_random_split_is_four_to_one_and_seeded():
    clips = make_clips(MelCnnSystem).take([0, 1, 2, 3] * 25)
    system = MelCnnSystem()
    options = Namespace(resume=False, random_split=True, seed=3)
    dealt = system.adapt(clips, options)
    assert dealt.folds == (1, 2, 3, 4, 5)
    assert len(dealt.of_folds([5]).clips) == 20
    assert system.adapt(clips, options).clips == dealt.clips
    options.random_split = False
    assert system.adapt(clips, options) is clips


def test_digits_m5_gets_the_first_second_of_each_clip():
    clips = make_clips(DigitsSystem)
    system = DigitsSystem()
    training_data = system.training_data(system.build(2), clips, torch.device("cpu"))
    random = np.random.default_rng(1)
    waveform, _ = system.batch(training_data, np.array([0, 2]), random)
    assert waveform.shape == (2, 8000)
    np.testing.assert_array_equal(waveform[1], clips.waveform(2)[:8000])
    np.testing.assert_array_equal(waveform[0, :2400], clips.waveform(0))
    assert not waveform[0, 2400:].any()
    waveform, _ = system.batch(training_data, np.array([0, 0]), random)
    assert waveform.shape == (2, 8000)


def test_digits_m5_drops_its_rate_every_20_epochs():
    system = DigitsSystem()
    system.configure(Namespace(resume=False, net="m5", epochs=50), make_clips(system))
    recipe = system.recipe.shortened(50)
    rates = [recipe.rate_at(epoch / 50) for epoch in (0, 19, 20, 39, 40, 49)]
    assert rates == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])


def test_cough_classes_are_divided_at_the_threshold():
    clips = make_clips(CoughSystem)
    system = CoughSystem()
    divided = system.adapt(clips, Namespace(resume=False, classify=True, mel="log"))
    assert system.task == divided.task == "single-label"
    assert divided.labels == ("no cough", "cough")
    assert divided.targets.tolist() == [int(v >= COUGH_FROM) for v in clips.targets]
    assert system.build(2)(torch.zeros(1, 22050)).shape == (1, 2)


def test_cough_loss_is_the_mean_squared_error():
    given, wanted = torch.tensor([[0.2], [1.0]]), torch.tensor([[0.5], [0.6]])
    assert CoughSystem().loss(given, wanted).item() == pytest.approx((0.09 + 0.16) / 2)


@pytest.mark.parametrize("size", [branch[0] for branch in BRANCHES])
def test_fixed_filters_lie_side_by_side(size):
    kernels = wavelets(44100, 32, size)
    np.testing.assert_allclose(np.linalg.norm(kernels, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(kernels.sum(axis=1), 0, atol=1e-5)
    peaks = np.abs(np.fft.rfft(kernels, 1 << 16, axis=1)).argmax(axis=1) * 44100 / (1 << 16)
    assert (np.diff(peaks) > 0).all()
    assert peaks[0] == pytest.approx(2 * 44100 / size, rel=0.15)
    assert peaks[-1] == pytest.approx(16_000, rel=0.1)


def test_fixed_filters_and_phase_2_branches_do_not_learn():
    fixed, second = WaveMsNet(2, filters="fixed"), WaveMsNet(2, phase=2)
    assert not any(branch[0].weight.requires_grad for branch in fixed.branches)
    assert all(branch[3].weight.requires_grad for branch in fixed.branches)
    assert not any(p.requires_grad for p in second.branches.parameters())
    assert second.train().layers.training
    assert not any(module.training for module in second.branches.modules())
