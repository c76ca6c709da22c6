"""A store whose writers are killed: what was acknowledged is there, and the sums are right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def kill(script: str, folder: Path, n_kills: int, seed: int) -> dict:
    run = subprocess.run(
        [sys.executable, ROOT / "tests" / script, folder, str(n_kills), str(seed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    ("n_kills", "seed"), [(20, 1), pytest.param(200, 2, marks=pytest.mark.slow)]
)
def test_a_writer_that_is_killed_at_any_moment_loses_nothing_it_acknowledged(
    tmp_path, n_kills, seed
):
    found = kill("killed_writers.py", tmp_path, n_kills, seed)
    assert found["wrong"] == []
    assert found["kills"] == n_kills
    assert found["told"] >= n_kills // 2  # at least these came to write
    assert n_kills < 100 or found["cut"] > 0  # and some were killed within an event


@pytest.mark.parametrize(
    ("n_kills", "seed"), [(8, 1), pytest.param(200, 2, marks=pytest.mark.slow)]
)
def test_a_kill_at_any_moment_loses_no_message_and_doubles_none(tmp_path, n_kills, seed):
    found = kill("killed_tellers.py", tmp_path, n_kills, seed)
    assert found["wrong"] == []
    assert found["events"] >= n_kills // 2
