"""Tables of the settings file about who is told what: values, places of errors, masked secrets."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from streamclf.cli.config_file import NOTIFY_TABLES, read_config
from streamclf.cli.notify_tables import read_notify_tables
from streamclf.core.errors import UsageError
from streamclf.core.table_keys import keys_of, read_duration
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.options import NotifyPlan
from streamclf.notify.rules import Rule
from streamclf.notify.targets.options import TargetOptions

TARGETS = '[[targets]]\nname = "bell"\nexec = ["sh", "alarm.sh"]\ntimeout = "10s"\n'


@pytest.fixture
def read(tmp_path):
    """Read a settings file of a text; lines count from 1."""

    def read(text: str) -> NotifyPlan:
        path = tmp_path / "box.toml"
        path.write_text(text, encoding="utf-8")
        return read_notify_tables(read_config(path, ["hop"], ["sources", *NOTIFY_TABLES]))

    return read


def test_tables_become_options(read):
    plan = read(
        "hop = 0.25\n"
        + TARGETS
        + '[mqtt]\nhost = "192.168.1.5"\nport = 1884\nlabels = "dog"\n'
        + '[[rules]]\nname = "smoke"\nlabels = ["smoke_alarm"]\nmin-score = 0.8\nlasting = "5s"\n'
        + 'repeats = 3\nwithin = "1m"\ncooldown = 600\nfirst_of_day = true\nto = "bell"\n'
    )
    assert plan == NotifyPlan(
        (
            Rule(
                "smoke",
                labels=("smoke_alarm",),
                min_score=0.8,
                lasting=5.0,
                repeats=3,
                within=60.0,
                cooldown=600.0,
                first_of_day=True,
                to=("bell",),
            ),
        ),
        (TargetOptions("bell", exec=("sh", "alarm.sh"), timeout=10.0),),
        MqttOptions("192.168.1.5", port=1884, labels=("dog",)),
    )


def test_a_large_file_is_read_once_a_line(read, monkeypatch):
    parsed: list[int] = []
    loads = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", lambda text: (parsed.append(len(text)), loads(text))[1])
    rule = '[[rules]]\nname = "{}"\nlabels = [\n  "dog",\n]\nmessage = """\n[[rules]]\n"""\n'
    text = TARGETS + "".join(map(rule.format, range(200)))
    assert len(read(text).rules) == 200
    assert sum(parsed) < 10 * len(text)


def test_lines_are_found_whatever_stands_in_texts(read):
    first = '[[rules]]\nname = "a\u2028b"\nmessage = """\n[[rules]]\nname = [\n"""\r\n'
    second = 'labels = [\n"[[rules]]",\n]\n[[rules]]\nmin-score = 3 # \u2028\nname = "b"\n'
    with pytest.raises(UsageError, match=r"box\.toml:2: name 'a\\u2028b': must"):
        read(first + second)
    with pytest.raises(UsageError, match=r"box\.toml:11: min-score 3: must"):
        read(first.replace('"a\u2028b"', '"a" # \u2028') + second)


@pytest.mark.parametrize("key", ["labels", "sources", "to"])
def test_an_empty_list_is_not_taken_for_all(read, key):
    with pytest.raises(UsageError, match=rf"box\.toml:7: {key}: is empty: leave it out for all$"):
        read(f'{TARGETS}[[rules]]\nname = "a"\n{key} = []\n')


def test_a_missing_name_is_told_without_marks_of_the_documentation(read):
    with pytest.raises(UsageError) as caught:
        read('[[rules]]\nlabels = "dog"\n')
    assert "[[rules]] has no name: Name of the rule" in str(caught.value)
    assert "`" not in str(caught.value)


def test_no_file_and_no_tables_tell_nobody(read):
    assert read_notify_tables(None) == read("hop = 1.0\n") == NotifyPlan()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rules]]\nlabels = "dog"\n', ":1: [[rules]] has no name"),
        (
            '[[rules]]\nname = "a"\nlabel = "dog"\n',
            ":3: label is unknown (did you mean labels?): the page",
        ),
        (
            '[[rules]]\nname = "a"\nlasting = "5 minutes"\n',
            ':3: lasting is "5 minutes", must be a dur',
        ),
        ('[[rules]]\nname = "a"\non = "start"\n', ':3: on is "start", must be "begin" or "end" or'),
        (
            '[[rules]]\nname = "a"\nfirst-of-day = 1\n',
            ":3: first-of-day is 1, must be true or false",
        ),
        ('[[rules]]\nname = "a"\nrepeats = 1.5\n', ":3: repeats is 1.5, must be a whole number"),
        ('[[rules]]\nname = "a"\nrepeats = true\n', ":3: repeats is true, must be a whole number"),
        (
            '[[rules]]\nname = "a"\nmin-score = nan\n',
            ":3: min-score is NaN, must be a number",
        ),
        (
            '[[rules]]\nname = "a"\nlabels = [1]\n',
            ":3: labels is [1], must be a text in quotes, or",
        ),
        (
            '[[rules]]\nname = "a"\nmin-score = 1\nmin_score = 1\n',
            ":4: min_score is said already in line 3",
        ),
        (
            '[[rules]]\nname = "a"\n\n[[rules]]\nname = "a"\n',
            ":5: name a: the table in line 1 has this name",
        ),
        (
            TARGETS + '[[rules]]\nname = "a"\nto = ["bel"]\n',
            ":7: to bel: is no target (did you mean bell?): there are bell",
        ),
        (
            '[[rules]]\nname = "a"\nto = ["bell"]\n',
            ":3: to bell: is no target: there are no [[targets]]",
        ),
        ("rules = 3\n", ":1: rules must be tables: write a line [[rules]], and its keys below it"),
        (
            '[rules]\nname = "a"\n',
            ":1: rules must be tables: write a line [[rules]], and its keys",
        ),
        ('[[mqtt]]\nhost = "a"\n', ":1: mqtt must be one table: write a line [mqtt], and its keys"),
        ("[mqtt]\nport = 1\n", ":1: [mqtt] has no host"),
        ('[mqtt]\nhost = "a"\nport = 0\n', ":3: port 0: must be from 1 to"),
        ('mqtt = {host = "a", port = 0}\n', ":1: port 0: must be from 1 to"),
        (
            '[[targets]]\nname = "a"\nexec = "sh alarm.sh"\n',
            ':3: exec is "sh alarm.sh", must be a list of texts in quotes',
        ),
        (
            '[[targets]]\nname = "a"\napprise = ["ntfy://topic"]\n',
            ":3: apprise is ***, must be a text in quotes",
        ),
        ('[[targets]]\nname = "a"\nexec = ["sh"]\ntimeout = "1h"\n', ":4: timeout 3600 s: must be"),
    ],
)
def test_errors_name_file_and_line(read, tmp_path, text, said):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path / 'box.toml'}{said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("10s", 10.0),
        ("0.5 s", 0.5),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        (90, 90.0),
        (1.5, 1.5),
        (0, 0.0),
        ("10", None),
        ("", None),
        ("s", None),
        ("-1s", None),
        (-1, None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        (["10s"], None),
        ("1e3s", None),
        ("10 seconds", None),
    ],
)
def test_a_duration_has_one_form_everywhere(said, seconds):
    assert read_duration(said) == seconds


@pytest.mark.parametrize("kind", [Rule, TargetOptions, MqttOptions])
def test_each_key_says_what_it_does(kind):
    """The reference is written from the docstrings, so that a field left out there has no help."""
    for key in keys_of(kind).values():
        assert key.help.endswith("."), key.name
        assert len(key.help.split()) > 2


def test_paths_begin_at_home(read):
    plan = read('[mqtt]\nhost = "a"\nca-file = "~/ca.pem"\n')
    assert plan.mqtt is not None
    assert plan.mqtt.ca_file == Path.home() / "ca.pem"
