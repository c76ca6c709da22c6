"""The wheel: what is in it, what it says of licences, and that it offers no more than it holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = (
    ".py", ".onnx", ".npz", ".tcss", ".txt", ".typed", ".html", ".css", ".js", ".svg", ".json",
    ".md",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of what goes into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "streamclf", source / "streamclf", ignore=lambda *_: {"__pycache__"})
    for name in ("train", "export", "tests"):  # they lie beside it in a clone, and must stay out
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(folder), str(source)],
        check=True, capture_output=True,
    )  # fmt: skip
    (path,) = folder.glob("streamclf-*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """What the wheel says of itself."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_string(wheel.read(name).decode())


def test_wheel_holds_the_runtime_whole_and_nothing_else(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "streamclf").rglob("*")
        if path.is_file() and path.suffix in KINDS
    }
    assert "streamclf/py.typed" in there
    assert names == there | {"streamclf/py.typed"}


def test_every_bundled_model_has_its_licence_beside_it(wheel, metadata):
    models = [name for name in wheel.namelist() if name.endswith(".onnx")]
    assert models
    licences = metadata.get_all("License-File")
    for name in models:
        licence = name.replace(".onnx", ".LICENSE.txt")
        assert licence in wheel.namelist()
        assert licence in licences
        assert Path(name).name in wheel.read(licence).decode()
    assert "LICENSE" in licences


def test_metadata_names_the_licences_of_code_and_weights(metadata):
    assert metadata["License-Expression"] == "MIT AND CC-BY-NC-3.0"


def test_wheel_promises_nothing_that_it_lacks(metadata):
    assert metadata.get_all("Provides-Extra") == ["archive", "notify", "parquet", "plot"]
    needed = " ".join(metadata.get_all("Requires-Dist"))
    assert "onnxruntime" in needed
    assert "torch" not in needed


def test_wheel_brings_the_command(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "streamclf = streamclf.cli.main:main" in wheel.read(name).decode()
