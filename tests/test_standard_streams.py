"""Standard streams that are closed, or that do not wait: every command says so, nothing is lost."""

import contextlib
import fcntl
import itertools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import prepared
import pytest
import soundfile
import toys
from live_runs import PATIENCE_S

from streamclf.core import log, standard_streams
from streamclf.core.errors import StreamError
from streamclf.core.standard_streams import ClosedStream, flush_output
from streamclf.runs.background_log import log_in_background
from streamclf.runs.console import Bars, has_terminal
from streamclf.sinks.lines import LineFile
from streamclf.sinks.live.pipes import OutputTarget
from streamclf.sources.stream.standard_input import StandardInput

pytestmark = pytest.mark.skipif(os.name != "posix", reason="closes descriptors as a shell does")

SUBSETS = [closed for n in range(4) for closed in itertools.combinations((0, 1, 2), n)]
NAMES = {0: "stdin", 1: "stdout", 2: "stderr"}


def run(closed, *arguments, **options):
    """A command in a process of its own, without some of the standard streams."""
    return prepared.run(
        *arguments, closed=closed, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=PATIENCE_S, **options,
    )  # fmt: skip


def named(closed):
    return "+".join(NAMES[n] for n in closed) or "none"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A tone of 4 s between silences, the same file for all."""
    path = tmp_path_factory.mktemp("sound") / "scene.wav"
    parts = [toys.silence(3), toys.tone(1000, 4), toys.silence(4)]
    soundfile.write(path, np.concatenate(parts), toys.RATE)
    return path


@pytest.fixture(scope="module")
def usual(sound, tone_model, tmp_path_factory):
    """What a command prints of that file with all standard streams, asked once a format."""
    known = {}

    def ask(format):
        if format not in known:
            name = {"jsonl": "x.jsonl", "audacity": "x.txt"}[format]
            path = tmp_path_factory.mktemp("usual") / name
            result = run((), "file", sound, "--model", tone_model, "-f", format, "-o", path)
            assert result.stdout == path.read_bytes()
            known[format] = result.stdout
        return known[format]

    return ask


@pytest.mark.parametrize("closed", SUBSETS, ids=named)
def test_recordings_are_heard_whatever_is_closed(closed, sound, usual, tone_model, tmp_path):
    """What was written is what is written with all of them: no message got into a file.

    Here Python itself starts without them.
    """
    files = [tmp_path / name for name in ("x.jsonl", "x.csv", "scores.csv", "x.npz")]
    result = run(
        closed, "file", sound, tmp_path / "none.wav", "--model", tone_model, "-o", files[0],
        "-o", files[1], "--scores", files[2], "--stats", tmp_path / "s.json", "--hop", 0.5,
        fork=False,
    )  # fmt: skip
    assert result.returncode == 1  # for none.wav, which is said where that can be
    assert b"mistake" not in result.stderr
    assert (b"none.wav" in result.stderr) is (2 not in closed)
    assert files[0].read_bytes() == usual("jsonl")
    assert result.stdout == (b"" if 1 in closed else usual("jsonl"))
    assert len(files[2].read_bytes().splitlines()) == 21


@pytest.mark.parametrize("closed", SUBSETS, ids=named)
def test_live_audio_is_heard_whatever_is_closed(closed, sound, usual, tone_model, tmp_path):
    path = tmp_path / "x.txt"
    arguments = ["listen", "--source", f"sim:{sound}", "--speed", 0, "--model", tone_model]
    result = run(closed, *arguments, "-f", "audacity", "-o", path)
    assert result.returncode == 0
    assert path.read_bytes() == usual("audacity")
    assert result.stdout == (b"" if 1 in closed else usual("audacity"))
    said = b"standard output is closed: results go to the other outputs alone" in result.stderr
    assert said is (closed == (1,) or closed == (0, 1))
    assert b"mistake" not in result.stderr


@pytest.mark.parametrize("closed", SUBSETS[1:], ids=named)
@pytest.mark.parametrize(
    "arguments",
    [["info", "MODEL"], ["config"], ["config", "--check", "--model", "MODEL"], ["--help"],
     ["devices"], ["bench", "--seconds", "0.5", "--model", "MODEL"]],
    ids=lambda arguments: arguments[0] + ("-check" if "--check" in arguments else ""),
)  # fmt: skip
def test_what_prints_says_that_it_cannot(closed, arguments, usual_codes, piece, tone_model):
    given = [{"MODEL": tone_model, "SOUND": piece}.get(each, each) for each in arguments]
    code, prints = usual_codes(given)
    result = run(closed, *given, fork=given != ["config"])
    assert b"mistake" not in result.stderr
    assert b"Traceback" not in result.stderr
    lost = 1 in closed and prints
    assert result.returncode == (1 if lost else code)
    if lost and 2 not in closed:
        assert result.stderr.splitlines()[-1].startswith(
            b"streamclf: error: standard output is closed: what was printed is lost"
        )


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=named)
def test_verify_says_that_it_cannot_print(closed, piece, tone_model):
    result = run(closed, "verify", piece, "--model", tone_model)
    assert result.returncode == int(1 in closed)
    assert b"mistake" not in result.stderr
    assert bool(result.stdout) is (1 not in closed)


@pytest.fixture(scope="module")
def usual_codes():
    """What a command's end is with all standard streams, and whether it prints; asked once."""
    known = {}

    def ask(arguments):
        key = tuple(map(str, arguments[:2]))
        if key not in known:
            result = run((), *arguments)
            assert b"mistake" not in result.stderr
            assert b"Traceback" not in result.stderr
            known[key] = result.returncode, bool(result.stdout)
        return known[key]

    return ask


def test_without_any_output_nothing_is_begun(scene, tone_model):
    for command in (["file", scene], ["listen", "--source", f"sim:{scene}", "--speed", 0]):
        result = run((1,), *command, "--model", tone_model)
        assert result.returncode == 2
        (line,) = result.stderr.decode().splitlines()
        assert line.startswith("streamclf: error: standard output is closed, and there is no other")


def test_listening_to_a_closed_standard_input_is_one_line(tone_model):
    result = run((0,), "listen", "--source", "-", "--model", tone_model)
    (line,) = result.stderr.decode().splitlines()
    assert (result.returncode, result.stdout) == (1, b"")
    assert line.startswith("streamclf: error: standard input is closed: --source - listens to")
    result = run((0,), "file", "-", "--model", tone_model)
    (line,) = result.stderr.decode().splitlines()
    assert (result.returncode, result.stdout) == (1, b"")
    assert "-: standard input is closed: pipe a recording in" in line


@pytest.mark.parametrize(
    "arguments",
    [["info", "MODEL"], ["info", "--json", "MODEL"], ["config"], ["file", "--help"], ["--version"]],
    ids=" ".join,
)
def test_a_disk_that_takes_nothing_of_what_is_printed_is_one_line(arguments, tone_model):
    given = [str(tone_model) if each == "MODEL" else each for each in arguments]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        result = prepared.run(*given, stdout=full, stderr=subprocess.PIPE)
    (line,) = result.stderr.decode().splitlines()
    assert result.returncode == 1
    assert line.startswith(
        "streamclf: error: standard output cannot be written: no space left on device: what was"
    )


def test_parts_of_the_library_live_without_standard_streams(monkeypatch):
    """As below pythonw.exe, where nobody opened anything in their place."""
    for name in NAMES.values():
        monkeypatch.setattr(sys, name, None)
    assert not has_terminal()
    log.say("nobody reads this")
    with log_in_background():
        log.say("nor this")
    with Bars(2) as bars:
        bars.say("nor this")
    with pytest.raises(StreamError, match="standard input is closed"):
        StandardInput()


def test_text_for_nowhere_is_counted(monkeypatch):
    closed = ClosedStream()
    monkeypatch.setattr(sys, "stdout", closed)
    assert flush_output() is None
    print("lost")
    assert closed.n_written == 5
    assert flush_output() == "standard output is closed"
    with pytest.raises(TypeError):
        closed.write(b"bytes")
    assert standard_streams.is_closed(closed)


@pytest.fixture
def stuck_pipe():
    """A pipe that somebody set not to wait, full already, and a reader that takes its time."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    n_before = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            n_before += os.write(writing, b"x" * 1024)
    taken = bytearray()

    def read():
        # Slow at first, so that a program begins to write while there is no room.
        while data := os.read(reading, n_before // 100 if len(taken) < n_before else 1000):
            taken.extend(data)
            time.sleep(0.02 if len(taken) < n_before else 0.0005)

    thread = threading.Thread(target=read)
    thread.start()

    def finish() -> bytes:
        if not closed:
            closed.append(True)
            os.close(writing)
            thread.join(PATIENCE_S)
            os.close(reading)
        return bytes(taken[n_before:])

    closed: list[bool] = []
    yield writing, finish
    finish()


@pytest.mark.parametrize("arguments", [["info", "--json"], ["--help"]], ids=lambda given: given[0])
def test_output_that_does_not_wait_gets_all_that_is_printed(stuck_pipe, arguments, tone_model):
    """A parent such as an event loop has set O_NONBLOCK on the pipe that it shares."""
    given = [*arguments, str(tone_model)] if arguments[0] == "info" else arguments
    usual = run((), *given)
    writing, finish = stuck_pipe
    result = prepared.run(*given, stdout=writing, stderr=subprocess.PIPE, timeout=PATIENCE_S)
    assert usual.returncode == result.returncode == 0
    assert finish() == usual.stdout


def test_output_that_does_not_wait_gets_all_results(scene, tone_model, tmp_path):
    path, (reading, writing) = tmp_path / "x.csv", os.pipe()
    os.set_blocking(writing, False)
    n_before = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            n_before += os.write(writing, b"x" * 4096)
    command = ("file", scene, "--model", tone_model, "-f", "csv", "-o", path)
    process = prepared.begin(*command, stdout=writing)
    os.close(writing)
    # Files come first: when one has a line, standard output is asked to take it.
    while process.poll() is None and not (path.exists() and path.read_bytes()):
        time.sleep(0.01)
    with os.fdopen(reading, "rb") as pipe:
        taken = pipe.read()
    assert process.wait(PATIENCE_S) == 0
    assert taken[n_before:] == path.read_bytes()
    assert path.read_bytes().count(b"\n") == 4


def test_lines_that_do_not_fit_are_waited_for(stuck_pipe, monkeypatch):
    writing, finish = stuck_pipe
    with open(writing, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        file = LineFile(None)
        for number in range(2000):
            file.write(f"{number:0100d}")
        file.close()
    assert finish() == b"".join(b"%0100d\n" % number for number in range(2000))


def test_a_live_run_waits_a_moment_for_room_before_it_turns_to_something_else(stuck_pipe):
    writing, finish = stuck_pipe
    target, rest = OutputTarget("out", writing), b"x" * 100_000
    n_refused = 0
    while rest:
        try:
            rest = rest[target.put(rest) :]
        except BlockingIOError:
            n_refused += 1
    assert finish() == b"x" * 100_000
    assert n_refused < 60
