"""Options from streamclf.toml and the environment: precedence, and errors that name the line."""

import json
import os
import tomllib
from pathlib import Path

import platformdirs
import pytest
import toys
import typer
from hypothesis import given
from hypothesis import strategies as st

from streamclf.cli import main
from streamclf.cli.config_file import find_line


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """No file of this machine's user is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: tmp_path / "user" / name)


OWN = "user/streamclf/streamclf.toml"


@pytest.fixture
def write_config(tmp_path):
    def write(text: str, name: str = OWN):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
        return path

    return write


def shown(result) -> dict[str, tuple[object, str]]:
    """What `config --show` printed: each value and its origin."""
    values = tomllib.loads(result.out)
    origins = dict(line.rsplit("# ", 1) for line in result.out.splitlines() if "=" in line)
    keys = {text.split("=")[0].strip(" #"): origin for text, origin in origins.items()}
    return {key: (values.get(key), origin) for key, origin in keys.items()}


def test_show_is_toml_with_the_origin_of_each_value(streamclf, write_config, monkeypatch):
    path = write_config(
        'hop = 0.25\naverage = 2\n\noutput = ["a.jsonl",\n  "b.csv"]\nno_reconnect = true\n'
    )
    monkeypatch.setenv("STREAMCLF_AVERAGE", "4")
    monkeypatch.setenv("STREAMCLF_FORMAT", "csv")
    result = streamclf("config", "--show", "--min-duration", "0.7", "-k", "3")
    assert result.code == 0
    rows = shown(result)
    assert rows["hop"] == (0.25, f"{path}:1")
    assert rows["average"] == (4.0, "STREAMCLF_AVERAGE")
    assert rows["format"] == ("csv", "STREAMCLF_FORMAT")
    assert rows["output"] == (["a.jsonl", "b.csv"], f"{path}:4")
    assert rows["no-reconnect"] == (True, f"{path}:6")
    assert rows["min-duration"] == (0.7, "command line")
    assert rows["top"] == (3, "command line")
    assert rows["model"] == ("wide", "default")
    assert rows["device"] == (None, "not set")


def sample(option) -> object:
    """A value that this option takes."""
    if option.is_flag:
        return True
    kind = option.type.name
    value = 0.5 if kind.startswith("float") else 2 if kind.startswith("int") else "text"
    value = option.type.choices[0] if kind == "choice" else value
    return [value] if option.multiple else value


def test_every_option_of_listen_can_stand_in_the_file(streamclf, write_config):
    rows = shown(streamclf("config"))
    help_text = streamclf("listen", "--help").out
    for key in rows:
        assert f"--{key}" in help_text
    listen = typer.main.get_command(main.app).commands["listen"]
    options = {option.opts[0].removeprefix("--"): option for option in listen.params}
    lines = [f"{key} = {json.dumps(sample(options[key]))}" for key in rows]
    path = write_config("\n".join(lines), "all.toml")
    result = streamclf("config", "--config", path)
    assert result.code == 0, result.err
    again = shown(result)
    assert set(again) == set(rows)
    for number, key in enumerate(rows, 1):
        assert again[key][1] == f"{path}:{number}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hop = 1\nhopp = 2\n", ":2: hopp is unknown (did you mean hop?): streamclf config --show"),
        ('"exact hop" = true\n', ":1: exact hop is unknown (did you mean exact-hop?)"),
        ("[listen]\nhop = 1\n", ":1: listen is unknown"),
        ("# x\n\nhop = \n", ':3: is no TOML: invalid value (column 7): a text stands in "qu'),
        ("model = wide\n", ':1: is no TOML: invalid value (column 9): a text stands in "quotes"'),
        ("hop = 0,5\n", ":1: is no TOML: expected newline or end of document after a statement"),
        (
            "hop: 0.5\n",
            ":1: is no TOML: expected '=' after a key in a key/value pair (column 4): a",
        ),
        ('store = "C:\\Users"\n', ":1: is no TOML: invalid hex value (column 14): a text with b"),
        pytest.param(
            "hop = " + 5000 * "9", ": is no TOML: it holds a number that is too long", id="endless"
        ),
        ('model = "caf\xe9"\n', ": is not UTF-8 text: save it as that"),
        pytest.param(
            "output = " + 5000 * "[", ": is no TOML: it is nested too deeply", id="nested"
        ),
        ("hop = 1\nhop = 2\n", ":2: is no TOML: cannot overwrite a value (column 8): its key"),
        ("min-gap = 1\n", ":1: min-gap is unknown (did you mean m"),
        ("max-gap = 1\nmax_gap = 2\n", ":2: max_gap is said already in line 1"),
        ('model = "tones"\nhop = "fast"\n', ':2: hop is "fast", must be a number'),
        (
            "[[source]]\nhop = 1\n",
            ":1: source is unknown as a table: the tables are [[sources]]",
        ),
        (
            "[source]\nhop = 1\n",
            ":1: source is unknown as a table: the tables are [[sources]]",
        ),
        ("store = 5\n", ":1: store is 5, must be a text in quotes"),
        ("thresholds = 5\n", ":1: thresholds is 5, must be a text in quotes"),
        ("hop = true\n", ":1: hop is true, must be a number"),
        ("top = 2.5\n", ":1: top is 2.5, must be a whole number"),
        ("updates = 1\n", ":1: updates is 1, must be true or false"),
        ("source = 1.5\n", ":1: source is 1.5, must be a text in quotes"),
        ('output = ["a\\u0000.csv"]\n', ":1: output is ["),
        ("output = [1]\n", ":1: output is [1], must be a text in quotes, or a list of such"),
        ("top = 0\n", ":1: top: 0 is not in the range x>=1"),
        ('provider = "gpu"\n', ':1: provider is "gpu", must be "auto", "cpu", "cuda", "tens'),
        ('privacy = "voice"\n', ':1: privacy is "voice", must be "speech", or left out'),
        ('s = """\nhop = 1\n"""\n', ":1: s is unknown"),
        ('model = """\nhop = 3\n"""\nhop = -1\n', ":4: --hop -1.0: must be above 0 seconds"),
        ("duration = 0\n", ":1: --duration 0.0: must be above 0"),
        ("speed = 2\n", ":1: --speed goes with --source sim:FILE"),
        ('rotate = "daily"\n', ":1: --rotate goes with --output or --scores"),
        ('output = "x.csv"\nrotate = "often"\n', ":2: --rotate often: must be 'daily' or a size"),
        ('output = "x.pdf"\n', ":1: --output x.pdf: the ending says no format"),
        ("threshold = 2\n", ":1: --threshold 2.0: must lie between 0 and 1"),
        ('\nthresholds = "none.toml"\n', ":2: --thresholds none.toml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(streamclf, write_config, tone_model, text, words):
    path = write_config(text)
    model = [] if "model" in text else ["--model", tone_model]
    for command in (["config", "--check"], ["listen", "--no-ui"]):
        result = streamclf(*command, *model)
        assert result.code == 2
        *said, error = result.err.splitlines()
        assert error.startswith(f"streamclf: error: {path}{words}")
        usual = [f"streamclf: settings of {path}"]
        assert said == [] or (command[0] == "listen" and said == usual)
        assert result.out == ""


def test_labels_are_a_text_with_commas_or_a_list(streamclf, write_config, tone_model, scene):
    said = []
    for only in ('"low,middle"', '["low", "middle"]'):
        path = write_config(f"only = {only}\n")
        result = streamclf(
            "listen", "--source", f"sim:{scene}", "--speed", 0, "--model", tone_model
        )
        assert result.code == 0, path
        said.append([line["label"] for line in result.lines if line["type"] == "event"])
    assert said[0] == said[1] != []
    write_config('only = ["low", "doggo"]\n')
    result = streamclf("config", "--check", "--model", tone_model)
    assert ":1: --only doggo: is no label of tones" in result.err


def test_a_mark_that_editors_put_in_front_is_no_mistake(streamclf, write_config, tone_model):
    path = write_config("")
    path.write_text("hop = 0.25\n", encoding="utf-8-sig")
    result = streamclf("config", "--model", tone_model)
    assert (result.code, shown(result)["hop"][0]) == (0, 0.25)


def test_a_mistake_in_the_environment_names_the_variable(streamclf, tone_model, monkeypatch):
    monkeypatch.setenv("STREAMCLF_HOP", "-1")
    result = streamclf("config", "--check", "--model", tone_model)
    assert result.code == 2
    assert result.err.startswith("streamclf: error: STREAMCLF_HOP: --hop -1.0: must be above 0")
    monkeypatch.setenv("STREAMCLF_HOP", "fast")
    result = streamclf("listen", "--model", tone_model)
    assert result.code == 2
    assert result.err.startswith("streamclf: error: STREAMCLF_HOP: 'fast' is not a valid float")


def test_variables_of_other_commands_are_known(streamclf, tone_model, monkeypatch):
    monkeypatch.setenv("STREAMCLF_PASSWORD", "what attach logs in with")
    result = streamclf("config", "--check", "--model", tone_model)
    assert result.code == 0
    assert "STREAMCLF_PASSWORD" not in result.err


def test_a_variable_that_is_no_option_is_said(streamclf, tone_model, monkeypatch):
    monkeypatch.setenv("STREAMCLF_MINDURATION", "1")
    result = streamclf("config", "--check", "--model", tone_model)
    assert result.code == 0
    assert result.err.splitlines()[0] == (
        "streamclf: warning: STREAMCLF_MINDURATION is unknown "
        "(did you mean STREAMCLF_MIN_DURATION?): it is ignored"
    )


def test_a_mistake_on_the_command_line_is_said_as_before(streamclf, write_config, tone_model):
    write_config("hop = 1\n")
    result = streamclf("config", "--check", "--hop", "-2", "--model", tone_model)
    assert result.err.startswith("streamclf: error: --hop -2.0: must be above 0")


def test_check_opens_and_creates_nothing(streamclf, write_config, tone_model, tmp_path):
    path = write_config(f'model = "{tone_model}"\noutput = "x.csv"\nsource = "sim:none.wav"\n')
    result = streamclf("config", "--check")
    assert (result.code, result.err) == (0, f"{path}: fine\n")
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]
    assert "give one of them" in streamclf("config", "--check", "--show").err


def test_check_says_that_the_model_cannot_be_opened(streamclf, write_config):
    write_config('model = "none.onnx"\n')
    result = streamclf("config", "--check")
    assert result.code == 2
    assert result.err.startswith("streamclf: error: none.onnx: no such model file")


def test_a_missing_file_is_said(streamclf):
    result = streamclf("config", "--config", "none.toml")
    assert result.code == 2
    assert result.err == "streamclf: error: none.toml: cannot be read: no such file or directory\n"


def test_the_file_given_comes_before_the_users(streamclf, write_config, monkeypatch):
    assert shown(streamclf("config"))["hop"] == (0.5, "default")
    write_config("hop = 3\n")
    assert shown(streamclf("config"))["hop"][0] == 3
    given = write_config("hop = 1\n", "given.toml")
    assert shown(streamclf("config", "--config", given))["hop"][0] == 1
    monkeypatch.setenv("STREAMCLF_CONFIG", str(given))
    assert shown(streamclf("config"))["hop"] == (1.0, f"{given}:1")


UNREAD = (
    "streamclf: warning: ./streamclf.toml is not read, as no folder that one stands in gives "
    "orders: --config streamclf.toml takes its settings"
)


def test_a_file_in_the_working_directory_gives_no_orders(
    streamclf, write_config, scene, tone_model, tmp_path
):
    """Recordings that somebody handed on may have one among them."""
    precious = tmp_path / "precious.json"
    precious.write_text("{}")
    orders = f'stats = "{precious}"\noverwrite = true\nhop = 0.1\nmodel = "none.onnx"\n'
    write_config(orders, "streamclf.toml")
    live = ("listen", "--source", f"sim:{scene}", "--speed", 0, "--model", tone_model)
    result = streamclf(*live)
    assert result.code == 0
    assert precious.read_text() == "{}"
    assert result.err.splitlines()[0] == UNREAD
    assert "every 0.5 s" in result.err
    assert streamclf(*live, "--config", "streamclf.toml").code == 0
    assert json.loads(precious.read_text())["windows"] > 50


def test_a_file_that_is_not_read_is_said_beside_the_one_that_is(streamclf, write_config):
    write_config("hop = 0.1\n", "streamclf.toml")
    result = streamclf("config")
    assert (result.code, result.err) == (0, f"{UNREAD}\n")
    assert shown(result)["hop"] == (0.5, "default")
    check = streamclf("config", "--check")
    assert check.err.splitlines()[0] == UNREAD
    given = streamclf("config", "--config", "streamclf.toml")
    assert (given.err, shown(given)["hop"]) == ("", (0.1, "streamclf.toml:1"))
    own = write_config("hop = 0.2\n")
    both = streamclf("config")
    assert (both.err, shown(both)["hop"]) == (f"{UNREAD}\n", (0.2, f"{own}:1"))


def test_the_users_folder_may_be_the_one_that_one_stands_in(streamclf, write_config, monkeypatch):
    own = write_config("hop = 0.2\n")
    monkeypatch.chdir(own.parent)
    result = streamclf("config")
    assert (result.err, shown(result)["hop"][0]) == ("", 0.2)


@pytest.mark.parametrize("library", ["raises", "leaves ~ as it is"])
def test_a_user_without_a_home_has_no_file(
    streamclf, write_config, scene, tone_model, monkeypatch, library
):
    """Such as a container's, whose number nobody gave a name."""

    def find(name, **_):
        if library == "raises":
            raise RuntimeError("could not determine the home directory")
        return Path("~/.config") / name

    monkeypatch.setattr(platformdirs, "user_config_path", find)
    write_config("hop = 3\n", "~/.config/streamclf/streamclf.toml")
    result = streamclf("config")
    assert (result.code, shown(result)["hop"]) == (0, (0.5, "default"))
    check = streamclf("config", "--check", "--model", tone_model)
    assert (check.code, check.err) == (0, "no file (no home folder to look in): fine\n")
    live = ("listen", "--source", f"sim:{scene}", "--speed", 0, "--model", tone_model)
    assert streamclf(*live).code == 0


@pytest.mark.skipif(os.name != "posix", reason="users by number")
def test_a_user_whom_nobody_knows_can_listen(streamclf, scene, tone_model, monkeypatch):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.undo()
    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    live = ("listen", "--source", f"sim:{scene}", "--speed", 0, "--model", tone_model)
    result = streamclf(*live)
    n_events = sum(line["type"] == "event" for line in result.lines)
    assert (result.code, n_events) == (0, 3)
    assert streamclf("config").code == 0


def test_listen_does_what_the_file_says(streamclf, write_config, write_wav, tone_model):
    sound = write_wav(toys.tone(1000, 4))
    path = write_config(
        f'model = "{tone_model}"\nsource = "sim:{sound}"\nspeed = 0\nformat = "csv"\n'
        'output = "e.jsonl"\n'
    )
    result = streamclf("listen")
    assert result.code == 0
    assert f"settings of {path}" in result.err
    assert result.out.startswith("type,source,label")
    again = streamclf("listen", "--format", "jsonl", "--overwrite")
    assert again.lines[0]["label"] == "middle"


def test_passwords_are_not_shown(streamclf):
    result = streamclf("config", "--source", "rtsp://me:secret@host/cam")
    assert 'source = "rtsp://me:***@host/cam"' in result.out
    assert "secret" not in result.out


VALUES = st.sampled_from(["1", '"hop = 1"', '"""\nhop = 1\n"""', "'''\n[hop]\n'''", "[1,\n 2,\n]"])


@given(before=st.lists(VALUES, max_size=5), after=st.lists(VALUES, max_size=3), value=VALUES)
def test_the_line_found_is_where_the_key_begins(before, after, value):
    others = [f"a{i} = {text}" for i, text in enumerate([*before, *after])]
    above = "".join(f"{text}\n" for text in others[: len(before)])
    text = above + f"hop = {value}\n" + "\n".join(others[len(before) :])
    assert find_line(text, "hop") == above.count("\n") + 1
