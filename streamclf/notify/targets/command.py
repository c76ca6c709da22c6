"""Target that runs a command, which gets the message as one line of JSON on standard input.

No shell is between, so no text of a message can become a command. The command runs in a process
group of its own, with streamclf's environment. Exit code 0 means that it did what it should. With
another one it is run again, soon, until the message is too old (`max-age`). One that exceeds its
time is ended with all that it has started, and is not run again, because it may have done a part
already.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_text, one_line
from streamclf.notify.message_json import message_json
from streamclf.notify.messages import Message
from streamclf.notify.targets.base import DeliveryError, Target
from streamclf.notify.targets.options import TargetOptions

TERMINATE_S = 1.0
"""Seconds that a command which exceeds its time has to end by itself."""
KEPT_BYTES = 4096
"""Bytes of standard error that are kept, from its end."""
LONGEST_REASON = 200
"""Characters of its last line that are told."""
_TICK_S = 0.05


class CommandTarget(Target):
    """A command.

    Args:
        options: Its options.

    Raises:
        UsageError: The folder that it is to run in is none, or there is no such program.
    """

    def __init__(self, options: TargetOptions) -> None:
        self.name = options.name
        self.description = _describe_command(options.exec)
        self._arguments = [*options.exec]
        self._folder = options.folder
        self._timeout_s = options.timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        if self._folder is not None and not self._folder.is_dir():
            raise UsageError(f"folder {self._folder}: is no folder: name one, or leave it out")
        _check_program(options.exec[0], self._folder)

    def send(self, message: Message, clip: Path | None) -> None:
        """Run the command, and wait for its end; see `Target.send`."""
        line = message_json(message) + b"\n"
        try:
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=self._folder,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a null character
            reason = getattr(error, "strerror", None) or str(error)
            raise DeliveryError(f"cannot be started: {reason}") from error
        self._process = process
        if self._closed:
            _end_group(process)
        try:
            said, in_time = _talk(process, line, self._timeout_s)
        finally:
            _end_group(process)
            self._process = None
        if not in_time:
            raise DeliveryError(
                f"it did not end within {self._timeout_s:g} s, and was ended", lasting=True
            )
        if process.returncode:
            raise DeliveryError(_describe(process.returncode, said))

    def close(self) -> None:
        """End the command that runs, if one does."""
        self._closed = True
        process = self._process
        if process is not None:
            _end_group(process)


def _check_program(program: str, folder: Path | None) -> None:
    """Refuse a program that cannot be run.

    Raises:
        UsageError: It is not there, or this user may not run it.
    """
    shown = one_line(program) or "(empty)"
    path = Path(folder or "", program)
    if not os.path.dirname(program):  # noqa: PTH120 # ./x has a folder, to the system
        found = shutil.which(program) is not None
    else:
        found = path.is_file()
        if found and shutil.which(str(path.resolve())) is None:
            raise UsageError(
                f"exec {shown}: this user may not run it: make it executable, or name what runs "
                'it first, as in ["sh", "alarm.sh"]'
            )
    if not found:
        raise UsageError(f"exec {shown}: there is no such program: check its name, or install it")


def _talk(process: subprocess.Popen[bytes], line: bytes, timeout_s: float) -> tuple[bytes, bool]:
    """Write a line to a process, and wait until it ends.

    What a process that it has started still holds open does not matter: the process itself counts.

    Returns:
        The end of its standard error, and whether it has ended in time.
    """
    assert process.stdin is not None
    assert process.stderr is not None
    if os.name == "nt":
        try:
            _, said = process.communicate(line, timeout_s)
        except subprocess.TimeoutExpired:
            return b"", False
        return said[-KEPT_BYTES:], True
    until = time.monotonic() + timeout_s
    said, rest = b"", line
    os.set_blocking(process.stdin.fileno(), False)
    os.set_blocking(process.stderr.fileno(), False)
    reading: list[IO[bytes]] = [process.stderr]
    with process.stdin, process.stderr:
        while True:
            ended = process.poll() is not None
            left = until - time.monotonic()
            if ended or left <= 0:
                return (said + _read(process.stderr)[0])[-KEPT_BYTES:], ended
            if not rest and not process.stdin.closed:
                process.stdin.close()
            writing = [process.stdin] if rest else []
            if not reading and not writing:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(left)
                continue
            readable, writable, _ = select.select(reading, writing, [], min(left, _TICK_S))
            if writable:
                rest = _write(process.stdin, rest)
            if readable:
                part, more = _read(process.stderr)
                said = (said + part)[-KEPT_BYTES:]
                if not more:
                    reading = []


def _write(pipe: IO[bytes], rest: bytes) -> bytes:
    """Write what the pipe takes now, and return the rest; a reader who has gone needs none."""
    try:
        return rest[os.write(pipe.fileno(), rest) :]
    except BlockingIOError:
        return rest
    except OSError:
        return b""


def _read(pipe: IO[bytes]) -> tuple[bytes, bool]:
    """Read what is there now, at most 64 KiB; returns it, and whether more may come."""
    try:
        part = os.read(pipe.fileno(), 65_536)
    except BlockingIOError:
        return b"", True
    except (OSError, ValueError):
        return b"", False
    return part, bool(part)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and all that it has started; does nothing to one that ended.

    What it has started in a session of its own is not found.
    """
    if process.poll() is not None:
        return
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(TERMINATE_S)
    if os.name != "nt":
        _signal_group(process, signal.SIGKILL)
    process.kill()
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], sent: signal.Signals) -> None:
    with suppress(OSError):
        if os.name == "nt":
            process.terminate()
        else:
            os.killpg(process.pid, sent)


def _describe_command(arguments: Sequence[str]) -> str:
    """Name a command by its first words; what follows them may be a secret."""
    shown = [arguments[0]]
    for word in arguments[1:]:
        if word.startswith("-") or not {"=", ":", " "}.isdisjoint(word):
            break
        shown.append(word)
    more = " ..." if len(shown) < len(arguments) else ""
    return one_line(f"{shlex.join(shown)[:LONGEST_REASON]}{more}")


def _describe(code: int, said: bytes) -> str:
    """Say in a line how a command failed: its exit code, and its last words."""
    if code < 0:
        try:
            how = f"it was ended by {signal.Signals(-code).name}"
        except ValueError:
            how = f"it was ended by signal {-code}"
    else:
        how = f"it ended with exit code {code}"
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return mask_text(f"{how}: {one_line(lines[-1])[:LONGEST_REASON]}" if lines else how)
