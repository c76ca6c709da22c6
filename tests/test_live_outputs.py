"""Outputs of a live run: full disks, readers that are slow or gone, files that move or grow."""

import errno
import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from live_runs import PATIENCE_S

from streamclf.core.errors import SinkError
from streamclf.core.records import Average, Scores, SoundEvent, StreamStarted
from streamclf.sinks.factory import open_scores, open_sink
from streamclf.sinks.live import background
from streamclf.sinks.live.background import BackgroundLines
from streamclf.sinks.live.live_outputs import LiveOutputs
from streamclf.sinks.live.pipes import FifoTarget, OutputTarget
from streamclf.sinks.live.targets import Target

STREAM = StreamStarted("Mic", 8000, ["dog", "rain"], "single-label")


class Fickle(Target):
    """Takes what it is allowed to."""

    def __init__(self, room: int = 0) -> None:
        super().__init__("fickle")
        self.room = room
        self.taken = b""
        self.n_syncs = 0

    def put(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        n_bytes = min(self.room, len(data))
        self.room -= n_bytes
        self.taken += data[:n_bytes]
        return n_bytes

    def sync(self) -> None:
        self.n_syncs += 1


class Held(Target):
    """Hangs in a write until it is let go, as a pipe does that nobody reads."""

    def __init__(self) -> None:
        super().__init__("held")
        self.reached = threading.Event()
        self.let_go = threading.Event()
        self.taken = b""

    def put(self, data: bytes) -> int:
        self.reached.set()
        assert self.let_go.wait(PATIENCE_S)
        self.taken += data
        return len(data)


def test_a_full_disk_keeps_lines_in_memory_and_says_so_once(words, patient_end):
    target = Fickle()
    lines = BackgroundLines(target, report=words)
    for number in range(3):
        lines.write(f"line {number}")
    assert words.until("cannot be written") == (
        "warning: fickle: cannot be written: no space left on device; lines wait in memory"
    )
    target.room = 10**6
    words.until("fickle: is written again, after ")
    lines.close()
    assert target.taken == b"line 0\nline 1\nline 2\n"
    assert lines.n_lost == 0
    assert len(words.told) == 2
    assert target.n_syncs >= 1


def test_a_line_of_which_a_part_was_taken_is_written_to_its_end(words, patient_end):
    target = Fickle(room=4)
    lines = BackgroundLines(target, report=words)
    lines.write("a longer line")
    words.until("cannot be written")
    target.room = 100
    lines.close()
    assert target.taken == b"a longer line\n"


def test_memory_is_bounded_and_the_lost_lines_are_counted_in_their_place(words, patient_end):
    target = Held()
    lines = BackgroundLines(target, report=words, limit_bytes=20)
    lines.describe_loss = lambda n_lines: f"<{n_lines} lost>"
    lines.write("123456789")
    assert target.reached.wait(PATIENCE_S)
    lines.write("987654321")
    for _ in range(5):
        lines.write("too much")  # and does not wait, though the writer hangs
    assert words.told == [
        "warning: held: 2e-05 MB of lines wait to be written: those that follow are lost "
        "until there is room"
    ]
    assert lines.n_lost == 5
    target.let_go.set()
    lines.close()
    assert target.taken == b"123456789\n987654321\n<5 lost>\n"
    assert lines.n_lost == 5
    assert words.told[-2:] == [
        "warning: held: lost 5 lines, there is room again",
        "warning: held: lost 5 lines in all",
    ]


def test_the_end_does_not_wait_for_a_reader_that_does_not_read(words, monkeypatch):
    monkeypatch.setattr(background, "CLOSE_S", 0.01)
    target = Held()
    lines = BackgroundLines(target, report=words)
    lines.write("one", "two")
    assert target.reached.wait(PATIENCE_S)
    lines.write("three")
    lines.close()  # returns, although nothing lets the writer go
    assert lines.n_lost == 3
    assert words.told == ["warning: held: lost 3 lines in all"]
    target.let_go.set()
    with pytest.raises(SinkError, match="held: is closed already"):
        lines.write("late")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_real_full_device_loses_nothing_silently(tmp_path, words, monkeypatch):
    monkeypatch.setattr(background, "CLOSE_S", 0.01)
    path = tmp_path / "full.jsonl"
    path.symlink_to("/dev/full")
    sink = open_sink(path, live_outputs=LiveOutputs(report=words))
    sink.begin(STREAM)
    sink.write(SoundEvent("dog", 0, 8000, 0.9))
    words.until("no space left on device")
    sink.close()
    assert sink.n_lost == 1
    assert words.told[-1] == f"warning: {path}: lost 1 line in all"


def test_a_file_without_room_holds_whole_lines_until_there_is(tmp_path, words, monkeypatch):
    """A system that takes a part of a line, then nothing, then all again."""
    monkeypatch.setattr(background, "CLOSE_S", PATIENCE_S)
    path = tmp_path / "x.jsonl"
    lines = LiveOutputs(report=words).open(path, overwrite=False)
    real, full = os.write, threading.Event()
    full.set()
    seen = []

    def fill_up(descriptor: int, data: bytes) -> int:
        if not full.is_set() or len(data) < 5:
            return real(descriptor, data)
        if seen:
            raise OSError(errno.ENOSPC, "No space left on device")
        seen.append(real(descriptor, bytes(data)[:4]))
        return seen[0]

    monkeypatch.setattr(os, "write", fill_up)
    lines.write("a line that is cut")
    words.until("no space left on device")
    assert path.read_bytes() == b""  # the part of it was taken back
    full.clear()
    lines.close()
    assert path.read_text() == "a line that is cut\n"


def test_a_closed_standard_output_is_told_or_ends_the_run(words):
    for on_gone in (None, lambda: words("stopped")):
        reader, writer = os.pipe()
        os.close(reader)
        lines = BackgroundLines(OutputTarget("out", writer), report=words, on_gone=on_gone)
        lines.write("nobody hears it")
        words.until("stopped" if on_gone else "warning: out: its reader has gone; all else goes on")
        lines.write("nor this")
        lines.close()
        assert lines.n_lost == 2
        os.close(writer)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_closed_terminal_is_gone_a_broken_disk_is_not(tmp_path):
    broken = OSError(errno.EIO, "Input/output error")
    master, slave = os.openpty()
    with (tmp_path / "x").open("wb") as file:
        assert OutputTarget("out", slave).is_permanent(broken)
        assert not OutputTarget("out", file.fileno()).is_permanent(broken)
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_waits_for_its_reader_and_for_the_next(tmp_path, words, patient_end):
    path = tmp_path / "x.jsonl"
    os.mkfifo(path)
    lines = BackgroundLines(FifoTarget(path), report=words)
    lines.write("one")
    words.until("cannot be written: nobody reads it; lines wait in memory")
    with path.open() as reader:
        assert reader.readline() == "one\n"
    words.until("is written again")
    lines.write("two")
    words.until("nobody reads it")
    with path.open() as reader:
        assert reader.readline() == "two\n"
    lines.close()
    assert lines.n_lost == 0


def test_json_lines_say_how_many_are_missing(tmp_path):
    sink = open_sink(tmp_path / "x.jsonl", live_outputs=LiveOutputs())
    sink.begin(STREAM)
    loss = sink._file.describe_loss(7)
    sink.close()
    assert json.loads(loss) == {"type": "loss", "schema": 1, "source": "Mic", "lines": 7}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_scores_npz_loses_whole_rows_while_there_is_no_room(tmp_path, words):
    path = tmp_path / "x.npz"
    sink = open_scores(path, live_outputs=LiveOutputs(report=words))
    sink.begin(STREAM)
    scores = [Scores(8000 * i, 8000, np.array([i, 0], np.float32)) for i in range(4)]
    rows = [Average(each, each.values) for each in scores]
    sink.write(rows[0])
    roomy = sink._positions
    full = Path("/dev/full").open("r+b")  # noqa: SIM115, closing it fails
    sink._positions = full
    sink.write(rows[1])
    sink.write(rows[2])
    with suppress(OSError):
        full.close()
    sink._positions = roomy
    sink.write(rows[3])
    sink.close()
    assert sink.n_lost == 2
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["scores"][:, 0], [0, 3])
        np.testing.assert_array_equal(arrays["onset"], [0, 3])
    assert "rows are lost until there is room" in words.told[0]
    assert words.told[1].endswith("is written again, 2 rows were lost")
