"""Passwords and control characters never come out."""

import ast
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core import log
from streamclf.core.errors import RecordingError, StreamclfError, UsageError
from streamclf.core.redaction import mask_text, mask_url, one_line, show_safely
from streamclf.dashboard.launch import write_log
from streamclf.sources.factory import open_source
from streamclf.sources.options import SourceOptions
from streamclf.sources.stream.url_stream import UrlStream

ROOT = Path(__file__).parents[1]
URL = "rtsp://me:secret@127.0.0.1:1/live"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://radio/live", "http://radio/live"),
        ("http://me@radio/live", "http://me@radio/live"),
        ("http://radio:8000/@me/live", "http://radio:8000/@me/live"),
        ("http://[::1]:80/@me", "http://[::1]:80/@me"),
        ("rtsp://me:secret@camera:554/1?a=b", "rtsp://me:***@camera:554/1?a=b"),
        ("rtsp://me:se:cr@et@camera/1", "rtsp://me:***@camera/1"),
        ("rtsp://me:se/cr?e#t@camera/1", "rtsp://me:***@camera/1"),
        ("http://me:secret@[::1]:80/", "http://me:***@[::1]:80/"),
        ("http://:secret@host/", "http://:***@host/"),
        ("rtsp:/me:secret@host", "rtsp:/me:***@host"),
        ("me:secret@host/1", "me:***@host/1"),
        ("rtsp//me:secret@host/1", "rtsp//me:***@host/1"),
        ("me:secret@host//1", "me:***@host//1"),
        ("http://h/1?token=secret&n=2", "http://h/1?token=***&n=2"),
        ("http://h/1?n=2&ApiKey=secret#x", "http://h/1?n=2&ApiKey=***#x"),
        ("rtsp://h/user=me&password=secret&channel=1", "rtsp://h/user=me&password=***&channel=1"),
        ("http://h/monkey=3?keys=2", "http://h/monkey=3?keys=2"),
    ],
)
def test_passwords_in_urls_are_masked(url, shown):
    assert mask_url(url) == shown
    if "://" in url:
        assert UrlStream(url).name == shown
        assert mask_text(f"cannot open '{url}': no") == f"cannot open '{shown}': no"
        assert mask_text(f"{url}: no, see ({url}).") == f"{shown}: no, see ({shown})."


@given(
    password=st.from_regex(
        r"[A-Za-z][!#$%&()*+,./0-9:;=?A-Za-z\[\]^_`{|}~-]{7,20}", fullmatch=True
    ),
    host=st.from_regex(r"[a-z]{3,8}(:[0-9]{2,4})?", fullmatch=True),
)
def test_no_password_before_a_host_comes_through(password, host):
    assert password not in mask_url(f"rtsp://me:{password}@{host}/live")
    assert password not in str(StreamclfError(f"rtsp://me:{password}@{host}/live: broke off"))


@given(st.text())
def test_masking_takes_any_text(text):
    mask_url(text)
    mask_text(f"x:/{text}")
    assert not any(letter in show_safely(text) for letter in "\x1b\x07\x9b\u202e\r")


def logged(message: str, kind: str) -> str:
    """The line that a message becomes."""
    record = logging.LogRecord("streamclf", logging.INFO, "", 0, message, None, None)
    return log._FORMATTERS[kind]().format(record)


def test_messages_errors_and_options_hold_no_password(tmp_path, streamclf, tone_model):
    assert "secret" not in str(StreamclfError(f"{URL}: is no audio"))
    for kind in ("text", "json"):
        assert "rtsp://me:***@127.0.0.1:1/live" in logged(f"listening to {URL}", kind)
    for options in [{"device": "usb"}, {"raw": "s16:8000:1"}, {"speed": 1.0}]:
        with pytest.raises(UsageError) as caught:
            SourceOptions(source=URL, **options)
        assert "rtsp://me:***@" in str(caught.value)
    with pytest.raises(UsageError) as caught:
        SourceOptions(source="me:secret@camera", device="usb")
    assert "the source here is me:***@camera" in str(caught.value)
    with pytest.raises(UsageError) as caught:
        open_source(SourceOptions(source="me:secret@camera"))
    assert "me:***@camera" in str(caught.value)
    with pytest.raises(UsageError) as caught:
        UrlStream("rtsp://me:secret@[::1/")
    assert "secret" not in str(caught.value)
    for arguments in [("listen", "--source", URL), ("listen", URL), ("file", URL)]:
        result = streamclf(*arguments, "--model", tone_model)
        assert result.code
        assert "127.0.0.1" in result.err
        assert "secret" not in result.err + result.out


def test_tracebacks_and_logs_hold_no_password(tmp_path, streamclf, monkeypatch):
    def fail(*arguments, **keywords):
        raise ValueError(f"cannot open {URL}")

    monkeypatch.setenv("STREAMCLF_TRACEBACK", "1")
    monkeypatch.setattr("streamclf.cli.listen.listen", fail)
    result = streamclf("listen", "--source", URL)
    assert "Traceback" in result.err
    assert "secret" not in result.err
    try:
        fail()
    except ValueError as error:
        written = write_log(error, tmp_path / "log.txt")
    assert "rtsp://me:***@" in written.read_text()


def test_control_characters_do_not_reach_the_terminal(streamclf, write_wav, tone_model):
    assert logged("no\x1b[2Jthing", "text") == "streamclf: no\\x1b[2Jthing"
    assert "\x1b" not in logged("no\x1b[2Jthing", "json")
    assert show_safely("a\tb\nü 日本") == "a\tb\nü 日本"
    assert one_line("a\tb\nü  日本\x1b") == "a\\tb\\nü  日本\\x1b"
    path = write_wav([0.0] * 8000, "a\x1b[2Jb.wav")
    path.write_bytes(b"no audio")
    result = streamclf("file", path, "--model", tone_model)
    assert "\x1b" not in result.err
    assert "\\x1b[2Jb.wav" in result.err


@pytest.mark.parametrize("chosen", ["text", "json"])
def test_a_file_name_is_said_as_it_is_in_one_line(
    streamclf, write_wav, tone_model, scene, tmp_path, chosen
):
    """Two blanks are two, and a line break is told from a blank."""
    path = write_wav([0.0] * 8000, "a\nb  c\td.wav")
    path.write_bytes(scene.read_bytes()[:20_000])
    result = streamclf("file", path, "--model", tone_model, "--log-format", chosen)
    assert result.code == 1
    lines = result.err.splitlines()
    shown = "a\\nb  c\\td.wav: is cut short"
    assert sum(shown in (json.loads(x)["message"] if chosen == "json" else x) for x in lines) == 1
    assert str(RecordingError(f"{path}: gone\n")).endswith("a\\nb  c\\td.wav: gone")


def test_nothing_is_unpickled_anywhere():
    found = []
    files = [p for name in ("streamclf", "train", "export") for p in (ROOT / name).rglob("*.py")]
    assert len(files) > 100
    for path in files:
        found += [f"{path.name}:{line}" for line in unsafe_lines(path.read_text(encoding="utf-8"))]
    assert not found


def test_unsafe_lines_are_seen():
    unsafe = ["import pickle", "from joblib import load", "import numpy as np\nnp.load(f)",
              "np.load(f, allow_pickle=True)", "torch.load(f)", "torch.load(f, weights_only=False)",
              "import yaml", "eval('1')", "pandas.read_pickle(f)"]  # fmt: skip
    assert all(unsafe_lines(text) for text in unsafe)
    safe = ["np.load(f, allow_pickle=False)", "torch.load(f, weights_only=True)", "network.eval()"]
    assert not any(unsafe_lines(text) for text in safe)


MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}


def unsafe_lines(text: str) -> list[int]:
    """Lines that unpickle, or may."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            names = ["pickle"] if is_unsafe_call(node) else []
        else:
            continue
        lines += [node.lineno for name in names if name.partition(".")[0] in MODULES]
    return lines


def is_unsafe_call(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in ("eval", "exec")
    if not isinstance(call.func, ast.Attribute) or not isinstance(call.func.value, ast.Name):
        return False
    owner, name = call.func.value.id, call.func.attr
    said = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
    if (owner, name) == ("torch", "load"):
        return said.get("weights_only") is not True
    if owner in ("np", "numpy") and name in ("load", "read_array"):
        return said.get("allow_pickle") is not False
    return name == "read_pickle"
