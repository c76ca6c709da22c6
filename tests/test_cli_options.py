"""A group of options is declared once: a command has its options, and is handed the group."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from streamclf.api import functions
from streamclf.cli import main
from streamclf.cli.options import Fields, Group, grouped
from streamclf.core.log import LogOptions
from streamclf.core.options import declared_options, option
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.dashboard.options import ScreenOptions
from streamclf.model.options import CardOptions, ModelOptions
from streamclf.sinks.options import OutputOptions
from streamclf.sources.options import SourceOptions

GROUPS = [
    SourceOptions, ScreenOptions, ModelOptions, CardOptions, Settings, ThresholdOptions,
    OutputOptions, LogOptions,
]  # fmt: skip


@dataclass(frozen=True)
class Edge:
    panel: ClassVar[str] = "Edge"

    except_: str | None = option(None, "--except", help="None here.")


@dataclass(frozen=True)
class Size:
    panel: ClassVar[str] = "Size"

    width_m: int = option(3, "--width", "-w", metavar="METRES", help="From side to side.")
    tall: bool = option(False, "--tall", help="Above all.", panel="Other")
    level: bool = option(True, "--no-level", help="On a slope.", negated=True)
    files: tuple[Path, ...] = option((), "--file", help="Some.")
    depth: int = option(1, "--depth", minimum=1, help="Down.")
    made: str = "here"
    edge: Edge = Edge()


def run(chosen, *arguments):
    app = typer.Typer(rich_markup_mode=None)

    def paint(*, name, size, colour="red"):
        """Paint it."""
        print(name, size, colour)

    paint.__annotations__ = {"name": str, "size": Annotated[Size, chosen], "colour": str}
    app.command()(grouped(paint))
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("arguments", "size", "colour"),
    [
        (["x"], Size(), "red"),
        (["-w", "7", "x", "--colour", "blue", "--tall"], Size(7, tall=True), "blue"),
        (["x", "--no-level", "--depth", "2"], Size(level=False, depth=2), "red"),
        (["x", "--file", "a", "--file", "b"], Size(files=(Path("a"), Path("b"))), "red"),
        (["x", "--except", "y"], Size(edge=Edge("y")), "red"),
    ],
)
def test_a_command_has_the_options_of_a_group_and_is_handed_the_group(arguments, size, colour):
    assert run(Fields(), *arguments).output.strip() == f"x {size} {colour}"


def test_help_says_what_was_declared():
    text = run(Fields(), "--help").output
    assert "-w, --width METRES" in text
    assert "From side to side.  [default: 3]" in text
    assert "--made" not in text


def test_a_value_below_the_lowest_is_refused():
    result = run(Fields(), "x", "--depth", "0")
    assert result.exit_code == 2
    assert "0 is not in the range x>=1" in result.output


def test_a_command_has_what_it_chooses_of_a_group():
    some = Fields(only=("width_m", "tall"))
    assert run(some, "x", "-w", "2").output.strip() == f"x {Size(2)} red"
    assert run(some, "x", "--depth", "2").exit_code == 2
    others = Fields(without=("width_m",))
    assert run(others, "x", "--depth", "2").output.strip() == f"x {Size(depth=2)} red"
    assert run(others, "x", "-w", "2").exit_code == 2


@pytest.mark.parametrize("wrong", [Fields(only=("widht",)), Fields(without=("made",))])
def test_a_field_that_is_no_option_cannot_be_chosen(wrong):
    with pytest.raises(ValueError, match=r"(widht|made): no option, there are width_m, tall"):
        Group(Size, wrong)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_made_without_a_command_line_as_the_command_line_makes_it(group):
    read = Group(group)
    every = [*read.parameters(), *read.inner_parameters()]
    assert read.fill({each.name: each.default for each in every}) == group()


@pytest.mark.parametrize("group", GROUPS)
def test_options_have_help_and_fields_in_seconds_say_so(group):
    for field, declared in declared_options(group).items():
        assert declared.help.endswith(".")
        assert declared.help[0].isupper()
        assert declared.flag.startswith("--")
        if declared.metavar == "SECONDS":
            assert field.endswith("_s")


def test_no_two_options_of_a_command_share_a_name():
    for command in typer.main.get_command(main.app).commands.values():
        names = [name for each in command.params for name in (*each.opts, *each.secondary_opts)]
        assert len(names) == len(set(names)), command.name


@pytest.mark.parametrize(
    "call", [functions.detect, functions.listen, functions.classify, functions.score]
)
def test_arguments_of_the_library_are_fields_of_the_groups_and_have_their_defaults(call):
    declared = {
        field.name: field.default
        for group in (SourceOptions, Settings, ThresholdOptions)
        for field in fields(group)
    }
    arguments = inspect.signature(call).parameters
    shared = arguments.keys() & declared.keys()
    assert "hop_s" in shared
    for name in shared - ({"average_s"} if call is functions.score else set()):
        assert arguments[name].default == declared[name]
    others = arguments.keys() - shared
    assert others <= {"audio", "sample_rate", "model", "average_s"}
    assert arguments["model"].default == ModelOptions().name


def test_groups_cannot_be_changed_behind_ones_back():
    for group in GROUPS:
        assert is_dataclass(group)
        with pytest.raises(AttributeError):
            setattr(group(), fields(group)[0].name, "other")
        assert replace(group()) == group()


@pytest.mark.parametrize("command", [("listen",), ("file", "none.wav")])
def test_the_log_speaks_as_asked_of_options_that_make_no_sense(streamclf, command):
    result = streamclf(*command, "--hop", "-1", "--log-format", "json")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert json.loads(line)["message"].startswith("--hop -1.0: must be above 0 seconds")


def test_the_file_that_is_in_force_is_told_before_what_is_wrong_in_it(streamclf, tmp_path):
    (tmp_path / "box.toml").write_text("hop = -1\n")
    result = streamclf("listen", "--config", tmp_path / "box.toml")
    told, error = result.err.splitlines()
    assert told.endswith(f"settings of {tmp_path / 'box.toml'}")
    assert f"{tmp_path / 'box.toml'}:1: --hop -1.0: must be" in error
