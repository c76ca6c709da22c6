"""Workers are forks of one process that has collected the tests, or what xdist makes them."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nest
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from forked_workers import can_fork, watch_for_crashes

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="forks are taken on Linux alone")
PLAIN = SimpleNamespace(popen=True, python=None, chdir=None, via=None)


class _Plugins(set):
    hasplugin = set.__contains__


def _config(plugins=(), dist="worksteal"):
    return SimpleNamespace(pluginmanager=_Plugins(plugins), getoption={"dist": dist}.get)


@needs_linux
def test_workers_of_this_run_are_forks(request):
    info = getattr(request.config, "workerinput", None)
    if info is None or info["workercount"] < 2 or request.config.pluginmanager.hasplugin("_cov"):
        pytest.skip("no workers here, or coverage follows them")
    assert hasattr(sys.modules["__main__"], "nest"), "standard error says why not"


FATAL = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGBUS, signal.SIGILL)


def _caught() -> set[int]:
    """The fatal signals for which this process has a handler, of Python or not."""
    status = Path("/proc/self/status").read_text()
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if "SigCgt" in line)
    return {number for number in FATAL if mask >> (number - 1) & 1}


@needs_linux
def test_crash_is_told_where_the_run_is_watched(request):
    log = request.config.stash[fault_handler_stderr_fd_key]
    assert faulthandler.is_enabled()
    assert _caught() == {*FATAL}
    if hasattr(sys.modules["__main__"], "nest"):
        watched = Path(f"/proc/{os.getppid()}/fd/2").stat()  # of the process that forks
        assert os.path.samestat(os.fstat(log), watched)
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # as a library may leave it
    assert _caught() == {*FATAL} - {signal.SIGSEGV}
    watch_for_crashes(request.config)
    assert _caught() == {*FATAL}


@needs_linux
@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("kill -SEGV $$", "ended by signal 11 (Segmentation fault)"),
        ("kill -KILL $$", "ended by signal 9 (Killed)"),
        ("exit 1", "ended by exit code 1"),
        ("exit 0", "ended by exit code 0"),
        (f"exit {nest._DONE}", None),
    ],
)
def test_worker_that_ends_before_its_tests_is_told_with_how(end, told, capsys):
    script = f"ulimit -c 0; echo gw7 > /proc/$$/comm; {end}"
    with subprocess.Popen(["/bin/sh", "-c", script]) as process:
        nest.tell_end(process.pid)
    said = capsys.readouterr().err
    if told is None:
        assert said == ""
    else:
        assert said.startswith(f"\nworker gw7 (process {process.pid}, ")
        assert said.endswith(f" MiB at most) {told}\n")


@needs_linux
def test_forks_stand_for_plain_workers_alone():
    assert can_fork(_config(), [PLAIN, PLAIN])
    assert not can_fork(_config(), [PLAIN])
    elsewhere = SimpleNamespace(**vars(PLAIN) | {"python": "python3.13"})
    assert not can_fork(_config(), [PLAIN, elsewhere])
    assert not can_fork(_config(plugins=["_cov"]), [PLAIN, PLAIN])
    assert not can_fork(_config(dist="loadgroup"), [PLAIN, PLAIN])


@needs_linux
def test_where_nothing_waits_the_python_of_xdist_begins(tmp_path):
    command = [sys.executable, "-IS", nest.__file__, "worker", tmp_path / "socket"]
    run = subprocess.run(
        [*command, "-u", "-c", "print(input())"], input="as asked\n", capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert run.stdout == "as asked\n"


@needs_linux
@pytest.mark.parametrize("doubt", ["a test that fails to import", "a warning", "a thread", None])
def test_nothing_is_forked_in_doubt(doubt, capsys):
    waiting, control = socket.socketpair()
    with waiting, control:
        its = nest.Nest(control, waiting, 0 if doubt == "a thread" else 1_000)
        its.pytest_collectreport(SimpleNamespace(failed=False, passed=True))
        if doubt == "a test that fails to import":
            its.pytest_collectreport(SimpleNamespace(failed=True, nodeid="test_it.py"))
        elif doubt == "a warning":
            its.pytest_warning_recorded(SimpleNamespace(message="it is old"))
        if doubt is None:
            assert its.doubts == []
            return
        assert its.pytest_runtestloop(None) is True
        assert waiting.fileno() == -1, "those who wait would wait for ever"
    said = capsys.readouterr().err
    assert said.startswith("workers are no forks: ")
    assert said.count("\n") == 1
