"""Imitation of EfficientAT from mixtures that are made as they are needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from distilling import PER_SHARD, TONES, distil_once, learned, make_clips, small, sounds, teacher
from torch.nn import functional as F

from export.card.describe_run import describe_data
from export.published import describe_pupil
from train import distil
from train.audio.tracks import Tracks
from train.audio.tracks_on_device import Mixer, Upsampler, collate, draw_filters
from train.base.errors import DatasetError
from train.base.errors import UsageError as WrongUsageError
from train.cli.network_command import main as train_network
from train.datasets.prepared import open_prepared, pool
from train.distillation import fresh_run, names
from train.distillation.clean_sources import CleanSources
from train.distillation.fresh import DeviceEar, Fresh
from train.distillation.heard import Ear
from train.distillation.pupil import PUPILS
from train.distillation.schooling import Crops, Schooling
from train.distillation.streamed_layers import read_distilled
from train.loop.batch_norm import recompute_statistics
from train.nets.efficientat import open_efficientat
from train.nets.streamed_network import StreamedMel
from train.pocket_parts.pretrained_run import list_sources
from train.probe import read_pupil

__all__ = ["distil_once", "learned", "small", "sounds", "teacher"]

pytestmark = pytest.mark.train

JUDGED = {"explained_variance": 0.5, "agreement": 0.5}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tracks() -> Tracks:
    """Short tones and a long one."""
    return Tracks(make_clips(*TONES, ("long", 500.0, 9.0)))


def test_device_makes_the_mixtures_that_tracks_make(tracks) -> None:
    random = np.random.default_rng(5)
    plans = [tracks.plan(random) for _ in range(24)]
    for kind in (
        [len(plan.tracks) for plan in plans],
        [plan.noise is None for plan in plans],
        [plan.echo is None for plan in plans],
        [any(len(own) > 1 for own in plan.tracks) for plan in plans],
    ):
        assert len(set(kind)) > 1  # there is something of everything
    mixed = Mixer(tracks, CPU).mix(collate(plans, tracks.n_samples)).numpy()
    for row, plan in zip(mixed, plans, strict=True):
        np.testing.assert_allclose(row, tracks.render(plan), atol=1e-4)


def test_mixture_of_silence_is_silent() -> None:
    clips = make_clips(*TONES)
    clips.samples[:] = 0
    silent = Tracks(clips)
    random = np.random.default_rng(1)
    plans = [plan for plan in (silent.plan(random) for _ in range(8)) if plan.noise is None]
    assert not Mixer(silent, CPU).mix(collate(plans, silent.n_samples)).any()


def test_filtered_tracks_keep_their_loudness_and_lose_what_lies_beyond_the_band(tracks) -> None:
    mixer = Mixer(tracks, CPU)
    noise = torch.randn(2, tracks.n_samples, generator=torch.Generator().manual_seed(3))
    filtered = mixer._filter(noise, torch.zeros(2, 8), torch.tensor([[0, 1e6], [500.0, 2000.0]]))
    torch.testing.assert_close(filtered[0], noise[0], atol=1e-3, rtol=0)
    loudness = [own.square().mean(dim=1).sqrt() for own in (noise, filtered)]
    torch.testing.assert_close(*loudness)
    power = torch.fft.rfft(filtered[1]).abs().square()
    hz = torch.fft.rfftfreq(tracks.n_samples, 1 / 16000)
    inside = power[(hz > 700) & (hz < 1500)].mean()
    for outside in (hz < 200, hz > 6000):
        assert power[outside].mean() < inside / 100
    drawn = draw_filters(np.random.default_rng(2), 400, 0.25)
    assert 60 < len(drawn["filter_rows"]) < 140
    assert drawn["knots"].shape == (len(drawn["filter_rows"]), 8)


def test_unfiltered_tracks_stay_as_they_are(tracks) -> None:
    random = np.random.default_rng(8)
    plans = [tracks.plan(random) for _ in range(3)]
    mixer, made = Mixer(tracks, CPU), collate(plans, tracks.n_samples)
    n_tracks = len(made["rows"])
    none, all_of_them = (draw_filters(np.random.default_rng(1), n_tracks, k) for k in (0.0, 1.0))
    plain = mixer.mix(made)
    assert mixer.mix(made | none).equal(plain)
    assert (mixer.mix(made | all_of_them) - plain).abs().amax(dim=1).min() > 1e-3


def test_upsampling_is_soxrs() -> None:
    noise = np.random.default_rng(4).normal(0, 0.1, (1, 32000)).astype(np.float32)
    wanted = soxr.resample(noise[0], 16000, 32000)
    given = Upsampler(32000, CPU)(torch.from_numpy(noise))[0].numpy()
    # At its ends soxr takes silence for what is not there.
    np.testing.assert_allclose(given[2000:-2000], wanted[2000:-2000], atol=1e-3)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of fork, from 3.12 on
def test_steps_hear_the_same_whoever_decides(tracks, teacher) -> None:
    network, _ = open_efficientat(teacher)
    ear = DeviceEar(network, StreamedMel(), CPU, hints=False)
    fresh = Fresh(tracks, 3, Mixer(tracks, CPU), ear, teacher)
    alone = fresh.batches(0, 2, 0.5, 0)
    first, second = next(alone), next(alone)
    assert not first["spectra"].equal(second["spectra"])
    # From the second step on, and decided in another process.
    again = next(fresh.batches(1, 2, 0.5, 1))
    for name, value in again.items():
        assert value.equal(second[name])


def test_fresh_shard_is_the_one_that_would_be_kept(tracks, teacher, tmp_path) -> None:
    network, _ = open_efficientat(teacher)
    # Weights of nobody say something once their norms fit what comes.
    mixtures = Upsampler(tracks.n_samples, CPU)(
        torch.from_numpy(tracks.draw(np.random.default_rng(1), 2))
    )
    recompute_statistics(network, [mixtures])
    teacher = tmp_path / "adapted.pt"  # the other one is for all tests
    torch.save(network.state_dict(), teacher)
    ear = DeviceEar(network.eval(), StreamedMel(), CPU, hints=True)
    fresh = Fresh(tracks, 3, Mixer(tracks, CPU), ear, teacher).get(1)
    kept = Ear(teacher, StreamedMel()).hear(
        tracks.draw(np.random.default_rng((3, 1)), PER_SHARD), 16000
    )
    assert fresh.keys() == kept.keys()
    spread = kept["features"].float().std()
    error = (fresh["features"] - kept["features"].float())[:, 2:-2].square().mean().sqrt()
    assert error < 0.1 * spread
    assert (fresh["spectra"] - 0.1 * kept["spectra"].float()).abs().median() < 0.05


class StoppedError(Exception):
    """As if the machine had stopped."""


def fresh_run_of(sounds: Path, teacher: Path, save: Path, *more: str) -> int:
    return distil.main(
        ["--sounds", str(sounds), "--teacher", str(teacher), "--fresh", "--batch", "2",
         "--precision", "32-true", "--accelerator", "cpu", "--save", str(save), *more]
    )  # fmt: skip


def test_fresh_run_goes_on_to_the_same_weights_and_is_a_run_like_others(
    sounds, teacher, learned, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(fresh_run, "SAVE_EVERY_S", 0.0)
    start = "--steps", "3", "--start", str(learned)
    assert fresh_run_of(sounds, teacher, tmp_path / "whole", *start) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1].split(": ", 1)[1])
    n_windows = Crops(StreamedMel()).n_windows
    before = json.loads((learned / "config.json").read_text())
    n_before = json.loads((learned / "result.json").read_text())["windows"]
    assert said["windows"] == n_before + 3 * 2 * 2 * n_windows
    learn = distil.Learner.learn

    def stop(self, *arguments):
        if arguments[-1] == 2:
            raise StoppedError
        return learn(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(distil.Learner, "learn", stop)
        with pytest.raises(StoppedError):
            fresh_run_of(sounds, teacher, tmp_path / "parts", *start)
    assert fresh_run_of(sounds, teacher, tmp_path / "parts", *start, "--resume") == 0
    runs = [distil.RunFolder.open(tmp_path / name) for name in ("whole", "parts")]
    whole, parts = (run.read_tensors(distil.PUPIL)[0] for run in runs)
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name])
    # It begins with the other run, learns, and leaves the same files.
    other = distil.RunFolder.open(learned).read_tensors(distil.PUPIL)[0]
    assert other.keys() == whole.keys()
    assert not other["head.5.weight"].equal(whole["head.5.weight"])
    assert other["mean"].equal(whole["mean"])
    there = {path.name for path in learned.rglob("*")}
    assert {path.name for path in (tmp_path / "whole").rglob("*")} == there
    assert read_pupil(tmp_path / "whole")[1] == 3
    config = runs[0].read_json("config.json")
    assert config["steps"] == 3
    assert config["start"]["name"] == learned.name
    assert config["commands"][:-1] == before["commands"]
    assert "--fresh --steps 3" in config["commands"][-1]
    assert list_sources(config) == before["sources"]


def test_fresh_run_learns_for_some_time_from_the_teachers_weights(
    sounds, teacher, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(fresh_run, "EVERY", 1)
    monkeypatch.setattr(fresh_run, "N_BATCHES", 2)
    # A minute passes with every step.
    times = iter(range(0, 10**6, 60))
    monkeypatch.setattr(fresh_run.time, "monotonic", lambda: float(next(times)))
    assert fresh_run_of(sounds, teacher, tmp_path / "run", "--minutes", "6", "--crops", "1") == 0
    run = distil.RunFolder.open(tmp_path / "run")
    history = run.read_json("history.json")
    assert 1 < len(history) == run.read_json("config.json")["steps"] < 6
    assert run.read_tensors(distil.PUPIL)[0]["spread"].min() > 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--fresh"], "--fresh takes --minutes or --steps"),
        (["--fresh", "--minutes", "1", "--steps", "2"], "--fresh takes --minutes or --steps"),
        (["--fresh", "--minutes", "0"], "--minutes is 0, must be more than 0"),
        (["--fresh", "--steps", "0"], "--steps is 0, must be 1 or more"),
        (["--fresh", "--steps", "1", "--filtered", "2"], "--filtered is 2.0, must lie in 0..1"),
        (["--fresh", "--steps", "1", "--only-hear"], "give one of them"),
        (["--minutes", "3", "--cache", "c"], "--minutes goes with --fresh"),
        (["--fresh", "--steps", "1", "--named", "d"], "--named and --folds belong together"),
        (["--named", "d", "--folds", "1", "--cache", "c"], "--named goes with --fresh"),
        (
            ["--fresh", "--steps", "1", "--named", "d", "--folds", "1", "--named-share", "1"],
            "--named-share is 1, must lie between 0 and 1",
        ),
        (
            ["--fresh", "--steps", "1", "--named", "d", "--folds", "1", "--names-weight", "-1"],
            "--names-weight is -1, must be 0 or more",
        ),
        (
            ["--fresh", "--steps", "1", "--named", "d", "--folds", "1", "--layers", "pocket"],
            "--named is for --layers teacher",
        ),
        (["--fresh", "--steps", "1", "--noise", "2"], "--noise is 2.0, must lie in 0..1"),
        (["--fresh", "--steps", "1", "--lowest-snr", "40"], "--lowest-snr is 40, must be 30"),
        (["--clean", "0", "--cache", "c"], "--clean goes with --fresh"),
        (["--alone", "0.5", "--cache", "c"], "--alone goes with --fresh"),
        ([], "--cache is missing"),
    ],
)
def test_options_that_do_not_go_together_are_told(more, said) -> None:
    options = distil.make_parser().parse_args(
        ["--sounds", "s", "--teacher", "t", "--save", "r", *more]
    )
    with pytest.raises(WrongUsageError, match=said):
        distil.check(options)


def test_only_a_run_of_the_same_layers_is_a_start(sounds, teacher, learned, tmp_path, capsys):
    more = "--steps", "1", "--start", str(learned), "--layers", "pocket"
    assert fresh_run_of(sounds, teacher, tmp_path / "new", *more) == 1
    assert "--start takes a run of train.distil --layers pocket" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_card_names_all_that_a_run_and_its_start_have_heard() -> None:
    first = {"name": "free", "hours": 19.0, "licence": "CC0"}
    second = first | {"hours": 7.25}
    teacher = {"name": "EfficientAT mn04_as", "file": "mn04.pt", "sha256": "0"}
    config = {"sources": [second], "start": {"sources": [first, second]}, "teacher": teacher,
              "held_out": ["a"], "commands": ["python -m train.distil --minutes 3"],
              "minutes": 3, "plan": [1, 3]}  # fmt: skip
    assert list_sources(config) == [first, second]
    card = describe_pupil("wide", ["dog"], config, {"windows": 1200} | JUDGED)
    assert "free, 19.0 h (CC0); free, 7.2 h (CC0), without labels" in card.training_data
    assert card.description.endswith("train.distil --minutes 3 (begun with --minutes 1)")


def test_several_sets_are_one(sounds) -> None:
    clips = open_prepared(sounds)
    both = pool([clips, clips])
    assert len(both.clips) == 2 * len(clips.clips)
    last = both.clips[-1]
    there = both.samples[last.offset : last.offset + last.n_samples]
    np.testing.assert_array_equal(there, (clips.waveform(-1) * 32768).astype(np.int16))
    assert (both.name, both.licence) == (clips.name, clips.licence)
    assert pool([clips]) is clips
    other = clips.__class__(**{**clips.__dict__, "sample_rate": 8000})
    with pytest.raises(DatasetError, match="sample_rate is 8000, that of made 16000"):
        pool([clips, other])


def test_names_of_a_labelled_set_are_learned_beside_its_sounds(
    sounds, teacher, learned, make_esc, tmp_path, capsys
) -> None:
    data = make_esc(folds=3, per_class=1)
    more = ["--steps", "2", "--start", str(learned), "--named", str(data), "--folds", "1,2"]
    assert fresh_run_of(sounds, teacher, tmp_path / "new", *more) == 0
    new = distil.RunFolder.open(tmp_path / "new")
    config, weights = new.read_json("config.json"), new.read_tensors(distil.PUPIL)[0]
    free, named = config["sources"]
    assert (free["folds"], named["folds"], named["clips"]) == ([], [1, 2], 6)
    assert config["names"] == ["dog", "rain", "water_drops"]
    assert weights["names.weight"].shape == (3, 384)
    # The layers learn other things with the names in the loss.
    plain = [*more, "--names-weight", "0"]
    assert fresh_run_of(sounds, teacher, tmp_path / "plain", *plain) == 0
    other = distil.RunFolder.open(tmp_path / "plain").read_tensors(distil.PUPIL)[0]
    assert not other["body.layers.0.0.weight"].equal(weights["body.layers.0.0.weight"])
    data_of = {"name": "esc50", "folds": [1, 2], "clips": 6, "citation": "", "licence": ""}
    said = describe_data({"data": data_of, "imitation": read_distilled(new.path)[1]})
    assert "of folds 1, 2 (CC BY-NC 3.0). It learned to give their names, too" in said
    pocket = ["--data", str(data), "--start", str(new.path), "--last-layer", "--folds", "1,3"]
    assert train_network("pocket", [*pocket, "--test-fold", "2", "--save", "p"]) == 2
    assert "has heard fold 2 of esc50, so figures of it would flatter" in capsys.readouterr().err
    card = describe_pupil("wide", ["dog"], config, {"windows": 1200} | JUDGED)
    assert card.licence.endswith("; CC BY-NC 3.0, as the recordings of esc50")
    # It may be judged, gone on with, and be the start of another.
    assert read_pupil(new.path)[0].names.out_features == 3
    further = ["--steps", "1", "--start", str(new.path)]
    assert fresh_run_of(sounds, teacher, tmp_path / "third", *further) == 1
    assert "give them again" in capsys.readouterr().err
    further += ["--named", str(data), "--folds", "1,2"]
    assert fresh_run_of(sounds, teacher, tmp_path / "third", *further) == 0
    sources = list_sources(distil.RunFolder.open(tmp_path / "third").read_json("config.json"))
    assert [own["folds"] for own in sources].count([1, 2]) == 1


def test_teachers_names_are_those_of_the_clips(teacher) -> None:
    network, _ = open_efficientat(teacher)
    clips = replace(
        make_clips(*(("a", 300.0 * 2**k, 2.0) for k in range(4))), labels=("low", "high")
    )
    clips = replace(
        clips, clips=tuple(replace(own, target=k // 2) for k, own in enumerate(clips.clips))
    )
    heard = Upsampler(160000, CPU)(torch.from_numpy(np.resize(clips.waveform(3), (1, 160000))))
    recompute_statistics(network, [heard])
    ear = DeviceEar(network.eval(), StreamedMel(), CPU, hints=False)
    features = names.hear_labelled(ear, clips, 160000)
    assert features.shape == (4, 2, 384)
    head = names.fit_names(ear, clips, 160000)
    assert head(features).argmax(dim=2).tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_named_set_has_its_share_of_the_draws() -> None:
    named = make_clips(*(("b", 200.0, 0.5), ("b", 300.0, 0.5), ("c", 400.0, 0.5)))
    drawn = names.weigh(named, {"a": 3.0, "d": 1.0}, 0.75)
    assert drawn == {"b": 6.0, "c": 6.0}


def test_it_is_known_where_each_source_is_heard() -> None:
    # A tone that comes alone, and a long one without end.
    pair = Tracks(make_clips(("short", 900.0, 0.5), ("long", 300.0, 12.0)), [1.0, 1.0], alone=1.0)
    random = np.random.default_rng(2)
    plans = [pair.plan(random) for _ in range(24)]
    waveforms, measured = Mixer(pair, CPU).mix_and_measure(collate(plans, pair.n_samples))
    assert waveforms.shape == (24, pair.n_samples)
    seen = 0
    for row, plan in enumerate(plans):
        stretches = [own for track in plan.tracks for own in track if own.takes]
        assert sorted(own.source for own in stretches) == sorted(
            k for k in measured["sources"][row].tolist() if k >= 0
        )
        if len(stretches) > 1 or plan.noise is not None or stretches[0].source != 0:
            continue
        # It is heard where its takes lie, and nowhere else.
        sounds = np.zeros(pair.n_samples, bool)
        for take in stretches[0].takes:
            sounds[take.at : take.at + take.n] = True
        whole, some = (getattr(sounds.reshape(100, -1), kind)(axis=1) for kind in ("all", "any"))
        slot = measured["sources"][row].tolist().index(0)
        heard = (measured["audible"][row, slot] > 1).numpy()
        assert heard[whole].all()
        assert not heard[~some].any()
        assert whole.sum() < 60  # there are pauses
        seen += 1
    assert seen > 2


def test_takes_come_alone_where_that_is_wanted() -> None:
    clips = make_clips(("a", 400.0, 0.3))
    often, rarely = (
        np.mean([sum(len(s.takes) for t in tracks.plan(random).tracks for s in t)
                 for random in [np.random.default_rng(3)] for _ in range(60)])
        for tracks in (Tracks(clips), Tracks(clips, alone=1.0))
    )  # fmt: skip
    assert rarely < 0.4 * often


def test_labels_of_a_source_that_is_heard_are_learned_from_it_alone() -> None:
    scores = np.zeros((2, 527), np.float32)
    scores[0, 7], scores[1, 9] = 0.8, 0.6
    clean = CleanSources(scores, 0.0, CPU)
    audible = torch.zeros(1, 3, 100)
    audible[0, 0, 20:22] = 2.0  # two steps, louder than the rest
    audible[0, 1, 50:60] = 0.5  # ten steps, drowned
    audible[0, 1, 60:63] = 1.5  # three that are not
    shard = {"audible": audible, "sources": torch.tensor([[0, 1, -1]])}
    said = clean.said(shard, np.array([0]), np.array([[0, 6, 10, 20, 21, 22, 40, 46, 48]]))
    assert said.shape == (9, 527)
    assert said[:, 7].tolist() == pytest.approx([0, 0.8, 0.8, 0.8, 0.8, 0, 0, 0, 0])
    assert said[:, 9].tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 0, 0, 0.6])
    assert said.sum() == pytest.approx(4 * 0.8 + 0.6)


def test_fresh_run_learns_from_sources_alone(sounds, teacher, learned, tmp_path, capsys) -> None:
    more = "--steps", "1", "--start", str(learned), "--clean", "-6", "--alone", "0.5"
    assert fresh_run_of(sounds, teacher, tmp_path / "none", *more) == 2
    assert "but --weights has no scores of any" in capsys.readouterr().err
    names = np.array([source for source, _, _ in TONES])
    scores = np.full((len(names), 527), 0.9, np.float16)
    weights = tmp_path / "weights.npz"
    np.savez(weights, source=names, weight=np.ones(len(names)), scores=scores)
    more = *more, "--weights", str(weights), "--noise", "1", "--lowest-snr", "-8"
    assert fresh_run_of(sounds, teacher, tmp_path / "clean", *more) == 0
    run = distil.RunFolder.open(tmp_path / "clean")
    config = run.read_json("config.json")
    assert config["fresh"] == {"crops": 2, "filtered": 0.3, "alone": 0.5, "clean": -6.0}
    assert config["noise"] == {"share": 1.0, "lowest_snr": -8.0}


def test_labels_are_as_sure_as_the_mixture_or_the_source_says(teacher) -> None:
    network, _ = open_efficientat(teacher)
    pupil = PUPILS["teacher"]()
    schooling = Schooling(None, StreamedMel(), torch.zeros(0))
    schooling.trainable(pupil)
    schooling.teacher_head = network.classifier
    given, said = torch.randn(5, 384 + 527), torch.rand(5, 384)
    of_mixtures = schooling.errors(given, said)
    for one, same in zip(schooling.errors(given, F.pad(said, (0, 527))), of_mixtures, strict=True):
        torch.testing.assert_close(one, same)
    sure = schooling.errors(given, F.pad(said, (0, 527), value=1.0))
    torch.testing.assert_close(sure[0], of_mixtures[0])
    torch.testing.assert_close(sure[2], F.softplus(-given[:, 384:]).sum(dim=1))
