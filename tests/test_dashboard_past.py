"""The days in a store, on the dashboard: the map, the events, their audio, right and wrong."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import soundfile
import toys
from dashboards import Script, drive, make_dashboard, messages_of, settle, text_of
from rich.console import Console
from stores import Heard, Run, make_store
from test_dashboard_sound import Shop
from textual.widgets import Input

from streamclf.core.errors import SinkError, StoreError
from streamclf.dashboard.past.days import PastDays, day_beside
from streamclf.dashboard.widgets.day_map import NOT_HEARD, DayMap
from streamclf.dashboard.widgets.past_events import PastEventList
from streamclf.store.database import connect, connect_to_read, transaction

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)
EARLIER = TODAY - timedelta(days=5)
HOUR_S = 3600.0


@pytest.fixture
def store(tmp_path):
    """Yesterday 6 hours were heard, from midnight on; five days ago one."""
    return make_store(
        tmp_path / "box.db",
        [
            Run(
                "yard",
                YESTERDAY,
                6 * HOUR_S,
                [
                    Heard("dog", 0.5 * HOUR_S, 2.5, 0.81),
                    Heard("dog", 3.2 * HOUR_S, 3.0, 0.62, verdicts=["wrong"]),
                    Heard("crackling_fire", 3.4 * HOUR_S, 4.0, 0.93),
                    *[Heard("siren", 5 * HOUR_S + 3 * n, 1.0, 0.7) for n in range(120)],
                ],
                display_names={"crackling_fire": "Fire, crackling"},
            ),
            Run("yard", EARLIER, HOUR_S, [Heard("heavy_rain", 60.0)]),
            Run("yard", TODAY, 60.0),  # which tells the place's offset from UTC
        ],
    )


@pytest.fixture
def app(tmp_path, tone_model, store):
    return make_dashboard(tmp_path, tone_model, Script(toys.silence(1)), store=store)


async def yesterday(pilot):
    """Open the store's days, and go to yesterday."""
    await pilot.press("y")
    await settle(pilot, lambda: getattr(pilot.app.screen, "shown", None))
    await pilot.press("left_square_bracket")
    await settle(pilot, lambda: pilot.app.screen.shown.day == YESTERDAY.date())
    await settle(pilot, lambda: len(entries(pilot.app)) == 123)


def entries(app):
    return app.screen.query_one(PastEventList).entries


def verdicts(store):
    connection = connect_to_read(store)
    try:
        return connection.execute(
            "SELECT events.label, verdict FROM reviews JOIN events ON events.id = event_id "
            "ORDER BY reviews.id"
        ).fetchall()
    finally:
        connection.close()


def test_the_screen_of_a_day(app):
    async def script(pilot):
        await yesterday(pilot)
        title, *lines = text_of(app).splitlines()
        assert f"{YESTERDAY:%A} {YESTERDAY.day}" in title
        assert "yesterday │ 123 events │ 6.0 h heard" in title
        ticks, total, siren, dog, fire = lines[1:6]
        assert ticks.split()[1:-1] == [str(hour) for hour in range(0, 24, 3)]
        nothing = [NOT_HEARD] * 18
        assert total.split() == ["│", "all", "sounds", "▸", "1", "2", "99+", *nothing, "123", "│"]
        assert siren.split() == ["│", "siren", "99+", *nothing, "120", "│"]
        assert dog.split() == ["│", "dog", "1", "1", *nothing, "2", "│"]
        assert fire.split() == ["│", "Fire,", "crackling", "1", *nothing, "1", "│"]
        first = next(line for line in lines if "05:05:57" in line)
        assert first.split()[1:6] == ["05:05:57", "1.0", "s", "████▎", "0.70"]
        assert "siren   yard" in first
        assert "Esc Back" in lines[-1]

    drive(app, script, (120, 40))


@pytest.mark.parametrize("colours", ["truecolor", None])
def test_a_narrow_screen_has_shades_in_place_of_numbers(app, colours):
    async def script(pilot):
        app.console = Console(color_system=colours, force_terminal=True)
        await yesterday(pilot)
        dog = next(line for line in text_of(app).splitlines() if "│ dog" in line)
        shaded = "░░    ░░" if colours is None else " " * 12
        assert shaded in dog
        assert dog.split()[-2:] == ["2", "│"]
        assert f" {NOT_HEARD}" * 18 in dog

    drive(app, script, (80, 24))


def test_a_line_of_80_characters_names_the_keys_that_nothing_else_tells(app):
    async def script(pilot):
        await yesterday(pilot)
        on_the_map = text_of(app).splitlines()[-1]
        for named in ("← → Hour", "Tab List", "g Unknown", "Esc Back", "[ ] Day", "0 Stop"):
            assert named in on_the_map
        await pilot.press("tab")
        await settle(pilot, lambda: "y Yes" in text_of(app).splitlines()[-1])
        on_the_list = text_of(app).splitlines()[-1]
        for named in ("Enter Play", "n No", "w Was", "u Undo", "x Teach", "g Unknown", "Esc Back"):
            assert named in on_the_list

    drive(app, script, (80, 24))


def test_the_cursor_chooses_what_is_listed(app):
    async def script(pilot):
        await yesterday(pilot)
        await pilot.press("down", "down")
        await settle(pilot, lambda: {each.event.label for each in entries(app)} == {"dog"})
        assert "dog" in app.screen.query_one(PastEventList).border_title
        await pilot.press("right", "right", "right", "right")
        await settle(pilot, lambda: len(entries(app)) == 1)
        assert "dog, 03:00 to 04:00" in text_of(app)
        await pilot.press("up", "up")
        await settle(pilot, lambda: len(entries(app)) == 2)
        assert app.screen.query_one(DayMap).hour == 3
        assert "Fire, crackling" in text_of(app).split("03:00 to 04:00")[1]

    drive(app, script)


def test_right_and_wrong_are_rows_of_the_store(app, store):
    async def script(pilot):
        await yesterday(pilot)
        await pilot.press("y")  # on the map it says nothing of any event
        assert "Esc Back" in text_of(app).splitlines()[-1]
        await pilot.press("tab", "y", "n")
        await settle(pilot, lambda: len(verdicts(store)) == 3)
        await settle(pilot, lambda: "✗ wrong" in text_of(app) and "✓ right" in text_of(app))
        await pilot.press("k", "u")
        await settle(pilot, lambda: len(verdicts(store)) == 2)

    drive(app, script)
    assert sorted(verdicts(store)) == [("dog", "wrong"), ("siren", "right")]


def test_what_it_was_is_said_by_its_name(app, store):
    """`w` asks for it, and knows the names that people read."""

    async def script(pilot):
        await yesterday(pilot)
        await pilot.press("down", "down", "tab")
        await settle(pilot, lambda: len(entries(app)) == 2)
        await pilot.press("w", *"fire")
        field = app.screen.query_one(Input)
        await settle(pilot, lambda: field._suggestion == "Fire, crackling")
        await pilot.press("right", "enter")
        await settle(pilot, lambda: "(it was Fire, crackling)" in text_of(app))
        await pilot.press("w", *"nobody", "escape")  # which leaves it as it is
        assert app.screen.query_one(PastEventList).has_focus
        await pilot.press("down", "w", *"a hen", "enter")
        await settle(pilot, lambda: "(it was a hen)" in text_of(app))
        await settle(pilot, lambda: messages_of(app))
        assert messages_of(app) == ["x teaches a hen, from all events that were it"]
        await pilot.press("escape")
        assert len(app.screen_stack) == 1

    drive(app, script, (120, 40))
    connection = connect_to_read(store)
    said = connection.execute("SELECT verdict, label FROM reviews ORDER BY id").fetchall()
    connection.close()
    assert said[-2:] == [("wrong", "crackling_fire"), ("wrong", "a hen")]


def add_clip(store, folder, waveform, path="dog.flac"):
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / "dog.flac", waveform, toys.RATE)
    connection = connect(store)
    with transaction(connection):
        connection.execute(
            "INSERT INTO clips (event_id, folder, path, bytes, written_us) "
            "SELECT id, ?, ?, 1, 1 FROM events WHERE label = 'dog' ORDER BY id LIMIT 1",
            (str(folder), path),
        )
    connection.close()


def test_enter_plays_the_clip_of_an_event(tmp_path, tone_model, store):
    sound = toys.tone(700, 0.3)
    add_clip(store, tmp_path / "clips", sound)
    shop = Shop()
    app = make_dashboard(
        tmp_path, tone_model, Script(toys.silence(1)), store=store,
        open_loudspeaker=shop,
    )  # fmt: skip

    async def script(pilot):
        await yesterday(pilot)
        await pilot.press("down", "down", "tab")
        await settle(pilot, lambda: len(entries(app)) == 2)
        assert "00:30:00 ♪" in text_of(app)
        await pilot.press("down", "enter")
        await settle(pilot, lambda: shop.sound.size >= sound.size)
        await pilot.press("up", "enter")
        await settle(pilot, lambda: messages_of(app))
        assert messages_of(app) == ["dog: no clip was saved: --clips FOLDER saves them"]

    drive(app, script)
    np.testing.assert_allclose(shop.sound[: sound.size], sound, atol=1e-3)


def test_a_row_opens_no_file_beside_its_folder(tmp_path, store):
    add_clip(store, tmp_path / "clips", toys.tone(700, 0.3), path="../clips/dog.flac")
    past = PastDays(store)
    entry = past.events(YESTERDAY.date(), 0, "dog").entries[0]
    with pytest.raises(SinkError, match="moved or deleted"):
        past.load_audio(entry)


def test_days_without_events_lead_to_the_last_that_has_some(store):
    past = PastDays(store)
    today = past.day(None)
    assert (today.day, today.before) == (TODAY.date(), YESTERDAY.date())
    assert day_beside(today, 1) == TODAY.date()
    empty = past.day(day_beside(past.day(YESTERDAY.date()), -1))
    assert not empty.table.labels
    assert day_beside(empty, -1) == EARLIER.date()
    assert past.day(EARLIER.date()).name("heavy_rain") == "heavy rain"
    assert day_beside(past.day(EARLIER.date()), 1) == (EARLIER + timedelta(days=1)).date()


def test_a_store_that_cannot_be_read_is_a_line(tmp_path, tone_model):
    broken = tmp_path / "broken.db"
    broken.write_text("no store at all, but a text of some length" * 40)
    app = make_dashboard(tmp_path, tone_model, Script(toys.silence(1)), store=broken)

    async def script(pilot):
        await pilot.press("y")
        await settle(pilot, lambda: messages_of(app))
        assert "broken.db" in messages_of(app)[0]
        await pilot.press("escape")
        assert len(app.screen_stack) == 1

    drive(app, script)
    with pytest.raises(StoreError):
        PastDays(broken).day(None)


def test_without_a_store_the_key_says_how_to_have_one(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(toys.silence(1)))

    async def script(pilot):
        await pilot.press("y")
        await settle(pilot, lambda: messages_of(app))
        assert messages_of(app) == ["no store remembers any day: begin with --store FILE"]
        assert len(app.screen_stack) == 1

    drive(app, script)


def test_many_events_list_the_newest_and_say_so(tmp_path):
    store = make_store(
        tmp_path / "many.db",
        [Run("yard", YESTERDAY, HOUR_S, [("dog", 3.0 * n) for n in range(400)])],
    )
    found = PastDays(store).events(YESTERDAY.date(), None, None)
    assert len(found.entries) == 300
    assert found.has_more
    assert found.entries[0].event.onset_s == 3.0 * 399
