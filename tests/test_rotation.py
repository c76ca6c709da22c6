"""Files that are set aside, reopened and gone on with, while lines come in."""

import errno
import json
import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from live_runs import PATIENCE_S
from test_live_outputs import STREAM

from streamclf.core.errors import UsageError
from streamclf.core.records import SoundEvent
from streamclf.sinks.factory import open_sink
from streamclf.sinks.live.live_outputs import LiveOutputs
from streamclf.sinks.live.rotation import Rotation
from streamclf.sinks.live.targets import MAX_UNFINISHED_LINE, FileTarget


def test_reopening_goes_over_to_the_new_file(tmp_path, words, patient_end):
    path, moved = tmp_path / "x.csv", tmp_path / "x.csv.1"
    sink = open_sink(path, live_outputs=LiveOutputs(report=words))
    sink.begin(STREAM)
    sink.write(SoundEvent("dog", 0, 8000, 0.9))
    deadline = time.monotonic() + PATIENCE_S
    while "dog" not in path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    path.rename(moved)
    sink.reopen()
    words.until("opened anew")
    sink.write(SoundEvent("rain", 16_000, 24_000, 0.9))
    sink.close()
    header = "type,source,label,onset,offset,score,time,utc_offset"  # each file begins with it
    assert moved.read_text().splitlines() == [header, "event,Mic,dog,0.0,1.0,0.9,,"]
    assert path.read_text().splitlines() == [header, "event,Mic,rain,2.0,3.0,0.9,,"]


def test_rotation_by_size_leaves_whole_lines_and_no_file_too_long(tmp_path, patient_end):
    path = tmp_path / "events.jsonl"
    lines = LiveOutputs(rotation=Rotation(max_bytes=100)).open(path, overwrite=False)
    wanted = [json.dumps({"number": number}) for number in range(50)]
    for line in wanted:
        lines.write(line)
    lines.close()
    older = sorted(tmp_path.glob("events.*-*.jsonl"), key=lambda name: name.stat().st_mtime_ns)
    assert len(older) > 3
    texts = [file.read_text() for file in [*older, path]]
    assert sorted("".join(texts).splitlines()) == sorted(wanted)
    assert all(len(text) <= 100 and text.endswith("\n") for text in texts)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are looked up there")
def test_a_file_is_closed_before_it_is_given_another_name(tmp_path, monkeypatch, words):
    """Windows refuses to rename a file that is open."""
    path, real = tmp_path / "e.csv", Path.rename

    def as_windows_does(self, target):
        if str(self) in [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", as_windows_does)
    target = FileTarget(path, rotation=Rotation(max_bytes=10), report=words)
    for number in range(3):
        target.put(b"line %d..\n" % number)
    target.close()
    assert words.told == []
    assert path.read_bytes() == b"line 2..\n"
    assert len(list(tmp_path.iterdir())) == 3


def test_rotation_by_day_names_the_day(tmp_path):
    path = tmp_path / "r.selections.txt"
    now = [datetime(2026, 3, 1, 23, 59)]
    target = FileTarget(path, rotation=Rotation(daily=True), now=lambda: now[0])
    target.header = b"header\n"
    target.put(b"first\n")
    now[0] = datetime(2026, 3, 2, 0, 1)
    target.put(b"second\n")
    now[0] = datetime(2026, 3, 4)
    target.put(b"third\n")
    target.close()
    assert (tmp_path / "r.2026-03-01.selections.txt").read_text() == "header\nfirst\n"
    assert (tmp_path / "r.2026-03-02.selections.txt").read_text() == "header\nsecond\n"
    assert path.read_text() == "header\nthird\n"


def test_rotation_never_replaces_a_file(tmp_path):
    path = tmp_path / "x.csv"
    day = datetime(2026, 3, 1)
    taken = tmp_path / "x.2026-03-01.csv"
    taken.write_text("precious")
    assert Rotation(daily=True).name_for(path, day, day) == tmp_path / "x.2026-03-01-2.csv"


def test_what_cannot_be_set_aside_is_said_and_written_on(tmp_path, words, monkeypatch):
    path = tmp_path / "x.jsonl"
    target = FileTarget(path, rotation=Rotation(max_bytes=5), report=words)

    def refuse(self: Path, name: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    target.put(b"one\n")
    target.put(b"two\n")
    target.put(b"three\n")
    target.close()
    assert path.read_text() == "one\ntwo\nthree\n"
    assert len(words.told) == 1
    assert "permission denied; it is not rotated any more" in words.told[0]


@pytest.mark.parametrize("text", ["10 MB", "10MB", "10m", "10000kB", "0.01G"])
def test_rotation_reads_sizes(text):
    assert Rotation.parse(text) == Rotation(max_bytes=10_000_000)


@pytest.mark.parametrize("text", ["", "weekly", "10", "-1MB", "1e9", "MB", "10TB"])
def test_rotation_refuses_what_is_no_size(text):
    with pytest.raises(UsageError, match="must be 'daily' or a size of 1kB or more"):
        Rotation.parse(text)


def test_append_goes_on_and_cuts_half_a_line_off(tmp_path, words, patient_end):
    path = tmp_path / "x.csv"
    header = "type,source,label,onset,offset,score,time,utc_offset\n"
    path.write_text(header + "event,Mic,dog,0.0,1.0,0.9,,\nevent,Mi")
    sink = open_sink(path, live_outputs=LiveOutputs(append=True, report=words))
    sink.begin(STREAM)
    sink.write(SoundEvent("rain", 8000, 16_000, 0.5))
    sink.close()
    assert path.read_text() == (
        header + "event,Mic,dog,0.0,1.0,0.9,,\nevent,Mic,rain,1.0,2.0,0.5,,\n"
    )
    assert words.told == [f"warning: {path}: half a line at its end was cut off: event,Mi"]


def test_append_does_not_cut_what_was_never_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"x" * (MAX_UNFINISHED_LINE + 10))
    with pytest.raises(UsageError, match="cannot be continued"):
        FileTarget(path, append=True)
    assert path.stat().st_size == MAX_UNFINISHED_LINE + 10


def test_a_file_that_is_there_is_kept_without_append(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        LiveOutputs().open(path, overwrite=False)
    assert path.read_text() == "precious"
    LiveOutputs().open(path, overwrite=True).close()
    assert path.read_text() == ""
