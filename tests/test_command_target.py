"""Commands as targets: those that do their work, and those that hang, fork, flood and fail."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from live_runs import PATIENCE_S
from webhooks import make_message

from streamclf.core.errors import UsageError
from streamclf.notify.targets import command
from streamclf.notify.targets.base import DeliveryError
from streamclf.notify.targets.factory import open_target
from streamclf.notify.targets.options import TargetOptions

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts")


def shell(script: str, *arguments: str, **options: object) -> command.CommandTarget:
    return open_target(TargetOptions("bell", exec=("sh", "-c", script, *arguments), **options))


def refused(target: command.CommandTarget, **changes: object) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        target.send(make_message(**changes), None)
    return caught.value


def is_gone(pid: int) -> bool:
    """Wait for the end of a process that is nobody's child any more."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_the_message_arrives_on_standard_input_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THE_BOX", "kept")
    text = '"; touch hacked; $(touch hacked) `touch hacked`\nTür'
    script = 'cat > got; echo "$OF_THE_BOX $#" > around; echo noise'
    shell(script, folder=tmp_path).send(make_message(text=text), None)
    (line,) = (tmp_path / "got").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["text"] == text
    assert (tmp_path / "around").read_text() == "kept 0\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["around", "got"]


def test_it_has_a_group_of_its_own_so_that_ctrl_c_ends_streamclf_alone(tmp_path):
    script = "ps -o pgid= -p $$ > group 2>/dev/null || cut -d' ' -f5 /proc/$$/stat > group"
    shell(script, folder=tmp_path).send(make_message(), None)
    assert int((tmp_path / "group").read_text()) != os.getpgid(0)


def test_exit_codes_and_last_words_are_told():
    error = refused(shell("echo first >&2; echo 'no siren on  pin 7' >&2; echo >&2; exit 3"))
    assert str(error) == "it ended with exit code 3: no siren on  pin 7"
    assert not error.lasting
    assert str(refused(shell("exit 1"))) == "it ended with exit code 1"
    assert str(refused(shell("kill -9 $$"))) == "it was ended by SIGKILL"
    told = str(refused(shell(r"printf 'bad \033[31m http://u:SECRET@h/ \377' >&2; exit 1")))
    assert told.startswith(r"it ended with exit code 1: bad \x1b[31m http://u:***@h/")


def test_a_secret_among_the_arguments_is_not_shown():
    for arguments, shown in [
        (("sh", "alarm.sh"), "sh alarm.sh"),
        (("env", "-u", "token: SECRET", "https://h/SECRET"), "env ..."),
        (("echo", "loud", "key=SECRET"), "echo loud ..."),
    ]:
        target = open_target(TargetOptions("bell", exec=arguments))
        assert target.description == shown


def test_one_that_cannot_be_started_is_told(tmp_path):
    (tmp_path / "siren").write_text("#!/bin/sh\n")
    (tmp_path / "siren").chmod(0o700)
    for program in (str(tmp_path / "siren"), "./siren"):  # one is found from the folder
        target = open_target(TargetOptions("bell", exec=(program,), folder=tmp_path))
        target.send(make_message(), None)
    (tmp_path / "siren").unlink()
    assert str(refused(target)) == "cannot be started: No such file or directory"
    with pytest.raises(UsageError, match=r"^folder .*none: is no folder"):
        open_target(TargetOptions("bell", exec=("true",), folder=tmp_path / "none"))


@pytest.mark.parametrize("program", ["/nowhere/siren", "no-such-siren", "./siren", "", "/"])
def test_a_program_that_is_not_there_is_refused(program, tmp_path):
    with pytest.raises(UsageError) as caught:
        open_target(TargetOptions("bell", exec=(program, "loud"), folder=tmp_path))
    said = f"exec {program or '(empty)'}: there is no such program: check its name, or install it"
    assert str(caught.value) == said


@pytest.mark.skipif(os.name == "nt", reason="Windows runs what its name says")
def test_a_program_that_may_not_be_run_is_refused(tmp_path):
    script = tmp_path / "siren.sh"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match=r"^exec .*siren\.sh: this user may not run it: make it "):
        open_target(TargetOptions("bell", exec=(str(script),)))


def test_one_that_hangs_is_ended_with_all_that_it_has_started(tmp_path):
    script = "sleep 600 & echo $! > child; trap '' TERM; echo waiting >&2; sleep 600; sleep 600"
    target = shell(script, folder=tmp_path, timeout=1.0)
    error = refused(target)
    assert str(error) == "it did not end within 1 s, and was ended"
    assert error.lasting  # it may have done a part already
    assert is_gone(int((tmp_path / "child").read_text()))


def test_one_that_forks_and_keeps_the_pipes_open_is_done_when_it_ends(tmp_path):
    script = "sleep 600 & echo $! > child; echo begun >&2; exit 0"
    began = time.monotonic()
    shell(script, folder=tmp_path, timeout=300.0).send(make_message(), None)
    assert time.monotonic() - began < PATIENCE_S
    child = int((tmp_path / "child").read_text())
    os.kill(child, 0)  # a siren that goes on in the background was meant to
    os.kill(child, 9)


def test_one_that_floods_is_read_on_and_costs_no_memory():
    flood = "import sys; [sys.{}.write('x' * 99 + '\\n') for _ in range(200_000)]; sys.exit(4)"
    for stream in ("stdout", "stderr"):
        target = open_target(
            TargetOptions("bell", exec=(sys.executable, "-c", flood.format(stream)), timeout=120.0)
        )
        error = str(refused(target))
        assert error.startswith("it ended with exit code 4")
        assert len(error) < 300


def test_one_that_does_not_read_is_not_waited_for():
    long = "x" * 1_000_000  # more than a pipe holds
    shell("exit 0").send(make_message(text=long), None)
    shell("exec <&-; sleep 0.2").send(make_message(text=long), None)
    error = refused(shell("sleep 600", timeout=0.5), text=long)
    assert str(error) == "it did not end within 0.5 s, and was ended"


def test_one_that_closes_its_output_is_waited_for_all_the_same(tmp_path):
    shell("exec 2>&- >&-; sleep 0.3; echo done > done", folder=tmp_path).send(make_message(), None)
    assert (tmp_path / "done").exists()


def test_closing_ends_the_command_that_runs(tmp_path):
    target = shell("echo $$ > pid; sleep 600", folder=tmp_path, timeout=600.0)
    caught: list[DeliveryError] = []

    def send() -> None:
        try:
            target.send(make_message(), None)
        except DeliveryError as error:
            caught.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    until = time.monotonic() + PATIENCE_S
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < until
        time.sleep(0.01)
    target.close()
    thread.join(PATIENCE_S)
    assert [str(error) for error in caught] == ["it was ended by SIGTERM"]
