"""A terminal that is closed while the dashboard draws on it, with and without a word."""

from __future__ import annotations

import io
import json
import os
import struct
import time

import prepared
import pytest
from live_runs import PATIENCE_S

from streamclf.dashboard.terminal import HangupSafeFile

pty_only = pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_file_that_fails_tells_it_once_and_drops_the_rest():
    told = []
    file = HangupSafeFile(Gone(), lambda: told.append("gone"))
    assert [file.write("abc"), file.write("de")] == [3, 2]
    file.flush()
    assert told == ["gone"]
    assert file.gone


def test_a_file_that_works_is_written_to():
    kept = io.StringIO()
    file = HangupSafeFile(kept, lambda: pytest.fail("it is there"))
    assert file.write("abc") == 3
    file.flush()
    assert kept.getvalue() == "abc"


@pty_only
def test_dashboard_ends_with_everything_written_when_its_terminal_is_gone(
    piece, tone_model, tmp_path
):
    """In a session of its own, so that no SIGHUP tells of it."""
    import fcntl
    import termios

    path = tmp_path / "e.jsonl"
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = [
        "listen", "--source", f"sim:{piece}", "--loop",
        "--speed", "5", "--fixed-hop", "--model", tone_model, "-o", path, "--fresh",
    ]  # fmt: skip
    process = prepared.begin(
        *command, stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "HOME": str(tmp_path)},
        start_new_session=True,
    )  # fmt: skip
    try:
        os.close(slave)
        deadline = time.monotonic() + PATIENCE_S
        while not (path.exists() and path.stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < deadline
            os.read(master, 1 << 16)
        os.close(master)
        assert process.wait(PATIENCE_S) == 130
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    begun = [line["id"] for line in lines if line["type"] == "begin"]
    assert begun
    assert begun == [line["id"] for line in lines if line["type"] == "event"]
