"""Features kept in files: what a kill leaves, what a disk refuses, what goes with age."""

import os
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
import toys
from live_runs import PATIENCE_S

from streamclf.core.card import Features
from streamclf.core.errors import StoreError, UsageError
from streamclf.core.records import Average, FeatureFormat, Scores, StreamStarted
from streamclf.core.stats import Statistics
from streamclf.core.text_format import format_bytes
from streamclf.runs.health import describe_store
from streamclf.store.database import connect_to_read
from streamclf.store.features.feature_file import append_records, pack_record, to_steps
from streamclf.store.features.feature_store import FeatureFile, FeatureStore, features_folder
from streamclf.store.features.layout import (
    NO_TIME,
    FeatureHeader,
    day_of,
    file_name,
    source_folder,
)
from streamclf.store.features.options import FeatureLimits, FeatureOptions
from streamclf.store.features.retention import FeatureSweeper, sweep
from streamclf.store.features.sink import LiveFeatureSink, RecordingFeatureSink
from streamclf.store.features.writer import FeatureWriter
from streamclf.store.names import list_sources
from streamclf.web.health_texts import tell_kept, troubles

HEADER = FeatureHeader(
    source="kitchen", model="m", version="1", digest="0123456789abcdef", size=3, scale=0.5,
    sample_rate=8000, window=12_000, every_s=0.5,
)  # fmt: skip
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
NOON_US = round(NOON.timestamp() * 1e6)
DAY_US = 86_400_000_000


def record(number):
    """A record of the half second of some number."""
    values = np.array([number % 100, -3, 127], np.int8)
    return pack_record(NOON_US + number * 500_000, number * 4000, 12_000, values)


def until(condition):
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def stream(source="kitchen", started=NOON):
    """A stream whose scores carry features."""
    features = FeatureFormat(3, 0.5, HEADER.digest, 12_000)
    return StreamStarted(source, 8000, ["a"], "single-label", started=started, features=features)


def average(position, features=(1.0, -1.5, 80.0)):
    """A window with features, or without."""
    given = None if features is None else np.array(features, np.float32)
    values = np.zeros(1, np.float32)
    return Average(Scores(position, 12_000, values, features=given), values)


def test_what_is_kept_comes_back_but_for_the_rounding(tmp_path):
    path = tmp_path / "kitchen" / file_name("2026-11-26", HEADER.digest)
    append_records(path, HEADER, record(0) + record(1))
    append_records(path, HEADER, record(2))
    span = FeatureStore(tmp_path).read("kitchen")
    assert span.positions.tolist() == [0, 4000, 8000]
    assert (span.times - NOON.timestamp()).tolist() == [0.0, 0.5, 1.0]
    assert span.vectors.tolist() == [[0, -1.5, 63.5], [0.5, -1.5, 63.5], [1.0, -1.5, 63.5]]
    assert to_steps(np.array([0.74, -0.76, 1e9, -1e9]), 0.5).tolist() == [1, -2, 127, -127]
    file = FeatureFile.open(path)
    assert file.records["energy"].tolist() == [9 + 127**2 + n**2 for n in range(3)]


@pytest.mark.parametrize("n_bytes", [1, 10, 26])
def test_a_kill_loses_at_most_the_record_being_written(tmp_path, n_bytes):
    path = tmp_path / "kitchen" / file_name("2026-11-26", HEADER.digest)
    append_records(path, HEADER, record(0) + record(1) + record(2))
    os.truncate(path, path.stat().st_size - n_bytes)
    assert len(FeatureFile.open(path).records) == 2
    append_records(path, HEADER, record(3))
    assert FeatureFile.open(path).records["position"].tolist() == [0, 4000, 12_000]


def test_zeros_that_a_power_cut_left_are_no_windows(tmp_path):
    path = tmp_path / "kitchen" / file_name("2026-11-26", HEADER.digest)
    append_records(path, HEADER, record(0) + bytes(54))
    assert len(FeatureFile.open(path).records) == 1


def test_a_kill_before_the_first_line_leaves_a_file_that_is_not_told(tmp_path):
    path = tmp_path / "kitchen" / file_name("2026-11-26", HEADER.digest)
    path.parent.mkdir()
    path.touch()
    store = FeatureStore(tmp_path)
    assert list(store.files()) == []
    assert store.unreadable == []
    append_records(path, HEADER, record(0))
    assert store.read("kitchen").positions.tolist() == [0]


def test_a_file_of_something_else_is_told_and_put_aside(tmp_path):
    path = tmp_path / "kitchen" / file_name("2026-11-26", HEADER.digest)
    path.parent.mkdir()
    path.write_bytes(b"not a header\n" + bytes(99))
    store = FeatureStore(tmp_path)
    assert store.read("kitchen") is None
    with pytest.raises(StoreError, match="holds no features that can be read"):
        FeatureFile.open(path)
    assert [*store.files()] == []
    assert "holds no features" in store.unreadable[0]
    append_records(path, HEADER, record(0))
    assert len(FeatureFile.open(path).records) == 1
    assert path.with_name(f"{path.name}.damaged").is_file()


@pytest.mark.parametrize(
    ("was", "became", "said"),
    [
        (b'"size":3', b'"size":4', "its records are not as its first line says: delete it"),
        (b'"every_s":0.5', b'"every_s":0.0', "every_s"),
        (b'"every_s":0.5', b'"every_s":1e99', "every_s"),
        (b'"sample_rate":8000', b'"sample_rate":99999999999999999999', "sample_rate"),
        (b'"window":12000', b'"window":99999999999999', "window"),
        (b'"scale":0.5', b'"scale":1e300', "scale"),
    ],
)
def test_a_changed_first_line_is_told_and_what_other_files_hold_is_read(
    tmp_path, was, became, said
):
    for number, day in enumerate(("2026-11-25", "2026-11-26")):
        path = tmp_path / "kitchen" / file_name(day, HEADER.digest)
        append_records(path, HEADER, b"".join(map(record, range(1 + number, 5 + number))))
    content = path.read_bytes()
    assert was in content
    path.write_bytes(content.replace(was, became))
    store = FeatureStore(tmp_path)
    assert [file.path.name[:10] for file in store.files()] == ["2026-11-25"]
    assert len(store.unreadable) == 1
    assert said in store.unreadable[0]


def test_bytes_lost_in_the_middle_are_told_and_a_torn_end_is_left_out(tmp_path):
    path = tmp_path / "kitchen" / file_name("2026-11-26", HEADER.digest)
    append_records(path, HEADER, b"".join(map(record, range(40))))
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes([85]) * 20)
    assert len(FeatureFile.open(path).records) == 39
    begin = content.index(b"\n") + 1
    path.write_bytes(content[: begin + 100] + content[begin + 107 :])
    with pytest.raises(StoreError, match="is damaged, its last records are none: delete it"):
        FeatureFile.open(path)


def test_sources_days_and_models_stay_apart(tmp_path):
    other = "fedcba9876543210"
    for source, day, digest in [
        ("kitchen", 0, HEADER.digest), ("kitchen", 1, HEADER.digest), ("a/kitchen", 0, other)
    ]:  # fmt: skip
        at_us = NOON_US + day * DAY_US
        path = tmp_path / source_folder(source) / file_name(day_of(at_us), digest)
        header = FeatureHeader(
            **{**{name: getattr(HEADER, name) for name in HEADER.__struct_fields__},
               "source": source, "digest": digest}
        )  # fmt: skip
        values = np.array([1, 2, 3], np.int8)
        append_records(path, header, pack_record(at_us, 0, 12_000, values))
    store = FeatureStore(tmp_path)
    assert store.sources() == ["a/kitchen", "kitchen"]
    assert store.digests("a/kitchen") == [other]
    assert len(store.read("kitchen").times) == 2
    assert len(store.read("kitchen", until_us=NOON_US + 1).times) == 1
    assert len(store.read("kitchen", NOON_US + 1).times) == 1
    assert store.read("kitchen", NOON_US + 2 * DAY_US) is None
    assert len(store.read(digest=other).times) == 1


@pytest.mark.parametrize("hop", [800, 1600, 4000, 8000])
def test_one_window_is_kept_each_half_second_whatever_the_hop(tmp_path, hop):
    writer = FeatureWriter(print)
    sink = LiveFeatureSink(tmp_path, "kitchen", writer, FeatureLimits())
    sink.begin(stream())
    for position in range(0, 80_000, hop):
        sink.write(average(position))
    sink.close()
    writer.close()
    kept = FeatureStore(tmp_path).read("kitchen").positions
    expected = {place // 4000: place for place in reversed(range(0, 80_000, hop))}
    assert kept.tolist() == sorted(expected.values())
    assert sink.figures == {"features_kept": len(kept)}


def test_silence_and_streams_without_features_leave_nothing(tmp_path):
    writer = FeatureWriter(print)
    sink = LiveFeatureSink(tmp_path, "kitchen", writer, FeatureLimits())
    sink.begin(stream())
    sink.write(average(0, None))
    sink.begin(StreamStarted("kitchen", 8000, ["a"], "single-label", started=NOON))
    sink.write(average(4000))
    writer.close()
    assert [*tmp_path.rglob("*.features")] == []


def test_a_day_begins_a_file_of_its_own(tmp_path):
    writer = FeatureWriter(print)
    sink = LiveFeatureSink(tmp_path, "kitchen", writer, FeatureLimits())
    sink.begin(stream(started=datetime(2026, 11, 26, 23, 59, 59, tzinfo=UTC)))
    for position in range(0, 24_000, 4000):
        sink.write(average(position))
    writer.close()
    names = sorted(path.name[:10] for path in tmp_path.rglob("*.features"))
    assert names == ["2026-11-26", "2026-11-27"]
    assert len(FeatureStore(tmp_path).read("kitchen").times) == 6


def test_an_unwritable_disk_is_told_once_and_what_waits_is_written_later(tmp_path):
    folder = tmp_path / "heard.features"
    folder.write_text("in the way")
    told = []
    writer = FeatureWriter(told.append)
    sink = LiveFeatureSink(folder, "kitchen", writer, FeatureLimits())
    sink.begin(stream())
    sink.write(average(0))
    until(lambda: told)
    sink.write(average(4000))
    assert len(told) == 1
    assert "features cannot be written" in told[0]
    assert "all else goes on" in told[0]
    assert not writer.is_written
    folder.unlink()
    until(lambda: len(told) == 2)
    assert told[1].startswith("features are written again, after ")
    writer.close()
    assert FeatureStore(folder).read("kitchen").positions.tolist() == [0, 4000]


def test_what_no_memory_holds_is_counted(tmp_path):
    folder = tmp_path / "heard.features"
    folder.write_text("in the way")
    told = []
    writer = FeatureWriter(told.append, limit_bytes=70)  # of 31 bytes a record
    sink = LiveFeatureSink(folder, "kitchen", writer, FeatureLimits())
    sink.begin(stream())
    for position in range(0, 20_000, 4000):
        sink.write(average(position))
    assert writer.n_lost == 3
    writer.close()
    assert told[-1] == ("warning: features of 5 windows could not be written, and are lost")


def test_nothing_waits_for_a_disk_that_hangs(tmp_path, monkeypatch):
    hangs, free = threading.Event(), threading.Event()

    def hang(*_):
        hangs.set()
        free.wait(PATIENCE_S)

    monkeypatch.setattr("streamclf.store.features.writer.append_records", hang)
    writer = FeatureWriter(print)
    sink = LiveFeatureSink(tmp_path, "kitchen", writer, FeatureLimits())
    sink.begin(stream())
    sink.write(average(0))
    assert hangs.wait(PATIENCE_S)
    sink.write(average(4000))  # returns, though the disk has not
    free.set()
    writer.close()


def day_files(folder, n_days, n_bytes):
    """Write files of some days up to today; returns now, in microseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for day in range(n_days):
        name = file_name(day_of(NOON_US - day * DAY_US), HEADER.digest)
        (folder / name).write_bytes(bytes(n_bytes))
    return NOON_US


def days_left(folder):
    """The days of which features are left."""
    return sorted(path.name[8:10] for path in folder.glob("*.features"))


def test_old_days_go(tmp_path):
    now_us = day_files(tmp_path, 5, 10)
    swept = sweep(tmp_path, FeatureLimits(days=2), now_us)
    assert days_left(tmp_path) == ["24", "25", "26"]
    assert (swept.n_deleted, swept.freed_bytes, swept.used_bytes) == (2, 20, 30)
    assert "deleted the features of 2 days" in swept.describe(tmp_path)
    assert sweep(tmp_path, FeatureLimits(days=2), now_us).describe(tmp_path) == ""


def test_the_oldest_days_go_for_their_size_and_the_newest_stays(tmp_path):
    now_us = day_files(tmp_path, 4, 10)
    (tmp_path / file_name("undated", HEADER.digest, "a.wav")).write_bytes(bytes(99))
    sweep(tmp_path, FeatureLimits(limit_bytes=25), now_us)
    (tmp_path / file_name("undated", HEADER.digest, "a.wav")).unlink()
    assert days_left(tmp_path) == ["25", "26"]
    sweep(tmp_path, FeatureLimits(limit_bytes=1, days=0.1), now_us + 9 * DAY_US)
    assert days_left(tmp_path) == ["26"]


def test_a_sweep_comes_at_the_start_and_every_hour(tmp_path):
    now_s = 0.0
    sweeper = FeatureSweeper(tmp_path, FeatureLimits(days=1e-6), lambda: now_s)
    for at_s, left in [(0.0, 1), (100.0, 3), (3601.0, 1)]:
        now_s = at_s
        day_files(tmp_path, 3, 10)
        assert bool(sweeper.sweep_if_due()) == (left == 1)
        assert len(days_left(tmp_path)) == left


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"days": 0}, "--features-days 0: must be above 0 days"),
        ({"days": float("nan")}, "--features-days nan"),
        ({"limit": "1MB"}, "--features-limit 1MB: must be a size of 100MB or more"),
        ({"limit": "many"}, "--features-limit many"),
    ],
)
def test_options_that_cannot_work_are_told(fields, said):
    with pytest.raises(UsageError, match=said):
        FeatureOptions(**fields)


def test_a_recording_has_a_file_of_its_own_that_its_next_run_replaces(tmp_path):
    path = tmp_path / "night.wav"
    path.write_bytes(b"")
    for n_windows, whole in [(3, True), (5, True), (1, False)]:
        sink = RecordingFeatureSink(tmp_path / "kept")
        sink.begin(stream(str(path), None))
        for number in range(n_windows):
            sink.write(average(4000 * number))
        sink.end(Statistics(8000), whole=whole)
        sink.close()
    store = FeatureStore(tmp_path / "kept")
    (file,) = store.files()
    assert (file.header.source, file.header.recording) == (str(tmp_path), str(path))
    assert len(file.records) == 5
    assert set(file.records["time_us"]) == {NO_TIME}
    assert len([*(tmp_path / "kept").rglob("*.*")]) == 1


def test_file_keeps_the_features_that_a_live_run_keeps(tmp_path, streamclf):
    card = toys.toy_card(features=Features("tones", 3, 0.1), stem=toys.STEM)
    model = toys.write_tone_detector(tmp_path / "m.onnx", card)
    audio = np.concatenate([toys.tone(440, 3), toys.tone(2500, 4)])
    soundfile.write(tmp_path / "a.wav", audio, toys.RATE)
    arguments = ["--model", str(model), "--features", str(tmp_path / "kept")]
    assert streamclf("file", str(tmp_path / "a.wav"), *arguments, "--hop", "0.1").code == 0
    span = FeatureStore(tmp_path / "kept").read()
    assert span.positions[:3].tolist() == [0, 4000, 8000]
    assert len(span.positions) == 12
    assert np.argmax(span.vectors[0]) == 0
    assert np.argmax(span.vectors[-1]) == 2


def test_listen_keeps_features_under_the_name_that_its_store_has(tmp_path, streamclf):
    card = toys.toy_card(features=Features("tones", 3, 0.1), stem=toys.STEM)
    model = toys.write_tone_detector(tmp_path / "m.onnx", card)
    soundfile.write(tmp_path / "a.wav", toys.tone(440, 3), toys.RATE)
    arguments = ["--features", tmp_path / "box.features", "--no-ui"]
    source = f"sim:{tmp_path / 'a.wav'}"
    listening = "listen", "--source", source, "--speed", "0", "--model", model
    done = streamclf(*listening, *arguments, "--store", tmp_path / "box.db")
    assert done.code == 0, done.err
    span = FeatureStore.beside(tmp_path / "box.db").read()
    assert span.positions[:3].tolist() == [0, 4000, 8000]
    with closing(connect_to_read(tmp_path / "box.db")) as connection:
        assert [each.name for each in list_sources(connection)] == [span.header.source]
    refused = streamclf(*listening, "--features", "x", "--ui")
    assert refused.code == 2
    assert "--features is written by lines" in refused.err


def test_file_tells_of_a_model_without_features_and_of_a_file_in_the_way(
    tmp_path, streamclf, tone_model
):
    soundfile.write(tmp_path / "a.wav", toys.tone(440, 2), toys.RATE)
    wav = str(tmp_path / "a.wav")
    refused = streamclf("file", wav, "--model", str(tone_model), "--features", str(tmp_path / "k"))
    assert refused.code == 1
    assert "names no features" in refused.err
    refused = streamclf("file", wav, "--model", str(tone_model), "--features", wav)
    assert refused.code == 2
    assert "is a file, features need a folder" in refused.err


def test_what_is_kept_is_measured_for_the_health_of_a_store(tmp_path):
    store = tmp_path / "heard.db"
    assert describe_store(store)["features_bytes"] is None
    folder = features_folder(store) / "yard"
    folder.mkdir(parents=True)
    day_files(folder, 3, 10)
    (folder / file_name("undated", HEADER.digest, "a.wav")).write_bytes(bytes(5))
    found = describe_store(store)
    assert (found["features_bytes"], found["features_since"]) == (35, "2026-11-24")
    assert tell_kept(found) == (
        f"Beside it, {format_bytes(35)} are kept to search and to teach by, since 24 November."
    )
    assert any("3 half seconds were lost" in each for each in troubles({"features_lost": 3}))


def test_the_folder_lies_beside_the_store():
    assert features_folder(Path("x/heard.db")) == Path("x/heard.features")
