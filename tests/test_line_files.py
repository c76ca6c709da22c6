"""Files of lines: whole lines whatever happens, and what is said when they end."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamclf.core.errors import SinkError
from streamclf.sinks.lines import LineFile


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.txt", "x.selections.txt"])
def test_lines_are_whole_when_the_process_is_killed(tmp_path, name):
    """Each is in the file before the next result is asked for: nothing waits in a buffer."""
    path = tmp_path / name
    script = (
        "import os, sys; from pathlib import Path\n"
        "from streamclf.core.records import SoundEvent\n"
        "from streamclf.sinks.base import StreamStarted\n"
        "from streamclf.sinks.factory import open_sink\n"
        "sink = open_sink(Path(sys.argv[1]))\n"
        "sink.begin(StreamStarted('a', 8000, ['dog'], 'single-label'))\n"
        "for i in range(3): sink.write(SoundEvent('dog', i, i + 8000, 0.5))\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == 9
    text = path.read_text()
    assert text.endswith("\n")
    assert sum("dog" in line for line in text.splitlines()) == 3


def test_each_call_is_one_write(tmp_path, monkeypatch):
    calls = []
    real = os.write
    file = LineFile(tmp_path / "x.txt")
    monkeypatch.setattr(os, "write", lambda fd, data: calls.append(bytes(data)) or real(fd, data))
    file.write("one", "two")
    file.write("three")
    file.close()
    assert calls == [b"one\ntwo\n", b"three\n"]


def test_a_system_that_takes_a_part_is_given_the_rest(tmp_path, monkeypatch):
    real = os.write
    file = LineFile(tmp_path / "x.txt")
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:2]))
    file.write("a longer line")
    monkeypatch.undo()
    file.close()
    assert (tmp_path / "x.txt").read_text() == "a longer line\n"


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    file = LineFile(path)
    file.write("the first")
    real, room = os.write, [5, 0]

    def fill_up(descriptor: int, data: bytes) -> int:
        n_bytes = room.pop(0)
        if not n_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[:n_bytes])

    monkeypatch.setattr(os, "write", fill_up)
    with pytest.raises(SinkError) as caught:
        file.write("the second")
    monkeypatch.undo()
    file.close()
    assert str(caught.value) == (
        f"{path}: cannot be written: no space left on device; the lines before are kept"
    )
    assert path.read_text() == "the first\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_device_that_is_full_is_one_line():
    file = LineFile(Path("/dev/full"), overwrite=True)
    with pytest.raises(SinkError, match=r"^/dev/full: cannot be written: no space left on device"):
        file.write("a line")
    file.close()


def test_a_pipe_that_was_closed_stays_a_broken_pipe(monkeypatch):
    """The command ends quietly then, as `head` expects."""
    file = LineFile(None)

    def broken(descriptor: int, data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(BrokenPipeError):
        file.write("a line")
    monkeypatch.undo()
    file.close()


def test_a_closed_file_says_so(tmp_path):
    file = LineFile(tmp_path / "x.txt")
    file.close()
    with pytest.raises(SinkError, match=r"x\.txt: is closed already"):
        file.write("late")
