"""Processes that begin prepared: what they are given is what a process is given that starts."""

import os
import signal
import subprocess
import sys

import prepared
import pytest
from live_runs import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux alone")


@pytest.mark.parametrize("closed", [(), (0, 2)])
def test_a_fork_does_what_a_process_does_that_starts(tmp_path, closed):
    (tmp_path / "box.toml").write_text("hop = 2\n")
    given = ("config", "--config", "box.toml")
    done = [
        prepared.run(
            *given, fork=fork, closed=closed, cwd=tmp_path, capture_output=True,
            env={**os.environ, "STREAMCLF_AVERAGE": "7"},
        )
        for fork in (True, False)
    ]  # fmt: skip
    forked, started = [(each.args, each.returncode, each.stdout, each.stderr) for each in done]
    assert forked[1:] == started[1:]
    assert b"box.toml" in forked[2]
    assert forked[0] == prepared.START + list(given)


def test_a_fork_is_a_process_of_its_own(tone_model, scene):
    given = ("listen", "--source", f"sim:{scene}", "--loop", "--model", tone_model)
    with prepared.begin(
        *given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert b"listening to" in process.stderr.readline()
        assert os.getsid(process.pid) == process.pid
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 130
    with prepared.begin(*given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert b"listening to" in process.stderr.readline()
        assert os.getsid(process.pid) == os.getsid(0)
        process.kill()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL


def test_what_python_reads_at_its_start_is_not_left_to_a_fork():
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    with prepared.begin("--version", env=env, stdout=subprocess.DEVNULL) as process:
        assert type(process) is subprocess.Popen
        assert process.wait(PATIENCE_S) == 0
