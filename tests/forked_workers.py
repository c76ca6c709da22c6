"""Workers of pytest-xdist as forks of one process that has collected the tests (`nest.py`)."""

from __future__ import annotations

import faulthandler
import json
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nest
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key


class ForkedWorkers:
    """The plugin of the process that shares the tests among workers."""

    _process: subprocess.Popen | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config, specs: list[Any]) -> None:
        """Begin to collect, and let xdist start what stands for the workers."""
        if not can_fork(config, specs):
            return
        from xdist.plugin import _sys_path

        self._folder = tempfile.mkdtemp(prefix="streamclf-nest-")
        path = str(Path(self._folder, "socket"))
        self._control, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as waiting:
            waiting.bind(path)
            waiting.listen(len(specs))
            given = [theirs.fileno(), waiting.fileno()]
            self._process = subprocess.Popen(
                [sys.executable, nest.__file__, "collect", *map(str, given)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=given,
            )  # fmt: skip
        asked = {
            "arguments": [str(each) for each in config.invocation_params.args],
            "sys_path": _sys_path,
            "workerinput": {
                "workerid": "nest", "workercount": len(specs), "testrunuid": "",
                "mainargv": sys.argv,
            },
        }  # fmt: skip
        self._control.sendall(json.dumps(asked).encode() + b"\n")
        for spec in specs:
            spec.python = shlex.join([sys.executable, "-IS", nest.__file__, "worker", path])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_getremotemodule(self) -> Any:
        """Let workers run what knows both kinds of them."""
        return nest if self._process is not None else None

    def pytest_unconfigure(self) -> None:
        """Wait for the end of all workers."""
        if self._process is not None:
            self._control.close()
            self._process.wait()
            shutil.rmtree(self._folder)
            self._process = None


def can_fork(config: pytest.Config, specs: list[Any]) -> bool:
    """Whether workers that are forks are the same as those that xdist starts."""
    return (
        sys.platform == "linux"
        and len(specs) > 1
        and all(spec.popen and not (spec.python or spec.chdir or spec.via) for spec in specs)
        and config.getoption("dist") != "loadgroup"
        and not config.pluginmanager.hasplugin("_cov")  # it follows workers from their beginning
    )


def watch_for_crashes(config: pytest.Config) -> None:
    """Let a fatal signal print which lines of Python ran, whatever the tests before have done.

    Some libraries take over the handlers of fatal signals and reset them when they are closed:
    after a driver of Ray has ended, a segmentation fault would end the process without a word.
    """
    log = config.stash.get(fault_handler_stderr_fd_key, None)
    if log is not None:
        faulthandler.disable()  # without this the handlers are taken to be there
        faulthandler.enable(log)
