"""What may import what, and what a mere import costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import streamclf

ROOT = Path(__file__).parents[1]


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_importing_streamclf_imports_nothing_heavy():
    heavy = {"numpy", "onnxruntime", "soundfile", "av", "sounddevice", "textual", "typer", "torch"}
    assert not modules_after("import streamclf") & heavy


@pytest.mark.parametrize(
    "module",
    [
        "streamclf.cli.main",
        "streamclf.cli.listen",
        "streamclf.cli.file",
        "streamclf.pipeline.engine",
    ],
)
def test_importing_the_commands_leaves_devices_screens_and_ffmpeg_alone(module):
    unwanted = {"av", "sounddevice", "textual", "torch", "onnx", "rich"}
    assert not modules_after(f"import {module}") & unwanted


def test_ffmpeg_is_imported_by_the_sets_that_need_it():
    """Prepared clips and wave files need none, so a machine that only trains may lack it."""
    assert "av" not in modules_after("import train.datasets.decode")


def test_every_exported_name_is_there():
    for name in streamclf.__all__:
        assert getattr(streamclf, name) is not None
    assert set(streamclf.__all__) <= set(dir(streamclf))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        streamclf.Nonsense  # noqa: B018


def test_exported_names_are_pinned():
    assert sorted(streamclf.__all__) == sorted(
        """__version__ Answer ArraySource Average Block Card Classifier Engine Event EventBegan
        EventOngoing Gap MemorySink Microphone Model Notice Recording ScoreTable Scores Settings
        SimulatedMicrophone Sink SoundEvent Source StandardInput StreamStarted StreamclfError
        UrlStream classify detect find_model listen score""".split()
    )


def test_import_contracts_hold():
    tool = Path(sys.executable).parent / "lint-imports"
    if not tool.exists():
        pytest.skip("import-linter is not installed (pip install --group dev -e .)")
    run = subprocess.run([tool], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stdout
