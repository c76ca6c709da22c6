"""Search by example: what is found, in which order, and what is told where nothing can be."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import soundfile
import toys
from kept import SIZE, WINDOW, keep_features, sound_of
from stores import Heard, Run, make_store

from streamclf.core.card import Features
from streamclf.core.errors import UsageError
from streamclf.store.browse import find_within
from streamclf.store.database import connect_to_read
from streamclf.store.event_ids import find_event
from streamclf.store.features.feature_store import FeatureStore
from streamclf.teach.search.example import Example, recall_event
from streamclf.teach.search.likeness import Likeness
from streamclf.teach.search.moments import Stretch, join_windows
from streamclf.teach.search.more_like import more_like
from streamclf.teach.search.scan import find_like, make_likeness
from streamclf.teach.search.search import Scope, list_parts, search
from streamclf.teach.search.small_products import multiply, squares

NIGHT = datetime(2026, 11, 24, 22, tzinfo=UTC)
DOG_S = (100.0, 700.0, 5000.0)
BELLS_S = (300.0, 1500.0, 9000.0)
"""Begin of each sound in the night; the last ones lie on the next day."""
HOURS_S = 9300.0


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A store and its features: three hours, over midnight, with dogs and bells.

    The bells were not named by any event; the yard heard a dog a day later.
    """
    folder = tmp_path_factory.mktemp("night")
    sounds = [("dog", s, s + 2) for s in DOG_S] + [("bell", s, s + 3) for s in BELLS_S]
    keep_features(folder / "heard.features", "kitchen", NIGHT, HOURS_S, sounds)
    day = NIGHT + timedelta(days=1)
    keep_features(folder / "heard.features", "yard", day, 600, [("dog", 60, 62)])
    make_store(folder / "heard.db", [
        Run("kitchen", NIGHT, HOURS_S, [Heard("dog", s, 2.0) for s in DOG_S]),
        Run("yard", day, 600, [Heard("dog", 60, 2.0)]),
    ])  # fmt: skip
    return folder / "heard.db"


@pytest.fixture
def store(night):
    """A connection to the store."""
    connection = connect_to_read(night)
    yield connection
    connection.close()


def example_of(kind, stretch=None, digest="00112233445566aa"):
    """An example of a kind of sound, in another background."""
    background = np.random.default_rng(3).standard_normal(SIZE) * 0.3
    kept = np.random.default_rng(7).standard_normal(SIZE) * 2 + background
    return Example(
        (kept + sound_of(kind))[np.newaxis].astype(np.float32), digest, "made 1", stretch
    )


def begins(moments):
    """Seconds from the begin of the night, in whole seconds."""
    return [round((each.time_us / 1e6) - NIGHT.timestamp()) for each in moments]


def test_the_moments_of_a_sound_come_first_whatever_the_background(night):
    moments = search(FeatureStore.beside(night), example_of("bell"), 5)
    assert {each.source for each in moments[:3]} == {"kitchen"}
    assert sorted(begins(moments[:3])) == [pytest.approx(s, abs=1) for s in BELLS_S]
    likeness = [each.likeness for each in moments]
    assert likeness == sorted(likeness, reverse=True)
    assert likeness[2] > likeness[3] + 0.2
    assert all(3 <= each.offset_s - each.onset_s <= 6 for each in moments[:3])


def test_time_and_sources_limit_what_is_searched(night):
    kept = FeatureStore.beside(night)
    midnight_us = round((NIGHT + timedelta(hours=2)).timestamp() * 1e6)

    def found(**scope):
        return search(kept, example_of("bell"), 1, Scope(**scope))[0]

    assert begins([found(since_us=midnight_us)]) == [pytest.approx(9000, abs=1)]
    assert begins([found(until_us=midnight_us)])[0] < 7200
    assert found(streams={"yard"}).source == "yard"
    assert search(kept, example_of("bell"), 5, Scope(streams={"attic"})) == []


def test_an_event_finds_the_others_and_not_itself(night, store):
    event = find_within(store, "kitchen", "", (0, 0), span_us(100, 102))[0].event
    found = more_like(store, night, event.row, 3)
    assert found.entry.event.row == event.row
    assert [each.entries[0].event.label for each in found.moments] == ["dog"] * 3
    rows = {entry.event.row for each in found.moments for entry in each.entries}
    assert event.row not in rows
    assert {each.source for each in found.moments} == {"kitchen", "yard"}
    assert found.moments[0].time.utcoffset() == timedelta(0)


def test_a_moment_goes_on_over_midnight(tmp_path):
    midnight_s = 7200.0
    folder = FeatureStore(tmp_path)
    keep_features(tmp_path, "kitchen", NIGHT, 7300, [("bell", midnight_s - 3, midnight_s + 4)])
    assert len(list(tmp_path.rglob("*.features"))) == 2
    best, other = search(folder, example_of("bell"), 2)
    assert best.onset_s == pytest.approx(midnight_s - 3, abs=1)
    assert best.offset_s == pytest.approx(midnight_s + 4, abs=1.5)
    assert best.until_us == round((NIGHT.timestamp() + best.offset_s) * 1e6)
    assert other.likeness < best.likeness - 0.2
    since_us = round((NIGHT.timestamp() + midnight_s) * 1e6)
    cut = search(folder, example_of("bell"), 1, Scope(since_us=since_us))[0]
    assert cut.onset_s == pytest.approx(midnight_s, abs=0.5)


def span_us(begin_s, end_s):
    """Two places of the night in microseconds."""
    return tuple(round((NIGHT.timestamp() + s) * 1e6) for s in (begin_s, end_s))


def test_what_cannot_be_compared_is_told(night, tmp_path):
    with pytest.raises(UsageError, match=r"holds features of made 1, which cannot be compared"):
        search(FeatureStore.beside(night), example_of("dog", digest="f" * 16), 3)
    with pytest.raises(UsageError, match="no features are kept yet: serve keeps them"):
        search(FeatureStore(tmp_path), example_of("dog"), 3)


def test_an_event_without_features_is_told(tmp_path):
    path = make_store(tmp_path / "heard.db", [Run("attic", NIGHT, 60, [Heard("dog", 5)])])
    connection = connect_to_read(path)
    try:
        assert recall_event(FeatureStore.beside(path), _only(connection)) is None
        with pytest.raises(UsageError, match="no features of its time are kept"):
            more_like(connection, path, _only(connection).row, 3)
        assert more_like(connection, path, 99, 3) is None
    finally:
        connection.close()


def _only(connection):
    return find_within(connection, "attic", "", (0, 0), span_us(0, 60))[0].event


def test_the_quick_scan_finds_what_the_exact_one_finds(tmp_path):
    """Of the windows in all, few are compared in full: the first fifty are the same."""
    sounds = [(kind, 20.0 * n, 20.0 * n + 3) for n, kind in enumerate("abcdefghij" * 10, 1)]
    keep_features(tmp_path, "yard", NIGHT, 2100, sounds)
    parts = list_parts(FeatureStore(tmp_path), "00112233445566aa", Scope())
    likeness = make_likeness(parts)
    wanted = likeness.place(np.concatenate([example_of("c").features, example_of("h").features]))
    n_windows = sum(len(part.records) for part in parts)
    quick = find_like(parts, likeness, wanted, n_best=400, n_threads=2)
    exact = find_like(parts, likeness, wanted, n_best=n_windows)
    first = [set(zip(f.parts[:50], f.places[:50], strict=True)) for f in (quick, exact)]
    assert n_windows > 4000
    assert len(first[0] & first[1]) >= 48
    assert np.all(np.diff(exact.likeness) <= 0)


def test_eight_bits_keep_the_neighbours(tmp_path):
    """The ten nearest of each window are those of the features before they were rounded."""
    random = np.random.default_rng(5)
    plain = random.standard_normal((400, SIZE)).astype(np.float32)
    kept = np.clip(np.rint(plain / 0.05), -127, 127).astype(np.float32) * np.float32(0.05)
    near = []
    for features in (plain, kept):
        likeness = Likeness.of(features)
        alike = likeness.place(features) @ likeness.place(features).T
        near.append(np.argsort(-alike, axis=1)[:, :10])
    shared = [len({*a} & {*b}) for a, b in zip(*near, strict=True)]
    assert np.mean(shared) >= 9.5


@pytest.mark.parametrize("n_windows", [0, 1, 10])
def test_few_windows_are_compared_as_they_are(n_windows):
    sample = np.random.default_rng(1).standard_normal((n_windows, SIZE)).astype(np.float32)
    likeness = Likeness.of(sample)
    given = np.random.default_rng(2).standard_normal((3, SIZE)).astype(np.float32)
    placed = likeness.place(given)
    assert np.isfinite(placed).all()
    assert np.allclose(np.linalg.norm(placed, axis=1), 1, atol=1e-5)
    assert np.allclose(likeness.compare(given, placed), 1, atol=1e-4)


def test_a_gap_and_another_run_end_a_moment(tmp_path):
    keep_features(tmp_path, "yard", NIGHT, 400, [("dog", 20, 40)], gap_s=(28.0, 28.5))
    parts = list_parts(FeatureStore(tmp_path), "00112233445566aa", Scope())
    likeness = make_likeness(parts)
    found = find_like(parts, likeness, likeness.place(example_of("dog").features))
    first, second = sorted(join_windows(parts, found, 2), key=lambda each: each.onset)
    assert 18 <= first.onset_s < first.offset_s <= 28.0
    assert 28.5 <= second.onset_s < second.offset_s <= 42
    assert first.offset - first.onset > WINDOW
    left_out = Stretch("yard", *span_us(31, 41))
    assert all(each.offset_s < 31.5 or each.onset_s > 40 for each in join_windows(
        parts, found, 9, left_out
    ))  # fmt: skip


def test_recordings_are_told_apart_by_their_paths(tmp_path):
    kept = tmp_path / "kept"
    for name in ("a", "b"):
        keep_features(kept, "/site", None, 30, [("dog", 10, 12)], recording=f"/site/{name}.wav")
    path = make_store(tmp_path / "s.db", [
        Run("/site", None, 30, [Heard("dog", 10, 2.0)], recording=f"/site/{name}.wav")
        for name in ("a", "b")
    ])  # fmt: skip
    moments = search(FeatureStore(kept), example_of("dog"), 2)
    assert {each.stream for each in moments} == {"/site/a.wav", "/site/b.wav"}
    assert {each.time for each in moments} == {None}
    connection = connect_to_read(path)
    try:
        with pytest.raises(UsageError, match="2 recordings have an event of this name"):
            find_event(connection, "dog-160000")
        event = find_event(connection, "dog-160000", {"/site/b.wav"})
        example = recall_event(FeatureStore(kept), event)
        assert [each.stream for each in search(FeatureStore(kept), example, 1)] == ["/site/a.wav"]
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["dog", "dog-", "-5", "dog-x", "dog-1@nobody", "dog-" + "9" * 30])
def test_names_of_no_event_find_none(store, name):
    assert find_event(store, name) is None


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A tone detector that names its features."""
    card = toys.toy_card(features=Features("tones", 3, 0.1), stem=toys.STEM)
    return toys.write_tone_detector(tmp_path_factory.mktemp("toy") / "tones.onnx", card)


def test_features_of_several_recordings_are_kept_by_several_jobs(tmp_path, toy, streamclf):
    recordings = [tmp_path / f"{pitch}.wav" for pitch in (440, 1000)]
    for path in recordings:
        soundfile.write(path, toys.tone(int(path.stem), 3), toys.RATE)
    kept = []
    for n_jobs in ("1", "2"):
        folder = tmp_path / f"kept{n_jobs}"
        heard = streamclf(
            "file", *recordings, "--model", toy, "--features", folder, "--jobs", n_jobs
        )
        assert heard.code == 0
        files = FeatureStore(folder).files()
        kept.append(
            sorted((file.header.recording, file.records["values"].tolist()) for file in files)
        )
    assert kept[0] == kept[1]
    assert len(kept[0]) == 2


def test_search_finds_in_recordings_what_a_recording_holds(tmp_path, toy, streamclf):
    high = [toys.tone(440, 6), toys.tone(2500, 3), toys.tone(440, 6)]
    soundfile.write(tmp_path / "day.wav", np.concatenate(high), toys.RATE)
    soundfile.write(tmp_path / "high.wav", toys.tone(2500, 2), toys.RATE)
    kept = tmp_path / "kept"
    heard = streamclf(
        "file", tmp_path / "day.wav", "--model", toy, "--features", kept, "--store",
        tmp_path / "s.db",
    )  # fmt: skip
    assert heard.code == 0
    arguments = ["--like", tmp_path / "high.wav", "--model", toy, "--features", kept]
    line = streamclf("search", *arguments, "--top", 1, "--format", "jsonl").lines[0]
    assert line["type"] == "moment"
    assert line["source"] == str(tmp_path / "day.wav")
    assert 5 <= line["onset"] <= 7.5
    assert "label" not in line
    named = streamclf("search", *arguments, "--top", 1, "--store", tmp_path / "s.db")
    assert "high" in named.out
    assert " at 6.0 s" in named.out or " at 6.5 s" in named.out
    event = next(each for each in heard.lines if each["label"] == "high")
    past = ["--features", kept, "--store", tmp_path / "s.db", "--model", toy, "--only", "high"]
    assert "high       1   then: 1" in streamclf("backtest", *past).out
    arguments = ["--like", event["id"], "--features", kept, "--store", tmp_path / "s.db"]
    assert streamclf("search", *arguments, "--top", 1).code == 0


def test_search_by_an_event_prints_text_and_json(night, streamclf):
    events = streamclf("heard", "--store", night, "--format", "jsonl").lines
    event = next(each for each in events if each["source"] == "yard")
    told = streamclf("search", "--like", event["id"], "--store", night, "--top", 3)
    assert told.code == 0
    assert [each.split()[5] for each in told.out.splitlines()] == ["dog"] * 3
    lines = streamclf(
        "search", "--like", event["id"], "--store", night, "--top", 3, "--format", "jsonl"
    ).lines
    assert {each["label"] for each in lines} == {"dog"}
    assert all(each["event"] != event["id"] for each in lines)
    assert json.dumps(lines)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--like: is missing"),
        (["--like", "nothing.wav"], 2, "neither a recording nor an event"),
        (["--like", "dog-1@x", "--source", "attic"], 2, "no source of this name"),
    ],
)
def test_what_search_cannot_do_is_one_line(night, streamclf, arguments, code, said):
    refused = streamclf("search", *arguments, "--store", night)
    assert refused.code == code
    assert said in refused.err
    assert len(refused.err.splitlines()) == 1


def test_a_silent_example_and_a_model_without_features_are_told(
    night, tmp_path, streamclf, tone_model, toy
):
    soundfile.write(tmp_path / "silent.wav", toys.silence(2), toys.RATE)
    soundfile.write(tmp_path / "tone.wav", toys.tone(440, 2), toys.RATE)
    silent = streamclf(
        "search", "--like", tmp_path / "silent.wav", "--store", night, "--model", toy
    )
    assert "is silent" in silent.err
    plain = streamclf(
        "search", "--like", tmp_path / "tone.wav", "--store", night, "--model", tone_model
    )
    assert "names no features" in plain.err
    other = streamclf("search", "--like", tmp_path / "tone.wav", "--store", night, "--model", toy)
    assert "cannot be compared with those of tones 1" in other.err


@pytest.mark.parametrize(("n_rows", "n_inner", "n_columns"), [
    (0, 256, 3), (1, 256, 1), (700, 256, 4), (1030, 256, 17), (70, 256, 256), (9, 5000, 6),
])  # fmt: skip
def test_a_product_in_tiles_is_the_product(n_rows, n_inner, n_columns):
    random = np.random.default_rng(4)
    left = random.standard_normal((n_rows, n_inner), np.float32)
    right = random.standard_normal((n_inner, n_columns), np.float32)
    # `pytest.approx` takes a million numbers one by one.
    np.testing.assert_allclose(multiply(left, right), left @ right, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(squares(left.T), left @ left.T, rtol=1e-3, atol=1e-2)
