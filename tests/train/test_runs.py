from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from train.base.errors import RunError
from train.nets.inference import WindowLogits
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


@pytest.fixture
def run(tmp_path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run", "pocket", overwrite=False)
    made.write_json("config.json", {"network": "pocket"})
    return made


def test_run_tensors_and_their_note_come_back(run):
    run.write_tensors("a.safetensors", {"x": np.arange(6).reshape(2, 3)}, {"epoch": "7"})
    tensors, note = run.read_tensors("a.safetensors")
    assert tensors["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert note == {"epoch": "7"}


@pytest.mark.parametrize("weight", [None, np.array([0.5, 1.0], dtype=np.float32)])
def test_run_keeps_what_was_said_of_clips_shorter_than_a_window(run, weight):
    logits = np.zeros((2, 3), dtype=np.float32)
    run.write_held_out(WindowLogits(logits, np.arange(2), np.array([0, 1]), weight))
    np.testing.assert_equal(run.read_held_out().weight, weight)


def test_run_says_that_a_file_is_damaged(run):
    (run.path / "a.safetensors").write_bytes(b"\x80\x04 no tensors")
    with pytest.raises(RunError, match="cannot be read"):
        run.read_tensors("a.safetensors")
    (run.path / "config.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        run.read_json("config.json")


def test_run_keeps_the_old_file_when_the_new_one_cannot_be_written(run, monkeypatch):
    def fail(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(RunError, match=r"config\.json: cannot be written: .*No space left"):
        run.write_json("config.json", {"network": "other"})
    assert run.read_json("config.json") == {"network": "pocket"}
    assert {path.name for path in run.path.iterdir()} - {".lock"} == {"config.json"}


def test_processes_beside_the_first_write_nothing(run):
    silent = RunFolder(run.path, writes=False)
    silent.write_json("b.json", {})
    silent.write_tensors("checkpoints/last.safetensors", {"x": np.zeros(1)})
    silent.remove("config.json")
    assert {path.name for path in run.path.iterdir()} - {".lock"} == {"config.json"}


def test_run_folder_is_a_run_or_empty(tmp_path, run):
    with pytest.raises(RunError, match="--resume continues it, --overwrite replaces it"):
        RunFolder.create(run.path, "pocket", overwrite=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is no run folder"):
        RunFolder.create(tmp_path / "file", "pocket", overwrite=True)
    with pytest.raises(RunError, match="cannot make the run folder"):
        RunFolder.create(tmp_path / "file" / "run", "pocket", overwrite=False)


HOLD = """
import sys, time
from pathlib import Path
from train.run_folder.run import RunFolder
run = RunFolder.create(Path(sys.argv[1]), "pocket", overwrite=False)
run.write_json("config.json", {"network": "pocket"})
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def trainer(tmp_path):
    """Another process that trains into a folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "held")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_folder_that_a_living_run_writes_is_refused_until_it_dies(tmp_path, trainer):
    path = tmp_path / "held"
    for begin in (
        lambda: RunFolder.create(path, "pocket", overwrite=True),
        lambda: RunFolder.check_free(path, overwrite=True),
        lambda: RunFolder.open(path).lock(),
    ):
        with pytest.raises(RunError, match="a training that is running writes into it: wait"):
            begin()
    assert RunFolder.open(path).read_json("config.json") == {"network": "pocket"}
    # The lock dies with its process.
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    run = RunFolder.create(tmp_path / "held", "pocket", overwrite=True)
    assert [path.name for path in run.path.iterdir()] == [".lock"]
    run.unlock()
    assert list(run.path.iterdir()) == []


def test_two_runs_of_one_process_do_not_share_a_folder(run):
    with pytest.raises(RunError, match="a training that is running writes into it"):
        RunFolder.create(run.path, "pocket", overwrite=True)
    run.unlock()
    RunFolder.create(run.path, "pocket", overwrite=True).unlock()
