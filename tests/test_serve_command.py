"""The command `serve`: its settings file with a table for each source, signals, and its end."""

import json
import os
import signal
import socket
import sqlite3
from pathlib import Path

import platformdirs
import pytest
import toys
import typer
from brokers import free_port
from hypothesis import given
from hypothesis import strategies as st
from live_runs import PATIENCE_S, Process
from serving import rows, runs_of

from streamclf.cli import config as cli_config
from streamclf.cli import main
from streamclf.cli.config_file import ConfigFile
from streamclf.cli.source_tables import FOR_ALL, read_source_tables
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.portaudio import PortAudioBackend

SECOND = toys.RATE


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No file of this machine's user is read or written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: tmp_path / "user" / name)
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / "data" / name)


@pytest.fixture
def box(tmp_path, tone_model):
    """Write a settings file; the model and the store stand in its first two lines."""

    def write(text: str, name: str = "box.toml") -> Path:
        path = tmp_path / name
        path.write_text(f'model = "{tone_model}"\nstore = "box.db"\n{text}', encoding="utf-8")
        return path

    return write


def test_three_sources_with_settings_of_their_own(streamclf, box, scene, picky, tmp_path):
    path = box(
        f"""hop = 0.5
loop = false
[[sources]]
name = "yard"
url = "sim:{scene}?unplug=8,1"
speed = 0
only = "middle"
clips = "clips"

[[sources]]
url = "sim:{scene}"
speed = 0
hop = 0.25
output = ["hall.csv"]
[[sources]]
name = "gate"
url = "sim:{scene}"
speed = 0
model = "{picky}"
threshold = 0.999999
"""
    )
    result = streamclf("serve", "--config", path)
    assert result.code == 0, result.err
    assert result.out == ""  # standard output carries lines only where they are asked for
    assert "serving 3 sources with 2 models; box.db remembers" in result.err
    found = runs_of(tmp_path / "box.db")
    assert set(found) == {"yard", f"sim:{scene}", "gate"}
    for ((first, elapsed, heard, missing),) in found.values():
        assert (first, elapsed) == (0, heard + missing)
    assert found["gate"] == found[f"sim:{scene}"] == [(0, 11 * SECOND, 11 * SECOND, 0)]
    assert found["yard"][0][3] > 0
    labels = rows(
        tmp_path / "box.db",
        "SELECT DISTINCT name, label FROM events JOIN sources ON sources.id = source_id",
    )
    assert ("yard", "middle") in labels
    assert ("yard", "quiet") not in labels
    assert (f"sim:{scene}", "quiet") in labels
    assert [*(tmp_path / "clips").glob("middle/*/*.flac")]
    assert (tmp_path / "hall.csv").read_text().count(f"sim:{scene}") >= 2


def test_without_tables_there_is_one_source(streamclf, box, scene, tmp_path):
    path = box("hop = 0.5\n")
    result = streamclf(
        "serve", "--config", path, "--source", f"sim:{scene}", "--speed", 0, "--name", "hall",
        "-f", "jsonl",
    )  # fmt: skip
    assert result.code == 0
    assert {line["source"] for line in result.lines} == {"hall"}
    assert set(runs_of(tmp_path / "box.db")) == {"hall"}


def test_without_anything_the_default_microphone_is_remembered_in_the_users_folder(
    streamclf, tone_model, tmp_path
):
    result = streamclf("serve", "--check", "--model", tone_model)
    assert result.code == 0
    assert result.err.endswith("fine: microphone\n")
    assert not (tmp_path / "data").exists()


TABLE = "[[sources]]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sources]\nname = 1\n", ":3: sources must be tables: write a line [[sources]]"),
        ("sources = []\n", ":3: sources must be tables"),
        ("sources = [1]\n", ":3: sources must be tables"),
        ('sources = [{name = "a", hopp = 1}]\n', ":3: hopp is unknown (did you mean hop?)"),
        (f'{TABLE}name = "a"\nurl = 5\n', ":5: url 5: must be"),
        (f'{TABLE}url = ["a"]\n', ':4: url is ["a"], must be a text in quotes'),
        (f'{TABLE}name = "a"\n\n{TABLE}name = "b"\nhop = "fast"\n', ':8: hop is "fast", must be'),
        (f'{TABLE}name = "a"\n{TABLE}name = "b"\nhop = -1\n', ":7: --hop -1.0: must be above 0"),
        (f'{TABLE}nam = "a"\n', ":4: nam is unknown (did you mean name?): streamclf serve --help"),
        (f'{TABLE}source = "sim:x"\n', ":4: source is called url in [[sources]]: write url"),
        ('[[source]]\nname = "a"\n', ":3: source is unknown as a table: the tables are"),
        (f"{TABLE}clips = 5\n", ":4: clips is 5, must be a text in quotes"),
        (f"{TABLE}port = 80\n", ":4: port holds for all sources: put it above the first"),
        (f'{TABLE}store = "x"\n', ":4: store holds for all sources"),
        (f'{TABLE}log-level = "debug"\n', ":4: log-level holds for all sources"),
        (f'device = "a"\n{TABLE}name = "a"\n', ":3: device stands beside [[sources]]: put it"),
        (f'name = "a"\n{TABLE}url = "sim:x"\n', ":3: name stands beside [[sources]]"),
        (f'source = "-"\n{TABLE}url = "sim:x"\n', ":3: url stands beside [[sources]]"),
        (f'{TABLE}name = "a"\n{TABLE}name = "a"\n', ":4: --name a: 2 sources have this name"),
        (f'{TABLE}device = "1"\n{TABLE}device = "1"\n', ":3: --name 1: 2 sources have this name"),
        (f'{TABLE}device = "1"\nurl = "sim:x"\n', ":4: --device goes with a microphone"),
        (f'{TABLE}url = "ftp"\n', ":4: url ftp: must be - (standard input), sim:FILE or a URL"),
        (f'{TABLE}url = "-"\n', ":4: url -: standard input is for streamclf listen"),
        (f'{TABLE}url = "rtsp://h/c"\nloop = true\n', ":5: --loop goes with url sim:FILE"),
        (f'{TABLE}url = "sim:x?stall=1"\n', ":4: url sim:x?stall=1: stall=1: must be"),
        (f'{TABLE}name = "a"\nonly = "dgo"\n', ":5: --only dgo: is no label of tones"),
        (f'{TABLE}name = "a"\nmodel = "no.onnx"\n', ":5: --model no.onnx: no such model file"),
        (f'{TABLE}name = "a"\nprovider = "openvino"\n', ":5: --provider openvino was asked for: "),
        (f'{TABLE}name = "a"\nthreshold = 2\n', ":5: --threshold 2.0: must lie between 0 and 1"),
        (f'{TABLE}name = "a"\nthresholds = "n.toml"\n', ":5: --thresholds n.toml: cannot be read"),
        (f'{TABLE}name = "a"\ncalibration-db = 900\n', ":5: --calibration-db 900.0: must be -300"),
        (f'{TABLE}name = "a"\nno_reconnect = 1\n', ":5: no_reconnect is 1, must be true or false"),
        (f'{TABLE}hop = 1\n"hop" = 2\n', ":5: is no TOML: cannot overwrite a value"),
        (f"{TABLE}max-gap = 1\nmax_gap = 2\n", ":5: max_gap is said already in line 4"),
        (f'{TABLE}s = """\n[[sources]]\n"""\n', ":4: s is unknown"),
        (f'{TABLE}name = """\n{TABLE}"""\n{TABLE}hopp = 1\n', ":8: hopp is unknown"),
        ("port = 65536\n", ":3: --port 65536: must be from 1 to 65535, or 0 for no page"),
        ('port = "80"\n', ':3: port is "80", must be a whole number'),
        ("port = true\n", ":3: port is true, must be a whole number"),
        ('port = 8787\nhost = "0.0.0.0"\n', ":4: --host 0.0.0.0: other machines can reach this"),
        ('port = 8787\nproxy = "10.0.0.1"\n', ":4: --proxy 10.0.0.1: others can reach the page"),
        ('base-path = "/a b"\n', ":3: --base-path /a b: must be of letters"),
        (f"{TABLE}port = 1\n", ":4: port holds for all sources: put it above the first"),
        ("hopp = 1\n", ":3: hopp is unknown (did you mean hop?): streamclf serve --help lists"),
        ('rotate = "daily"\n', ":3: --rotate goes with --output"),
        ('hop = 0\n[[sources]]\nname = "a"\n', ":3: --hop 0.0: must be above 0"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(streamclf, box, tmp_path, monkeypatch, text, words):
    path = box(text)
    if "port" in text:
        monkeypatch.delenv("STREAMCLF_PORT")
    for command in (["serve", "--check"], ["serve"]):
        result = streamclf(*command, "--config", path)
        assert result.code in (1, 2)
        assert result.code == 2 or "model" in words or "provider" in words  # as for listen
        *said, error = result.err.splitlines()
        assert error.startswith(f"streamclf: error: {path}{words}"), error
        assert said == [] or command == ["serve"]
        assert result.out == ""
    assert not (tmp_path / "box.db").exists()


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (".", "is a folder, and a store is a file"),
        ("box.toml", "is not a store, and may be a file"),
    ],
)
def test_a_store_that_can_be_none_is_told_with_its_place(streamclf, box, store, reason):
    path = box("")
    path.write_text(path.read_text().replace("box.db", store))
    for command in (["serve", "--check"], ["serve"]):
        result = streamclf(*command, "--config", path)
        assert result.code == 2
        error = result.err.splitlines()[-1]
        assert error.startswith(f"streamclf: error: {path}:2: --store {store}: {reason}")


def test_check_is_fine_and_creates_nothing(streamclf, box, scene, tmp_path):
    path = box(f'port = 8787\n[[sources]]\nname = "a"\nurl = "sim:{scene}"\noutput = ["x.csv"]\n')
    before = sorted(tmp_path.rglob("*"))
    result = streamclf("serve", "--config", path, "--check")
    assert result.code == 0
    assert result.err.splitlines() == [
        f"{path}: fine: a",
    ]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('url = "sim:none.wav?drift=5"', "url sim:none.wav?drift=5: there is no such file; it is"),
        ('url = "rtps://h/c"', "url rtps://h/c: rtps is no protocol of live streams (did you mean"),
        ('url = "http://"', "url http://: names no host: write http://HOST/..."),
        ('device = "usb"', "--device usb: no microphone is called 'usb'; there is 4: hall, Fake; "),
        ('url = "udp://:99"\noutput = ["box.toml/x.csv"]', "--output box.toml/x.csv: "),
        ('url = "udp://:99"\nclips = "box.toml/x"', "--clips box.toml/x: "),
    ],
)
def test_check_warns_of_what_is_not_there(streamclf, box, monkeypatch, text, words):
    hall = InputDevice(4, "hall", "Fake", 1, 48e3)
    monkeypatch.setattr(PortAudioBackend, "list_devices", lambda self: [hall])
    path = box(f'[[sources]]\nname = "a"\n{text}\n')
    result = streamclf("serve", "--config", path, "--check")
    assert result.code == 0
    warning, fine = result.err.splitlines()
    assert warning.startswith(f"streamclf: warning: {path}:{5 + text.count(chr(10))}: {words}")
    assert fine == f"{path}: fine: a"


def test_it_goes_on_with_the_lines_of_the_one_before(streamclf, box, scene, tmp_path):
    path = box(f'[[sources]]\nname = "a"\nurl = "sim:{scene}"\nspeed = 0\noutput = ["x.csv"]\n')
    assert streamclf("serve", "--config", path).code == 0
    before = (tmp_path / "x.csv").read_text()
    again = streamclf("serve", "--config", path)
    assert (again.code, (tmp_path / "x.csv").read_text()[: len(before)]) == (0, before)
    assert len((tmp_path / "x.csv").read_text()) > len(before)
    path.write_text(path.read_text().replace("[[sources]]", "overwrite = true\n[[sources]]"))
    assert streamclf("serve", "--config", path).code == 0
    assert len((tmp_path / "x.csv").read_text()) == len(before)


def test_the_command_line_wins_over_a_table_and_a_table_over_the_file(streamclf, box, scene):
    path = box(f'hop = 1.0\n{TABLE}name = "a"\nurl = "sim:{scene}"\nspeed = 0\nhop = 0.75\n')
    table = streamclf("serve", "--config", path)
    assert "every 0.75 s" in table.err
    line = streamclf("serve", "--config", path, "--hop", 0.25)
    assert "every 0.25 s" in line.err
    wrong = streamclf("serve", "--config", path, "--hop", -1)
    assert wrong.err.splitlines()[-1].startswith("streamclf: error: --hop -1.0: must be above 0")
    for flag in ("--source", "--device", "--name"):
        refused = streamclf("serve", "--config", path, flag, "sim:x" if flag == "--source" else "x")
        assert refused.code == 2
        assert f"error: {flag} " in refused.err
        assert "the settings file has sources of its own" in refused.err


def test_keys_above_hold_for_the_sources_that_they_make_sense_for(streamclf, box, scene):
    path = box(
        'speed = 0\nappend = true\nrotate = "daily"\nno-reconnect = true\nclips-limit = "1GB"\n'
        "clips-days = 30\nclips-min = 5\n"
        f'{TABLE}name = "a"\nurl = "sim:{scene}"\n{TABLE}name = "b"\nurl = "sim:{scene}"\n'
        f'output = ["b.csv"]\n{TABLE}name = "c"\nurl = "rtsp://me:secret@127.0.0.1:1/cam"\n'
    )
    for again in (False, True):
        result = streamclf("serve", "--config", path)
        assert result.code == 1, again  # c cannot be reached, and is not to be tried again
        assert "secret" not in result.err
        assert "error: c: rtsp://me:***@127.0.0.1:1/cam: " in result.err
        assert "a: heard 11.0 s" in result.err
    assert Path("b.csv").read_text().count("event,b,middle") == 2


def test_listen_takes_the_same_file_and_says_what_it_leaves(streamclf, box, scene):
    path = box(
        f'port = 8787\n{TABLE}name = "yard"\nurl = "sim:{scene}"\nspeed = 0\n', "streamclf.toml"
    )
    result = streamclf("listen", "--config", path, "--source", f"sim:{scene}", "--speed", 0)
    assert result.code == 0
    assert result.err.splitlines()[1:3] == [
        f"streamclf: {path}:3: port is for streamclf serve, and is not used here",
        f"streamclf: {path}:4: [[sources]] are for streamclf serve; listen hears one source, "
        "chosen by --device or --source",
    ]
    check = streamclf("config", "--check", "--config", path)
    assert (check.code, check.err.splitlines()[-1]) == (0, f"{path}: fine")


def test_listen_may_call_a_source_as_serve_does(streamclf, box, scene):
    path = box(f'{TABLE}name = "yard"\nurl = "sim:{scene}"\nspeed = 0\n', "streamclf.toml")
    listen = ["listen", "--config", path, "--source", f"sim:{scene}", "--speed", 0]
    heard = streamclf(*listen, "--name", "yard")
    assert f"listening to sim:{scene} as yard with " in heard.err
    assert {json.loads(line)["source"] for line in heard.out.splitlines()} == {"yard"}
    assert streamclf("serve", "--config", path).code == 0
    (source,) = rows(Path("box.db"), "SELECT name FROM sources")
    assert source == ("yard",)
    assert rows(Path("box.db"), "SELECT count(*) FROM runs") == [(2,)]
    refused = streamclf(*listen, "--name", " ")
    assert (refused.code, "--name: is empty: give the source a name" in refused.err) == (2, True)
    masked = streamclf(*listen, "--name", "rtsp://me:secret@host/cam", "--duration", 1)
    assert "secret" not in masked.out + masked.err


def test_serve_takes_a_file_of_listen_and_says_what_it_leaves(streamclf, box, scene):
    path = box(f'source = "sim:{scene}"\nspeed = 0\nduration = 5\nui = false\nstats = "s.json"\n')
    result = streamclf("serve", "--config", path)
    assert result.code == 0
    left = [line for line in result.err.splitlines() if "is for streamclf listen" in line]
    assert len(left) == 3
    assert left[0].endswith(f"{path}:5: duration is for streamclf listen, and is not used here")
    assert not Path("s.json").exists()


def test_the_keys_that_a_command_leaves_are_those_that_only_the_other_has():
    commands = typer.main.get_command(main.app).commands
    keys = {name: set(cli_config.keys_of(commands[name])) for name in ("listen", "serve")}
    assert set(cli_config.OTHERS_KEYS["serve"]) == keys["listen"] - keys["serve"]
    others = set(cli_config.OTHERS_KEYS["listen"])
    assert others - {"sources", "rules", "targets", "mqtt"} == keys["serve"] - keys["listen"]
    assert set(FOR_ALL) <= keys["serve"]


def test_variables_of_the_other_command_are_known(streamclf, tone_model, monkeypatch):
    monkeypatch.setenv("STREAMCLF_NAME", "yard")
    monkeypatch.setenv("STREAMCLF_CHECK", "1")
    result = streamclf("config", "--check", "--model", tone_model)
    assert "STREAMCLF_NAME" not in result.err
    serve = streamclf("serve", "--check", "--model", tone_model)
    assert serve.err.splitlines()[-1].endswith("fine: yard")
    assert "STREAMCLF_CHECK is unknown" in serve.err


VALUES = st.sampled_from(["1", '"[[sources]]"', '"""\n[[sources]]\nhop = 1\n"""', "[\n [1],\n]"])


@given(tables=st.lists(st.lists(VALUES, max_size=3), min_size=1, max_size=3), above=VALUES)
def test_the_line_of_a_key_is_found_in_its_table(tables, above):
    text, places = f"x = {above}\n", []
    for values in tables:
        places.append({"": text.count("\n") + 1})
        text += "[[sources]]\n"
        for number, value in enumerate(values):
            places[-1][f"k{number}"] = text.count("\n") + 1
            text += f"k{number} = {value}\n"
    import tomllib

    file = ConfigFile(Path("f"), {}, {"sources": 1}, text, tomllib.loads(text))
    found = read_source_tables(file, ["k0", "k1", "k2"])
    assert [{"": table.line, **table.lines} for table in found] == places


# ---------------------------------------------------------------- the process


@pytest.fixture
def start():
    started = []

    def begin(*arguments, **options):
        started.append(Process("serve", *arguments, **options))
        return started[-1]

    yield begin
    for process in started:
        process.close()


@pytest.fixture
def endless(box, piece):
    """A settings file of two sources that never end, and of what is added."""

    def write(extra="", **of_source):
        text = ""
        for name in ("yard", "hall"):
            text += f'{TABLE}name = "{name}"\nurl = "sim:{piece}"\nloop = true\n'
            text += of_source.get(name, "")
        return box(text + extra)

    return write


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_sources_together_with_a_line_each(start, endless, tmp_path, sent):
    serving = start("--config", endless())
    serving.until("yard: listening") if "hall: listening" in serving.until(
        ": listening"
    ) else serving.until("hall: listening")
    assert serving.end(sent) == 130
    assert sum("yard: heard " in line for line in serving.said) == 1
    assert sum("hall: heard " in line for line in serving.said) == 1
    assert rows(tmp_path / "box.db", "SELECT DISTINCT state FROM runs") == [("ended",)]


def test_a_hangup_reads_the_file_anew(start, endless, tmp_path, piece):
    path = endless()
    serving = start("--config", path)
    serving.until("listening")
    endless(yard="hop = 0.25\n", extra=f'{TABLE}name = "gate"\nurl = "sim:{piece}"\n')
    serving.process.send_signal(signal.SIGHUP)
    assert serving.until("settings read anew").endswith("yard changes, gate begins")
    serving.until("gate: listening")
    path.write_text(path.read_text() + "hopp = 1\n")
    serving.process.send_signal(signal.SIGHUP)
    told = serving.until("stay")
    n_lines = path.read_text().count("\n")
    assert told.startswith(f"streamclf: error: {path}:{n_lines}: hopp is unknown")
    assert serving.end(signal.SIGTERM) == 130
    for ((_, elapsed, heard, missing),) in runs_of(tmp_path / "box.db").values():
        assert (elapsed, missing) == (heard, 0)


def test_a_file_that_is_gone_ends_no_source(start, endless, tmp_path):
    """An editor may rename it for a moment; no option names the user's own file."""
    own = tmp_path / "config" / "streamclf" / "streamclf.toml"
    own.parent.mkdir(parents=True)
    endless().rename(own)
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    serving = start(env=environment)
    serving.until("listening")
    serving.until("listening")
    own.rename(tmp_path / "moved.toml")
    serving.process.send_signal(signal.SIGHUP)
    assert f"error: {own}: cannot be read: no such file or directory; " in serving.until("stay")
    assert serving.end(signal.SIGTERM) == 130
    assert set(runs_of(tmp_path / "box.db")) == {"yard", "hall"}


def test_a_second_one_on_the_same_store_is_refused(start, streamclf, endless, tmp_path):
    path = endless()
    serving = start("--config", path)
    serving.until("listening")
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "box.db")
    for store in ("box.db", link):
        result = streamclf("serve", "--config", path, "--store", store, "--port", free_port())
        assert result.code == 1
        assert "the page is at" not in result.err
        error = result.err.splitlines()[-1]
        assert error.startswith(f"streamclf: error: {store}: another streamclf serve writes this")
    assert streamclf("serve", "--config", path, "--check").code == 0
    assert serving.end(signal.SIGTERM) == 130


@pytest.mark.slow
def test_after_a_kill_the_next_one_goes_on(start, endless, tmp_path):
    path = endless()
    serving = start("--config", path)
    serving.until("listening")
    serving.until("listening")
    serving.process.kill()
    serving.wait()
    again = start("--config", path)
    again.until("serving 2 sources")
    assert again.end(signal.SIGTERM) == 130
    connection = sqlite3.connect(tmp_path / "box.db")
    states = connection.execute("SELECT state, count(*) FROM runs GROUP BY 1").fetchall()
    sums = connection.execute(
        "SELECT count(*) FROM runs WHERE elapsed_samples != heard_samples + gap_samples"
    ).fetchone()
    connection.close()
    assert ("open",) not in [(state,) for state, _ in states]
    assert sums == (0,)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_systemd_hears_that_all_sources_are_alive(start, endless, tmp_path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(PATIENCE_S)
    environment = {
        **os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000",
    }  # fmt: skip
    missing = f'{TABLE}name = "gate"\nurl = "sim:none.wav"\n'
    serving = start("--config", endless(missing), env=environment)
    with listener:
        told = [listener.recv(4096).decode()]
        while "WATCHDOG=1" not in told or not any(each.startswith("STATUS=") for each in told):
            told.append(listener.recv(4096).decode())
        assert told[0] == "READY=1"  # a source that is waited for does not hold the start up
        status = next(each for each in told if each.startswith("STATUS="))
        assert status.startswith("STATUS=3 sources: ")
        assert serving.end(signal.SIGTERM) == 130


def test_lines_on_standard_output_come_from_all_sources(start, endless):
    serving = start("--config", endless(), "--updates", "-k", 1)
    seen = set()
    while seen != {"yard", "hall"}:
        seen.add(json.loads(serving.process.stdout.readline())["source"])
    assert serving.end(signal.SIGINT) == 130


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_a_place_for_no_store_is_not_said_to_be_in_use(streamclf, tone_model):
    """The lock beside the store cannot be made there, as nothing can."""
    result = streamclf("serve", "--model", tone_model, "--store", "/proc/x.db")
    assert result.code == 1
    assert result.err == (
        "streamclf: error: /proc/x.db: cannot be opened: no such file or directory; make room, or "
        "name another file\n"
    )
