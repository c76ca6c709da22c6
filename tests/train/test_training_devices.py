# ruff: noqa: E402
"""Two processes on the CPU, as two cards would train."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from streamclf.core.errors import UsageError
from train.base.devices import make_fabric
from train.cli.network_command import main as train_main

pytestmark = pytest.mark.train

ROOT = Path(__file__).parents[2]


COMMAND = ["--accelerator", "cpu", "--devices", "2", "--threads", "1"]


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "train.digits", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_two_processes_make_one_run_and_fail_in_one_line(make_esc, tmp_path, capsys):
    data, save = make_esc(per_class=2), tmp_path / "run"
    options = [*COMMAND, "--data", str(data), "--save", str(save), "--epochs", "2"]
    done = run(*options)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["machine"]["devices"] == 2
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2]
    assert len(done.stdout.splitlines()) == 1
    assert "2 x cpu" in done.stderr
    # Refused before a second process is started.
    assert train_main("digits", options) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if "error" in line] == [
        f"error: {save}: exists; --resume continues it, --overwrite replaces it, "
        "or name another folder with --save"
    ]


def test_precision_that_is_none_is_told():
    with pytest.raises(UsageError, match="--precision 3-bit"):
        make_fabric("cpu", "3-bit")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_told_with_the_way_out():
    told = "torch finds no GPU here; without --accelerator it trains on the CPU"
    with pytest.raises(UsageError, match=told):
        make_fabric("gpu", "auto")


def test_products_are_rounded_only_where_asked():
    try:
        make_fabric("cpu", "32-true")
        assert not torch.backends.cuda.matmul.allow_tf32
        make_fabric("cpu", "tf32")
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        make_fabric("cpu", "32-true")
