# ruff: noqa: E402
"""The bundled network and how its batches are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_sets import make_speech_music
from torch import nn

from export.graph.export_graph import make_graph
from export.stem.find_stem import find_stem
from streamclf.model.stem import cut_graph
from train.audio.noise import make_noise
from train.base.errors import DatasetError
from train.cli.network_command import main
from train.datasets import open_clips
from train.datasets.prepared import Clip, ClipSet, join
from train.datasets.speech_music import choose_pieces, cut_into_pieces
from train.nets.pocket_network import HOP_LENGTH, PocketNet
from train.pocket import Pocket
from train.pocket_parts.mel_power import (
    MelPower,
    add_noise,
    audible_starts,
    colour,
    draw_noise,
    quieten,
    shift_bands,
)

pytestmark = pytest.mark.train

PLAIN = replace(
    Pocket.default_recipe(),
    shift_bands=0, colour_db=0.0, edge_share=0.0, noise_share=0.0, noise_alone=0.0,
)  # fmt: skip


@pytest.fixture
def training_data(make_esc):
    """Pocket with nothing but mixing, and its material of six clips of three classes."""
    system = Pocket(PLAIN)
    clips = open_clips(make_esc(folds=1), 16000)
    return system, system.training_data(system.build(3), clips, torch.device("cpu"))


def test_pocket_is_small():
    network = PocketNet(50)
    assert 100_000 < sum(p.numel() for p in network.parameters()) < 700_000
    # The mel front end is computed, not stored.
    assert not any(name.startswith("front_end") for name in network.state_dict())


def test_pocket_hears_how_loud_a_window_is():
    torch.manual_seed(1)
    network = PocketNet(3)
    random = torch.Generator().manual_seed(1)
    noise = torch.rand(8, 24000, generator=random) - 0.5
    with torch.no_grad():
        for _ in range(30):
            network(noise)  # its running statistics become those of what it hears
        network.eval()
        loud, quiet = network(noise), network(noise * 0.1)
    assert (loud - quiet).abs().max() > 1e-3 * loud.abs().max()


def test_pocket_windows_that_overlap_share_its_layers():
    network = PocketNet(3).eval()
    noise = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (1, 48000))).float()
    with torch.no_grad():
        layers = network.body.layers
        maps = [
            layers(network.body.scale(network.front_end(part))[:, None])
            for part in (noise, noise[:, :24000], noise[:, 8000:32000])
        ]
    # 0.1 s from one frame to the next: half a second is five.
    torch.testing.assert_close(maps[0][..., : maps[1].shape[3]], maps[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        maps[0][..., 5 : 5 + maps[2].shape[3]], maps[2], atol=1e-4, rtol=1e-4
    )


def test_last_layer_is_given_mean_and_maximum_of_three_levels():
    body, levels = PocketNet(3).body.eval(), []
    pools = [layer for layer in body.layers if isinstance(layer, nn.MaxPool2d)]
    for layer in (*pools[1:], body.layers[-1]):
        layer.register_forward_hook(lambda layer, given, made: levels.append(made.mean(dim=2)))
    with torch.no_grad():
        given = body.pooled(torch.rand(2, 64, 58, generator=torch.Generator().manual_seed(1)))
    early, middle, last = levels
    assert [level.shape[1:] for level in levels] == [(192, 11), (384, 7), (512, 5)]
    # Frames in the middle of a window count in more of the last level's.
    often = [1, 2, 3, 4, 5, 5, 5, 4, 3, 2, 1], [1, 2, 3, 3, 3, 2, 1]
    means = [early @ (torch.tensor(often[0]) / 35), middle @ (torch.tensor(often[1]) / 15)]
    means.append(last.mean(dim=2))
    maxima = [level.amax(dim=2) for level in (last, early, middle)]
    torch.testing.assert_close(given, torch.cat([*means, *maxima], dim=1))


def test_layers_that_are_kept_hear_the_same_whatever_is_heard_beside_them():
    body = PocketNet(3).body
    body.freeze_layers()
    windows = torch.rand(4, 64, 58, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(body.pooled(windows)[:1], body.pooled(windows[:1]))
    assert [name for name, p in body.named_parameters() if p.requires_grad] == [
        "output.weight",
        "output.bias",
    ]


def test_windows_share_all_of_pocket_but_mean_and_maximum():
    torch.manual_seed(1)
    graph = make_graph(PocketNet(3).eval(), 24000, "logits")
    stem = find_stem(graph, 24000, 16000).stem
    assert (stem.stride, stem.frames, stem.step) == (1600, 5, 1)
    head = cut_graph.load_graph(graph.SerializeToString())
    cut_graph.keep_head(head, stem.tensor, 1)
    assert not any(node.op_type == "Conv" for node in head.graph.node)


def test_pocket_mixup_keeps_the_first_clip_in_front(training_data):
    system, training_data = training_data
    indices = np.array([0, 2, 4, 0, 2, 4])
    _, labels = system.batch(training_data, indices, np.random.default_rng(1))
    assert labels.argmax(dim=1).tolist() == [0, 1, 2, 0, 1, 2]
    assert ((labels > 0).sum(dim=1) == 2).all()


def test_pocket_labels_follow_the_window_that_was_cut(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    system = Pocket(replace(PLAIN, mixup=0.0))
    # A teacher that is sure of another class from half a second on.
    system.teacher_labels = torch.eye(3)[torch.tensor([[0, 1]] * 6)]
    training_data = system.training_data(system.build(3), clips, torch.device("cpu"))
    starts = (
        np.array([-40, 0, 8000, 8000, 4400, 3600]) // HOP_LENGTH + training_data.mel_power.margin
    )
    training_data.mel_power.inner = [np.array([start]) for start in starts]
    _, labels = system.batch(training_data, np.arange(6), np.random.default_rng(1))
    teachers = (labels - 0.5 * torch.eye(3)[clips.targets]).argmax(dim=1)
    assert teachers.tolist() == [0, 0, 1, 1, 1, 0]


def test_pocket_noise_alone_has_all_labels_alike(make_esc):
    system = Pocket(replace(PLAIN, noise_alone=0.5))
    clips = open_clips(make_esc(folds=1), 16000)
    training_data = system.training_data(system.build(3), clips, torch.device("cpu"))
    _, labels = system.batch(training_data, np.arange(6).repeat(50), np.random.default_rng(1))
    even = (labels == 1 / 3).all(dim=1).float().mean()
    assert 0.4 < even < 0.6
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(300))


def test_loud_starts_leave_silence_out():
    power = torch.zeros(2, 4, 100)
    power[0, :, 60] = 1.0
    power[1, :, :] = 1.0
    starts = audible_starts(power, 20)
    assert starts[0].tolist() == list(range(41, 61))
    assert starts[1].tolist() == list(range(81))


def test_edges_hold_some_of_the_clip_and_some_silence(training_data):
    _, training_data = training_data
    mel_power = training_data.mel_power
    random = np.random.default_rng(1)
    n_frames = training_data.front_end.n_frames(24000)
    inner = mel_power.cut(np.arange(6), mel_power.draw_starts(np.arange(6), random, 0.0), n_frames)
    assert (inner.sum(dim=1) > 0).all()
    for _ in range(20):
        starts = mel_power.draw_starts(np.arange(6), random, 1.0)
        sounding = (mel_power.cut(np.arange(6), starts, n_frames).sum(dim=1) > 0).sum(dim=1)
        assert (sounding >= 14).all()
        assert (sounding < n_frames).all()


def test_a_clip_shorter_than_a_window_is_cut_all_the_same(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=0.7), 16000)
    network = PocketNet(3)
    mel_power = MelPower.from_clips(clips, network.front_end, 59, 14, torch.device("cpu"))
    starts = mel_power.draw_starts(np.arange(6), np.random.default_rng(1), 0.5)
    assert mel_power.cut(np.arange(6), starts, 59).shape == (6, 64, 59)


def test_noise_has_its_level_and_is_seeded():
    noises = [make_noise(np.random.default_rng(seed), 32000, 16000) for seed in (1, 2, 3, 4, 5, 1)]
    for noise in noises:
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.1, rel=1e-3)
    np.testing.assert_array_equal(noises[0], noises[5])
    assert np.abs(noises[0] - noises[1]).max() > 0.01


def test_add_noise_keeps_the_ratio_to_the_loudest_frame():
    power = torch.zeros(4, 8, 20)
    power[:, 3, 7] = 10.0
    random = np.random.default_rng(1)
    noise = draw_noise(torch.rand(3, 8, 50), 4, 20, random)
    torch.testing.assert_close(noise.sum(dim=1).mean(dim=1), torch.ones(4))
    louder = add_noise(power, noise, random, 1.0, (20.0, 20.0))
    torch.testing.assert_close((louder - power).sum(dim=1).mean(dim=1), torch.full((4,), 0.1))
    assert torch.equal(add_noise(power, noise, random, 0.0, (20.0, 20.0)), power)


def test_quieten_lowers_a_part_of_the_windows_as_a_whole():
    power = torch.rand(400, 8, 5, generator=torch.Generator().manual_seed(1)) + 0.1
    gains = quieten(power, np.random.default_rng(1), 0.25, 30.0) / power
    torch.testing.assert_close(gains, gains[:, :1, :1].expand(400, 8, 5))
    decibels = 10 * torch.log10(gains[:, 0, 0])
    lowered = decibels < 0
    assert 0.2 < lowered.float().mean() < 0.3
    assert decibels.min() > -30.001
    assert decibels[lowered].mean().item() == pytest.approx(-15, abs=2.5)


def test_pocket_says_of_quiet_windows_what_the_loud_ones_are(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    network, draws = PocketNet(3), []
    for share in (0.0, 1.0):
        system = Pocket(replace(PLAIN, quiet_share=share, widest_mels=0, widest_frames=0))
        system.earlier_weights = network.body.state_dict()
        training_data = system.training_data(network, clips, torch.device("cpu"))
        draws.append(system.batch(training_data, np.arange(6), np.random.default_rng(5)))
    (loud, said), (quiet, as_well) = draws
    torch.testing.assert_close(said, as_well)
    assert (quiet < loud - 0.01).flatten(1).any(dim=1).all()


def test_shift_bands_moves_up_and_fills_with_nothing():
    power = torch.arange(1.0, 5.0).reshape(1, 4, 1).repeat(3, 1, 2)
    moved = shift_bands(power, np.array([1, 0, -2]))
    assert moved[:, :, 0].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [3, 4, 0, 0]]


def test_colour_is_a_filter_of_each_windows_own():
    power = torch.ones(200, 6, 3)
    coloured = colour(power, np.random.default_rng(1), 3.0)
    assert torch.equal(coloured[:, :, 0], coloured[:, :, 2])
    decibels = 10 * torch.log10(coloured[:, :, 0])
    assert decibels.std().item() == pytest.approx(3.0, abs=0.3)
    assert decibels.mean().item() == pytest.approx(0.0, abs=0.3)


def make_set(name: str, labels: tuple[str, ...], lengths: list[int], rate: int = 16000) -> ClipSet:
    clips, offset = [], 0
    for index, n in enumerate(lengths):
        clips.append(Clip(f"{name}{index}", 1, index % len(labels), f"s{index // 2}", offset, n))
        offset += n
    samples = np.arange(offset, dtype=np.int16)
    return ClipSet(name, rate, labels, tuple(clips), samples, "CC0", "nobody", name)


def test_join_keeps_the_sounds_and_renumbers_the_labels():
    first, second = make_set("a", ("dog",), [10, 20]), make_set("b", ("speech", "music"), [7, 9])
    both = join(first, second.take([1]))
    assert both.labels == ("dog", "speech", "music")
    assert both.targets.tolist() == [0, 0, 2]
    np.testing.assert_array_equal(both.waveform(2), second.waveform(1))
    np.testing.assert_array_equal(both.waveform(1), first.waveform(1))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (make_set("b", ("cat",), [3], rate=8000), "sample_rate is 8000, that of a 16000"),
        (make_set("b", ("dog",), [3]), "has the label 'dog' already"),
    ],
)
def test_join_refuses_what_does_not_fit(other, reason):
    with pytest.raises(DatasetError, match=reason):
        join(make_set("a", ("dog",), [10]), other)


def test_pieces_run_on_within_a_source_alone():
    clips = make_set("a", ("x",), [30, 30, 50, 5])
    pieces = cut_into_pieces(clips, 25)
    assert [(p.offset, p.n_samples, p.source) for p in pieces.clips] == [
        (0, 25, "s0"), (25, 25, "s0"), (60, 25, "s1"), (85, 25, "s1"),
    ]  # fmt: skip
    assert [p.offset for p in choose_pieces(clips, 25, 2).clips] == [0, 85]


def test_pocket_knows_speech_and_music_where_they_are_given(make_esc, tmp_path):
    make_speech_music(tmp_path / "others", seconds=11.0)
    save = tmp_path / "run"
    arguments = ["--data", str(make_esc(folds=2)), "--epochs", "1", "--threads", "1"]
    arguments += ["--speech-music", str(tmp_path / "others"), "--test-fold", "2"]
    assert main("pocket", [*arguments, "--save", str(save), "--accelerator", "cpu"]) == 0
    config = (save / "config.json").read_text()
    assert all(word in config for word in ('"speech"', '"music"', "esc50 + speech-music", "GPL"))
