# ruff: noqa: E402
from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from tiny_sets import make_speech_music, write

from export.card import _describe_data, _describe_imitation
from train import imitate
from train.command import main as train_network
from train.datasets import open_clips
from train.features import LogMel
from train.from_model import read_layers
from train.imitate import main
from train.pocket import Pocket
from train.pocket_network import WIDTHS, PocketBody
from train.reproducing import list_commands
from train.started import read_imitation
from train.yamnet import N_FEATURES, N_SCORES

pytestmark = pytest.mark.train


class PretendYamnet:
    """Knows how loud a window is in a few bands, and says so in 1,545 ways."""

    def __init__(self, path: Path) -> None:
        self.about = {"name": "a pretended YAMNet", "file": path.name, "sha256": "0"}
        ways = np.random.default_rng(7).normal(size=(8, N_FEATURES + N_SCORES))
        self._ways = ways.astype(np.float32)

    def hear(self, waveforms: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(waveforms)) ** 2
        bands = np.log1p(np.stack([b.sum(axis=1) for b in np.array_split(power, 8, axis=1)], 1))
        said = bands @ self._ways
        said[:, N_FEATURES:] = 1 / (1 + np.exp(-said[:, N_FEATURES:] / 10))
        return said.astype(np.float32)


@pytest.fixture
def teach(monkeypatch, make_esc, tmp_path, capsys):
    """Run the command with a teacher that is only pretended."""
    monkeypatch.setattr("train.imitate.Yamnet", PretendYamnet)
    monkeypatch.setattr("train.imitation.Yamnet", PretendYamnet)
    # What a few dozen batches can teach: how loud windows are that differ in that.
    monkeypatch.setattr("train.mixtures.PEAK_DB", (-40.0, 0.0))
    monkeypatch.setattr("train.mixtures.QUIET_SHARE", 0.0)
    data = make_esc(folds=3, per_class=1)

    def run(*arguments: str, save: str = "imitation") -> tuple[int, str]:
        given = ["--data", str(data), "--teacher", "none", "--batch", "8", "--threads", "1"]
        given += ["--accelerator", "cpu", "--save", str(tmp_path / save), *arguments]
        code = main(given)
        return code, "".join(capsys.readouterr())

    run.data, run.folder = data, tmp_path
    return run


def weights_of(run: Path) -> dict:
    return load_file(run / "weights.safetensors")


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_imitation_learns_and_pocket_starts_from_it(teach, capsys):
    make_speech_music(teach.folder / "both", seconds=3.0)
    write(teach.folder / "odd" / "hum" / "a.wav", seconds=3.0)
    write(teach.folder / "odd" / "hiss" / "b.wav", seconds=3.0, frequency=3000.0)
    code, said = teach(
        "--steps", "60", "--test-fold", "3", "--workers", "0",
        "--speech-music", str(teach.folder / "both"), "--others", str(teach.folder / "odd"),
    )  # fmt: skip
    assert code == 0, said
    assert "imitates a pretended YAMNet after 480 windows, explains " in said
    run = teach.folder / "imitation"
    history = json.loads((run / "history.json").read_text())
    errors = [row["error"] for row in history]
    assert np.mean(errors[-10:]) < 0.7 * np.mean(errors[:10])
    result = json.loads((run / "result.json").read_text())
    assert result["windows"] == 480
    assert 0.1 < result["explained_variance"] < 1
    config = json.loads((run / "config.json").read_text())
    assert [s["name"] for s in config["sources"]] == ["esc50", "speech-music", "folder"]
    assert [s["folds"] for s in config["sources"]] == [[1, 2], [1, 2], []]

    pocket = ["--data", str(teach.data), "--epochs", "1", "--threads", "1", "--test-fold", "3"]
    pocket += ["--accelerator", "cpu", "--start", str(run), "--save", str(teach.folder / "named")]
    assert train_network("pocket", pocket) == 0
    named = json.loads((teach.folder / "named" / "config.json").read_text())
    assert named["imitation"]["windows"] == 480
    assert named["recipe"]["learning_rate"] == 2e-3
    text = _describe_data(named)
    assert "learned to give what a pretended YAMNet (trained on AudioSet) says of 480" in text
    assert "of folds 1, 2 (" in text


def test_pocket_takes_over_every_layer_but_the_last(teach):
    assert teach("--steps", "3")[0] == 0
    system, options = (
        Pocket(),
        Namespace(
            start=teach.folder / "imitation", teacher=None, last_layer=False, through_noise=None
        ),
    )
    system.configure(options, open_clips(teach.data, 16000))
    state = system.build(3).body.state_dict()
    learned = weights_of(teach.folder / "imitation")
    assert set(state) - set(learned) == {"output.weight", "output.bias"}
    for name, value in learned.items():
        assert torch.equal(state[name], value), name


def test_the_last_layer_alone_learns_names_and_the_others_stay(teach, capsys):
    assert teach("--steps", "3")[0] == 0
    pocket = ["--data", str(teach.data), "--threads", "1", "--test-fold", "3", "--last-layer"]
    pocket += ["--accelerator", "cpu", "--start", str(teach.folder / "imitation")]
    assert train_network("pocket", [*pocket, "--save", str(teach.folder / "named")]) == 0
    state = weights_of(teach.folder / "named")
    for name, value in weights_of(teach.folder / "imitation").items():
        assert torch.equal(state[f"body.{name}"], value), name
    # Even what three batches have learned tells three tones apart, once the last layer fits.
    result = json.loads((teach.folder / "named" / "result.json").read_text())
    assert result["averaged_windows"] == 1
    config = json.loads((teach.folder / "named" / "config.json").read_text())
    assert config["recipe"]["epochs"] == 1
    assert _describe_data(config).endswith("Of the labels only its last layer learned.")
    capsys.readouterr()
    assert train_network("pocket", [*pocket[:-2], "--save", str(teach.folder / "x")]) == 2
    assert "--last-layer keeps layers that --start names" in capsys.readouterr().err


def test_interrupted_imitation_goes_on_to_the_same_weights(teach, monkeypatch):
    assert teach("--steps", "6", "--workers", "0", save="whole")[0] == 0
    asked = iter([False, False, True])
    monkeypatch.setattr("train.interrupt.Interrupt.was_asked", lambda _: next(asked, False))
    code, said = teach("--steps", "6", "--workers", "0", save="parts")
    assert code == 130
    assert "--resume --save" in said
    # A process of its own draws the very same batches.
    assert teach("--steps", "6", "--workers", "1", "--resume", save="parts")[0] == 0
    assert_same(weights_of(teach.folder / "whole"), weights_of(teach.folder / "parts"))


def test_imitation_goes_on_where_another_run_ended(teach):
    assert teach("--steps", "40", save="first")[0] == 0
    first = str(teach.folder / "first")
    code, said = teach("--steps", "20", "--start", first, "--seed", "2", save="second")
    assert code == 0, said
    assert "after 480 windows" in said
    error = {
        run: [row["error"] for row in json.loads((teach.folder / run / "history.json").read_text())]
        for run in ("first", "second")
    }
    # Its first batches are judged with the first run's heads and scale.
    assert np.mean(error["second"][:5]) < 0.8 * np.mean(error["first"][:5])
    config = json.loads((teach.folder / "second" / "config.json").read_text())
    assert config["earlier_seeds"] == [1]
    third = ["--steps", "2", "--start", str(teach.folder / "second"), "--seed"]
    code, said = teach(*third, "1", save="third")
    assert code == 1
    assert "has heard the mixtures of --seed 1; give another" in said
    assert teach(*third, "3", save="third")[0] == 0
    assert json.loads((teach.folder / "third" / "result.json").read_text())["windows"] == 496
    code, said = teach("--steps", "2", "--seed", "3", "--resume", save="third")
    assert code == 2
    assert "was begun with other earlier_seeds: [1, 2], not None" in said


def test_imitation_goes_on_through_noise_and_says_how_much(teach):
    first = ["--steps", "2", "--test-fold", "3"]
    assert teach(*first, save="first")[0] == 0
    start = [*first, "--start", str(teach.folder / "first"), "--seed", "2", "--through-noise"]
    code, said = teach(*start, save="second")
    assert code == 0, said
    assert "after 32 windows" in said
    assert teach(*first, "--seed", "2", "--start", str(teach.folder / "first"), save="x")[0] == 0
    weights, without = weights_of(teach.folder / "second"), weights_of(teach.folder / "x")
    assert not all(torch.equal(value, without[name]) for name, value in weights.items())
    _, about = read_imitation(teach.folder / "second", WIDTHS)
    assert about["windows_through_noise"] == 16
    assert about["windows_quieter"] == 32
    commands = list_commands({"network": "pocket", "imitation": about})
    assert [command.split()[2] for command in commands] == ["train.imitate"] * 2 + ["train.pocket"]
    assert commands[1].endswith("--steps 2 --batch 8 --seed 2")
    assert "--test-fold 3 --teacher none --start first --through-noise" in commands[1]
    assert "--start" not in commands[0]
    text = _describe_imitation(about)
    assert text.endswith(
        " Most of 32 of these it heard quieter than a pretended YAMNet did, by up to 40 dB. "
        "Most of 16 of these it heard under noise that a pretended YAMNet did not hear."
    )
    code, said = teach(*start[:-1], "--resume", save="second")
    assert code == 2
    assert "was begun with other through_noise: True, not None" in said


def test_imitation_goes_on_from_the_layers_of_a_model_file(teach, capsys):
    code, said = teach("--steps", "2", "--start", "pocket", "--precision", "bf16-mixed")
    assert code == 0, said
    assert "warning: pocket.onnx has learned from esc50: what is held out now may" in said
    # Two steps of a rate that only begins to rise: what the layers say is still the file's.
    body = PocketBody(2, WIDTHS).eval()
    body.load_state_dict(weights_of(teach.folder / "imitation"), strict=False)
    layers, about = read_layers("pocket", WIDTHS, open_clips(teach.data, 16000))
    theirs = PocketBody(2, WIDTHS).eval()
    theirs.load_state_dict(layers, strict=False)
    windows = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (8, 24000))).float()
    with torch.no_grad():
        heard = [net.pooled(LogMel(16000, 640, 400, 64)(windows)) for net in (body, theirs)]
    assert torch.corrcoef(torch.stack([part.flatten() for part in heard]))[0, 1] > 0.9
    config = json.loads((teach.folder / "imitation" / "config.json").read_text())
    assert config["layers_of"] == json.loads(json.dumps(about))
    assert config["commands"][0].endswith("--start pocket --steps 2 --batch 8 --seed 1 "
                                          "--precision bf16-mixed")  # fmt: skip

    pocket = ["--data", str(teach.data), "--threads", "1", "--test-fold", "3", "--last-layer"]
    pocket += ["--accelerator", "cpu", "--start", str(teach.folder / "imitation")]
    assert train_network("pocket", [*pocket, "--save", str(teach.folder / "named")]) == 0
    assert "warning: pocket.onnx has learned from esc50" in capsys.readouterr().err
    named = json.loads((teach.folder / "named" / "config.json").read_text())
    assert named["layers_of"]["name"] == "pocket"
    assert "layers_of" not in named["imitation"]
    text = _describe_data(named)
    assert "It began with the layers of pocket, version " in text
    assert "says of 16 windows" in text
    again = ["--steps", "2", "--start", str(teach.folder / "imitation"), "--seed", "2"]
    assert teach(*again, save="second")[0] == 0
    _, about = read_imitation(teach.folder / "second", WIDTHS)
    assert about["layers_of"] == config["layers_of"]
    code, said = teach("--steps", "2", "--start", "nothing.onnx", save="third")
    assert code == 1
    assert "no such model file" in said


def test_imitation_does_not_go_on_from_a_run_that_heard_its_test_fold(teach):
    assert teach("--steps", "2", "--folds", "1,2", "--test-fold", "3", save="first")[0] == 0
    code, said = teach(
        "--steps", "2", "--folds", "1,3", "--test-fold", "2", "--seed", "2",
        "--start", str(teach.folder / "first"), save="second",
    )  # fmt: skip
    assert code == 1
    assert "start from a run with the same options" in said
    assert not (teach.folder / "second").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "--steps is 0, must be 1 or more"),
        (["--batch", "1"], "--batch is 1, must be 2 or more"),
        (["--folds", "1,2", "--test-fold", "2"], "--test-fold is 2, which --folds trains on"),
        (["--folds", "7"], "esc50 has no fold [7], there are 1, 2, 3"),
        (["--resume", "--overwrite"], "give one of them"),
        (["--resume"], "no run folder"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(teach, arguments, said):
    code, heard = teach(*arguments)
    assert code in (1, 2)
    (line,) = [line for line in heard.splitlines() if line.startswith("error:")]
    assert said in line
    assert not (teach.folder / "imitation").exists()


def test_resume_with_another_length_is_refused(teach):
    assert teach("--steps", "2")[0] == 0
    code, said = teach("--steps", "2", "--resume", "--folds", "1,2")
    assert code == 2
    assert "was begun with other sources" in said
    code, said = teach("--steps", "4", "--resume")
    assert code == 2
    assert "was begun with other steps: 2, not 4" in said


def test_a_loss_that_is_no_number_ends_the_run(teach, monkeypatch):
    monkeypatch.setattr(PretendYamnet, "hear", lambda self, w: np.full((len(w), 1545), np.nan, "f"))
    code, said = teach("--steps", "2")
    assert code == 1
    assert "the loss is nan at batch 0" in said


def test_pocket_refuses_a_start_that_is_none(teach, make_esc, capsys):
    arguments = ["--data", str(teach.data), "--epochs", "1", "--threads", "1", "--test-fold", "3"]
    named = [*arguments, "--save", str(teach.folder / "plain")]
    assert train_network("pocket", named) == 0
    capsys.readouterr()
    for start, said in (("plain", "a run of pocket, --start takes one of imitation"),
                        ("nothing", "no such model file, and no bundled")):  # fmt: skip
        given = [*arguments, "--start", str(teach.folder / start)]
        assert train_network("pocket", [*given, "--save", str(teach.folder / "new")]) == 1
        assert said in capsys.readouterr().err
    assert teach("--steps", "2")[0] == 0
    config = teach.folder / "imitation" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"widths": [1] * 7}))
    given = [*arguments, "--start", str(teach.folder / "imitation")]
    assert train_network("pocket", [*given, "--save", str(teach.folder / "new")]) == 1
    assert "its layers are [1, 1, 1, 1, 1, 1, 1] wide" in capsys.readouterr().err


def test_shares_say_how_a_batch_is_made_up():
    assert sum(imitate.SHARES.values()) + imitate.NOISE_SHARE == pytest.approx(1.0)
