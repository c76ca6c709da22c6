"""Files whose closing fails, as it does on a network's disk: told, and their numbers left alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from streamclf.core.errors import SinkError
from streamclf.sinks.lines import LineFile
from streamclf.sinks.live.pipes import FifoTarget
from streamclf.sinks.live.targets import FileTarget


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers that were closed; the system frees them, and says that the disk failed."""
    numbers: list[int] = []
    close = os.close

    def fail(number: int) -> None:
        close(number)
        numbers.append(number)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", fail)
    return numbers


def test_a_file_opened_anew_is_written_on_though_closing_the_old_one_failed(tmp_path, closed):
    told: list[str] = []
    path = tmp_path / "events.jsonl"
    target = FileTarget(path, report=told.append)
    target.put(b"one\n")
    path.rename(tmp_path / "old.jsonl")
    target.reopen()
    # Whoever opens a file now may get the number that was freed.
    (freed,) = closed
    others = [os.open(tmp_path / f"{k}", os.O_WRONLY | os.O_CREAT) for k in range(freed)]
    target.put(b"two\n")
    target.sync()
    target.close()
    target.close()
    assert (
        told == [f"warning: {path}: its last lines may not be on the disk: input/output error"] * 2
    )
    assert (tmp_path / "old.jsonl").read_bytes() == b"one\n"
    assert path.read_bytes() == b"two\n"
    assert len(closed) == len(set(closed)) == 2
    assert all(os.fstat(other).st_size == 0 for other in others)


def test_a_file_that_is_rotated_goes_on_though_closing_it_failed(tmp_path, closed):
    from streamclf.sinks.live.rotation import Rotation

    path = tmp_path / "events.csv"
    target = FileTarget(path, rotation=Rotation(max_bytes=1000), report=lambda message: None)
    for number in range(4):
        target.put(f"{number}".encode() * 599 + b"\n")
    lines = sorted(file.read_text() for file in tmp_path.iterdir())
    assert lines == [f"{number}" * 599 + "\n" for number in range(4)]
    assert len(closed) == 3


def test_what_is_written_after_the_end_is_an_error_not_another_file(tmp_path):
    target = FileTarget(tmp_path / "events.csv")
    target.close()
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="Bad file descriptor"):
        target.put(b"late\n")
    assert os.fstat(other).st_size == 0
    os.close(other)


def test_a_named_pipe_waits_for_its_next_reader_though_closing_failed(tmp_path, closed):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    target = FifoTarget(path)
    target.put(b"one\n")
    with pytest.raises(OSError, match="Input/output error"):
        target.reopen()
    target.recover()
    target.put(b"two\n")
    assert os.read(reading, 100) == b"one\ntwo\n"
    assert len(closed) == 1


def test_a_recordings_file_whose_closing_fails_is_one_line(tmp_path: Path, closed):
    file = LineFile(tmp_path / "events.csv")
    file.write("one")
    with pytest.raises(SinkError, match=r"events.csv: may not be on the disk: input/output error"):
        file.close()
    file.close()
    assert len(closed) == 1


def test_a_file_that_cannot_be_read_to_go_on_is_one_line(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text("one\n")
    path.chmod(0o200)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(SinkError, match="its end cannot be read to go on there: permission denied"):
        FileTarget(path, append=True)
