"""The end of a command's process: no collection goes through what was imported."""

import atexit
import gc
import subprocess
import sys

from train.base.exit_codes import exit_codes

# Functions registered first run last: this one sees what the last collections will see.
COMMAND = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count(), len(gc.get_objects())))
sys.argv = ["streamclf", "--version"]
from streamclf.cli.main import main
main()
"""


def test_a_command_leaves_nothing_to_its_last_collections():
    done = subprocess.run([sys.executable, "-c", COMMAND], capture_output=True, text=True)
    assert done.returncode == 0
    *_, frozen, left = done.stdout.split()
    assert int(frozen) > 100 * int(left)


def test_commands_of_training_end_as_quickly_each_time(monkeypatch):
    registered = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(atexit, "unregister", registered.remove)
    registered.append(gc.freeze)
    command = exit_codes(lambda: 0)
    assert (command(), command()) == (0, 0)
    assert registered == [gc.freeze]
