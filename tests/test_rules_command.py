"""`streamclf rules`: rules in plain words, on the past of a store, and one message to try."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
import soundfile
import toys
from happened import BEGUN, Hearing, Sound, begin, end, remember, us
from stores import Heard, Run, make_store
from test_rulebook import note

from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.history import PastSound, Told
from streamclf.notify.label_check import Reported, describe_unheard
from streamclf.notify.replay import recall, replay
from streamclf.notify.rule_words import describe_rule, format_moment
from streamclf.notify.rulebook import RuleBook
from streamclf.notify.rules import Rule
from streamclf.notify.store_history import StoreHistory
from streamclf.store.database import connect

SETTINGS = """
store = "s.db"
[[sources]]
name = "yard"
url = "sim:x.wav"
[[targets]]
name = "bell"
exec = ["sh", "-c", "cat > said.json"]
[[targets]]
name = "broken"
exec = ["sh", "-c", "exit 3"]
[[rules]]
name = "dog"
labels = ["Dog"]
cooldown = "10m"
to = ["bell"]
[[rules]]
name = "cat"
labels = ["house cat"]
on = "end"
to = ["bell", "broken"]
"""


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A settings file beside a store: dogs at 21:01, 21:05 and 21:20 of 2026-11-21."""
    monkeypatch.chdir(tmp_path)
    remember(
        tmp_path / "s.db",
        [Hearing("yard", 4000, tuple(Sound("dog", at_s, 2) for at_s in (60, 300, 1200)))],
    )
    path = tmp_path / "box.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


def test_rules_are_told_in_plain_words(streamclf, box):
    (message,) = RuleBook([Rule("dog")]).feed(begin("yard", Sound("dog", 60, 2)))
    note(box.with_name("s.db"), [message])
    result = streamclf("rules", "--config", box)
    assert result.code == 0
    last = datetime.fromtimestamp(us(60.5) / 1e6).astimezone()
    assert result.out.splitlines() == [
        "dog: when Dog begins; tells bell; at most every 10 minutes for each sound of a source; "
        f"last told {format_moment(last, datetime.now().astimezone())}",
        "cat: when house cat has ended; tells bell and broken; never told",
    ]
    assert streamclf("rules", "cat", "--config", box).out.startswith("cat: ")


def test_the_past_shows_what_rules_would_have_told(streamclf, box):
    result = streamclf("rules", "--test", "--since", "2026-11-21", "--config", box)
    assert result.code == 0
    assert result.out.splitlines() == [
        "dog: would have told 2 times since 2026-11-21 00:00:",
        "  Sat 2026-11-21 21:01:00  yard: Dog (sure) since 21:01:00",
        "  Sat 2026-11-21 21:20:00  yard: Dog (sure) since 21:20:00",
        "cat: would have told nothing since 2026-11-21 00:00",
    ]


def test_the_past_as_json_lines_names_clips(streamclf, box, tmp_path):
    with closing(connect(tmp_path / "s.db")) as connection:
        columns = "(event_id, folder, path, bytes, written_us)"
        connection.execute(f"INSERT INTO clips {columns} VALUES (1, '/c', 'd', 1, 1)")
    result = streamclf(
        "rules", "dog", "--test", "--since", "2026-11-21", "--format", "jsonl", "--config", box
    )
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line.get("clip") for line in lines] == ["/c/d", None]
    assert {line["type"] for line in lines} == {"message"}
    assert lines[0]["told"] == lines[0]["time"] == "2026-11-21T21:01:00.000+01:00"


def test_each_message_has_the_clip_of_its_own_event(tmp_path):
    store = remember(
        tmp_path / "s.db",
        [Hearing("yard", 900, (Sound("dog", 60, 20), Sound("cat", 70, 20), Sound("dog", 300, 2)))],
    )
    with closing(connect(store)) as connection:
        columns = "(event_id, folder, path, bytes, written_us)"
        for event in (1, 2, 3):
            connection.execute(f"INSERT INTO clips {columns} VALUES ({event}, '/c', {event}, 1, 1)")
    rules = [Rule("long", lasting=5), Rule("quiet", on="quiet", labels=("dog",), lasting=100)]
    told = replay(store, rules, us(0), us(900))
    assert [(each.message.rule, each.clip) for each in told] == [
        ("long", "/c/1"),
        ("long", "/c/2"),
        ("quiet", None),
        ("quiet", None),
    ]


def test_what_a_box_told_is_what_its_past_tells(streamclf, tone_model, tmp_path, monkeypatch):
    """The real engine, and the tokens of all messages: same rule, same event, same moment."""
    monkeypatch.chdir(tmp_path)
    tones = [toys.silence(3), toys.tone(1000, 7), toys.silence(6), toys.tone(1000, 4)]
    soundfile.write("x.wav", np.concatenate([*tones, toys.silence(5)]), toys.RATE)
    (tmp_path / "box.toml").write_text(
        f'model = "{tone_model}"\nstore = "s.db"\nport = 0\n'
        '[[sources]]\nname = "yard"\nurl = "sim:x.wav"\nspeed = 0\n'
        '[[rules]]\nname = "begins"\nlabels = "middle"\n'
        '[[rules]]\nname = "ends"\nlabels = "middle"\non = "end"\nmin-score = 0.5\n'
        '[[rules]]\nname = "long"\nlabels = "middle"\nlasting = "5s"\n'
        '[[rules]]\nname = "rounds"\nlabels = "middle"\non = "ongoing"\ncooldown = "3s"\n'
        '[[rules]]\nname = "done"\nlabels = "middle"\non = "quiet"\nlasting = "4s"\n'
    )
    assert streamclf("serve", "--config", "box.toml").code == 0
    with closing(connect(tmp_path / "s.db")) as connection:
        told = dict(connection.execute("SELECT token, rule FROM messages"))
    out = streamclf(
        "rules", "--test", "--format", "jsonl", "--since", "yesterday", "--config", "box.toml"
    ).out
    again = {line["token"]: line["rule"] for line in map(json.loads, out.splitlines())}
    assert again == told
    assert Counter(told.values()) == {"begins": 2, "ends": 2, "long": 1, "rounds": 5, "done": 1}


def test_a_range_begins_and_ends_where_it_is_said(streamclf, box):
    def moments(since: float, until: float) -> list[str]:
        at = [(BEGUN + timedelta(seconds=s)).isoformat() for s in (since, until)]
        out = streamclf(
            "rules", "dog", "--test", "--since", at[0], "--until", at[1], "--config", box
        ).out
        return [line.split()[2] for line in out.splitlines()[1:]]

    assert moments(0, 1000) == ["21:01:00"]
    # The cooldown of what was told before the range goes on in it.
    assert moments(200, 1300) == ["21:20:00"]
    assert moments(60, 60.5) == ["21:01:00"]


def test_a_message_to_try_goes_to_the_targets_of_its_rule(streamclf, box, tmp_path):
    result = streamclf("rules", "--try", "dog", "--config", box)
    assert result.code == 0
    assert result.out.startswith("bell: sent in ")
    said = json.loads((tmp_path / "said.json").read_text())
    assert (said["on"], said["rule"], said["label"], said["name"]) == ("test", "dog", "dog", "Dog")
    assert said["text"].startswith("Test: yard: Dog (sure) since ")


def test_a_target_that_fails_has_its_own_line(streamclf, box):
    result = streamclf("rules", "--try", "cat", "--config", box)
    assert result.code == 1
    bell, broken = result.out.splitlines()
    assert bell.startswith("bell: sent")
    assert broken.startswith("broken: failed: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dgo"], "dgo: is no rule (did you mean dog?): there are dog, cat"),
        (["--try"], "--try: 0 rules are named, must be 1"),
        (["--try", "dog", "--test"], "--test and --try: give one of them"),
        (["--since", "yesterday"], "--since, --until and --format: are for --test: add it"),
        (["--test", "--since", "once"], "--since 'once': is no date"),
        (
            ["--test", "--since", "2026-11-21", "--until", "2026-11-20"],
            "--until 2026-11-20: is not after --since 2026-11-21",
        ),
    ],
)
def test_wrong_usage_is_one_line(streamclf, box, arguments, said):
    result = streamclf("rules", *arguments, "--config", box)
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith(f"streamclf: error: {said}")


def test_wrong_settings_are_named_with_their_line(streamclf, box):
    box.write_text(box.read_text() + 'sources = ["yrad"]\n')
    result = streamclf("rules", "--config", box)
    assert result.code == 2
    line = box.read_text().count("\n")
    assert f"{box}:{line}: sources yrad: is no source (did you mean yard?)" in result.err


def test_no_rules_and_no_store(streamclf, box, tmp_path):
    (tmp_path / "s.db").unlink()
    assert streamclf("rules", "--config", box).out.count("never told") == 2
    result = streamclf("rules", "--test", "--config", box)
    assert (result.code, "there is no store" in result.err) == (1, True)
    box.write_text('store = "s.db"\n')
    result = streamclf("rules", "--config", box)
    assert (result.code, result.out) == (0, "")
    assert result.err.endswith("there are no rules: a table [[rules]] makes one\n")
    assert streamclf("rules", "--test", "--config", box).code == 2


@pytest.mark.parametrize("content", [b"no store at all" * 500, None])
def test_a_store_that_cannot_be_read_is_not_taken_for_silence(streamclf, box, tmp_path, content):
    if content is None:
        with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
            connection.execute("DROP TABLE messages")
    else:
        (tmp_path / "s.db").write_bytes(content)
    result = streamclf("rules", "--config", box)
    assert result.code == 0
    assert result.out.count("; not known when it told last") == 2
    (line,) = result.err.splitlines()
    assert line.startswith("streamclf: warning: s.db: ")


def test_a_check_names_labels_that_no_source_reports(streamclf, box, tone_model, tmp_path):
    rules = '[[rules]]\nname = "a"\nlabels = ["midle", "Low"]\n'
    box.write_text(f'model = "{tone_model}"\nstore = "s.db"\n[[sources]]\nname = "yard"\n{rules}')
    result = streamclf("serve", "--check", "--config", box)
    assert result.code == 0
    (warning,) = [line for line in result.err.splitlines() if "rule a" in line]
    assert "midle is no sound that yard reports (did you mean middle?)" in warning


def reported(labels, broader=None, all_labels=None):
    return Reported(labels, Vocabulary(all_labels or labels, broader))


def test_a_rule_about_a_broader_label_is_told_of_narrower_ones(streamclf, box, tmp_path):
    shown = {"alarm": "Alarm", "siren": "Siren"}
    heard = {"yard": reported({"siren": "Siren"}, {"siren": ["alarm"]}, shown)}
    assert describe_unheard([Rule("a", labels=("Alarm",))], heard) == []
    heard = {"yard": reported({"alarm": "Alarm"}, {"siren": ["alarm"]}, shown)}
    assert len(describe_unheard([Rule("a", labels=("Siren",))], heard)) == 1
    rules = '[[rules]]\nname = "a"\nlabels = ["Low"]\n'
    card = toys.toy_card(task="multi-label", activation="sigmoid", broader={"high": ["low"]})
    model = toys.write_tone_detector(tmp_path / "many.onnx", card)
    box.write_text(f'model = "{model}"\nstore = "s.db"\n[[sources]]\nname = "yard"\n{rules}')
    done = streamclf("serve", "--check", "--config", box)
    assert done.code == 0, done.err
    assert "rule a" not in done.err


def test_labels_are_checked_at_the_sources_of_their_rule():
    heard = {
        "yard": reported({"dog": "Dog"}), "hall": reported({"smoke_alarm": "Smoke alarm"})
    }  # fmt: skip
    assert not describe_unheard([Rule("a", labels=("SMOKE ALARM", "dog"))], heard)
    sure = {name: replace(each, sureness={"dog": [0.5]}) for name, each in heard.items()}
    assert not describe_unheard([Rule("a", at_least="likely")], sure)
    assert describe_unheard([Rule("a", labels=("smoke alarm", "dog"), at_least="sure")], sure) == [
        "warning: rule a: at-least sure: yard or hall: the model cannot say how sure smoke alarm "
        "is: it is told whatever its score; min-score sets one",
        "warning: rule a: at-least sure: yard or hall: the model is never so sure of dog: the rule "
        "tells nothing of it",
    ]
    (line,) = describe_unheard([Rule("a", labels=("dog",), sources=("hall",))], heard)
    assert line.startswith("warning: rule a: dog is no sound that hall reports: the rule tells")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("a"), "when any sound begins; tells nobody, as there are no targets"),
        (
            Rule(
                "a", ("dog", "cat", "cow"), ("yard", "hall"), min_score=0.8, at_least="likely",
                repeats=3, within=60, hours="22:00-06:00", first_of_day=True, rare=14,
                to=("phone", "hook"),
            ),
            "when dog, cat or cow begins in yard or hall, with a score of 0.8 or more, at least "
            "likely, 3 times within 1 minute, not heard for 14 days before, at 22:00-06:00, the "
            "first time of a day; tells phone and hook",
        ),
        (Rule("a", lasting=5), "when any sound has lasted 5 seconds; tells nobody"),
        (Rule("a", on="end", lasting=5400), "when any sound has ended after 90 minutes or more"),
        (
            Rule("a", ("dog",), on="ongoing", cooldown=600, lasting=1.5),
            "while dog goes on, once it has lasted 1.5 seconds and every 10 minutes again; tells",
        ),
        (Rule("a", ("dog",), on="quiet", lasting=60), "when nothing of dog has been heard for 1 m"),
    ],
)  # fmt: skip
def test_words_of_a_rule(rule, said):
    assert describe_rule(rule, []).startswith(said)


def test_moments_are_told_as_people_say_them():
    now = datetime(2026, 11, 26, 9, 0)
    moments = [now - timedelta(hours=1), now - timedelta(hours=10), now - timedelta(days=5)]
    assert [format_moment(each, now) for each in moments] == [
        "today 08:00",
        "yesterday 23:00",
        "2026-11-21 09:00",
    ]


def test_the_store_knows_what_was_heard_and_told(tmp_path):
    store = make_store(
        tmp_path / "s.db",
        [
            Run(
                "yard", BEGUN, 3000,
                [Heard("dog", 10, 2), Heard("dog", 50, 0.5), Heard("dog", 100, 2, 0.3),
                 Heard("cat", 200, 5), Heard("dog", 300, None)],
                [(500, 100, "overflow")],
            ),
            Run("hall", BEGUN, 3000, [Heard("dog", 400, 2)]),
        ],
    )  # fmt: skip
    history = StoreHistory(store, pytest.fail)
    rule = Rule("a", min_score=0.5, lasting=1)
    assert history.last_heard(rule, "yard", ["dog"], us(300)) == us(10)
    assert history.last_heard(Rule("a"), "yard", ["dog"], us(300)) == us(100)
    assert history.last_heard(rule, "yard", ["dog"], us(10)) is None
    assert history.onsets(Rule("a"), "yard", ["dog"], us(10), us(100)) == [us(10), us(50)]
    quiet = Rule("q", on="quiet", lasting=600)
    assert history.last_sound(quiet, "yard", us(900)) == PastSound("cat", "cat", us(200), us(205))
    spans = [(us(205), us(500)), (us(600), us(900))]
    assert history.heard_spans("yard", us(205), us(900)) == spans
    assert history.last_told(rule, "yard", "dog") is None
    note(store, RuleBook([Rule("a", on="end")]).feed(end("yard", Sound("dog", 10, 2))))
    assert history.last_told(rule, "yard", "dog") == Told(us(12), 60)
    assert history.last_told(rule, "hall", "dog") is None
    assert StoreHistory(store, told=False).last_told(rule, "yard", "dog") is None


def test_a_store_that_cannot_be_read_is_told_once(tmp_path):
    said: list[str] = []
    store = tmp_path / "none.db"
    history = StoreHistory(store, said.append)
    assert history.last_told(Rule("a"), "yard", "dog") is None
    assert said == []  # a store that is not there yet holds nothing
    store.write_bytes(b"no store" * 1000)
    assert history.last_told(Rule("a"), "yard", "dog") is None
    assert history.onsets(Rule("a"), "yard", ["dog"], 0, 1) == []
    assert len(said) == 1
    assert "what was heard and told before is not known" in said[0]


def test_a_week_is_heard_again_in_seconds(tmp_path):
    """A bound on work, not on time: happenings are as many as events and hours."""
    events = [Heard("dog", 60.0 * i, 2) for i in range(2000)]
    store = make_store(tmp_path / "s.db", [Run("yard", BEGUN, 130_000, events)])
    with closing(connect(store)) as connection:
        happenings = list(recall(connection, 1, [Rule("a")], us(0), us(130_000)))
    assert len(happenings) <= 3 * 2 * 2000 + 40
