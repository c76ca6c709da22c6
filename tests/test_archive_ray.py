"""Archives on Ray: a cluster that loses nodes, items that end their workers, and a Ctrl-C."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import prepared
import pytest
import soundfile
import toys
from archives import tones
from live_runs import PATIENCE_S

from streamclf.archive.local_place import LocalPlace
from streamclf.archive.manifest import read_manifest
from streamclf.cli import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters need processes")


@pytest.fixture
def archive(tmp_path):
    """Results of no run yet: the plan of long recordings in pieces, and of short ones."""
    folder = tmp_path / "archive"
    for site, seconds in [
        ("north", 330),
        ("north", 70),
        ("south", 130),
        ("south", 12),
        ("west", 8),
    ]:
        path = folder / site / f"{seconds}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tones(seconds, toys.RATE, seconds), toys.RATE, "PCM_16")
    planned = tmp_path / "planned"
    arguments = ["archive", "plan", folder, "--out", planned, "--item-minutes", "1"]
    assert main.run([str(each) for each in arguments]) == 0
    return planned


def copy(planned: Path, name: str) -> Path:
    return Path(shutil.copytree(planned, planned.with_name(name)))


def files_in(results: Path) -> dict[str, bytes]:
    """All files in a folder of results, those put aside included."""
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in results.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def quiet_ray(monkeypatch):
    """Let Ray's files lie in a folder of the test, and its parts find each other."""
    # Names of sockets lie below it, and may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        for name, value in {
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": f"{folder}/token",
            "RAY_health_check_initial_delay_ms": "500",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_failure_threshold": "2",
            "RAY_enable_worker_prestart": "0",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        }.items():
            monkeypatch.setenv(name, value)
        (Path(folder) / "token").write_text("of-these-tests-alone-0123456789abcdef")
        yield Path(folder)


def environments(folder: Path) -> list[str]:
    """The environments of all processes of Ray with a folder, where the system shows them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (process / "environ").read_text(errors="replace")
            name = (process / "cmdline").read_text(errors="replace")
            if f"RAY_TMPDIR={folder}\0" in environment and ("/ray/" in name or "ray::" in name):
                found.append(environment)
    return found


def test_lost_nodes_and_deadly_items_change_no_result(archive, tone_model, quiet_ray):
    alone, results = copy(archive, "alone"), copy(archive, "results")
    model = ["--model", str(tone_model)]
    assert main.run(["archive", "run", str(alone), "--shard", "1/1", *model]) == 0
    expected = files_in(alone)
    manifest = read_manifest(LocalPlace(results))
    deadly, wrong, *_ = (n for n in range(len(manifest)) if manifest.item(n).kind == "whole")
    script = Path(__file__).with_name("lost_nodes.py")
    arguments = [results, tone_model, deadly, wrong, 5 * PATIENCE_S]
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    first, second = told["unheard"]
    assert "3 workers ended while they heard it" in first + second
    assert "ValueError: nothing\\nfits, https://user:***@host/" in first + second
    assert told["n_lost"] >= 3, told["workers"]
    there = files_in(results)
    there = {name: data for name, data in there.items() if not name.startswith("pieces/")}
    assert all(expected[name] == data for name, data in there.items())
    left = {name for name in expected.keys() - there.keys() if name.startswith("events/")}
    assert len(left) == 2
    # What is left is heard without Ray, under the same names.
    assert main.run(["archive", "run", str(results), "--shard", "1/1", *model]) == 0
    assert files_in(results) == expected


def test_a_run_on_this_machine_ends_at_an_interrupt_and_goes_on(archive, tone_model, quiet_ray):
    arguments = ["archive", "run", archive, "--model", tone_model, "--workers", "1"]
    process = prepared.begin(
        *arguments, "--hop", "0.002", stderr=-1, stdout=-1, text=True, start_new_session=True
    )
    until = time.monotonic() + PATIENCE_S
    while not list(archive.glob("pieces/**/*.parquet")) and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.05)
    started = environments(quiet_ray)
    assert len(started) >= 5 or not Path("/proc/self/environ").exists()
    assert all("RAY_USAGE_STATS_ENABLED=0\0" in each for each in started)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all that belongs to it
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == (
        "streamclf: interrupted: what is done stays; the same command goes on"
    )
    assert not [name for name in files_in(archive) if "/." in name]
    while environments(quiet_ray):
        assert time.monotonic() < until + PATIENCE_S
        time.sleep(0.1)
