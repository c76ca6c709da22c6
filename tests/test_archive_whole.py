"""A recording heard whole: all that one pass gives, as one record."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import astuple, replace

import archives
import numpy as np
import pytest
import soundfile
import toys
from archives import ALL, assert_same, hear
from test_non_finite import Failing

from streamclf.archive.whole import Keep, hear_whole, settle
from streamclf.core.card import Stem
from streamclf.core.records import Gap
from streamclf.pipeline.engine import Engine
from streamclf.sources.recording.libsndfile import SndfileReader
from streamclf.sources.recording.recording import Recording


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "tones.onnx"
    return toys.write_tone_detector(path, toys.toy_card(stem=toys.STEM))


@pytest.fixture
def path(tmp_path):
    """Half a minute from ten seconds before a full minute on, cut short."""
    path = tmp_path / "20260701_043050.wav"
    soundfile.write(path, archives.tones(30, 24_000), 24_000)
    path.write_bytes(path.read_bytes()[: 2 * 24_000 * 25])
    return path


@pytest.fixture
def utc(monkeypatch):
    """Let the machine's zone be UTC: a store counts minutes by it where a recording names none."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone cannot be set here")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_it_is_what_file_writes_and_stores(streamclf, model, path, tmp_path):
    lines = tmp_path / "lines.jsonl"
    command = ["file", path, "--model", model, "--store", tmp_path / "s.db", "-o", lines]
    assert streamclf(*command, "--begins", "--format", "jsonl").code == 1
    heard = hear(archives.engine_of(model), path)
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    events = [line for line in told if line["type"] == "event"]
    assert len(events) >= 3
    ours = [
        {
            "label": e.label, "id": e.id, "onset": heard.stream.seconds(e.onset),
            "offset": heard.stream.seconds(e.offset), "score": round(e.score, 4),
            "time": heard.stream.time(e.onset),
        }
        for e in heard.events
    ]  # fmt: skip
    assert ours == [{name: line[name] for name in ours[0]} for line in events]
    (gap,) = [line for line in told if line["type"] == "gap"]
    assert [heard.stream.seconds(g.position) for g in heard.gaps] == [gap["onset"]]
    assert [g.cause for g in heard.gaps] == [gap["cause"]] == ["truncated"]
    with sqlite3.connect(tmp_path / "s.db") as store:
        question = (
            "SELECT position, heard_samples, minute_us, utc_offset_min, laeq, lamax, la10, la50, "
            "la90, zeq FROM levels ORDER BY position"
        )
        rows = store.execute(question).fetchall()
    store.close()
    assert len(rows) == 2
    assert [(*astuple(each)[:4], *astuple(each.levels)[1:]) for each in heard.minutes] == rows


def test_what_was_heard_and_what_is_missing_is_all_that_the_header_promises(model, path):
    heard = hear(archives.engine_of(model), path)
    assert heard.promised_s * toys.RATE == heard.statistics.elapsed_samples == 30 * toys.RATE
    (span,), (gap,) = heard.spans, heard.gaps
    assert (span[0], span[1], gap.end) == (0, gap.position, 30 * toys.RATE)
    assert span[1] == heard.statistics.delivered_samples
    assert heard.fault.startswith(f"{path}: is cut short: the header promises 30.00 s")
    assert heard.source_rate == 24_000


def test_what_is_kept_is_as_asked(model, path):
    engine = archives.engine_of(model)
    bare = hear(engine, path, Keep(levels=False))
    assert bare.windows is None
    full = hear(engine, path, ALL)
    # Minutes say how long was heard, with levels or without.
    assert bare.minutes == [replace(minute, levels=None) for minute in full.minutes]
    assert all(minute.levels for minute in full.minutes)
    assert full.events == bare.events
    assert full.windows.averages.shape == (full.statistics.n_windows, len(toys.LABELS))
    assert full.windows.ends[-1] == full.gaps[0].position


def test_it_does_not_matter_what_was_heard_before(model, path, tmp_path):
    other = tmp_path / "other.wav"
    soundfile.write(other, archives.tones(13, toys.RATE, seed=5), toys.RATE)
    engine, fresh = archives.engine_of(model), archives.engine_of(model)
    hear(engine, other)
    assert_same(hear(engine, path), hear(fresh, path))


def test_a_thread_that_reads_ahead_changes_nothing(model, path):
    engine, ahead = archives.engine_of(model), archives.engine_of(model)
    ahead.read_ahead = True
    assert_same(hear(ahead, path), hear(engine, path))


def test_a_channel_that_is_not_there_is_a_fault(model, path):
    heard = hear(archives.engine_of(model, channel=3), path)
    assert heard.fault.startswith("channel 3 was asked for, the audio has 1")
    assert heard.stream.source == str(path)
    assert (heard.spans, heard.events, heard.minutes, heard.source_rate) == ([], [], [], 0)
    assert heard.statistics.elapsed_samples == 0


def test_a_disk_that_fails_is_no_fault_of_the_recording(model, path, monkeypatch):
    blocks = SndfileReader.blocks

    def fail(self, stopped):
        yield next(iter(blocks(self, stopped)))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(SndfileReader, "blocks", fail)
    engine = archives.engine_of(model)
    with Recording(path) as recording, pytest.raises(OSError, match="Input/output error"):
        hear_whole(engine, recording)


def test_what_the_classifier_has_to_say_belongs_to_no_recording(path, tmp_path):
    card = toys.toy_card(stem=Stem("gone", 160, 73, receptive_field=400))
    engine = archives.engine_of(toys.write_tone_detector(tmp_path / "m.onnx", card))
    assert "windows share no work" in settle(engine)
    assert settle(engine) == ""
    again = archives.engine_of(tmp_path / "m.onnx")
    for _ in range(2):
        assert hear(again, path).notices == []


def test_any_scorer_is_heard_with(model, path):
    engine = archives.engine_of(model)
    plain = Engine(Failing(engine.scorer, {}), engine.settings)
    assert settle(plain) == ""
    heard, expected = hear(plain, path), hear(engine, path)
    assert [e.id for e in heard.events] == [e.id for e in expected.events]
    assert all(isinstance(gap, Gap) for gap in heard.gaps)
    np.testing.assert_allclose(heard.windows.averages, expected.windows.averages, atol=1e-5)
