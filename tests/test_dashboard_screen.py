"""What the eye meets: order, words, letters, and nothing that is cut in the middle."""

from dataclasses import replace

import numpy as np
import pytest
import toys
from dashboards import (
    SCENE,
    Script,
    drive,
    heard,
    lines_of,
    make_dashboard,
    redraw_health,
    settle,
    text_of,
)
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from streamclf.core.card import Thresholds
from streamclf.core.records import Gap, SoundEvent, StreamStarted
from streamclf.dashboard.health import Health
from streamclf.dashboard.history import MAX_ENTRIES, Entry, History
from streamclf.dashboard.snapshot import measure, take_snapshot
from streamclf.dashboard.widgets.counts import Counts
from streamclf.dashboard.widgets.current_labels import MIN_SHOWN_SCORE, CurrentLabels
from streamclf.dashboard.widgets.events import (
    ColumnWidths,
    EventList,
    describe,
    format_short,
    summarise_counts,
)
from streamclf.dashboard.widgets.headline import Headline
from streamclf.dashboard.widgets.health import describe as describe_health
from streamclf.dashboard.widgets.large_text import render_large
from streamclf.dashboard.widgets.row_order import SWAP_DELAY_S, DampedRows
from streamclf.dashboard.widgets.text import fit_exactly, fit_words, join_fitting
from streamclf.dashboard.widgets.timeline import Timeline
from streamclf.pipeline.audio_columns import Column

SCORES = st.dictionaries(st.integers(0, 5), st.integers(1, 20).map(lambda n: n / 20), max_size=6)
MOMENTS = st.lists(st.tuples(st.integers(1, 8).map(lambda n: n / 4), SCORES), max_size=30)


@given(MOMENTS)
def test_a_row_moves_only_when_another_has_been_stronger_for_a_second(moments):
    rows, time_s, before = DampedRows(), 0.0, []
    stronger_since: dict[tuple[int, int], float] = {}
    for step_s, scores in moments:
        jumped, time_s = step_s >= 2.0, time_s + step_s
        pairs = {(a, b) for a in scores for b in range(6) if scores[a] > scores.get(b, 0.0)}
        stronger_since = {pair: stronger_since.get(pair, time_s) for pair in pairs}
        after = rows.update(time_s, scores)
        assert sorted(row for row in after if row >= 0) == sorted(scores)
        was_empty = not any(row >= 0 for row in before)
        if not (jumped or was_empty):
            for place, index in enumerate(before):
                if index >= 0 and index in after and after.index(index) > place:
                    # Something that came past it was stronger all the time.
                    assert any(
                        time_s - stronger_since.get((other, index), time_s) >= SWAP_DELAY_S
                        for other in after[: after.index(index)]
                    )
        before = after


@given(MOMENTS, SCORES)
def test_rows_are_in_order_once_scores_have_been_still_for_a_second(moments, last):
    rows, time_s = DampedRows(), 0.0
    for step_s, scores in moments:
        time_s += step_s
        rows.update(time_s, scores)
    for step_s in (0.25, 0.25, 0.5, 0.25):
        time_s += step_s
        shown = rows.update(time_s, last)
    assert -1 not in shown
    assert [last[row] for row in shown] == sorted(last.values(), reverse=True)


def test_a_sound_that_leaves_moves_no_other_at_once():
    rows = DampedRows()
    assert rows.update(10.0, {1: 0.9, 2: 0.5, 3: 0.2}) == [1, 2, 3]
    assert rows.update(10.5, {2: 0.5, 3: 0.2}) == [-1, 2, 3]
    assert rows.update(11.0, {2: 0.5, 3: 0.2, 4: 0.1}) == [4, 2, 3]
    assert rows.update(11.4, {2: 0.5, 3: 0.2, 4: 0.1}) == [4, 2, 3]
    assert rows.update(12.0, {2: 0.5, 3: 0.2, 4: 0.1}) == [2, 3, 4]
    assert rows.update(3.0, {4: 0.7, 3: 0.2}) == [4, 3]


def test_now_shows_nothing_that_scores_less_than_5_percent(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE[: 7 * toys.RATE]))

    async def script(pilot):
        await settle(pilot, heard(app, 7))
        picture = app.take_snapshot()
        labels = picture.card.labels
        wanted = {
            label for label, v in zip(labels, picture.values, strict=True) if v >= MIN_SHOWN_SCORE
        }
        assert 0 < len(wanted) < len(labels)
        assert set(app.query_one(CurrentLabels).shown) == wanted
        lines = lines_of(app.query_one(CurrentLabels))
        assert not [line for line in lines if "0.00" in line]
        now = app.query_one(CurrentLabels)
        now.show(replace(picture, values=np.zeros_like(picture.values)))
        assert "nothing scores 0.05 or more" in lines_of(now)[0]

    drive(app, script)


@pytest.mark.parametrize(("size", "rows"), [((80, 24), 3), ((120, 40), 5), ((200, 60), 8)])
def test_what_sounds_is_the_largest_thing_on_the_screen(tmp_path, tone_model, size, rows):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE[: 5 * toys.RATE]))

    async def script(pilot):
        await settle(pilot, heard(app, 5))
        headline = app.query_one(Headline)
        shown = [line.strip() for line in lines_of(headline)]
        written = render_large("middle", headline.size.width - 2, headline.size.height)
        assert written is not None
        assert len([row for row in written if row.strip()]) >= rows
        assert [row.strip() for row in written if row.strip()] == [row for row in shown if row]
        picture = replace(app.take_snapshot(), values=np.zeros(4, np.float32), entries=[])
        headline.show(picture)
        assert "nothing above threshold" in "".join(lines_of(headline))
        # Three rows hold the first words of a long name, and what else sounds beside them.
        lines = headline._draw_names(["Vehicle horn, car horn, honking", "Beep"], 80, 3)
        texts = ["".join(segment.text for segment in line) for line in lines]
        assert [line.rstrip() for line in render_large("Vehicle horn", 78, 3)] == [
            text.removeprefix(" ").partition("  car horn, honking + Beep")[0].rstrip()
            for text in texts
        ]
        assert texts[1].endswith("  car horn, honking + Beep")

    drive(app, script, size=size)


def test_the_timeline_has_rows_first_for_what_was_told(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE[: 5 * toys.RATE]))

    async def script(pilot):
        await settle(pilot, heard(app, 5))
        timeline, picture = app.query_one(Timeline), app.take_snapshot()

        def first_row(*told: str) -> str:
            timeline._labels = []  # rows stay where they are, but for another model
            entries = [Entry("event", label, 1, 2, 2, 0.1, None, 3) for label in told]
            return timeline.draw(replace(picture, entries=entries), 80, 3)[0][0].text.strip()

        assert [first_row(), first_row("low"), first_row("high")] == ["quiet", "low", "high"]

    drive(app, script, size=(120, 40))


def test_an_event_that_goes_on_sounds_though_its_score_is_below_the_threshold(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE))

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        picture = app.take_snapshot()
        quiet = replace(picture, values=np.zeros(4, np.float32))
        event = Entry("event", "low", 9.0, 10.0, 9.5, 0.6, None, np.inf)
        assert replace(quiet, entries=[event]).active_classes == {picture.card.labels.index("low")}
        assert not replace(quiet, entries=[replace(event, offset_s=9.4)]).active_classes
        # What else is above its threshold says the same in other words, or sounds no more.
        loud = replace(picture, values=np.ones(4, np.float32), on=np.full(4, 0.5, np.float32))
        assert replace(loud, entries=[event]).active_classes == {picture.card.labels.index("low")}
        assert replace(loud, entries=[]).active_classes == {0, 1, 2, 3}

    drive(app, script)


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("door, wood creaks", 17, "door, wood creaks"),
        ("door, wood creaks", 16, "door, wood…"),
        ("door, wood creaks", 8, "door…"),
        ("vacuumcleaner", 6, "vacuu…"),
        ("犬の鳴き声", 5, "犬の…"),
        ("dog", 0, ""),
    ],
)
def test_texts_are_cut_between_words(text, width, expected):
    assert fit_words(text, width) == expected
    assert cell_len(fit_exactly(text, width)) == width


@given(st.text("ab ,犬", max_size=20), st.integers(0, 24))
def test_texts_never_take_more_room_than_there_is(text, width):
    assert cell_len(fit_words(text, width)) <= width
    assert cell_len(fit_exactly(text, width)) == width


def test_parts_that_do_not_fit_are_left_out_whole():
    parts = ["listening", "", "a long name of a file.wav", "pocket"]
    assert join_fitting(parts, " │ ", 80) == "listening │ a long name of a file.wav │ pocket"
    assert join_fitting(parts, " │ ", 30) == "listening │ pocket"
    assert join_fitting(parts, " │ ", 5) == "list…"


def test_letters_are_large_and_every_label_can_be_written_or_is_not_tried():
    assert render_large("siren", 80, 3) == [
        "  ▄▄ ▄ ▄▄  ▄▄▄ ▄  ▄"[1:],
        "▀▄  █ █▄▀ █▄  █▀▄█",
        "▄▄▀ █ █ █ █▄▄ █  █",
    ]
    assert len(render_large("siren", 80, 6)) == 6
    assert render_large("siren", 10, 6) is None
    assert render_large("siren", 80, 2) is None
    assert render_large("Türklopfen", 80, 3)[0] != render_large("Turklopfen", 80, 3)[0]
    assert render_large("犬", 80, 3) is None
    import string

    for character in string.ascii_letters + string.digits + " .,-+':/()&_":
        assert render_large(f"x{character}", 80, 3) is not None


def entry(**changes):
    return replace(Entry("event", "pouring water", 29.0, 36.5, 30.0, 0.97), **changes)


def test_events_have_headings_over_their_columns_and_a_bar_of_the_score():
    for width in (42, 60):
        columns = ColumnWidths.within(width)
        heading, line = columns.heading(), describe(entry(), columns).plain
        assert line.index("pouring water") == heading.index("sound")
        assert line.index("7.5 s") >= heading.index("length")
        assert line[heading.index("score")] == "█"
        assert ("0.97" in line) == (width == 60)
    strong, weak = (describe(entry(score=score), columns).plain for score in (1.0, 0.3))
    assert strong.count("█") > weak.count("█") > 0
    for width in (42, 60):  # a model with words tells them in place of the bar
        columns = ColumnWidths.within(width)
        line = describe(entry(sureness="likely"), columns).plain
        assert line.index("likely") == columns.heading().index("score")
        assert line.index("pouring water") == columns.heading().index("sound")
        assert "█" not in line
        assert ("0.97" in line) == (width == 60)
    going_on = describe(entry(ended_s=np.inf), columns).plain
    assert "●" in going_on
    assert "▲" not in going_on


def test_long_events_have_lengths_that_fit_their_column():
    assert [format_short(s) for s in (0.5, 599.94, 600, 3605, 86_399)] == [
        "0.5 s", "599.9 s", "10:00", "1:00:05", "23:59:59",
    ]  # fmt: skip


def test_what_is_never_told_is_never_above_its_threshold():
    card = toys.toy_card(labels=["dog", "noise"])
    picture = take_snapshot(History(), card, Thresholds(on=0.5, off=0.3, never=["noise"]), 1.0, 1.0)
    assert picture.on.tolist() == [0.5, np.inf]
    assert replace(picture, values=np.ones(2, np.float32)).above.tolist() == [True, False]


def test_counts_are_of_the_whole_session_also_of_events_that_the_list_forgot():
    history, card = History(), toys.toy_card(labels=["dog", "siren"])
    history.begin(StreamStarted("x", 1000, ["dog", "siren"], "single-label"))
    for number in range(MAX_ENTRIES):
        history.write(SoundEvent("dog", number * 10, number * 10 + 5, 0.9))
    history.write(Gap(10 * MAX_ENTRIES, 10, 1000, "overflow"))
    for number in range(1500):
        history.write(SoundEvent("siren", number * 10 + 10**6, number * 10 + 10**6 + 5, 0.9))
    picture = take_snapshot(history, card, Thresholds(), 1e6, 1e6)
    assert len(picture.entries) == MAX_ENTRIES
    assert picture.counts == [("dog", MAX_ENTRIES), ("siren", 1500)]


@pytest.mark.parametrize("width", [80, 120])
def test_counts_stand_beside_the_events(tmp_path, tone_model, width):
    app = make_dashboard(tmp_path, tone_model, Script(np.tile(SCENE, 2)))

    async def script(pilot):
        await settle(pilot, heard(app, 20))
        counts = app.take_snapshot().counts
        assert ("middle", 2) in counts
        assert app.query_one(Counts).display == (width == 120)
        where = app.query_one(Counts) if width == 120 else app.query_one(EventList)
        x, y = where.region.x, where.region.y
        lines = text_of(app).splitlines()[y : where.region.bottom]
        part = "\n".join(line[x : where.region.right] for line in lines)
        assert all(f"{number} {label}" in part for label, number in counts)

    drive(app, script, size=(width, 24))


def test_counts_that_do_not_fit_are_summed_up():
    counts = [("dog", 12), ("siren", 3), ("cat", 1)]
    assert summarise_counts(counts, 40) == "12 dog, 3 siren, 1 cat"
    assert summarise_counts(counts, 20) == "12 dog and 2 more"
    assert summarise_counts(counts, 5) == summarise_counts([], 40) == ""


LONG = ["door, wood creaks", "vehicle horn, car horn", "washing machine", "pouring water"]


def test_at_80_columns_nothing_is_cut_in_the_middle_of_a_word(tmp_path):
    card = toys.toy_card()
    names = dict(zip(card.labels, LONG, strict=True))
    model = toys.write_tone_detector(tmp_path / "t.onnx", replace_names(card, names))
    app = make_dashboard(tmp_path, model, Script(np.tile(SCENE, 3), name="a microphone " * 3))
    known = {word for text in [*LONG, "a microphone"] for word in text.split()}

    async def script(pilot):
        for height in (24, 40):
            await pilot.resize_terminal(80, height)
            await settle(pilot, heard(app, 30))
            redraw_health(app)
            await settle(pilot)
            shown = text_of(app)
            for line in shown.splitlines():
                assert cell_len(line) == 80
                words = line.replace("│", " ").replace("…", " ").replace("▏", " ").split()
                for word in words:
                    cut = [w for w in known if len(word) > 2 and w.startswith(word) and w != word]
                    assert not cut or word in known, line
            assert "…" not in shown.splitlines()[0]
            assert "…" not in shown.splitlines()[-2]

    drive(app, script, size=(80, 24))


def replace_names(card, names):
    import msgspec

    return msgspec.structs.replace(card, display_names=names)


def test_health_is_in_words_for_people():
    usual = Health(
        real_time_factor=0.009, latency_p50_s=0.1, latency_p95_s=0.15, windows_per_s=2.0,
        cpu_percent=12.0, frame_hz=15.0,
    )  # fmt: skip
    assert [*describe_health(usual)] == [
        "nothing lost", "keeps up 111x", "on screen after 100 ms, 95 % by 150", "CPU 12 %",
        "2.0 windows/s", "drawn 15/s",
    ]  # fmt: skip
    bad = Health(
        real_time_factor=1.25, dropped_s=1.5, n_gaps=2, queue_s=3.0, drift_ppm=-12.3, n_lost=1,
        overload="a second of audio takes 1.25 s",
    )  # fmt: skip
    assert [*describe_health(bad)] == [
        "OVERLOAD a second of audio takes 1.25 s", "lost 1.5 s in 2 gaps", "outputs lost 1 line",
        "TOO SLOW, 0.80x", "3.0 s behind", "CPU 0 %", "drawn 0/s", "clock 12 ppm slow",
    ]  # fmt: skip
    away = replace(usual, silent_s=75.2)
    assert [*describe_health(away)][:2] == ["no audio for 1 min 15 s", "keeps up 111x"]
    assert [*describe_health(replace(away, dropped_s=1.5, n_gaps=2))][:2] == [
        "no audio for 1 min 15 s", "lost 1.5 s in 2 gaps",
    ]  # fmt: skip


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_peak_and_rms_are_of_the_same_stretch(levels):
    bands = np.zeros(64, np.uint8)
    columns = [
        Column((number + 1) / 10, bands, -level, level / 2, level / 2)
        for number, level in enumerate(levels)
    ]
    level = measure(columns, len(levels) / 10)
    newest = levels[-3:]
    assert 10 ** (level.peak_db / 20) == pytest.approx(max(newest), abs=2e-5)
    rms = np.sqrt(np.mean(np.square(newest))) / 2
    assert 10 ** (level.rms_db / 20) == pytest.approx(rms, abs=2e-5)
    # No sound can have more power than its peak.
    assert level.rms_db <= level.peak_db + 1e-9
