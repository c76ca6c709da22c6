"""A model file of weights that others published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from distilling import distil_once, small, sounds, teacher

from export.__main__ import main
from export.published import Exportable
from streamclf.core.card import METADATA_KEY, parse_card
from train.distillation.pupil import PUPILS
from train.distillation.wide import read_pupil
from train.nets.efficientat import SAMPLE_RATE, EfficientAT
from train.run_folder.run import RunFolder

__all__ = ["distil_once", "small", "sounds", "teacher"]

pytestmark = pytest.mark.train


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Weights of nobody in particular, as the authors' file holds theirs."""
    torch.manual_seed(4)
    torch.save(EfficientAT().state_dict(), tmp_path / "mn04.pt")
    rows = [f'{k},/m/{k},"Sound, number {k}"' for k in range(526)] + ["526,/m/526,Silence"]
    (tmp_path / "labels.csv").write_text("index,mid,display_name\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_front_end_of_the_graph_is_that_of_the_network() -> None:
    torch.manual_seed(1)
    network = EfficientAT().eval()
    for level in (0.5, 1e-3, 0.0):
        waveform = level * torch.randn(2, 5 * SAMPLE_RATE)
        with torch.inference_mode():
            expected = network(waveform)[1]
            given = Exportable(network).eval()(waveform)
        torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)


def test_published_weights_become_a_model_of_several_labels_at_once(published, capsys) -> None:
    output = published / "mn04.onnx"
    code = main(
        [str(published / "mn04.pt"), "--labels", str(published / "labels.csv"), "--window", "5",
         "-o", str(output)]
    )  # fmt: skip
    assert code == 0
    assert "527 label(s), torch and ONNX Runtime differ by" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    card = parse_card(session.get_modelmeta().custom_metadata_map[METADATA_KEY], "mn04")
    assert (card.task, card.activation) == ("multi-label", "sigmoid")
    assert (card.sample_rate, card.window_samples) == (32000, 160000)
    assert card.labels[1] == "Sound, number 1"
    assert card.thresholds.never == ["Silence"]
    assert card.licence.startswith("MIT")
    waveform = 0.1 * np.random.default_rng(1).standard_normal((3, 160000)).astype(np.float32)
    (logits,) = session.run(None, {"waveform": waveform})
    network = EfficientAT()
    network.load_state_dict(torch.load(published / "mn04.pt", weights_only=True))
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(waveform))[1].numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "--labels is missing"),
        (["--labels", "LABELS", "--window", "1.5"], "--window is 1.5 s, must be 5 to 10 s"),
        (["--labels", "LABELS", "--int8"], "--int8 is for runs that learned from labels"),
        (
            ["--labels", "LABELS", "--licence", "MIT"],
            "--licence is for runs that learned from labels",
        ),
        (["--labels", "mn04.pt"], "(AudioSet's class_labels_indices.csv)"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(published, capsys, more, said) -> None:
    there = {"LABELS": "labels.csv"}
    more = [str(published / there.get(x, x)) if x[0] in "Lm" else x for x in more]
    code = main([str(published / "mn04.pt"), "-o", str(published / "x.onnx"), *more])
    message = capsys.readouterr().err
    assert code != 0
    assert said in message
    assert len(message.strip().splitlines()) == 1
    assert not (published / "x.onnx").exists()


def test_groups_come_from_the_ontology_past_what_the_labels_lack(published, capsys) -> None:
    # 1 is under 0, 2 under both: by itself, and by an entry that the labels lack.
    ontology = [
        {"id": "/m/0", "child_ids": ["/m/1", "/m/lacking"]},
        {"id": "/m/1", "child_ids": ["/m/2"]},
        {"id": "/m/lacking", "child_ids": ["/m/2", "/m/lacking too"]},
    ]
    (published / "ontology.json").write_text(json.dumps(ontology))
    output = published / "mn04.onnx"
    arguments = [str(published / "mn04.pt"), "--labels", str(published / "labels.csv")]
    arguments += ["--window", "5", "-o", str(output), "--ontology"]
    assert main([*arguments, str(published / "ontology.json"), "--half"]) == 0
    assert output.stat().st_size < 3e6  # float32: 4.3 MB
    small = published / "small.onnx"
    arguments[arguments.index("-o") + 1] = str(small)
    assert main([*arguments, str(published / "ontology.json"), "--int8-weights"]) == 0
    assert small.stat().st_size < 2e6
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    card = parse_card(session.get_modelmeta().custom_metadata_map[METADATA_KEY], "mn04")
    names = [f"Sound, number {k}" for k in range(3)]
    assert card.broader == {names[1]: names[:1], names[2]: names[:2]}
    (published / "ontology.json").write_text('{"a": 1}')
    assert main([*arguments, str(published / "ontology.json"), "--overwrite"]) != 0
    assert "no ontology; expected is ontology.json" in capsys.readouterr().err


def test_labels_are_not_for_runs_that_have_their_own(tmp_path, capsys) -> None:
    for option in ("labels", "ontology"):
        code = main([str(tmp_path), "-o", str(tmp_path / "x.onnx"), f"--{option}", "x"])
        assert code == 2
        assert f"--{option} is for mn04_as_mAP_432.pt" in capsys.readouterr().err


def test_wrong_labels_are_told(published, capsys) -> None:
    (published / "few.csv").write_text("index,mid,display_name\n0,/m/0,Dog\n")
    arguments = [str(published / "mn04.pt"), "-o", str(published / "x.onnx")]
    assert main([*arguments, "--labels", str(published / "few.csv")]) != 0
    assert "names 1 labels, must be 527" in capsys.readouterr().err


@pytest.mark.parametrize("layers", PUPILS)
def test_pupil_becomes_a_model_whose_windows_share_its_layers(
    published, distil_once, tmp_path, capsys, layers
) -> None:
    learned = distil_once(layers)
    output = tmp_path / "wide.onnx"
    labels = str(published / "labels.csv")
    assert main([str(learned), "--labels", labels, "-o", str(output)]) == 0
    assert "at hops of whole multiples of 0.1 s" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    card = parse_card(session.get_modelmeta().custom_metadata_map[METADATA_KEY], "wide")
    assert (card.task, card.sample_rate, card.window_samples) == ("multi-label", 16000, 24000)
    assert "EfficientAT mn04_as" in card.training_data
    assert card.features is not None  # by which search and teaching compare sounds
    assert (card.features.width or card.features.size) == 512
    assert "python -m train.distil" in card.description
    pupil = read_pupil(RunFolder.open(learned))
    waveform = 0.1 * torch.randn(2, 24000, generator=torch.Generator().manual_seed(1))
    front_end = pupil.make_front_end()
    with torch.inference_mode():
        expected = pupil(front_end.compress(front_end.power_by_fft(waveform)))[:, -527:]
    (logits,) = session.run(None, {"waveform": waveform.numpy()})
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-3)
