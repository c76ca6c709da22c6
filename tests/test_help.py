"""Help that teaches, and what a newcomer types first."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from streamclf.cli.arguments import with_command
from streamclf.cli.help_text import PANELS
from streamclf.cli.main import app

WHOLE = typer.main.get_command(app)
COMMANDS = [*WHOLE.commands]
GROUPED = [
    f"{group} {name}"
    for group, command in WHOLE.commands.items()
    for name in getattr(command, "commands", {})
]


def sections(text: str) -> dict[str, list[str]]:
    """The lines below each heading."""
    found: dict[str, list[str]] = {"": []}
    for line in text.splitlines():
        if re.fullmatch(r"[A-Z]\w+:", line):
            found[line[:-1]] = []
        else:
            list(found.values())[-1].append(line)
    return found


@pytest.mark.parametrize("command", ["", *COMMANDS, *GROUPED])
def test_every_help_has_three_examples_and_fits_80_columns(streamclf, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    result = streamclf(*command.split(), "--help")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    found, places = sections(result.out), ["", *PANELS, "Options", "Commands", "Examples"]
    assert [*found] == sorted(found, key=places.index)
    usage = result.out.splitlines()[0].removeprefix(f"Usage: streamclf {command}".rstrip())
    assert re.fullmatch(r"( \[?[A-Z]+(\.jsonl)?(\.{3})?\]?(\.{3})?)+", usage), usage
    examples = [line for line in found["Examples"] if line.startswith("  streamclf")]
    assert len(examples) == 3


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPED])
def test_the_examples_are_taken_by_the_program(streamclf, command):
    """Each option in an example is one that its command has."""
    text = streamclf(*command.split(), "--help").out
    for line in sections(text)["Examples"]:
        if not line.startswith("  streamclf"):
            continue
        words = line.split("  ")[1].split()
        named = words[1:3] if " ".join(words[1:3]) in GROUPED else words[1:2]
        help_text = streamclf(*named, "--help").out if words[1] in COMMANDS else text
        if words[1] == "config":
            help_text += streamclf("listen", "--help").out
        for word in words:
            if word.startswith("-"):
                assert re.search(rf"(^|\s|,){re.escape(word)}\b", help_text), (line, word)


@pytest.mark.parametrize("command", ["listen", "file"])
def test_options_stand_in_groups(streamclf, command):
    found = sections(streamclf(command, "--help").out)
    for panel, option in [
        ("Model", "--threads"), ("Events", "--only"), ("Events", "--hop"), ("Output", "--clips"),
        ("Output", "--top"), ("Screen", "--fresh"), ("Logging", "--quiet"),
    ]:  # fmt: skip
        assert any(f"{option} " in f"{line} " for line in found[panel]), (panel, option)
    assert "Options" not in found
    assert [line.split()[1] for line in found["Other"] if line.startswith("  -h")] == ["--help"]
    assert set(found) - {""} <= {*PANELS, "Examples"}


def test_values_say_their_unit(streamclf):
    text = streamclf("listen", "--help").out
    for words in ("--hop SECONDS", "--average SECONDS", "--min-duration SECONDS",
                  "--duration SECONDS", "--sample-rate HZ", "--threshold 0..1", "--speed TIMES",
                  "--only LABEL,..."):  # fmt: skip
        assert words in text
    assert not re.search(r"--[a-z-]+ (S|P|K)\b", text)
    assert "x>=" not in text


def test_serve_offers_no_standard_input_which_it_refuses(streamclf):
    offered = {
        command: " ".join(streamclf(command, "--help").out.split())
        for command in ("listen", "serve")
    }
    assert "standard input)" in offered["listen"]
    assert "standard input)" not in offered["serve"]
    assert "a URL, or sim:FILE" in offered["serve"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_an_option_stands_by_itself(command):
    """It begins with what is done or meant, and not in the middle of a sentence."""
    parameters = typer.main.get_command(app).commands[command].params
    for parameter in parameters:
        text = getattr(parameter, "help", None)
        if text is not None and parameter.name != "help":
            assert text.split()[0] not in ("Of", "As", "Not", "No", "Else"), (parameter.name, text)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["file"], "streamclf file"),
        (["listen", "--hopp", "3"], "streamclf listen"),
        (["devices", "x"], "streamclf devices"),
        (["fiel"], "streamclf"),
    ],
)
def test_a_wrong_command_line_is_told_where_the_help_is(streamclf, arguments, command):
    result = streamclf(*arguments)
    assert result.code == 2
    assert result.err.endswith(f"({command} --help shows what there is)\n")


def test_a_name_that_looks_like_an_option_is_told_how_to_be_typed(streamclf):
    said = "a name that begins with - stands behind the options, after --: -- -x"
    assert said in streamclf("teach", "-x", "bell.wav").err
    assert said not in streamclf("devices", "-x").err
    assert "after --" not in streamclf("teach", "--hlep", "bell.wav").err


def test_the_script_that_runs_it_takes_every_command():
    """It hands on what it is given, and chooses nothing but the example."""
    script = (Path(__file__).parents[1] / "scripts" / "run.sh").read_text(encoding="utf-8")
    *_, chooses, starts = script.splitlines()
    assert chooses == '[ $# -gt 0 ] || set -- "$root/examples/afternoon.flac"'
    assert starts == 'exec streamclf "$@"'


def test_file_says_what_stem_and_dir_stand_for(streamclf):
    text = " ".join(streamclf("file", "--help").out.split())
    assert (
        "{stem} stands for a recording's name without its ending and {dir} for its folder" in text
    )


def test_help_needs_no_libraries_that_take_their_time():
    """Who asks for help waits for Python and Typer: groups of options need nothing else."""
    code = "import sys; from streamclf.cli.main import run; run(['file', '--help']); "
    code += "print(*{'rich', 'numpy', 'onnxruntime', 'soundfile', 'soxr'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == ""


def test_a_recording_alone_is_heard(streamclf, scene, tone_model):
    alone = streamclf(scene, "--model", tone_model)
    assert alone.code == 0
    assert alone.lines == streamclf("file", scene, "--model", tone_model).lines
    assert streamclf(scene.parent, "--model", tone_model).lines == alone.lines
    assert streamclf(scene.parent / "*.wav", "--model", tone_model).lines == alone.lines


def test_a_recording_that_is_not_there_is_told_as_one(streamclf):
    result = streamclf("nigth.wav")
    assert result.code == 1
    assert (
        result.err == "streamclf: error: nigth.wav: cannot be opened: no such file or directory\n"
    )


def test_a_command_that_is_not_there_is_told_as_one(streamclf):
    result = streamclf("fiel")
    assert result.code == 2
    assert "No such command 'fiel'. Did you mean 'file'?" in result.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["listen"], ["--help"], ["fiel", "x"], ["rtsp://host/x.wav"], ["x" * 5000]],
)
def test_all_else_stays_as_it_is(arguments):
    assert with_command(app, arguments) == arguments


def test_a_command_wins_over_a_folder_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("info").mkdir()
    assert with_command(app, ["info"]) == ["info"]
