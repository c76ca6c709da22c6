# ruff: noqa: E402
from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from imitating import PretendYamnet, assert_same, teach, weights_of
from tiny_sets import make_speech_music, write

from export.card.describe_run import describe_data
from train import imitate
from train.cli.network_command import main as train_network
from train.datasets import open_clips
from train.nets.yamnet import N_OUTPUTS
from train.pocket import Pocket

__all__ = ["teach"]

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("narrow_pocket")]


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
    assert [s["name"] for s in config["sources"]] == ["esc50", "speech-music", "recordings"]
    assert [s["folds"] for s in config["sources"]] == [[1, 2], [1, 2], []]

    pocket = ["--data", str(teach.data), "--epochs", "1", "--threads", "1", "--test-fold", "3"]
    pocket += ["--accelerator", "cpu", "--start", str(run), "--save", str(teach.folder / "named")]
    assert train_network("pocket", pocket) == 0
    named = json.loads((teach.folder / "named" / "config.json").read_text())
    assert named["imitation"]["windows"] == 480
    assert named["recipe"]["learning_rate"] == 2e-3
    text = describe_data(named)
    assert "learned to give what a pretended YAMNet (trained on AudioSet) says of 480" in text
    assert "of folds 1, 2 (" in text


def test_pocket_takes_over_every_layer_but_the_last(teach):
    assert teach("--steps", "3")[0] == 0
    system, options = (
        Pocket(),
        Namespace(
            start=teach.folder / "imitation",
            teacher=None,
            last_layer=False,
            through_noise=None,
            cache=None,
            strangers=None,
            more_speech=None,
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
    assert describe_data(config).endswith("Of the labels only its last layer learned.")
    capsys.readouterr()
    assert train_network("pocket", [*pocket[:-2], "--save", str(teach.folder / "x")]) == 2
    assert "--last-layer keeps layers that --start names" in capsys.readouterr().err


def test_interrupted_imitation_goes_on_to_the_same_weights(teach, monkeypatch):
    assert teach("--steps", "6", "--workers", "0", save="whole")[0] == 0
    asked = iter([False, False, True])
    monkeypatch.setattr(
        "train.base.interrupt.Interrupt.was_requested", lambda _: next(asked, False)
    )
    code, said = teach("--steps", "6", "--workers", "0", save="parts")
    assert code == 130
    assert "--resume --save" in said
    # A process of its own draws the very same batches.
    assert teach("--steps", "6", "--workers", "1", "--resume", save="parts")[0] == 0
    assert_same(weights_of(teach.folder / "whole"), weights_of(teach.folder / "parts"))


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
    monkeypatch.setattr(
        PretendYamnet, "predict", lambda self, w: np.full((len(w), N_OUTPUTS), np.nan, "f")
    )
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
