"""One process that collects the tests, and the workers of pytest-xdist as forks of it.

Each worker of its own imports the same modules and collects the same tests: seven seconds of a
processor, each time. Here one process does so and waits. For each worker xdist starts this file as
if it were Python; that small process hands its streams to the one that waits, and lives as long as
the fork that takes them. The fork goes on where pytest begins to run tests.

Where something speaks against forks (tests that cannot be collected, threads that run already),
the small process becomes the Python that xdist asked for, and all is as without this file.
`forked_workers.py` holds the hooks by which the process of xdist begins this.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any, NoReturn

_PATIENCE_S = 600
_MANY = 1_000
"""So many tests are worth the five seconds of `early.prepare`."""
_DONE = 99
"""The exit code of a fork that pytest is done with; any other end is told, 0 too."""


def stand_for_a_worker(path: str, *python: str) -> NoReturn:
    """Hand the streams to the process that collects; without one become what xdist asked for.

    Args:
        path: The socket at which the other process waits.
        python: What Python would have been started with.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a keyboard: the fork hears it too
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.settimeout(_PATIENCE_S)
        with contextlib.suppress(OSError):
            waiting.connect(path)
            socket.send_fds(waiting, [b"1"], [0, 1])
            if waiting.recv(1):
                for stream in (0, 1):  # the fork alone shall hold them
                    os.close(stream)
                waiting.settimeout(None)
                waiting.recv(1)
                os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.execv(sys.executable, [sys.executable, *python])


class Nest:
    """The plugin of pytest that forks after collection.

    Args:
        control: A socket that ends when no more workers are wanted.
        waiting: A socket at which those come who stand for workers.
        n_threads: How many threads the process may have, with those of libraries.
    """

    def __init__(self, control: socket.socket, waiting: socket.socket, n_threads: int) -> None:
        self._control, self._waiting, self._n_threads = control, waiting, n_threads
        self.doubts: list[str] = []
        self._skipped: list[Any] = []
        self.gateway: Gateway | None = None

    def pytest_collectreport(self, report: Any) -> None:
        """Keep what the process of xdist is told of collection."""
        if report.failed:
            self.doubts.append(f"{report.nodeid} could not be collected")
        elif not report.passed:
            self._skipped.append(report)

    def pytest_warning_recorded(self, warning_message: Any) -> None:
        """Leave it to others to tell warnings."""
        self.doubts.append(f"there was a warning: {warning_message.message}")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Prepare what many tests would prepare in each fork."""
        if len(items) >= _MANY:
            from pathlib import Path

            import early

            early.prepare(Path(self._waiting.getsockname()).parent / "matplotlib")

    def pytest_internalerror(self, excrepr: object) -> None:
        """Leave it to others to tell errors."""
        self.doubts.append(f"pytest failed: {excrepr}")

    def pytest_runtestloop(self, session: Any) -> bool:
        """Fork; what returns is a worker that has run its tests, or one that never worked."""
        import threading

        threads = _list_threads()
        if threading.active_count() > 1 or len(threads) > self._n_threads:
            self.doubts.append(f"threads run: {' '.join(threads)}")
        if self.doubts:
            print(f"workers are no forks: {self.doubts[0]}", file=sys.stderr)
            self._waiting.close()
            return True
        capturing = session.config.pluginmanager.getplugin("capturemanager")
        capturing.stop_global_capturing()
        taken = self._fork_for_each()
        capturing.start_global_capturing()
        capturing.suspend_global_capture()
        self.gateway = Gateway(*taken)
        self.gateway.run_tests(session, self._skipped)
        return True

    def _fork_for_each(self) -> tuple[int, int, socket.socket]:
        """Return in the forks: two streams, and what stands for the worker."""
        import select
        import signal
        import warnings

        import prepared

        at_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        children: dict[int, int] = {}
        while True:
            ready, _, _ = select.select([self._waiting, self._control, *children], [], [])
            for ended in children.keys() & set(ready):
                tell_end(children.pop(ended))
                os.close(ended)
            if self._waiting not in ready:
                if self._control in ready:
                    break
                continue
            stand_in, _ = self._waiting.accept()
            _, streams, _, _ = socket.recv_fds(stand_in, 1, 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # threads of libraries that can be forked
                pid = os.fork()
            if pid == 0:
                self._waiting.close()
                self._control.close()
                signal.signal(signal.SIGINT, at_interrupt)
                settle_threads()
                stand_in.send(b"1")
                return streams[0], streams[1], stand_in
            for stream in streams:
                os.close(stream)
            stand_in.close()
            children[os.pidfd_open(pid)] = pid
        for pid in children.values():
            tell_end(pid)
        prepared.close()
        os._exit(0)


class Gateway:
    """What a fork hears from the process of xdist and says to it, in a thread of its own.

    With xdist that is the main thread, and tests run where this listens. Here tests run in the
    main thread of the fork.
    """

    def __init__(self, stdin: int, stdout: int, stand_in: socket.socket) -> None:
        import queue
        import threading

        self._streams, self._stand_in = (stdin, stdout), stand_in
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="gateway")

    def _serve(self) -> None:
        from execnet.gateway_base import Popen2IO, get_execmodel, serve

        stdin, stdout = os.fdopen(self._streams[0], "r", 1), os.fdopen(self._streams[1], "w", 1)
        stdin.readline()  # how execnet would be imported; it is
        io = Popen2IO(stdout, stdin, get_execmodel("main_thread_only"))
        io.write(b"1")
        serve(io, id="worker")
        self._asked.put(None)

    def take(self, channel: Any) -> None:
        """Let the tests run that a channel asks for; called in the gateway's thread."""
        self._asked.put((channel, channel.receive()))
        self._done.wait()

    def run_tests(self, session: Any, skipped: list[Any]) -> None:
        """Do as ``xdist.remote`` does, with a session that is collected."""
        from pathlib import Path

        from _pytest.tmpdir import TempPathFactory
        from xdist import remote

        self._thread.start()
        asked = self._asked.get()
        if asked is None:
            os._exit(_DONE)
        channel, (workerinput, _, options, _) = asked
        os.environ["PYTEST_XDIST_TESTRUNUID"] = workerinput["testrunuid"]
        os.environ["PYTEST_XDIST_WORKER"] = workerinput["workerid"]
        Path("/proc/self/comm").write_text(workerinput["workerid"])  # the name in `tell_end`
        os.environ["PYTEST_XDIST_WORKER_COUNT"] = str(workerinput["workercount"])
        config = session.config
        config.workerinput = workerinput
        config.option.basetemp = options.get("basetemp")
        config._tmp_path_factory = TempPathFactory.from_config(config, _ispytest=True)
        remote.interactor = interactor = remote.WorkerInteractor(config, channel)
        interactor.pytest_sessionstart(session)
        for report in skipped:
            interactor.pytest_collectreport(report)
        interactor.pytest_collection_finish(session)
        interactor.pytest_runtestloop(session)

    def end(self) -> NoReturn:
        """End as forks do: no module is taken down, which would copy the memory that is shared."""
        import atexit
        import threading

        self._done.set()
        self._thread.join()
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(_DONE)


def settle_threads() -> None:
    """Let torch make its pool of threads anew in a fork, while one thread is all there is.

    It does so when the pool is first asked for, and not safely where several threads ask at once,
    as those of the first backward pass do: one of them may find none, and the process aborts
    ("Invalid thread pool!", ``pthreadpool-cpp.cc``).
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(torch.get_num_threads())


def tell_end(pid: int) -> None:
    """Wait for the end of a fork, and print a line if it was none that pytest came to.

    xdist says that a worker went down, and not why.

    Args:
        pid: A child of this process. Its name is that of its worker.
    """
    import signal
    from pathlib import Path

    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it keeps its name until it is waited for
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == _DONE:
        return
    how = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
    core = ", core dumped" if os.WCOREDUMP(status) else ""
    most = f"{used.ru_maxrss // 1024:,} MiB at most"
    print(f"\nworker {name} (process {pid}, {most}) ended by {how}{core}", file=sys.stderr)


def _list_threads() -> list[str]:
    """The names of this process's threads, without those that begin again in a fork."""
    from pathlib import Path

    names = [each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if name != "jemalloc_bg_thd"]


def collect(control: socket.socket, waiting: socket.socket) -> None:
    """Collect the tests as a worker does, and fork; the forks come back when they have run theirs.

    Args:
        control: A socket that tells what to collect, and ends when no more workers are wanted.
        waiting: One at which those come who stand for workers.
    """
    import importlib.util
    import json
    from pathlib import Path

    with control.makefile("rb") as told:
        asked = json.loads(told.readline())
    sys.argv = ["-c"]
    sys.path[:] = asked["sys_path"]
    os.environ["PYTEST_XDIST_WORKER"] = asked["workerinput"]["workerid"]
    # It begins threads when it is imported, which no fork would have. In forks it is imported when
    # first asked for something.
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules["onnxruntime"] = lazy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lazy)
    sys.path.insert(0, str(Path(__file__).parent))
    import prepared

    sys.path.pop(0)
    prepared.start()
    import numpy  # noqa: F401  (its threads can be forked)
    from _pytest.config import _prepareconfig

    nest = Nest(control, waiting, len(_list_threads()))
    config = _prepareconfig(asked["arguments"], [nest])
    from xdist import remote  # not before pytest has seen it

    remote.setup_config(config, None)
    config.workerinput, config.workeroutput = asked["workerinput"], {}
    globals()["nest"] = nest
    config.hook.pytest_cmdline_main(config=config)
    if nest.gateway is not None:
        nest.gateway.end()
    prepared.close()


if __name__ == "__main__":
    if sys.argv[1] == "collect":
        collect(*(socket.socket(fileno=int(number)) for number in sys.argv[2:]))
    else:
        stand_for_a_worker(*sys.argv[2:])
elif __name__ == "__channelexec__":  # xdist lets a worker run this file
    _nest = getattr(sys.modules["__main__"], "nest", None)
    if _nest is not None:
        _nest.gateway.take(channel)  # noqa: F821
    else:
        from importlib.util import find_spec
        from pathlib import Path

        # What xdist runs there. Nothing of it may be imported before pytest sees it.
        _remote = Path(find_spec("xdist").origin).with_name("remote.py")
        exec(compile(_remote.read_text(encoding="utf-8"), str(_remote), "exec"))
