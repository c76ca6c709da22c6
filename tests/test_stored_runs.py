"""What `file --store` and `listen --store` remember, and what a batch goes on from."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import toys

from streamclf.core.records import Block, EventBegan, Gap, SoundEvent, StreamStarted
from streamclf.store.recordings import StoredRecording
from streamclf.store.store import Store


def rows(store: Path, question: str) -> list[tuple]:
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(question).fetchall()


SUMS = """
SELECT runs.heard_samples, runs.gap_samples, runs.elapsed_samples,
       (SELECT coalesce(sum(heard_samples), 0) FROM levels WHERE run_id = runs.id),
       (SELECT coalesce(sum(n_samples), 0) FROM gaps WHERE run_id = runs.id)
FROM runs"""


def balances(store: Path) -> bool:
    """Whether the sums of every run add up."""
    return all(
        (heard, gap, elapsed) == (minutes, gaps, minutes + gaps)
        for heard, gap, elapsed, minutes, gaps in rows(store, SUMS)
    )


@pytest.fixture
def sites(tmp_path: Path, write_wav) -> Path:
    """Two folders with two recordings each, of 10 s; in one of each a tone sounds."""
    for site in ("north", "south"):
        for name, sound in [
            ("20260701_040000.wav", np.concatenate([toys.silence(4), toys.tone(1000, 6)])),
            ("20260701_050000.wav", toys.silence(10)),
        ]:
            write_wav(sound, f"sites/{site}/{name}")
    return tmp_path / "sites"


@pytest.mark.parametrize("jobs", [1, 3])
def test_rows_of_a_batch_are_its_lines(jobs, sites, tmp_path, tone_model, streamclf):
    store = tmp_path / "field.db"
    result = streamclf("file", sites, "--model", tone_model, "--store", store, "--jobs", jobs)
    assert result.code == 0
    lines = [line for line in result.lines if line["type"] == "event"]
    assert len(lines) == 6
    found = rows(
        store,
        "SELECT path, label, 1.0 * onset / sample_rate, 1.0 * offset / sample_rate, highest_score, "
        "onset_us, events.state FROM events JOIN runs ON run_id = runs.id "
        "JOIN recordings ON recording_id = recordings.id ORDER BY path, onset",
    )
    for line, (path, label, onset, offset, score, onset_us, state) in zip(
        sorted(lines, key=lambda line: (line["source"], line["onset"])), found, strict=True
    ):
        assert path == str(Path(line["source"]).absolute())
        assert (label, onset, offset, state) == (
            line["label"], line["onset"], line["offset"], "ended",
        )  # fmt: skip
        assert score == pytest.approx(line["score"], abs=1e-4)
        heard = datetime.fromisoformat(line["time"]).astimezone(UTC)
        assert onset_us == round(heard.timestamp() * 1e6)
    assert [name for (name,) in rows(store, "SELECT name FROM sources ORDER BY name")] == [
        str(sites / "north"), str(sites / "south"),
    ]  # fmt: skip
    assert rows(store, "SELECT count(*), sum(heard_samples) / sample_rate FROM runs") == [(4, 40)]
    assert balances(store)


def test_a_batch_goes_on_where_the_store_ends(sites, tmp_path, tone_model, streamclf):
    store = tmp_path / "field.db"
    command = ["file", sites, "--model", tone_model, "--store", store]
    first = sites / "north" / "20260701_040000.wav"
    assert streamclf("file", first, *command[2:]).code == 0
    assert "1 of 4 recordings had been done before" in streamclf(*command, "--resume").err
    assert "4 of 4 recordings had been done before" in streamclf(*command, "--resume").err
    first.write_bytes(first.read_bytes())  # with a new time of change
    assert "3 of 4 recordings had been done before" in streamclf(*command, "--resume").err
    other = toys.write_tone_detector(
        tmp_path / "other.onnx", toys.toy_card(name="other", sample_rate=16_000)
    )
    command[3] = other
    assert "0 of 4 recordings had been done before" in streamclf(*command, "--resume").err
    assert rows(store, "SELECT count(*), count(DISTINCT recording_id) FROM runs") == [(8, 4)]


def test_a_recording_that_is_heard_again_is_remembered_once(sites, tmp_path, tone_model, streamclf):
    store = tmp_path / "field.db"
    command = ["file", sites / "north", "--model", tone_model, "--store", store]
    assert streamclf(*command).code == 0
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(
            "INSERT INTO reviews (event_id, reviewed_us, verdict) "
            "SELECT id, 1, 'right' FROM events WHERE label = 'middle'"
        )
    assert streamclf(*command).code == 0
    assert rows(store, "SELECT count(*) FROM runs") == [(2,)]
    assert rows(store, "SELECT count(*) FROM events") == [(3,)]
    assert rows(
        store, "SELECT verdict, events.label FROM reviews JOIN events ON event_id = events.id"
    ) == [("right", "middle")]


def test_a_recording_has_one_path_from_whatever_folder_it_is_named(tmp_path, monkeypatch):
    far = tmp_path / "far" / "below"
    far.mkdir(parents=True)
    (tmp_path / "link").symlink_to(far)
    for folder in (tmp_path, far.parent):
        (folder / "a.wav").write_bytes(b"RIFF")
    monkeypatch.chdir(far)
    known = StoredRecording.of(tmp_path / "a.wav")
    assert known.path == str(tmp_path / "a.wav")
    for name in ("../../a.wav", "../../far/../a.wav", f"{tmp_path}/far/below/../../a.wav"):
        assert StoredRecording.of(Path(name)) == known
    # Before `..` a link is followed, as it is when the file is opened; elsewhere it stays.
    behind = tmp_path / "link" / ".." / "a.wav"
    assert StoredRecording.of(behind).path == str(far.parent / "a.wav")
    (far / "b.wav").write_bytes(b"RIFF")
    assert StoredRecording.of(tmp_path / "link" / "b.wav").path == str(tmp_path / "link" / "b.wav")


def test_a_recording_cut_short_keeps_its_gap_or_what_was_heard(
    sites, tmp_path, tone_model, streamclf
):
    store = tmp_path / "field.db"
    path = sites / "north" / "20260701_040000.wav"
    path.write_bytes(path.read_bytes()[:-100_000])
    result = streamclf("file", path, "--model", tone_model, "--store", store)
    assert result.code == 1
    assert balances(store)
    assert rows(store, "SELECT state, heard_samples < 10 * sample_rate FROM runs") == [("ended", 1)]


def test_live_audio_is_remembered_as_the_same_audio_of_a_recording(
    tmp_path, tone_model, streamclf, write_wav
):
    path = write_wav(np.concatenate([toys.silence(4), toys.tone(1000, 6), toys.silence(65)]))
    live, batch = tmp_path / "live.db", tmp_path / "batch.db"
    listen = ["listen", "--source", f"sim:{path}", "--speed", "0", "--no-ui"]
    assert streamclf(*listen, "--model", tone_model, "--store", live).code == 0
    assert streamclf("file", path, "--model", tone_model, "--store", batch).code == 0
    question = "SELECT label, onset, offset, score, highest_score, short, state FROM events"
    assert rows(live, question) == rows(batch, question) != []
    assert balances(live)
    assert balances(batch)
    # Nothing is known before it sounds, and nothing sounds in the future.
    ((known_before,),) = rows(live, "SELECT count(*) FROM events WHERE began_us < onset_us")
    ((end_us,),) = rows(live, "SELECT max(minute_us) FROM levels")
    assert known_before == 0
    assert end_us <= time.time_ns() // 1000


def test_a_recording_on_the_screen_is_not_remembered(
    tmp_path, tone_model, streamclf, write_wav, on_terminal
):
    path = write_wav(toys.silence(3))
    result = streamclf("file", path, "--ui", "--store", tmp_path / "x.db", "--model", tone_model)
    assert result.code == 2
    assert "--store and --format cannot go with the dashboard" in result.err
    assert not (tmp_path / "x.db").exists()


def test_an_event_is_a_row_from_its_begin_on(tmp_path):
    path = tmp_path / "x.db"
    stream = StreamStarted(
        "mic", 100, ["dog"], "single-label",
        datetime(2026, 7, 1, 4, 30, 50, tzinfo=UTC), run="r1", live=True,
    )  # fmt: skip
    said: list[str] = []
    with Store(path, report=said.append, live=True) as store:
        sink = store.sink("yard")
        sink.begin(stream)
        sink.hear(Block(0, np.zeros((1, 1500), np.float32), 100))
        sink.hear(Gap(1500, 100, 100, "overflow"))
        sink.write(EventBegan("dog", 1200, 0.7, 1500))
        store.flush()
        question = "SELECT label, onset, offset, offset_us, score, highest_score, state FROM events"
        assert rows(path, question) == [("dog", 1200, None, None, 0.7, 0.7, "open")]
        assert balances(path)
        sink.write(SoundEvent("dog", 1200, 1400, 0.9))
        store.flush()
        ((*event, offset_us, score, highest, state),) = rows(path, question)
        assert (event, score, highest, state) == (["dog", 1200, 1400], 0.7, 0.9, "ended")
        assert offset_us == datetime(2026, 7, 1, 4, 31, 4, tzinfo=UTC).timestamp() * 1e6
        # Ten seconds of the first minute, and five of the next.
        minutes = rows(
            path, "SELECT position, minute_us / 60000000 % 60, heard_samples FROM levels"
        )
        assert minutes == [(0, 30, 1000), (1000, 31, 500)]
        assert rows(path, "SELECT name FROM sources") == [("yard",)]
    assert rows(path, "SELECT state, elapsed_samples FROM runs") == [("ended", 1600)]
    assert said == []
    assert [each.name for each in tmp_path.iterdir()] == ["x.db"]


@pytest.mark.parametrize("sample_rate", [8000, 48_000])
def test_levels_are_those_of_the_audio_minute_by_minute(
    sample_rate, tmp_path, tone_model, streamclf, write_wav
):
    """Of a recording that begins 10 s before a full minute, and gets 20 dB quieter there."""
    seconds = np.arange(40 * sample_rate) / sample_rate
    loudness = np.where(seconds < 10, 0.5, 0.05)
    sound = (loudness * np.sin(2 * np.pi * 1000 * seconds)).astype(np.float32)
    path = write_wav(sound, "20260701_043050.wav", sample_rate)
    for jobs in (1, 2):
        store = tmp_path / f"{jobs}.db"
        command = ["file", path, "--model", tone_model, "--store", store, "--jobs", jobs]
        assert streamclf(*command).code == 0
        question = (
            "SELECT minute_us / 60000000 % 60, 1.0 * heard_samples / (SELECT sample_rate FROM "
            "runs), laeq, zeq, lamax, la10, la50, la90 FROM levels ORDER BY position"
        )
        first, second = rows(store, question)
        assert first[:2] == (30, 10)
        assert second[:2] == (31, 30)
        loud, quiet = 20 * np.log10(0.5), 20 * np.log10(0.05)
        assert first[2:] == pytest.approx((loud,) * 6, abs=0.1)
        # The time weighting still falls from the loud part when the minute begins.
        assert second[2:4] == pytest.approx((quiet, quiet), abs=0.1)
        assert quiet + 15 < second[4] < loud + 0.1
        assert second[5:] == pytest.approx((quiet,) * 3, abs=0.5)
