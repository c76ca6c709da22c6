"""What the dashboard is made of, piece by piece."""

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from dashboards import SCENE, Script, drive, heard, make_dashboard, settle, text_of
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.card import Thresholds
from streamclf.core.errors import SinkError, UsageError
from streamclf.core.records import (
    Average,
    Block,
    EventBegan,
    EventOngoing,
    Gap,
    Scores,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.settings import Settings
from streamclf.dashboard import saved_settings as memory
from streamclf.dashboard.adjustments import AVERAGES_S, next_step, shift_all, shift_class
from streamclf.dashboard.history import AUDIO_KEPT_S, MAX_ENTRIES, AveragePoint, History
from streamclf.dashboard.launch import apply_saved_settings, write_log
from streamclf.dashboard.options import ScreenOptions
from streamclf.dashboard.playhead import Playhead
from streamclf.dashboard.score_cache import ScoreCache
from streamclf.dashboard.snapshot import measure, take_snapshot
from streamclf.dashboard.time_series import DiskTimeSeries, TimeSeries
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.row_order import SteadyRows
from streamclf.pipeline.audio_columns import COLUMN_S, N_BANDS, Column, ColumnMaker, band_hz


def columns_of(waveform, sizes=(400,)):
    maker, position, made = ColumnMaker(toys.RATE), 0, []
    lengths = itertools.cycle(sizes)
    while position < waveform.size:
        piece = waveform[position : position + next(lengths)]
        position += piece.size
        made += maker.push(piece, position / toys.RATE)
    return made


@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_columns_are_the_same_for_any_blocks(sizes):
    waveform = np.concatenate([toys.tone(440, 0.35), toys.tone(2500, 0.5)])
    whole, cut = columns_of(waveform, [waveform.size]), columns_of(waveform, sizes)
    assert [c.time_s for c in cut] == pytest.approx([c.time_s for c in whole])
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one.bands, other.bands)
        assert (one.low, one.high, one.rms) == (other.low, other.high, other.rms)


@pytest.mark.parametrize("hz", [440, 1000, 2500])
def test_columns_show_a_tone_where_its_frequency_is(hz):
    bands = columns_of(toys.tone(hz, 1))[-1].bands
    centre = band_hz(toys.RATE, float(np.mean(np.flatnonzero(bands == bands.max()))))
    assert centre == pytest.approx(hz, rel=0.1)
    assert bands.size == N_BANDS


def test_level_tells_peak_rms_clipping_and_a_muted_microphone():
    level = measure(columns_of(toys.tone(1000, 4, level=0.5)), 4.0)
    assert level.peak_db == pytest.approx(-6.02, abs=0.1)
    assert level.rms_db == pytest.approx(-9.03, abs=0.1)
    assert (level.clipped, level.muted, level.missing) == (False, False, False)
    assert measure(columns_of(np.ones(toys.RATE, np.float32)), 1.0).clipped
    assert measure(columns_of(toys.silence(4)), 4.0).muted
    assert not measure(columns_of(toys.silence(2)), 2.0).muted
    assert measure([], 0.0).missing


def test_history_keeps_the_last_minutes_and_the_place_of_gaps():
    history, block = History(), np.zeros((1, toys.RATE), np.float32)
    for second in range(1500):
        history.take_audio(Block(second * toys.RATE, block, toys.RATE), float(second + 1))
    history.take_audio(Gap(1500 * toys.RATE, toys.RATE, toys.RATE, "overflow"), 1501.0)
    assert len(history.columns._times) <= 2 * 600 / COLUMN_S + 20
    assert AUDIO_KEPT_S <= history._audio.seconds <= AUDIO_KEPT_S + 1
    assert history.end_s == 1501
    assert all(column.missing for column in history.columns.between(1500, 1501))


def test_history_measures_when_samples_sounded_by_the_block_that_came_soonest():
    history, block = History(), np.zeros((1, 800), np.float32)
    for number, late in enumerate([0.05, 0.0, 0.4, 0.02]):
        arrived = 100 + (number + 1) * 0.1 + late
        history.take_audio(Block(number * 800, block, toys.RATE), arrived)
    assert history.arrival.offset == pytest.approx(100, abs=1e-3)
    assert history.lag_s == pytest.approx(0.02, abs=1e-3)
    assert history.silent_s(101.0) == 0
    assert history.silent_s(102.0) == pytest.approx(1.58)


def take(history, *results):
    """Write results of a stream of 1000 Hz, with the audio up to when they are known."""
    if history.stream is None:
        history.begin(StreamStarted("x", 1000, ["dog", "siren"], "single-label"))
    for result in results:
        history.write(result)


def hear_until(history, seconds):
    n_samples = round((seconds - history.end_s) * 1000)
    block = Block(round(history.end_s * 1000), np.zeros((1, n_samples), np.float32), 1000)
    history.take_audio(block, seconds)


def lines_at(history, known_s):
    card = toys.toy_card(labels=["dog", "siren"])
    entries = take_snapshot(history, card, Thresholds(), known_s, known_s).entries
    return [(e.label, e.onset_s, e.offset_s, e.score, e.ongoing) for e in entries]


def test_event_stands_in_the_list_from_its_first_moment_and_ends_in_its_place():
    history = History()
    hear_until(history, 3.0)
    take(history, EventBegan("siren", 1000, 0.7, 3000))
    assert lines_at(history, 3.0) == [("siren", 1.0, 3.0, 0.7, True)]
    hear_until(history, 5.0)
    assert lines_at(history, 5.0) == [("siren", 1.0, 5.0, 0.7, True)]
    take(history, EventOngoing("siren", 1000, 0.9, 5000), EventBegan("dog", 4000, 0.6, 5000))
    assert [line[0] for line in lines_at(history, 5.0)] == ["siren", "dog"]
    assert lines_at(history, 5.0)[0][3] == 0.9
    hear_until(history, 9.0)
    take(history, SoundEvent("siren", 1000, 6500, 0.95))
    assert lines_at(history, 9.0) == [
        ("siren", 1.0, 6.5, 0.95, False),
        ("dog", 4.0, 9.0, 0.6, True),
    ]
    # A view that was frozen meanwhile shows what was known.
    assert lines_at(history, 5.5)[0][1:] == (1.0, 5.5, 0.95, True)
    assert [type(result) for _, result in history.results] == [SoundEvent]


def test_a_window_that_only_a_gap_ended_tells_nothing_of_speed():
    history = History()
    values = np.zeros(2, np.float32)
    hear_until(history, 3.0)
    take(history, Average(Scores(0, 2000, values), values))
    history.take_audio(Gap(3000, 9000, 1000, "device lost"), 12.0)
    take(history, Average(Scores(1000, 2000, values), values), Gap(3000, 9000, 1000, "device lost"))
    hear_until(history, 15.0)
    take(history, Average(Scores(12000, 2000, values), values))
    arrived = [(each.time_s, each.arrived_at) for each in history.averages.between(0.0, 15.0)]
    assert arrived == [(2.0, 2.0), (3.0, 0.0), (14.0, 14.0)]


def test_events_of_a_recording_judged_anew_leave_nothing_open():
    history = History(live=False)
    take(history, EventBegan("dog", 1000, 0.7, 3000))
    history.forget_results()
    take(history, EventBegan("dog", 1000, 0.8, 3000), SoundEvent("dog", 1000, 2000, 0.8))
    assert [(e.offset_s, e.ongoing) for e in history.entries] == [(2.0, False)]


def test_open_events_that_the_list_has_forgotten_end_without_it():
    history = History()
    take(history, EventBegan("siren", 0, 0.7, 100))
    for number in range(MAX_ENTRIES):
        take(history, Gap(number, 1, 1000, "overflow"))
    take(history, SoundEvent("siren", 0, 5000, 0.9))
    assert all(entry.kind == "gap" for entry in history.entries)


def test_lengths_count_up_in_the_list_and_the_cursor_stays(tmp_path, tone_model):
    audio = np.concatenate([toys.silence(2), toys.tone(1000, 6, level=0.6)])
    app = make_dashboard(tmp_path, tone_model, Script(audio))

    async def script(pilot):
        await settle(pilot, heard(app, 8.0))
        options = app.query_one(EventList).query_one("#entries")
        open_line = next(i for i in range(options.option_count)
                         if "● " in str(options.get_option_at_index(i).prompt))  # fmt: skip
        options.highlighted = open_line
        before = str(options.get_option_at_index(open_line).prompt)
        app.listener.history.take_audio(
            Block(8 * toys.RATE, np.zeros((1, toys.RATE), np.float32), toys.RATE), 100.0
        )
        app.draw()
        await pilot.pause()
        after = str(options.get_option_at_index(open_line).prompt)
        assert (options.highlighted, after.split()[0]) == (open_line, before.split()[0])
        length = [float(text.split()[2]) for text in (before, after)]
        assert length[1] == pytest.approx(length[0] + 1.0)

    drive(app, script)


def test_time_series_finds_values_by_time():
    packed = DiskTimeSeries(lambda value: bytes([value]), lambda data: data[0])
    for series in (TimeSeries(600.0), packed):
        for time_s in (1.0, 2.0, 3.0):
            series.add(time_s, int(time_s))
        assert series.between(1.0, 2.5) == [2]
        assert series.between(3.0, 9.0) == series.between(2.0, 1.0) == []
        assert (series.at(0.5), series.at(2.9)) == (None, 2)
        series.clear()
        assert series.at(9.0) is None


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 99)), max_size=40),
    st.floats(-5, 60),
    st.floats(-5, 60),
)
def test_a_time_series_on_disk_gives_what_one_in_memory_does(values, from_s, to_s):
    kept, on_disk = (
        TimeSeries(1e9),
        DiskTimeSeries(lambda value: bytes([value]), lambda data: data[0]),
    )
    for time_s, value in sorted(values):
        kept.add(time_s, value)
        on_disk.add(time_s, value)
    assert on_disk.between(from_s, to_s) == kept.between(from_s, to_s)
    assert on_disk.at(to_s) == kept.at(to_s)


def test_columns_and_averages_come_back_from_a_file_as_they_were():
    (column,) = columns_of(toys.tone(440, 0.1))
    again = Column.unpack(column.pack())
    assert (again.time_s, again.rms, again.missing) == (column.time_s, column.rms, False)
    assert (again.low, again.high) == (column.low, column.high)
    np.testing.assert_array_equal(again.bands, column.bands)
    mean = AveragePoint(1.5, np.array([0.25, 0.7], np.float32), 3.25, ("silence", 0.5))
    again = AveragePoint.unpack(mean.pack())
    assert (again.time_s, again.arrived_at, again.verdict) == (1.5, 3.25, ("silence", 0.5))
    np.testing.assert_array_equal(again.values, mean.values)


def test_what_is_kept_of_a_recording_takes_no_memory():
    history = History(live=False)
    history.begin(StreamStarted("a.wav", toys.RATE, ["a", "b"], "single-label"))
    (column,) = columns_of(toys.tone(440, 0.1))

    def keep(first: int, end: int) -> None:
        for number in range(first, end):
            made = replace(column, time_s=number / 10, bands=column.bands.copy())
            history.columns.add(made.time_s, made)
            scores = Scores(number * 800, 12_000, np.zeros(2, np.float32))
            history.write(Average(scores, np.full(2, 0.5, np.float32)))

    keep(0, 15_000)
    tracemalloc.start()
    keep(15_000, 30_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 300_000  # a column alone took 454 bytes: 6.8 MB
    assert len(history.columns.between(-1, 3000)) == 30_000
    assert len(history.averages.between(-1, 3002)) == 30_000


def test_a_score_cache_takes_no_memory_and_gives_every_window():
    windows = 6000
    values = np.arange(50, dtype=np.float32)
    results = (Average(Scores(k, 12_000, values + k), values) for k in range(windows))
    cache = ScoreCache(results)
    for _ in itertools.islice(cache, 2000):
        pass
    tracemalloc.start()
    assert sum(1 for _ in cache) == windows
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 300_000
    again = list(itertools.islice(cache, 3))
    assert [item.position for item in again] == [0, 1, 2]
    np.testing.assert_array_equal(again[2].values, values + 2)


def test_a_full_disk_of_temporary_files_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    series = DiskTimeSeries(lambda value: value, lambda data: data)
    series.add(0, bytes(900_000))
    with pytest.raises(SinkError, match=r"cannot be kept .*: no such file .*TMPDIR"):
        series.add(1, bytes(900_000))


@given(st.lists(st.permutations(range(8)).map(lambda order: order[:4]), min_size=2, max_size=6))
def test_rows_stay_while_their_class_is_in_the_top(tops):
    rows = SteadyRows()
    before = list(rows.update(tops[0]))
    for top in tops[1:]:
        after = list(rows.update(top))
        assert sorted(after) == sorted(top)
        assert all(a == b for a, b in zip(after, before, strict=True) if b in top)
        before = after


def test_rows_become_fewer_and_more():
    rows = SteadyRows()
    rows.update([5, 6, 7])
    assert sorted(rows.update([7, 5])) == [5, 7]
    assert sorted(rows.update([7, 5, 1, 2])) == [1, 2, 5, 7]


def test_playhead_plays_freezes_and_stays_inside():
    clock = iter([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    head = Playhead(live=False, now=lambda: next(clock))
    assert head.at(10.0) == 1.0
    head.change_speed(2)
    assert head.at(10.0) == 5.0
    head.toggle()
    assert head.at(10.0) == 5.0
    head.seek(99.0, 10.0)
    assert head.at(10.0) == 10.0
    head.seek(-1.0, 10.0)
    assert head.at(10.0) == 0.0


def test_thresholds_move_in_steps_and_stay_in_range():
    moved = shift_class(shift_all(Thresholds(0.5, 0.3), 1), "dog", 2)
    assert (moved.on, moved.off) == (0.55, pytest.approx(0.33))
    assert moved.of("dog").on == 0.65
    assert shift_all(moved, 100).of("dog").on == 1.0
    assert shift_all(moved, -100).on == 0.05
    assert next_step(AVERAGES_S, 3.0, 1) == 5.0
    assert next_step(AVERAGES_S, 0.0, -1) == 0.0
    assert next_step(AVERAGES_S, 100.0, 1) == 100.0


def test_settings_are_remembered_and_the_command_line_wins(tmp_path):
    path = tmp_path / "config" / "dashboard.json"
    memory.save_settings(
        memory.SavedSettings(hop_s=0.25, average_s=0.0, thresholds={"tones": 0.7},
                          class_thresholds={"tones": {"low": 0.2, "gone": 0.3}}),
        path,
    )  # fmt: skip
    loaded = memory.load_settings(path)
    base = Settings(thresholds=Thresholds())
    chosen = apply_saved_settings(loaded, "tones", toys.LABELS, base, lambda name: False)
    assert (chosen.hop_s, chosen.average_s) == (0.25, 0.0)
    assert chosen.thresholds.on == 0.7
    assert {k: v.on for k, v in chosen.thresholds.classes.items()} == {"low": 0.2}
    given = apply_saved_settings(loaded, "tones", toys.LABELS, base, lambda name: True)
    assert given == base
    path.write_text("no json")
    assert memory.load_settings(path) == memory.SavedSettings()
    assert memory.load_settings(tmp_path / "none") == memory.SavedSettings()


@pytest.mark.parametrize(
    ("model", "kept"),
    [("pocket", True), (str(Path.cwd() / "x.onnx"), True), ("x.onnx", False), ("a/pocket", False)],
)
def test_a_model_of_the_last_session_is_not_looked_for_where_one_stands(tmp_path, model, kept):
    path = tmp_path / "dashboard.json"
    memory.save_settings(memory.SavedSettings(model=model, hop_s=0.25), path)
    loaded = memory.load_settings(path)
    assert (loaded.model, loaded.hop_s) == (model if kept else None, 0.25)


def test_a_user_without_a_home_has_nothing_remembered(monkeypatch):
    def find(*_, **__):
        raise RuntimeError("could not determine the home directory")

    for name in ("user_config_path", "user_log_path"):
        monkeypatch.setattr(f"platformdirs.{name}", find)
    memory.save_settings(memory.SavedSettings(hop_s=0.25))
    assert memory.load_settings() == memory.SavedSettings()
    path = write_log(ValueError("it failed"))
    assert "it failed" in path.read_text()
    path.unlink()


def test_a_mistake_in_the_app_is_kept_for_the_log(tmp_path, tone_model, monkeypatch):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE))

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        monkeypatch.setattr(app, "draw", lambda: 1 / 0)
        app._dirty = True
        await pilot.pause(1.0)

    with pytest.raises(ZeroDivisionError):
        drive(app, script)
    assert isinstance(app.failure, ZeroDivisionError)
    log = write_log(app.failure, tmp_path / "logs" / "dashboard.log")
    assert "ZeroDivisionError" in log.read_text()


def test_sizes_may_change_while_it_runs(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE))

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        for size in [(80, 24), (30, 8), (200, 60), (1, 1), (120, 40)]:
            await pilot.resize_terminal(*size)
            await settle(pilot)
        assert "-3 min" in text_of(app)

    drive(app, script)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["listen", "--web", "--ui"], "leave one out"),
        (["listen", "--web", "0"], "--web 0: must lie between 1 and 65535 (8787 is usual)"),
        (["listen", "--web", "--host", "0.0.0.0"], "`streamclf serve --set-password`"),
        (["file", "x.wav", "--web"], "`streamclf listen --web --source sim:FILE` on the page"),
        (["listen", "--ui"], "--ui needs a terminal"),
    ],
)
def test_options_that_cannot_work(streamclf, arguments, words):
    result = streamclf(*arguments)
    assert result.code == 2
    assert words in result.err


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch):
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert ScreenOptions().wanted(by_default=True)
    monkeypatch.setenv("TERM", "dumb")
    assert not ScreenOptions().wanted(by_default=True)
    with pytest.raises(UsageError, match="TERM is dumb; listen --web"):
        ScreenOptions(ui=True).wanted(by_default=True)


def test_the_dashboard_shows_one_recording(streamclf, write_wav, on_terminal):
    paths = [write_wav(toys.tone(440, 1), f"{i}.wav") for i in range(2)]
    result = streamclf("file", *paths, "--ui")
    assert (result.code, "shows one recording" in result.err) == (2, True)
    for option, value in [("-o", "x.csv"), ("--scores", "x.npz"), ("--format", "csv")]:
        result = streamclf("file", paths[0], "--ui", option, value)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert "leave out --ui, or press e in it to export the events" in result.err
