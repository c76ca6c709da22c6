"""Imitation of EfficientAT: what is kept of what it heard, who learns from it, and going on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from distilling import (
    BATCH,
    PER_SHARD,
    TONES,
    distil_once,
    learned,
    make_clips,
    run,
    small,
    sounds,
    teacher,
)

from export.__main__ import main as export_model
from export.card.describe_run import describe_data
from train import distil, imitate, pocket
from train.audio.tracks import Tracks
from train.base.errors import DatasetError
from train.cli.network_command import main as train_network
from train.datasets.prepared import open_prepared
from train.distillation.heard import (
    SPECTRUM_STEP,
    Ear,
    Heard,
    column_weights,
    decode_spectra,
    encode_spectra,
    hear_columns,
)
from train.distillation.pupil import HOP, PUPILS, SMALLEST_SPREAD, WIDE, Pupil, StreamedPupil
from train.distillation.schooling import Crops, Schooling
from train.nets.efficientat import N_FEATURES, N_LABELS, EfficientAT
from train.nets.pocket_network import WINDOW_SAMPLES, PocketNet
from train.nets.streamed_network import StreamedMel
from train.nets.streamed_pocket import StreamedPocketNet
from train.pocket_parts.mel_power import make_noises
from train.run_folder.load_network import load_network
from train.run_folder.reproduce import list_commands

__all__ = ["distil_once", "learned", "small", "sounds", "teacher"]

pytestmark = pytest.mark.train


def test_columns_average_to_what_the_teacher_says_of_all_of_it() -> None:
    network = EfficientAT().eval()
    waveforms = 0.1 * torch.randn(2, 320000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        columns, hints = hear_columns(network, waveforms)
        features, _ = network(waveforms)
    assert columns.shape == (2, 32, 384)
    assert hints.shape == (2, 32, 272)
    torch.testing.assert_close(columns.mean(dim=1), features)


def test_columns_of_a_window_are_those_that_lie_in_it() -> None:
    weights = column_weights(86)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(86))
    middles = torch.arange(32) * 0.32
    for start in (0, 17, 85):
        inside = (middles > start * 0.1 - 0.16) & (middles < start * 0.1 + 1.66)
        assert (weights[start] > 0).equal(inside)


def test_shard_is_made_once_and_the_same_wherever_it_is_made(teacher, tmp_path) -> None:
    tracks = Tracks(make_clips(*TONES))
    first = Heard(tmp_path / "a", tracks, teacher, 1)
    shard = first.get(3)
    assert shard["spectra"].shape == (PER_SHARD, 64, 399)
    assert shard["spectra"].dtype == torch.uint8
    assert shard["features"].dtype == torch.float16
    again = Heard(tmp_path / "b", tracks, teacher, 1).get(3)
    for name, value in shard.items():
        torch.testing.assert_close(value, again[name])
    # It needs no sounds any more.
    kept = Heard(tmp_path / "a", None, teacher, 1).get(3)
    torch.testing.assert_close(kept["spectra"], shard["spectra"])
    with pytest.raises(DatasetError, match="--only-hear makes it"):
        Heard(tmp_path / "a", None, teacher, 1).get(4)


def test_spectra_lose_at_most_half_a_step_in_a_byte() -> None:
    time = torch.arange(32000) / 16000
    loudest = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in (440, 3300, 7900)])
    for kind in PUPILS.values():
        front_end = kind.make_front_end()
        spectra = front_end.compress(front_end.power_by_fft(loudest))
        there = decode_spectra(encode_spectra(spectra))
        assert (there - spectra).abs().max() <= SPECTRUM_STEP / 2 + 1e-5
    assert decode_spectra(encode_spectra(torch.zeros(3))).equal(torch.zeros(3))


@pytest.mark.parametrize("kind", PUPILS.values(), ids=PUPILS)
def test_pupil_hears_each_window_as_if_it_were_alone(kind) -> None:
    torch.manual_seed(0)
    pupil = kind().eval()
    assert sum(p.numel() for p in pupil.body.parameters()) < 1_000_000
    front_end = kind.make_front_end()
    crops = Crops(front_end)
    waveform = 0.1 * torch.randn(1, 64240, generator=torch.Generator().manual_seed(2))
    spectra = front_end.compress(front_end.power_by_fft(waveform))[:, :, : crops.n_frames]
    with torch.inference_mode():
        all_at_once = pupil(spectra)
        assert len(all_at_once) == crops.n_windows == 9
        for number in (0, 4, len(all_at_once) - 1):
            begin = number * HOP * 1600
            alone = waveform[:, begin : begin + WINDOW_SAMPLES]
            alone = front_end.compress(front_end.power_by_fft(alone))
            torch.testing.assert_close(pupil(alone)[0], all_at_once[number], atol=1e-4, rtol=1e-3)
            assert pupil.listen(alone, 5)[1].equal(pupil(alone)[:, -N_LABELS:])


def test_pupil_of_the_teachers_layers_begins_with_its_weights(teacher) -> None:
    network = EfficientAT()
    network.load_state_dict(torch.load(teacher))
    pupil = StreamedPupil()
    pupil.begin(network)
    published = network.state_dict()
    for name in ("body.layers.0.0.weight", "body.layers.3.block.0.0.weight"):
        there = published[name.replace("body.layers", "features")]
        torch.testing.assert_close(pupil.state_dict()[name], there)
    # A kernel with one tap is the sum of those that it had.
    summed = published["features.14.block.1.0.weight"].sum(dim=3, keepdim=True)
    torch.testing.assert_close(pupil.body.layers[14].block[1][0].weight, summed)
    torch.testing.assert_close(pupil.head[5].weight, published["classifier.5.weight"])
    # The teacher itself stays as it was.
    assert network.features[1].block[0][0].padding == (1, 1)


@pytest.mark.parametrize("kind", PUPILS.values(), ids=PUPILS)
def test_what_was_said_of_a_crop_is_of_its_own_windows(teacher, kind) -> None:
    front_end = kind.make_front_end()
    ear = Ear(teacher, front_end, hints=kind.hints_kept)
    mixtures = Tracks(make_clips(*TONES)).draw(np.random.default_rng(1), 3)
    shard = ear.hear(mixtures, 16000)
    schooling = Schooling(None, front_end, torch.zeros(0))
    starts = np.array([0, 10, 59])
    said = schooling.said(shard, np.arange(3), starts)
    count = schooling.crops.n_windows
    n = N_FEATURES + 272 * kind.hints_kept
    assert said.shape == (3 * count, n)
    columns = torch.cat([shard[k] for k in ("features", "hints") if k in shard], dim=2).float()
    weights = column_weights(100)
    for row, start in enumerate(starts.tolist()):
        for window in (0, count - 1):
            wanted = weights[start + HOP * window] @ columns[row]
            torch.testing.assert_close(said[row * count + window], wanted)
    cut = schooling.cut(shard, np.arange(3), starts)
    begin = 10 * 1600
    alone = torch.from_numpy(mixtures[1:2, begin : begin + 64000])
    spectra = front_end.compress(front_end.power_by_fft(alone))[0]
    assert (cut[1, :, : spectra.shape[1]] - spectra).abs().max() <= SPECTRUM_STEP / 2 + 1e-3


def test_what_windows_are_said_to_hold_is_scaled_to_one_spread() -> None:
    torch.manual_seed(2)
    shard = {
        "spectra": torch.zeros(8, 64, 399, dtype=torch.uint8),
        "features": (3 + torch.randn(8, 32, 384)).half(),
        "hints": (1 + 0.1 * torch.randn(8, 32, 272)).half(),
    }
    schooling = Schooling(None, PocketNet(2).front_end, torch.zeros(0))
    said = schooling.said(shard, *schooling.middles(shard))
    assert len(said) == 8 * schooling.crops.n_windows
    pupil = Pupil()
    pupil.measure(said)
    scaled = (said - pupil.mean) / pupil.spread
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(656), atol=1e-3, rtol=0)
    spread = said.std(dim=0)
    heard = spread > SMALLEST_SPREAD
    assert heard.any()
    torch.testing.assert_close(scaled.std(dim=0)[heard], torch.ones(int(heard.sum())))


def test_batches_are_finite_and_follow_from_their_generator(teacher) -> None:
    ear = Ear(teacher, PocketNet(2).front_end)
    shard = ear.hear(Tracks(make_clips(*TONES)).draw(np.random.default_rng(1), 4), 16000)
    schooling = Schooling(
        None, ear.front_end, make_noises(ear.front_end, 16000, torch.device("cpu"))
    )
    first, second = (
        schooling.batch(shard, np.array([1, 3]), np.random.default_rng(6)) for _ in range(2)
    )
    assert first[0].shape == (2, 64, schooling.crops.n_frames)
    assert first[0].isfinite().all()
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", PUPILS.values(), ids=PUPILS)
def test_pupil_that_says_what_the_teacher_says_has_no_error(teacher, kind) -> None:
    ear = Ear(teacher, kind.make_front_end())
    pupil = kind()
    pupil.begin(ear.network)
    schooling = Schooling(None, ear.front_end, torch.zeros(0))
    schooling.trainable(pupil)
    schooling.teacher_head = ear.network.classifier
    said = torch.rand(5, N_FEATURES + 272 * kind.hints_kept)
    pupil.measure(said)
    scaled = (said - pupil.mean) / pupil.spread
    with torch.no_grad():
        logits = ear.network.classifier(said[:, :N_FEATURES])
        torch.testing.assert_close(pupil.head(said[:, :N_FEATURES]), logits)
        error, hinted, entropy = schooling.errors(torch.cat([scaled, logits], dim=1), said)
        other = schooling.errors(torch.cat([scaled, logits + 1], dim=1), said)[2]
    torch.testing.assert_close(error, torch.zeros(5))
    torch.testing.assert_close(hinted, torch.zeros(5))
    assert (entropy < other).all()
    assert logits.shape == (5, N_LABELS)


class StoppedError(Exception):
    """As if the machine had stopped."""


def test_run_that_stops_goes_on_to_the_same_weights(
    sounds, teacher, learned, tmp_path, monkeypatch, capsys
):
    learn = distil.Learner.learn

    def stop(self, *arguments):
        if arguments[-1] == 5:
            raise StoppedError
        return learn(self, *arguments)

    monkeypatch.setattr(distil, "SAVE_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(distil.Learner, "learn", stop)
        with pytest.raises(StoppedError):
            run(sounds, teacher, tmp_path / "cache", tmp_path / "parts")
    capsys.readouterr()
    assert run(sounds, teacher, tmp_path / "cache", tmp_path / "parts", "--resume") == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1].split(": ", 1)[1])
    assert said["windows"] == 2 * 2 * 2 * BATCH * Crops(PocketNet(2).front_end).n_windows
    assert {"explained_variance", "agreement"} <= set(said)
    weights = [
        distil.RunFolder.open(path).read_tensors(distil.WEIGHTS)[0]
        for path in (learned, tmp_path / "parts")
    ]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name])


def test_held_out_sources_are_not_learned_from(sounds, teacher, tmp_path) -> None:
    options = distil.make_parser().parse_args(
        ["--sounds", str(sounds), "--teacher", str(teacher), "--cache", str(tmp_path),
         "--save", str(tmp_path / "run")]
    )  # fmt: skip
    training, judged = distil.open_heard(options)
    assert {source.split("/")[0] for source in training.tracks.sources} == {"a"}
    assert {source.split("/")[0] for source in judged.tracks.sources} == {"pingus-data"}


def test_schedule_may_become_longer_but_sounds_stay(
    sounds, teacher, learned, tmp_path, capsys
) -> None:
    more = sounds, teacher, tmp_path / "cache", learned, "--resume"
    assert run(*more, "--passes", "3") == 0
    config = json.loads((learned / "config.json").read_text())
    assert config["passes"] == 3
    assert config["plan"] == [2, 3]
    assert run(*more, "--seed", "2") == 2
    assert "was begun with other seed: 1, not 2" in capsys.readouterr().err


def test_pocket_takes_the_wider_layers_and_tells_whose_they_are(
    distil_once, tmp_path, make_esc, capsys
) -> None:
    learned = distil_once("pocket")
    data = make_esc(folds=3, per_class=1)
    arguments = ["--data", str(data), "--test-fold", "3", "--threads", "1", "--last-layer"]
    arguments += ["--start", str(learned), "--save", str(tmp_path / "named")]
    others = ["--strangers", "x", "--heard", "x.npz", "--audioset", "x.csv"]
    assert train_network("pocket", [*arguments, *others]) == 2
    assert f"--strangers needs streamed layers, {learned} has others" in capsys.readouterr().err
    others[0] = "--more-speech"
    assert train_network("pocket", [*arguments, *others]) == 2
    assert "adds to that of --speech-music DIR: name that" in capsys.readouterr().err
    assert train_network("pocket", arguments) == 0
    named = distil.RunFolder.open(tmp_path / "named")
    config = named.read_json("config.json")
    assert tuple(config["recipe"]["widths"]) == WIDE
    assert config["imitation"]["teacher"]["name"] == "EfficientAT mn04_as"
    assert "EfficientAT mn04_as (trained on AudioSet)" in describe_data(config)
    assert "python -m train.distil" in list_commands(config)[0]
    layers = distil.RunFolder.open(learned).read_tensors(distil.WEIGHTS)[0]
    kept = named.read_tensors(distil.WEIGHTS)[0]
    for name, value in layers.items():
        torch.testing.assert_close(kept[f"body.{name}"], value)


def test_another_process_makes_what_is_missing(sounds, teacher, tmp_path) -> None:
    assert run(sounds, teacher, tmp_path / "cache", tmp_path / "run", "--only-hear") == 0
    assert not (tmp_path / "run").exists()
    names = sorted(path.name for path in (tmp_path / "cache").glob("*-teacher/*"))
    assert names == ["00000.safetensors", "00000.safetensors"] + ["00001.safetensors"] * 2


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "stopped"])
def test_names_are_fitted_to_the_streamed_layers(
    learned, sounds, make_esc, tmp_path, capsys, *, ended
) -> None:
    layers = distil.RunFolder.open(learned).read_tensors(distil.WEIGHTS)[0]
    if not ended:
        for name in ("weights.safetensors", "pupil.safetensors", "result.json"):
            (learned / name).unlink()
    data = make_esc(folds=3, per_class=1)
    arguments = ["--data", str(data), "--test-fold", "3", "--threads", "1", "--last-layer"]
    arguments += ["--start", str(learned), "--save", str(tmp_path / "named")]
    sources = sorted({clip.source for clip in open_prepared(sounds).clips})
    scores = np.zeros((len(sources), 2), np.float16)
    scores[:2, 1], scores[2:, 0] = 0.8, 0.6
    np.savez(tmp_path / "heard.npz", source=sources, scores=scores)
    names = ["index,mid,display_name", "0,/m/0,Dog", '1,/m/1,"Gunshot, gunfire"']
    (tmp_path / "labels.csv").write_text("\n".join(names))
    arguments += ["--strangers", str(sounds), "--heard", str(tmp_path / "heard.npz")]
    assert train_network("pocket", arguments) == 2
    assert "belong together: give all three" in capsys.readouterr().err
    arguments += ["--audioset", str(tmp_path / "labels.csv")]
    assert train_network("pocket", arguments) == 0
    named = distil.RunFolder.open(tmp_path / "named")
    config = named.read_json("config.json")
    assert config["recipe"]["layers"] == "teacher"
    assert "All labels were alike of 2 sounds of" in describe_data(config)
    assert "--strangers" in list_commands(config)[-1]
    assert config["imitation"]["windows"] == 8 * BATCH * Crops(StreamedMel()).n_windows
    assert ("stopped_after" in config["imitation"]) is not ended
    assert ("It was stopped after 8 of 8 batches." in describe_data(config)) is not ended
    kept = named.read_tensors(distil.WEIGHTS)[0]
    for name, value in layers.items():
        torch.testing.assert_close(kept[f"body.{name}"], value)
    assert kept["body.output.weight"].shape == (3, N_FEATURES)
    assert kept["body.output.weight"].abs().max() > 0
    # What is exported is the network that was judged.
    assert export_model([str(named.path), "-o", str(tmp_path / "named.onnx")]) == 0
    assert "windows share all work" in capsys.readouterr().out
    system, network = load_network(named, config)
    assert system.recipe.layers == "teacher"
    assert isinstance(network, StreamedPocketNet)


def test_streamed_layers_learn_on_from_a_last_layer_that_is_fitted(
    learned, make_esc, tmp_path, monkeypatch
) -> None:
    data = make_esc(folds=3, per_class=1)
    arguments = ["--data", str(data), "--test-fold", "3", "--threads", "1", "--accelerator", "cpu"]
    arguments += ["--start", str(learned), "--cache", str(tmp_path / "heard")]
    fitted = []
    fit = pocket.fit_streamed_layer
    monkeypatch.setattr(pocket, "fit_streamed_layer", lambda *a: fitted.append(fit(*a)))
    train = [*arguments, "--epochs", "1", "--save", str(tmp_path / "tuned")]
    assert train_network("pocket", train) == 0
    assert len(fitted) == 1
    assert len(list((tmp_path / "heard").glob("*.safetensors"))) == 2
    tuned = distil.RunFolder.open(tmp_path / "tuned")
    config = tuned.read_json("config.json")
    assert config["full_epochs"] == pocket.STREAMED_RECIPE["epochs"]
    assert "last_layer_alone" not in config
    before = distil.RunFolder.open(learned).read_tensors(distil.WEIGHTS)[0]
    after = tuned.read_tensors(distil.WEIGHTS)[0]
    assert not after["body.layers.3.block.0.0.weight"].equal(before["layers.3.block.0.0.weight"])
    # It can be made again: where things are kept does not decide the weights.
    assert "--cache" not in list_commands(config)[-1]


def test_streamed_layers_that_were_never_saved_are_told_in_a_line(tmp_path, make_esc, capsys):
    run_folder = distil.RunFolder.create(tmp_path / "run", "imitation", overwrite=False)
    config = {"network": "imitation", "layers": "teacher", "widths": [], "teacher": {}, "steps": 1,
              "seed": 1, "test_fold": 0, "sources": []}  # fmt: skip
    run_folder.write_json("config.json", config)
    arguments = ["--data", str(make_esc(folds=3, per_class=1)), "--test-fold", "3", "--last-layer"]
    arguments += ["--start", str(tmp_path / "run"), "--save", str(tmp_path / "named")]
    assert train_network("pocket", arguments) == 1
    assert "nothing of it was saved yet; let it learn" in capsys.readouterr().err


def test_imitation_of_yamnet_names_the_command_that_takes_efficientat(teacher, tmp_path, capsys):
    arguments = [
        "--others",
        str(tmp_path),
        "--teacher",
        str(teacher),
        "--save",
        str(tmp_path / "r"),
    ]
    assert imitate.main(arguments) == 2
    message = capsys.readouterr().err
    assert "python -m train.distil learns from EfficientAT" in message
    assert len(message.strip().splitlines()) == 1
