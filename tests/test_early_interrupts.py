"""Ctrl-C while a command imports what it needs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamclf.cli import main
from streamclf.core.early_interrupts import HeldInterrupt

IMPORT = """
import signal, sys
from importlib.machinery import ExtensionFileLoader

create = ExtensionFileLoader.create_module

def create_module(loader, spec):
    module = create(loader, spec)
    if spec.name == sys.argv[1]:
        signal.raise_signal(signal.SIGINT)  # as where it came while the library was loaded
    return module

ExtensionFileLoader.create_module = create_module
import streamclf.cli

try:
    __import__(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize("module", ["soxr.soxr_ext", "onnx.onnx_cpp2py_export"])
def test_interrupted_import_ends_in_an_exception_and_not_in_a_crash(module):
    """These are made with nanobind, which crashes where Python drops what is half made."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, module], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "interrupted True\n"), done.stderr


def test_second_interrupt_does_not_wait_for_the_import():
    came = []
    held = HeldInterrupt(lambda number, _: came.append(number))
    held(signal.SIGINT, None)
    assert came == []
    held(signal.SIGINT, None)
    assert came == [signal.SIGINT]


def test_interrupt_while_the_program_starts_shows_no_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    places = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "streamclf", "--version"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": places}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_interrupt_while_a_class_is_made_is_no_mistake_of_the_program(monkeypatch, capsys):
    class Field:
        def __set_name__(self, owner, name):
            raise KeyboardInterrupt

    monkeypatch.setattr(main, "load_single_command", lambda *_: type("Made", (), {"a": Field()}))
    assert main.run(["--version"]) == 130
    assert capsys.readouterr().err == ""
