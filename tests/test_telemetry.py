"""ONNX Runtime may report to its makers what runs here: not where streamclf listens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def leave_traces(home: Path, model: Path, **variables: str) -> list[str]:
    """Run a model at ``home`` as on anyone's machine; the files that were left there."""
    # ONNX Runtime keeps silent by itself where it finds these.
    spoken_of = ("CI", "ORT_", "GITHUB_", "TF_BUILD", "XDG_", "PYTEST")
    env = {key: value for key, value in os.environ.items() if not key.startswith(spoken_of)}
    home.mkdir()
    env |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    script = "import sys; from pathlib import Path; from streamclf import Model; "
    script += "Model(Path(sys.argv[1]), provider='cpu')"
    subprocess.run([sys.executable, "-c", script, str(model)], env=env, check=True)
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_nothing_is_reported_to_the_makers_of_onnx_runtime(tmp_path, tone_model):
    assert leave_traces(tmp_path / "home", tone_model) == []


def test_who_wants_to_report_may(tmp_path, tone_model):
    found = leave_traces(tmp_path / "home", tone_model, ORT_DISABLE_TELEMETRY="0")
    if not found:
        pytest.skip("this ONNX Runtime reports nothing anyway")
    assert "deviceid" in found
