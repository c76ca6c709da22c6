"""Processes of the program that begin with everything imported: forks of one that waits for them.

Starting Python and importing what a command needs takes longer than most of what tests let such a
process do. Here one process does that once, for all workers that are forks (`nest.py`), and for
each other worker. It is asked for each process of a test and
forks. The child is given the streams, the environment and the folder that a started process would
have, and runs the program from its first line on. As far as signals, pipes, files and exit codes
go, it is a process of its own.

Such a process shows neither how Python starts nor how it takes its modules down at the end. Each
kind of question that depends on one of these has a test that says ``fork=False``. `begin` starts
Python by itself where a fork could not be the same.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

START = [sys.executable, "-m", "streamclf"]
"""How a process is started that is not prepared."""
_READ_AT_START = (
    "PYTHON", "LC_", "LANG", "LD_", "OMP_", "OPENBLAS_", "MALLOC_", "ORT_", "TEXTUAL",
)  # fmt: skip
"""Variables with such a beginning are read while Python starts and imports."""
_IMPORTED = (
    "av", "numpy", "onnx", "soundfile", "streamclf.cli.bench", "streamclf.cli.config",
    "streamclf.cli.devices", "streamclf.cli.file", "streamclf.cli.info", "streamclf.cli.listen",
    "streamclf.cli.main", "streamclf.cli.serve", "streamclf.cli.verify", "streamclf.dashboard.app",
    "streamclf.web.server",
)  # fmt: skip
"""Not ONNX Runtime: it begins threads when it is imported, and a fork would wait for them."""
_LONGEST_REQUEST = 1 << 20
_HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
"""Signals that a fork gets when it is ready for them, and not before."""


def begin(
    *arguments: object, closed: tuple[int, ...] = (), fork: bool = True, **options: Any
) -> subprocess.Popen:
    """Begin ``streamclf ARGUMENTS`` in a process of its own.

    Args:
        arguments: What stands behind ``streamclf``.
        closed: Those of the standard streams, 0 to 2, that the process begins without.
        fork: Whether a fork may stand for a process that Python starts.
        options: As those of `subprocess.Popen`.
    """
    given = [str(argument) for argument in arguments]
    if fork and _Parent.can_fork(options):
        return _Forked(given, closed, **options)
    shell = "".join(f" {n}{'<' if n == 0 else '>'}&-" for n in closed)
    before = ["/bin/sh", "-c", f'exec "$@"{shell}', "sh"] if closed else []
    return subprocess.Popen([*before, *START, *given], **options)


def run(
    *arguments: object, timeout: float | None = None, check: bool = False, **options: Any
) -> subprocess.CompletedProcess:
    """Run ``streamclf ARGUMENTS`` to its end, as `subprocess.run` does and with its options."""
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    data = options.pop("input", None)
    if data is not None:
        options["stdin"] = subprocess.PIPE
    with begin(*arguments, **options) as process:
        try:
            out, err = process.communicate(data, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


class _Parent:
    """The process that forks for this worker, or for all."""

    _now: _Parent | None = None
    _beginning = threading.Lock()

    def __init__(self) -> None:
        self._variables = _read_at_start(os.environ)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )

    @classmethod
    def can_fork(cls, options: dict[str, Any]) -> bool:
        """Whether a fork would be the same as a process that is started with these options."""
        usual = {"stdin", "stdout", "stderr", "text", "env", "cwd", "bufsize", "start_new_session"}
        if sys.platform != "linux" or options.keys() - usual:
            return False
        return _read_at_start(options.get("env") or os.environ) == cls.start()._variables

    @classmethod
    def start(cls) -> _Parent:
        """Start it, if it has not been: it will be ready when it is asked for something."""
        with cls._beginning:
            if cls._now is None:
                cls._now = cls()
            return cls._now

    @classmethod
    def close(cls) -> None:
        """Let it end; it does when all processes that share it have said so."""
        if cls._now is not None:
            cls._now._socket.close()
            cls._now._process.wait()
            cls._now = None

    @classmethod
    def fork(cls, request: dict[str, Any], streams: list[int]) -> tuple[int, socket.socket]:
        """The number of a new process, and what its end comes through."""
        assert cls._now is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            data = json.dumps(request).encode()
            socket.send_fds(cls._now._socket, [data], [theirs.fileno(), *streams])
        return _number(ours.recv(32)), ours


start, close = _Parent.start, _Parent.close


def _number(told: bytes) -> int:
    if not told:
        raise RuntimeError("the process that forks for tests has ended: its traceback says why")
    return int(told)


def _read_at_start(variables: Any) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(_READ_AT_START)}


class _Forked(subprocess.Popen):
    """A process that is a fork; all else is as with any other."""

    def __init__(self, arguments: list[str], closed: tuple[int, ...], **options: Any) -> None:
        self._closed = closed
        super().__init__([*START, *arguments], **options)

    def _execute_child(self, args: Any, *given_to_start: Any) -> None:
        _, _, _, _, cwd, env, _, _, _, *rest = given_to_start
        pipes, session = rest[:6], rest[11]
        stdin, stdout, stderr = pipes[0], pipes[3], pipes[5]
        given = {n: n if each == -1 else each for n, each in enumerate((stdin, stdout, stderr))}
        given = {n: each for n, each in given.items() if n not in self._closed}
        request = {
            "arguments": args[len(START) :], "streams": list(given), "session": bool(session),
            "folder": str(cwd or Path.cwd()), "variables": dict(env or os.environ),
        }  # fmt: skip
        self.pid, self._end = _Parent.fork(request, list(given.values()))
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """Its number and how it ended; nothing where that was not to be waited for."""
        flags = socket.MSG_DONTWAIT if wait_flags & os.WNOHANG else 0
        try:
            status = _number(self._end.recv(32, flags))
        except BlockingIOError:
            return 0, 0
        self._end.close()
        return self.pid, status

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


def _wait_for_requests(number: int) -> dict[str, Any]:
    """Fork at each request, and tell of each end; returns in the children alone.

    Signals that `_HELD_BACK` names are blocked there until the child is ready for them.
    """
    requests = socket.socket(fileno=number)
    waking, woken = socket.socketpair()
    for each in (waking, woken):
        each.setblocking(False)
    at_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a keyboard: for the tests
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    ends: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(requests, selectors.EVENT_READ)
        ready.register(waking, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is waking:
                    with contextlib.suppress(BlockingIOError):
                        waking.recv(4096)
                    _tell_ends(ends)
                    continue
                if key.fileobj is not requests:  # whoever waited for this one knows how it ended
                    ready.unregister(key.fileobj)
                    _reap(ends, key.data)
                    continue
                data, streams, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 4)
                if not data:
                    os._exit(0)
                end = socket.socket(fileno=streams.pop(0))
                signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.signal(signal.SIGINT, at_interrupt)
                    return json.loads(data) | {"given": streams}
                for stream in streams:
                    os.close(stream)
                ends[pid] = end
                ready.register(end, selectors.EVENT_READ, pid)
                end.send(b"%d" % pid)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)


def _tell_ends(ends: dict[int, socket.socket]) -> None:
    """Tell how processes ended, and keep their numbers until whoever waits has been told."""
    for pid, end in ends.items():
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            exited = ended.si_code == os.CLD_EXITED
            with contextlib.suppress(OSError):
                end.send(b"%d" % (ended.si_status << 8 if exited else ended.si_status))


def _reap(ends: dict[int, socket.socket], pid: int) -> None:
    ends.pop(pid).close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _become(request: dict[str, Any]) -> None:
    """Take over what a started process would have been given."""
    given = dict(zip(request["streams"], request["given"], strict=True))
    # Beyond all numbers that are theirs in the end.
    above = {n: os.dup2(each, 100 + n) for n, each in given.items()}
    for n in range(3):
        if n in above:
            os.dup2(above[n], n)
        else:
            with contextlib.suppress(OSError):
                os.close(n)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.close(int(name))
    for n, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        stream = _open_stream(n, mode) if n in given else None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if request["session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    time.tzset()
    sys.path.insert(0, request["folder"])  # as `-m` does
    sys.argv = ["streamclf", *request["arguments"]]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)


def _open_stream(number: int, mode: str) -> Any:
    """As Python opens it when it starts."""
    errors = "backslashreplace" if number == 2 else "strict"
    newline = "\n" if number else None
    stream = open(number, mode, encoding="utf-8", errors=errors, newline=newline, closefd=False)  # noqa: SIM115
    if number:
        stream.reconfigure(line_buffering=number == 2 or stream.isatty())
    return stream


def _end(code: Any) -> NoReturn:
    """End as `multiprocessing` ends its forks: modules are not taken down.

    That would copy all memory that is shared with the process that forks, and take longer than
    most of what tests ask of it.
    """
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    import gc
    import importlib.util

    gc.disable()
    sys.path[:] = [path for path in sys.path if path != str(Path(__file__).parent)]
    for _name in _IMPORTED:
        importlib.import_module(_name)
    assert "onnxruntime" not in sys.modules
    assert threading.active_count() == 1
    __spec__ = importlib.util.find_spec("streamclf.__main__")  # what processes of its own ask for
    gc.freeze()
    gc.enable()
    _become(_wait_for_requests(int(sys.argv[1])))
    from streamclf.cli.main import main

    try:
        main()
    except SystemExit as _ended:
        _end(_ended.code)
