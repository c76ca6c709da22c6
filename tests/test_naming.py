"""Display names, and the labels that a user means by --only and --except."""

import json

import dashboards
import msgspec
import numpy as np
import prepared
import pytest
import toys

from streamclf.core.card import Unknown, parse_card
from streamclf.core.errors import CardError, UsageError
from streamclf.core.label_choice import choose_labels

LABELS = ["dog", "car_horn", "door_wood_creaks", "Rain", "rain", "clock tick"]
CARD = toys.toy_card(
    labels=LABELS, display_names={"door_wood_creaks": "door, wood creaks"}, unknown=Unknown(0.5)
)


def choose(only=None, leave_out=None, **options):
    return choose_labels(CARD, only, leave_out, **options)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("dog", {"dog"}),
        ("dog,car_horn", {"dog", "car_horn"}),
        (" Dog , Car Horn,", {"dog", "car_horn"}),
        ("door, wood creaks", {"door_wood_creaks"}),
        ("dog,door, wood creaks,clock-tick", {"dog", "door_wood_creaks", "clock tick"}),
        ("door wood creaks", {"door_wood_creaks"}),
        ("rain", {"rain"}),
        ("Rain", {"Rain"}),
        ("dog,door", {"dog", "door_wood_creaks"}),  # one of its names
    ],
)
def test_labels_are_found_by_identifier_and_by_display_name(text, labels):
    assert choose(text) == labels
    assert choose(leave_out=text) == set(LABELS) - labels


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": "dgo"}, "--only dgo: is no label of tones (did you mean dog?); streamclf info"),
        ({"only": "dog,wood"}, "--only wood: is no label of tones (did you mean door_wood_creaks"),
        ({"leave_out": "zzz"}, "--except zzz: is no label of tones; streamclf info lists all 6"),
        ({"only": "RAIN"}, "--only RAIN: may be Rain or rain: write it as one of them"),
        ({"only": ""}, "--only names no label"),
        ({"only": "unknown"}, "--only unknown: there are such events with --unknown: add it"),
        ({"only": "dog", "leave_out": "dog"}, "--except leaves no label"),
    ],
)
def test_a_name_that_fits_no_label_is_told_with_the_nearest(options, said):
    with pytest.raises(UsageError) as caught:
        choose(**options)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_unknown_sounds_count_beside_the_labels_unless_they_are_named():
    both = {"unknown", "silence"}
    assert choose("dog", name_unknown=True) == {"dog"} | both
    assert choose("dog,unknown", name_unknown=True) == {"dog", "unknown"}
    assert choose(leave_out="silence", name_unknown=True) == {*LABELS, "unknown"}
    assert choose() is None


def test_a_name_of_which_nothing_is_ever_told_is_told():
    told = []
    with pytest.raises(UsageError, match="--only dog: tones scores it, and never tells it"):
        choose("dog", never=["dog"])
    with pytest.raises(UsageError, match="never = "):
        choose("dog,rain", never=["dog", "rain"])
    assert choose("dog,rain", never=["dog"], report=told.append) == {"dog", "rain"}
    assert [line.partition(": tones")[0] for line in told] == ["warning: --only dog"]
    assert choose("dog", never=["rain"], report=told.append) == {"dog"}
    assert choose(None, "dog", never=["rain"], report=told.append)
    assert len(told) == 1


def test_a_broad_name_is_told_by_its_narrower_ones():
    told = []
    card = toys.toy_card(labels=["alarm", "siren"], broader={"siren": ["alarm"]})
    assert choose_labels(card, "alarm", None, never=["alarm"], report=told.append) == {
        "alarm", "siren"
    }  # fmt: skip
    assert not told
    with pytest.raises(UsageError, match="--only siren"):
        choose_labels(card, "siren", None, never=["siren"])


def test_a_regression_has_no_labels_to_choose():
    meter = toys.toy_card(task="regression", activation="none", labels=["power"], name="meter")
    with pytest.raises(UsageError, match="--except chooses events, and meter gives values"):
        choose_labels(meter, None, "power")


def test_labels_without_a_display_name_lose_their_underscores():
    names = [CARD.display_name(label) for label in LABELS]
    assert names == ["dog", "car horn", "door, wood creaks", "Rain", "rain", "clock tick"]
    assert toys.toy_card(labels=["_"]).display_name("_") == "_"


@pytest.mark.parametrize(
    "names", [{"cow": "Cow"}, {"dog": " "}, {"dog": "a\nb"}, {"dog": "x" * 501}]
)
def test_display_names_are_plain_text_of_labels(names):
    card = {**msgspec.to_builtins(CARD), "display_names": names}
    with pytest.raises(CardError, match="display_names"):
        parse_card(json.dumps(card), "m.onnx")


@pytest.fixture
def named_model(tmp_path):
    card = toys.toy_card(display_names={"middle": "tone, in the middle"})
    return toys.write_tone_detector(tmp_path / "named.onnx", card)


def labels_in(lines):
    return [line["label"] for line in lines if line["type"] == "event"]


def test_people_read_display_names_and_machines_identifiers(
    streamclf, scene, named_model, tmp_path
):
    outputs = [tmp_path / name for name in ("e.jsonl", "e.csv", "e.txt", "e.selections.txt")]
    options = [option for path in outputs for option in ("-o", path)]
    result = streamclf("file", scene, "--model", named_model, "-f", "text", *options)
    assert "  tone, in the middle\n" in result.out
    assert "3 events: 2 quiet; 1 tone, in the middle" in result.err
    for path in outputs:
        assert "middle" in path.read_text()
        assert "in the middle" not in path.read_text()


def test_only_and_except_leave_scores_as_they_are(streamclf, scene, named_model, tmp_path):
    run = ("file", scene, "--model", named_model, "--average", 3)
    whole = streamclf(*run, "--scores", tmp_path / "all.csv")
    chosen = streamclf(
        *run, "--only", "tone, in the middle", "--scores", tmp_path / "some.csv",
        "--clips", tmp_path / "clips",
    )  # fmt: skip
    assert chosen.lines == [line for line in whole.lines if line["label"] == "middle"]
    assert chosen.lines != []
    assert (tmp_path / "all.csv").read_text() == (tmp_path / "some.csv").read_text()
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["middle"]
    assert "1 event: 1 tone, in the middle" in chosen.err
    rest = streamclf(*run, "--except", "quiet")
    assert labels_in(rest.lines) == ["middle"]


def test_live_takes_them_from_the_environment_and_a_file(tmp_path, scene, named_model):
    command = ["listen", "--source", f"sim:{scene}", "--speed",
               "0", "--model", str(named_model)]  # fmt: skip
    (tmp_path / "box.toml").write_text('only = "middle"\n')

    def heard(*options, **environment):
        run = prepared.run(
            *command, *options, capture_output=True, text=True, check=False, cwd=tmp_path,
            env={**__import__("os").environ, **environment},
        )  # fmt: skip
        return run.returncode, [json.loads(line) for line in run.stdout.splitlines()], run.stderr

    code, lines, _ = heard("--config", "box.toml")
    assert (code, labels_in(lines)) == (0, ["middle"])
    code, lines, _ = heard(STREAMCLF_EXCEPT="tone, in the middle")
    assert (code, labels_in(lines)) == (0, ["quiet", "quiet"])
    code, _, err = heard(STREAMCLF_ONLY="midle")
    assert code == 2
    assert "STREAMCLF_ONLY: --only midle: is no label of tones (did you mean middle" in err
    assert len(err.splitlines()) == 1


def test_the_dashboard_shows_display_names(tmp_path, named_model, scene):
    app = dashboards.make_dashboard(tmp_path, named_model, recording=scene)

    async def script(pilot):
        await dashboards.settle(pilot, lambda: len(app.listener.history.entries) == 3)
        app.playhead.seek(6.0, 11.0)
        app._dirty = True
        await dashboards.settle(pilot, lambda: "▲" in dashboards.text_of(app))
        lines = dashboards.text_of(app).splitlines()
        assert any("▲" in line and "tone, in the middle" in line for line in lines)
        assert not any("▲  middle" in line for line in lines)

    dashboards.drive(app, script, size=(120, 40))


def test_the_dashboard_lists_the_chosen_events_by_display_name(named_model, scene):
    from streamclf.core.settings import Settings
    from streamclf.dashboard.history import History
    from streamclf.model.classifier import Classifier
    from streamclf.model.model_file import Model
    from streamclf.pipeline.engine import Engine
    from streamclf.runs.runner import run_stream
    from streamclf.sources.recording.recording import Recording

    engine = Engine(Classifier(Model(named_model)), Settings(labels=frozenset(["middle"])))
    history = History(live=False)
    with Recording(scene) as recording:
        run_stream(engine, recording, [history], say=lambda message: None)
    assert [(e.kind, e.label) for e in history.entries] == [("event", "tone, in the middle")]
    assert np.all([info.thresholds == {"middle": 0.5} for info, _ in history.results])
