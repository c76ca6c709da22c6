"""The library in one line each, the recipes of the documents, and what help() shows."""

import logging
import pydoc
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas
import pytest
import soundfile
import toys

import streamclf as library
from streamclf.core.card import Unknown
from streamclf.core.errors import RecordingError, SourceError, StreamclfError, UsageError
from streamclf.core.log import LOGGER

ROOT = Path(__file__).parents[1]


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    lines = []

    class Keeping(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    monkeypatch.setattr(LOGGER, "handlers", [Keeping()])
    return lines


def places(events):
    return [(event.label, event.onset_s, event.offset_s, round(event.score, 4)) for event in events]


def test_detect_gives_what_file_writes(streamclf, scenes, tone_model):
    lines = streamclf("file", scenes, "--model", tone_model).lines
    events = library.detect(scenes, model=tone_model)
    assert places(events) == [
        (line["label"], line["onset"], line["offset"], line["score"]) for line in lines
    ]
    assert len(events) == 5
    assert all(event.source == str(scenes) for event in events)
    assert events[0].duration_s == events[0].offset_s - events[0].onset_s
    samples, rate = soundfile.read(scenes, dtype="float32")
    found = library.detect(samples.T, rate, model=str(tone_model))
    assert places(found) == places(events)
    assert places(library.detect(library.ArraySource(samples.T, rate), model=tone_model)) == (
        places(events)
    )


def test_an_open_model_serves_as_well(scene, tone_model):
    opened = library.Model(tone_model)
    classifier = library.Classifier(opened)
    expected = places(library.detect(scene, model=tone_model))
    for model in (opened, classifier):
        assert places(library.detect(scene, model=model)) == expected


def test_events_have_the_recorders_time_and_display_names(write_wav, tmp_path):
    card = toys.toy_card(display_names={"low": "a low, low tone"})
    model = toys.write_tone_detector(tmp_path / "m.onnx", card)
    path = write_wav(toys.tone(440, 4), "SITE_20240601_235957.wav")
    (event,) = library.detect(path, model=model, only=["a low, low tone", "high"])
    assert (event.label, event.name) == ("low", "a low, low tone")
    assert event.time == datetime(2024, 6, 1, 23, 59, 57) + timedelta(seconds=event.onset_s)
    assert library.detect(path, model=model, only="high") == []
    assert library.detect(path, model=model, threshold=0.9) == []


def test_a_model_file_that_changes_is_opened_anew(scene, tmp_path):
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card())
    assert "middle" in [event.label for event in library.detect(scene, model=path)]
    labels = ["a", "b", "another", "c"]
    toys.write_tone_detector(path, toys.toy_card(labels=labels, name="another one"))
    assert "another" in [event.label for event in library.detect(scene, model=path)]


def test_classify_answers_as_the_summary_does(streamclf, scene, tone_model, tmp_path):
    (line,) = streamclf("file", scene, "--model", tone_model, "--summary", "-k", 4).lines
    answer = library.classify(scene, model=tone_model)
    best = {row["label"]: row["score"] for row in line["labels"]}
    assert list(answer.scores) == list(best)
    assert answer.scores == pytest.approx(best, abs=1e-4)
    assert (answer.label, answer.known, answer.source) == ("quiet", True, str(scene))
    assert answer.score == max(answer.scores.values())
    assert list(library.classify(scene, model=tone_model, only="high,low").scores) != []
    assert set(library.classify(scene, model=tone_model, only="high,low").scores) == {"high", "low"}
    card = toys.toy_card(unknown=Unknown(0.999))
    unsure = toys.write_tone_detector(tmp_path / "unsure.onnx", card)
    assert not library.classify(toys.tone(440, 3), toys.RATE, model=unsure).known


def test_classify_gives_a_regressions_value(tmp_path):
    model = toys.write_loudness_meter(tmp_path / "meter.onnx")
    answer = library.classify(toys.tone(440, 3, level=0.4), toys.RATE, model=model)
    assert (answer.label, answer.score) == ("power", pytest.approx(0.08, abs=1e-3))


def test_scores_are_those_of_the_file(streamclf, scene, tone_model, tmp_path):
    streamclf("file", scene, "--model", tone_model, "--scores", tmp_path / "s.csv")
    written = pandas.read_csv(tmp_path / "s.csv")
    table = library.score(scene, model=tone_model)
    assert table.labels == toys.LABELS
    np.testing.assert_allclose(table.values, written[toys.LABELS], atol=1e-5)
    np.testing.assert_allclose(table.onset_s, written["onset"])
    np.testing.assert_allclose(table.offset_s, written["offset"])
    frame = table.to_pandas()
    assert list(frame.columns) == toys.LABELS
    assert frame.index.name == "onset_s"
    assert frame["middle"].idxmax() == pytest.approx(4, abs=1.5)
    smooth = library.score(scene, model=tone_model, average_s=3.0)
    assert smooth.values.std() < table.values.std()
    empty = library.score(np.zeros(0), toys.RATE, model=tone_model)
    assert empty.values.shape == (0, 4)
    assert empty.to_pandas().empty


def test_without_pandas_it_is_said_what_to_do(monkeypatch, scene, tone_model):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        library.score(scene, model=tone_model).to_pandas()


def test_listen_gives_events_as_they_are_known(scene, tone_model):
    events = list(library.listen(f"sim:{scene}", speed=0, model=tone_model))
    ended = [event for event in events if event.ended]
    assert places(ended) == places(library.detect(scene, model=tone_model))
    begun = sorted((event.label, event.onset_s) for event in events if not event.ended)
    assert begun == sorted((event.label, event.onset_s) for event in ended)
    assert all(event.time is not None for event in events)
    only = library.listen(f"sim:{scene}", speed=0, model=tone_model, only="middle")
    assert [(event.label, event.ended) for event in only] == [("middle", False), ("middle", True)]
    with library.SimulatedMicrophone(scene, speed=0) as microphone:
        assert places(library.listen(microphone, model=tone_model)) == places(events)


def test_leaving_the_loop_ends_listening(scene, tone_model, monkeypatch):
    closed = []
    close = library.SimulatedMicrophone.close
    monkeypatch.setattr(
        library.SimulatedMicrophone, "close", lambda self: (close(self), closed.append(self))
    )
    for event in library.listen(f"sim:{scene}", model=tone_model, speed=0):
        assert event.label == "quiet"
        break
    assert len(closed) == 1
    library.listen(f"sim:{scene}")  # which nobody listens to: nothing is opened


def test_listen_ends_after_a_duration(scene, tone_model):
    events = list(library.listen(f"sim:{scene}", speed=0, model=tone_model, duration_s=3.0))
    assert [(event.label, event.ended) for event in events] == [("quiet", False), ("quiet", True)]


def test_what_is_missing_is_logged_and_the_rest_stands(write_wav, tone_model, said):
    path = write_wav(toys.tone(440, 8))
    path.write_bytes(path.read_bytes()[:80_000])
    events = library.detect(path, model=tone_model)
    assert [event.label for event in events] == ["low"]
    assert any(line.startswith(f"{path}: ") and "truncated" in line for line in said)
    source = library.ArraySource(toys.tone(440, 8), toys.RATE, gaps=[(32_000, 800)])
    assert len(library.detect(source, model=tone_model)) == 2
    assert "array: 0.10 s are missing at 4 s: left out" in said


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda f, m: library.detect(f / "no.wav", model=m), RecordingError, "no such file"),
        (lambda f, m: library.detect([0.0], model=m), UsageError, "sample_rate is not given"),
        (lambda f, m: library.detect("x.wav", 8000, model=m), UsageError, "says its own"),
        (lambda f, m: library.detect([0.0], 8000, model=m, only="x"), UsageError, "no label of"),
        (
            lambda f, m: library.detect([0.0], 8000, model="none"),
            StreamclfError,
            "no bundled model",
        ),
        (lambda f, m: library.detect([0.0], 8000, model=m, hop_s=0), UsageError, "^hop_s 0: must"),
        (lambda f, m: library.score([0.0], 8000, model=m, average_s=-1), UsageError, "^average_s"),
        (lambda f, m: library.detect([0.0], 8000, model=m, threshold=2), UsageError, "^threshold"),
        (lambda f, m: library.listen(speed=2, model=m), UsageError, "^speed goes with source sim:"),
        (lambda f, m: library.classify([], 8000, model=m), SourceError, "holds no audio"),
        (lambda f, m: library.listen(duration_s=0, model=m), UsageError, "must be above 0"),
        (lambda f, m: list(library.listen("x", model=m)), UsageError, "must be - "),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(tmp_path, tone_model, call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call(tmp_path, tone_model)
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)  # the command line's words


def test_help_shows_clean_signatures():
    text = pydoc.render_doc(library, renderer=pydoc.plaintext)
    assert (
        "detect(audio: Audio, sample_rate: int | None = None, *, model: AnyModel = 'wide', "
        "threshold: float | None = None, target_precision: float | None = None, only: str | "
        "Sequence[str] | None = None, hop_s: float = 0.5, average_s: float = 3.0) -> list[Event]"
    ) in text
    assert "Settings(hop_s: float = 0.5, average_s: float = 3.0, average_kind: AverageKind" in text
    quoted = re.findall(r"\w+: '[^']*'[,)= ]", text.split("\nCLASSES")[1].split("\nDATA")[0])
    assert quoted == []


def recipes(name):
    text = (ROOT / name).read_text()
    return [(name, code) for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


DOCUMENTS = (
    "README.md",
    "docs/reference/python.md",
    "docs/how-to/tables.md",
    "docs/how-to/telling.md",
    "docs/tutorials/field-recordings.md",
)
RECIPES = [recipe for name in DOCUMENTS for recipe in recipes(name)]
TOLD = {
    'detect("day.wav"):': r"3\.0 to 9\.5 s: Siren \(0\.59\)\n12\.5 to 18\.5 s: Vehicle",
    "classify(": r"Vehicle horn, car horn, honking\n0\.7\d*\n",
    'only=["siren", "dog"]': r"20\d\d-\d\d-\d\d .* Siren ended\n",
    "pandas.DataFrame(": r"Siren +0\.59\d+",
    "Engine(": r"Siren \d\.\d+\n(.*\n)*Electric piano",
    'groupby("source")': r"day\.wav +6\n",
    'groupby(["label"])': r"Siren +1\n",
    "is sounding": r"20\d\d-\d\d-\d\d .* Siren is sounding\n(.*\n)*.*, smoke alarm is",
}
"""What each recipe prints, by what stands in it."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_recipe_is_known_here(document):
    for _, code in recipes(document):
        assert sum(words in code for words in TOLD) == 1
    assert len(recipes("README.md")) == 1
    assert len(RECIPES) == len(TOLD)


@pytest.mark.parametrize("words", TOLD)
def test_recipes_of_the_documents_run(words, tmp_path, monkeypatch, streamclf, capfd):
    """On the example recording, which stands for the microphone as well."""
    monkeypatch.chdir(tmp_path)
    for copy in ("day.wav", "clip.wav"):
        shutil.copy(ROOT / "examples" / "afternoon.flac", copy)
    streamclf("file", "day.wav", "-o", "all.csv", "--resume")
    (code,) = [code for _, code in RECIPES if words in code]
    code = code.replace("streamclf.listen(", "streamclf.listen('sim:day.wav', speed=0, ")
    exec(compile(code, words, "exec"), {"__name__": "__main__"})
    assert re.search(TOLD[words], capfd.readouterr().out)


def test_pandas_reads_the_times_of_recorders_of_every_kind(
    streamclf, write_wav, tone_model, tmp_path
):
    names = ["20240601T043000+0200.wav", "20240602T043000Z.wav", "A_20240603_043000.wav", "d.wav"]
    paths = [write_wav(toys.tone(440, 4), name) for name in names]
    streamclf("file", *paths, "--model", tone_model, "-o", tmp_path / "all.csv")
    table = pandas.read_csv(tmp_path / "all.csv")
    times = pandas.to_datetime(table["time"])
    assert times.dt.strftime("%d %H:%M").tolist()[:3] == ["01 04:30", "02 04:30", "03 04:30"]
    assert pandas.isna(times[3])
    utc = times - pandas.to_timedelta(table["utc_offset"] + ":00")
    assert utc.dt.strftime("%H:%M").tolist()[:2] == ["02:30", "04:30"]
    assert utc[2:].isna().all()
