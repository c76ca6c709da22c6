# ruff: noqa: E402
from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import onnxruntime
from graphs import NARROW
from safetensors.numpy import save_file

import export.__main__ as export_main
import export.graph.formats
import train.envnet
from export.card.run_card import make_card
from export.card.temperature import (
    fit_temperature,
    running_averages,
)
from export.card.thresholds import choose_thresholds, find_confident_threshold
from export.errors import ExportError
from export.graph.compare_outputs import compare
from streamclf.core.card import METADATA_KEY, parse_card
from train.base.errors import RunError
from train.cli.network_command import main as train_main
from train.envnet import EnvNet
from train.nets.inference import WindowLogits, softmax
from train.nets.pocket_network import PocketNet
from train.pocket import Pocket
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


RECIPE = Pocket.default_recipe().as_json() | {
    "epochs": 3, "teacher_share": 0.5, "widths": list(NARROW),
}  # fmt: skip
"""Narrow layers: nothing here depends on what they hear."""


def make_run(folder, *, n_clips=60, **changes):
    """A run as training leaves it, without the training."""
    folder.mkdir()
    run = RunFolder(folder)
    labels = ["dog", "rain", "water_drops"]
    torch.manual_seed(1)
    config = {
        "network": "pocket",
        "title": "a small network",
        "parameters": 289_000,
        "labels": labels,
        "sample_rate": 16000,
        "window_samples": 24000,
        "recipe": RECIPE,
        "seed": 7,
        "data": {
            "name": "esc50",
            "licence": "CC BY-NC 3.0",
            "citation": "K. J. Piczak",
            "folds": [1, 2],
            "test_fold": 3,
            "clips": 18,
        },
        "teacher": {"file": "teacher.npz", "share": 0.3},
    }
    run.write_json("config.json", {**config, **changes})
    run.write_json("result.json", {"published_crops": 0.5})
    run.write_tensors("weights.safetensors", PocketNet(3, NARROW).state_dict())
    run.write_held_out(make_held_out(n_clips))
    return folder


def make_held_out(n_clips, *, sharpness=1.0, n_windows=8, seed=1):
    """Windows whose logits are the logarithms of true probabilities, times a sharpness."""
    random = np.random.default_rng(seed)
    chances = random.dirichlet([0.3] * 3, n_clips)
    targets = np.array([random.choice(3, p=chance) for chance in chances])
    logits = sharpness * np.log(np.maximum(chances, 1e-6)).repeat(n_windows, axis=0)
    return WindowLogits(
        logits.astype(np.float32), np.arange(n_clips).repeat(n_windows), targets.astype(np.int64)
    )


def read_card(path):
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    return parse_card(properties[METADATA_KEY], path.name)


def make_card_of(folder, **changes):
    """The card of a run with so many held-out clips."""
    n_clips = changes.pop("n_clips")
    path = make_run(folder, n_clips=max(n_clips, 1), **changes)
    run = RunFolder(path)
    if not n_clips:
        run.remove("held_out.safetensors")
    return make_card(run, run.read_json("config.json"), Pocket(), name="m", version="1",
                     licence=None, precision=None)  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run and the file made of it."""
    folder = tmp_path_factory.mktemp("export")
    run = make_run(folder / "run")
    assert export_main.main([str(run), "-o", str(folder / "tiny.onnx"), "--version", "3"]) == 0
    return run, folder / "tiny.onnx"


def test_exported_file_says_what_the_network_says(exported):
    run, path = exported
    network = PocketNet(3, NARROW).eval()
    network.load_state_dict(RunFolder(run).read_tensors("weights.safetensors")[0])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n_batch in (1, 4):
        waveform = np.random.default_rng(n_batch).uniform(-1, 1, (n_batch, 24000))
        waveform = waveform.astype(np.float32)
        (given,) = session.run(["logits"], {"waveform": waveform})
        with torch.no_grad():
            expected = network(torch.from_numpy(waveform)).numpy()
        np.testing.assert_allclose(given, expected, atol=1e-4)


def test_exported_file_is_finite_in_silence(exported):
    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"waveform": np.zeros((1, 24000), dtype=np.float32)})
    assert np.isfinite(given).all()


def test_exported_file_is_one_file_of_known_inputs(exported):
    _, path = exported
    assert [other.name for other in path.parent.iterdir() if other.is_file()] == ["tiny.onnx"]
    graph = onnx.load(path).graph
    (waveform,), (logits,) = graph.input, graph.output
    dims = waveform.type.tensor_type.shape.dim
    assert waveform.name == "waveform"
    assert (dims[0].dim_param, dims[1].dim_value) == ("batch", 24000)
    assert logits.name == "logits"
    assert logits.type.tensor_type.shape.dim[1].dim_value == 3


def test_exported_file_tells_nothing_of_the_machine(exported):
    run, path = exported
    content = path.read_bytes()
    assert str(run).encode() not in content
    assert b"site-packages" not in content
    assert b"train/pocket.py" not in content


def test_card_says_what_the_model_is(exported):
    _, path = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map[METADATA_KEY]
    card = parse_card(text, "tiny.onnx")
    heard = make_held_out(60)
    assert (card.name, card.version, card.task) == ("tiny", "3", "single-label")
    assert card.labels == ["dog", "rain", "water_drops"]
    assert (card.sample_rate, card.window_samples) == (16000, 24000)
    assert card.licence.startswith("CC BY-NC 3.0")
    for fact in ("esc50", "folds 1, 2", "18 clips", "Piczak", "teacher.npz", " 30% of each"):
        assert fact in card.training_data
    assert card.temperature == fit_temperature(heard)
    assert card.accuracy["clips"] == 60
    assert card.accuracy["fold"] == 3
    assert card.accuracy["averaged_windows"] == pytest.approx(heard.clip_accuracy(), abs=1e-4)
    low, high = card.accuracy["interval_95"]
    assert low < card.accuracy["averaged_windows"] < high
    assert card.accuracy["events"]["precision"] >= 0.9
    assert card.thresholds.off < card.thresholds.on == card.accuracy["events"]["on"]


def test_card_of_a_trial_run_sets_nothing_by_accident(tmp_path):
    run = make_run(tmp_path / "run", n_clips=9)
    card, _ = export_main.export(run, tmp_path / "trial.onnx")
    assert card.temperature == 1.0
    assert (card.thresholds.on, card.thresholds.off) == (0.5, 0.3)
    assert card.accuracy["clips"] == 9


def test_disagreement_writes_nothing(tmp_path, make_graph, monkeypatch):
    def make_wrong_graph(*arguments):
        model = make_graph(*arguments)
        bias = next(t for t in model.graph.initializer if t.name.endswith("output.bias"))
        values = onnx.numpy_helper.to_array(bias) + np.float32(2e-4)
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return model

    run = make_run(tmp_path / "run")
    monkeypatch.setattr(export.graph.formats, "make_graph", make_wrong_graph)
    with pytest.raises(ExportError, match=r"differ by 0\.0002\d*, the limit is 1e-04"):
        export_main.export(run, tmp_path / "wrong.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_compare_takes_nan_for_disagreement(exported):
    class Broken(torch.nn.Module):
        def forward(self, waveform):
            return torch.full((len(waveform), 3), float("nan"))

    with pytest.raises(ExportError, match="differ by inf"):
        compare(Broken(), onnx.load(exported[1]), 24000)


def test_existing_file_is_kept(tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "tiny.onnx").write_text("mine")
    with pytest.raises(ExportError, match="--overwrite"):
        export_main.export(run, tmp_path / "tiny.onnx")
    assert (tmp_path / "tiny.onnx").read_text() == "mine"


def test_export_fails_in_one_line(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    assert export_main.main([str(tmp_path), "-o", str(tmp_path / "a.onnx")]) == 1
    assert export_main.main([str(run), "-o", str(tmp_path / "a.pt")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "no run folder" in said[0]
    assert "must end in .onnx" in said[1]


@pytest.mark.parametrize("network", ["os", "../../evil", None])
def test_export_runs_no_code_that_a_config_names(tmp_path, network):
    run = make_run(tmp_path / "run", network=network)
    with pytest.raises(RunError, match="no network of this package"):
        export_main.export(run, tmp_path / "evil.onnx")


def test_export_says_that_weights_do_not_fit(tmp_path):
    run = make_run(tmp_path / "run", labels=["a", "b"])
    with pytest.raises(RunError, match="don't fit together"):
        export_main.export(run, tmp_path / "a.onnx")
    save_file({"x": np.zeros(3)}, run / "weights.safetensors")
    with pytest.raises(RunError, match="don't fit together"):
        export_main.export(run, tmp_path / "a.onnx")
    (run / "weights.safetensors").write_bytes(b"\x80\x04pickled")
    with pytest.raises(RunError, match="cannot be read"):
        export_main.export(run, tmp_path / "a.onnx")


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_temperature_undoes_a_wrong_sharpness(sharpness):
    heard = make_held_out(800, n_windows=2, sharpness=sharpness)
    assert fit_temperature(heard) == pytest.approx(sharpness, rel=0.2)


def test_running_averages_reach_three_seconds_back():
    random = np.random.default_rng(1)
    logits = random.normal(size=(16, 3)).astype(np.float32)
    heard = WindowLogits(logits, np.arange(2).repeat(8), np.array([0, 1]))
    averages = running_averages(heard, 2.0)
    scores = softmax(logits[8:], 2.0)
    np.testing.assert_allclose(averages[1][0], scores[0])
    np.testing.assert_allclose(averages[1][7], scores[2:8].mean(axis=0))


def test_thresholds_reach_the_precision_asked_for():
    heard = make_held_out(500)
    strict, strict_figures = choose_thresholds(heard, 1.0, 0.95)
    mild, mild_figures = choose_thresholds(heard, 1.0, 0.8)
    assert strict.on > mild.on
    assert strict_figures["precision"] >= 0.95
    assert 0.8 <= mild_figures["precision"] < 0.95
    assert strict_figures["recall"] < mild_figures["recall"]


def make_hopeless(n_clips=80, sharpness=3.0):
    """Windows that are sure, and never right."""
    heard = make_held_out(n_clips, sharpness=sharpness)
    wrong = (heard.logits[:: len(heard.clip) // n_clips].argmax(axis=1) + 1) % 3
    return WindowLogits(heard.logits, heard.clip, wrong.astype(np.int64))


def test_precision_that_no_threshold_reaches_lets_nothing_pass():
    heard = make_hopeless()
    for labels in (None, ["a", "b", "c"]):
        thresholds, figures = choose_thresholds(heard, 1.0, 0.9, labels)
        assert figures["recall"] == 0
        assert figures["precision"] is None
        assert not figures["reached"]
        assert min(thresholds.of(label).on for label in "abc") >= 0.95


def test_hopeless_run_is_warned_of(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    RunFolder(run).write_held_out(make_hopeless())
    assert export_main.main([str(run), "-o", str(tmp_path / "m.onnx")]) == 0
    said = capsys.readouterr().err
    assert "warning: no threshold makes 90% of the held-out clips' events right" in said
    assert "warning: the temperature is 5, at the end of the 0.2 to 5" in said
    card = read_card(tmp_path / "m.onnx")
    assert card.precisions == {}
    assert card.thresholds.on >= 0.95


def test_run_that_is_right_in_part_takes_the_best_precision_there_is(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    heard = make_held_out(400, sharpness=6.0)
    targets = heard.targets.copy()
    targets[::4] = (targets[::4] + 1) % 3  # a quarter is labelled wrongly
    RunFolder(run).write_held_out(WindowLogits(heard.logits, heard.clip, targets))
    command = [str(run), "-o", str(tmp_path / "m.onnx"), "--overwrite"]
    assert export_main.main(command) == 0
    said = capsys.readouterr().err
    card = read_card(tmp_path / "m.onnx")
    best = max(card.precisions, key=float)
    assert 0.6 <= float(best) < 0.9
    assert f"those set are for {float(best):.0%}" in said
    assert card.thresholds.on == card.precisions[best].on < 0.95
    # Asked for all the same, it is quiet, and the way out is named.
    assert export_main.main([*command, "--target-precision", "0.95"]) == 0
    assert f"--target-precision {best} can be had" in capsys.readouterr().err
    assert read_card(tmp_path / "m.onnx").thresholds.on >= 0.95


def test_few_clips_set_what_is_unknown_and_nothing_else(tmp_path):
    card = make_card_of(tmp_path / "few", n_clips=20)
    assert card.temperature == 1
    assert card.precisions == {}
    assert card.thresholds.classes == {}
    assert card.unknown is not None
    assert 0.5 <= card.unknown.threshold <= card.thresholds.on <= 0.9 or card.thresholds.on == 0.5
    assert card.thresholds.off < card.thresholds.on
    assert make_card_of(tmp_path / "fewer", n_clips=9).unknown is None


def test_few_sure_clips_let_no_unsure_event_pass():
    """Nineteen of twenty known clips reach 0.88 somewhere: what stays below is another sound."""
    scores = np.linspace(0.88, 0.99, 20)
    logits = np.log(np.stack([scores, 1 - scores], axis=1)).astype(np.float32)
    heard = WindowLogits(logits, np.arange(20), np.zeros(20, dtype=np.int64))
    assert find_confident_threshold(heard, 1.0) == pytest.approx(
        np.quantile(scores, 0.05), abs=1e-3
    )
    # Clips of what is never reported need not be found.
    mixed = WindowLogits(np.concatenate([logits, logits]), np.arange(40), np.repeat([0, 1], 20))
    assert find_confident_threshold(mixed, 1.0) < 0.2
    assert find_confident_threshold(mixed, 1.0, [1]) == find_confident_threshold(heard, 1.0)


@pytest.mark.parametrize("n_clips", [0, 20, 200])
def test_background_is_never_reported_however_many_clips_there_are(tmp_path, n_clips):
    card = make_card_of(tmp_path / "run", n_clips=n_clips, background=["rain"])
    assert card.thresholds.never == ["rain"]
    assert all(chosen.never == ["rain"] for chosen in card.precisions.values())
    assert bool(card.precisions) == (n_clips == 200)


def test_clips_of_the_background_are_no_events_that_are_missed():
    heard = make_held_out(300)
    labels = ["a", "b", "c"]
    _, every = choose_thresholds(heard, 1.0, 0.8, labels)
    thresholds, own = choose_thresholds(heard, 1.0, 0.8, labels, never=["c"])
    peaks = softmax(heard.logits[::8].astype(np.float64))
    on = np.array([thresholds.of(label).on for label in "ab"])
    events = peaks[:, :2] >= on
    right = events & (heard.targets[:, None] == np.arange(2))
    assert own["precision"] == pytest.approx(right.sum() / events.sum(), abs=1e-4)
    assert own["recall"] == pytest.approx(right.sum() / (heard.targets < 2).sum(), abs=1e-4)
    assert own != every


def test_good_run_is_not_doubted(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    assert export_main.main([str(run), "-o", str(tmp_path / "m.onnx")]) == 0
    assert "warning" not in capsys.readouterr().err


def test_trained_run_exports(make_esc, tmp_path):
    save = tmp_path / "run"
    arguments = ["--data", str(make_esc()), "--save", str(save), "--epochs", "1"]
    assert train_main("pocket", [*arguments, "--accelerator", "cpu"]) == 0
    output = tmp_path / "own.onnx"
    assert export_main.main([str(save), "-o", str(output)]) == 0
    text = {p.key: p.value for p in onnx.load(output).metadata_props}[METADATA_KEY]
    card = json.loads(text)
    assert card["labels"] == ["dog", "rain", "water_drops"]
    assert card["accuracy"]["clips"] == 6


def test_regression_exports_a_value_and_sets_no_thresholds(tmp_path):
    from train.cough import SYSTEM

    run = RunFolder(make_run(tmp_path / "run"))
    config = run.read_json("config.json")
    changes = {
        "network": "cough",
        "task": "regression",
        "labels": ["cough"],
        "sample_rate": SYSTEM.sample_rate,
        "window_samples": SYSTEM.window_samples,
        "recipe": SYSTEM.default_recipe().as_json(),
    }
    del config["teacher"]
    run.write_json("config.json", {**config, **changes})
    run.write_tensors("weights.safetensors", SYSTEM().build(1).state_dict())
    values = np.random.default_rng(1).random((120, 1)).astype(np.float32)
    targets = np.linspace(0, 1, 60, dtype=np.float32)
    run.write_held_out(WindowLogits(values, np.arange(60).repeat(2), targets))
    result = {"clips": 60, "mean_absolute_error": 0.3, "spearman": None}
    run.write_json("result.json", result)
    card, _ = export_main.export(run.path, tmp_path / "cough.onnx")
    assert (card.task, card.activation, card.output_name) == ("regression", "none", "value")
    assert card.thresholds == type(card.thresholds)()
    assert (card.temperature, card.accuracy["mean_absolute_error"]) == (1.0, 0.3)
    assert "spearman" not in card.accuracy
    assert onnx.load(tmp_path / "cough.onnx").graph.output[0].name == "value"


def test_envnet_graph_says_what_the_network_says(make_graph, monkeypatch):
    # As in `test_network_contract`, which traces the same network.
    monkeypatch.setattr(train.envnet, "N_HIDDEN", 64)
    torch.manual_seed(1)
    network = EnvNet(2).eval()
    assert compare(network, make_graph(network, 24014, "logits"), 24014) < 1e-4
