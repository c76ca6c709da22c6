"""README and the documents: what they name is there, so that nobody follows them into nothing.

A command line in a code block is read by the program's own parser, a settings file by the program,
a line of JSON by its schema. What a page claims of a result is tested where the result is.
"""

from __future__ import annotations

import argparse
import ast
import csv
import functools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from documents import (
    PAGES,
    ROOT,
    SITE,
    blocks,
    command_lines,
    load_reference,
    name_of,
    prose,
    read,
    shell_commands,
)

import streamclf as library
from streamclf.cli.arguments import with_command, with_port
from streamclf.cli.main import app
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import DEFAULT_MODEL

ABOUT_TRAINING = {
    "CONTRIBUTING.md",
    "README.md",
    "docs/explanation/figures.md",
    "docs/explanation/reliability.md",
    "docs/explanation/scores.md",
    "docs/explanation/training.md",
    "docs/how-to/clips.md",
    "docs/how-to/export.md",
    "docs/how-to/judging.md",
    "docs/how-to/short-recordings.md",
    "docs/how-to/training.md",
    "docs/how-to/wide.md",
    "docs/models/pocket.md",
    "docs/models/wide.md",
    "docs/reference/free-sounds.md",
    "docs/tutorials/own-sounds.md",
}
"""Pages that also name options of `python -m train...`, `export` or `benchmarks`."""
OTHER_PROGRAMS = {
    "--help",
    "--version",
    "--line-buffered",  # grep
    "--unbuffered",  # jq
    "--now",  # systemctl
    "--check",  # scripts/reference.py
    "--strict",  # zensical
    "--group",  # pip
    "--array",  # sbatch
    "--cpus-per-task",
    "--job-name",
    "--mem",
    "--requeue",
    "--time",
    "--device",  # docker
    "--rm",
    "--user",
    "--volume",
    "--init",
    "--add-on",  # scripts/try_image.py
    "--editable",
    "--dist",  # pytest
    "--snapshot-update",  # pytest
}
with_name = pytest.mark.parametrize("page", PAGES, ids=name_of)


@functools.cache
def program() -> Any:
    """The program's commands, made once: it takes longer than to read a command line."""
    import typer

    return typer.main.get_command(app)


def parse(arguments: list[str]) -> None:
    """Read a command line as the program does, and do nothing else. The only place that knows how.

    Raises:
        Exception: The program would refuse it.
    """
    group = program()
    name, *rest = with_port(with_command(app, arguments))
    # A command that is asked without the program keeps for ever that its help has no -h.
    parent = group.context_class(group, info_name="streamclf", **group.context_settings)
    context = group.commands[name].make_context(name, rest, parent=parent)
    if name == "config":
        group.commands["listen"].make_context("listen", list(context.args), parent=parent)


@functools.cache
def options_of_all_commands() -> set[str]:
    every = load_reference("reference_pages.commands").commands()
    usages = [option.usage for each in every for option in each.options]
    return {name for usage in usages for name in re.findall(r"--[a-z][a-z-]+", usage)}


@functools.cache
def options_of_training() -> set[str]:
    """What the sources name: running all of their parsers would take torch."""
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("train", "export", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    return {name for text in sources for name in re.findall(r"\"(--[a-z][a-z0-9-]+)\"", text)}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page in SITE or page.parent == ROOT], ids=name_of
)
def test_options_that_a_page_names_are_there(page):
    if page.name == "CHANGELOG.md":  # it also names what is no more
        return
    known = options_of_all_commands() | OTHER_PROGRAMS
    if name_of(page) in ABOUT_TRAINING:
        known = known | options_of_training()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", read(page)))
    assert named <= known


def test_each_page_about_training_is_there():
    assert {name_of(page) for page in PAGES} >= ABOUT_TRAINING


@with_name
def test_command_lines_of_a_page_are_taken_by_the_program(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "settings.toml"
    settings.touch()
    for words in command_lines(page, "streamclf"):
        if "--config" in words:
            words[words.index("--config") + 1] = str(settings)
        parse(words)


def test_command_lines_are_found_and_wrong_ones_are_refused(tmp_path):
    """What the test above would not see, it could not refuse."""
    assert sum(1 for page in PAGES for _ in command_lines(page, "streamclf")) > 60
    page = tmp_path / "page.md"
    page.write_text("```\nx | A=1 streamclf listen --hopp 1 && streamclf day.wav  # heard\n```\n")
    wrong, right = command_lines(page, "streamclf")
    assert (wrong, right) == (["listen", "--hopp", "1"], ["day.wav"])
    parse(right)
    with pytest.raises(Exception, match="hopp"):
        parse(wrong)


class ParserReached(Exception):  # noqa: N818  # nothing went wrong
    """A command has come to its parser; nothing else of it is to be run."""


@pytest.fixture
def same_modules(monkeypatch):
    """Let later tests find each module where it was, though a command imports it anew."""
    rooms = ("train", "export", "benchmarks")
    before = {name: sys.modules[name] for name in sys.modules if name.partition(".")[0] in rooms}
    yield
    monkeypatch.undo()
    sys.modules.update(before)
    for name, module in list(sys.modules.items()):
        room, _, leaf = name.rpartition(".")
        if room.partition(".")[0] in rooms:
            setattr(sys.modules[room], leaf, module)


@pytest.mark.train
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ("CHANGELOG.md", "trials.md")], ids=name_of
)
@pytest.mark.usefixtures("same_modules")
def test_command_lines_of_training_are_taken_by_its_commands(page, monkeypatch):
    """`trials.md` is left out: it keeps command lines of versions that are no more."""
    pytest.importorskip("torch")
    whole = argparse.ArgumentParser.parse_args

    def stop(parser, given=None, namespace=None):
        if is_whole:
            whole(parser, given, namespace)
        raise ParserReached(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    for module, *words in command_lines(page, "python -m"):
        if module.partition(".")[0] not in ("train", "export", "benchmarks"):
            continue
        is_whole = not any("..." in word or "[" in word or word == "N" for word in words)
        monkeypatch.setattr(sys, "argv", [module, *words])
        for imported in (module, f"{module}.__main__"):  # it is run, not imported
            monkeypatch.delitem(sys.modules, imported, raising=False)
        with pytest.raises(ParserReached) as stopped:
            runpy.run_module(module, run_name="__main__")
        parser = stopped.value.args[0]
        flags = re.findall(r"--[a-z][a-z0-9-]+", " ".join(words))
        assert set(flags) <= set(parser._option_string_actions), (module, flags)


def test_page_from_nothing_reads_only_what_it_fetched_or_made():
    """Each file that a command takes comes from a command before it, of the whole way."""
    page = next(page for page in PAGES if page.name == "wide.md")
    there, n_commands = set(), 0
    for words in (each for code in blocks(page, "") for each in shell_commands(code)):
        made = {words[at + 1] for at, word in enumerate(words[:-1]) if word in MAKING}
        if words[0] == "curl":
            made = {words[-1].rpartition("/")[2]}
        if "--download" in words:
            made.add(words[words.index("--download") - 1])
        paths = {
            word.removeprefix("./").split("/*")[0] for word in words if re.fullmatch(A_PATH, word)
        }
        assert paths - made <= there | {f"{each}/sound-icons" for each in there}, words
        there |= made
        n_commands += words[0] in ("python", "streamclf")
    assert n_commands > 10
    assert {"SOUNDS", "PREPARED", "weights.npz", "runs/wide", "wide.onnx"} <= there


MAKING = ("-o", "--out", "--save", "--cache")
"""Options that name what a command of training makes."""
A_PATH = r"(?!http)[\w./*-]+\.(pt|csv|json|npz|onnx|wav)|runs/\w+|[A-Z][A-Z0-9-]{3,}"


@with_name
def test_python_of_a_page_compiles_and_names_what_is_there(page):
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert all(find_spec(alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = __import__(node.module, fromlist=["x"])
                assert all(hasattr(module, alias.name) for alias in node.names)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "streamclf":
                assert hasattr(library, node.attr), node.attr


@with_name
def test_settings_of_a_page_are_taken_by_the_program(page, tmp_path, streamclf):
    for code in blocks(page, "toml"):
        file = tmp_path / "file.toml"
        file.write_text(code, encoding="utf-8")
        option = "--thresholds" if re.search(r"(?m)^on = \d", code) else "--config"
        tables = re.search(r"(?m)^\[(\[(sources|rules|targets)\]|mqtt)\]", code)
        command = ["serve"] if tables else ["config"]
        result = streamclf(*command, "--check", option, file)
        assert result.code == 0, result.err


@with_name
def test_lines_of_json_have_the_form_of_their_schema(page):
    import jsonschema

    for code in blocks(page, "json"):
        for line in map(json.loads, code.splitlines()):
            path = ROOT / "docs" / "reference" / "schema" / f"{line['type']}.json"
            schema = json.loads(path.read_text(encoding="utf-8"))
            jsonschema.validate(line, {**schema, "additionalProperties": False})


@with_name
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", prose(there))
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in slugs, target


NOT_PATHS = ("runs/", "homeassistant/status", "homeassistant/device")
"""Begins of what looks like a path of the project: a user's runs, topics of Home Assistant."""


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of
)
def test_paths_that_a_page_names_are_there(page):
    """Files, folders and modules in `code`; those of `streamclf/` may be named without it."""
    bases = (ROOT, ROOT / "streamclf", ROOT / "tests")
    tops = {path.name for base in bases for path in base.iterdir() if path.is_dir()}
    for said in re.findall(r"`([\w./*-]+)`", prose(page)):
        first, slash, _ = said.partition("/")
        if slash and first in tops and first != "build" and not said.startswith(NOT_PATHS):
            path = re.sub(r"\.[A-Z]\w*$", "", said)  # a name in that file
            assert any(exists(base / path) for base in bases), said
        elif said.startswith("runs/") and page.parent.name == "explanation":
            assert exists(ROOT / "streamclf" / said), said  # elsewhere: the run of a training
        elif re.fullmatch(
            r"(train|export|benchmarks|streamclf)(\.[a-z_0-9]+)+(?<!\.toml)(?<!\.db)", said
        ):
            assert exists(ROOT / said.replace(".", "/")) or names_an_attribute(said), said


@functools.cache
def files_of_tests() -> dict[str, str]:
    """The text of each file of tests, by its name."""
    return {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py")}


@with_name
def test_tests_that_a_page_names_are_there(page):
    """`test_x.py` and `test_some_behaviour`, or its beginning with a star."""
    files = files_of_tests()
    every = "\n".join(files.values())
    for said in re.findall(r"\btest_[\w.:*/]+", prose(page)):
        file, _, name = said.rpartition("::") if "::" in said else (said, "", "")
        if file.endswith(".py"):
            assert file in files, said
        else:
            name = file
        if name:
            start = re.escape(name).replace(r"\*", r"\w*")
            assert re.search(rf"def {start}(\w*)\(" if "*" in name else rf"def {start}\(", every), (
                said
            )


def exists(path: Path) -> bool:
    if "*" in path.name:
        return any(path.parent.glob(path.name))
    return path.exists() or path.with_name(f"{path.name}.py").exists()


def names_an_attribute(dotted: str) -> bool:
    """Whether the file of the module defines the last part, without importing it."""
    module, _, name = dotted.rpartition(".")
    base = ROOT / module.replace(".", "/")
    file = base / "__init__.py" if base.is_dir() else base.with_name(f"{base.name}.py")
    return file.is_file() and re.search(rf"\b{name}\b", file.read_text("utf-8")) is not None


def test_pages_that_the_code_names_are_there():
    named = set()
    for folder in ("streamclf", "train", "export", "service", "scripts", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".sh", ".service", ".toml"):
                text = path.read_text(encoding="utf-8")
                named |= set(re.findall(r"\b(?:docs|research)/[\w/-]+\.(?:md|svg|png)", text))
    assert len(named) > 4
    assert [page for page in named if not (ROOT / page).is_file()] == []


def test_every_page_is_reached_from_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", read(page)):
            waiting.append((page.parent / target).resolve())
    assert set(PAGES) <= reached


def test_readme_leads_to_all_that_a_box_does():
    """What somebody who reads it alone would never find otherwise."""
    readme = read(ROOT / "README.md")
    assert "http://127.0.0.1:8787/" in readme
    pages = ["page", "heard", "always-on", "telling", "home-assistant", "container", "add-on"]
    assert [name for name in pages if f"(docs/how-to/{name}.md" not in readme] == []


def test_readme_fits_a_page_or_two():
    assert len(read(ROOT / "README.md").splitlines()) <= 130


def test_the_treasure_hunt_has_twenty_answers():
    """That the files of the answers are there, the test of paths says."""
    questions, answers = (
        read(ROOT / "CONTRIBUTING.md").split("## Treasure hunt")[1].split("<details>")
    )
    for part in (questions, answers):
        assert re.findall(r"(?m)^(\d+)\.", part) == [str(n) for n in range(1, 21)]


def test_the_version_stands_in_one_place():
    """The newest release of the changelog is that version; no other file repeats it."""
    releases = re.findall(r"(?m)^## (\d+\.\d+\.\d+)", read(ROOT / "CHANGELOG.md"))
    assert releases[0] == library.__version__
    for name in ("pyproject.toml", "CITATION.cff", "zensical.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r'(?m)^version\s*[:=]\s*"?\d', text), name


def test_the_precision_that_a_page_asks_for_is_one_that_the_default_model_has():
    """A command whose options exist may be refused all the same, for what the model's card has."""
    asked = {
        (name_of(page), words[at + 1])
        for page in SITE
        for words in command_lines(page, "streamclf")
        if "--model" not in words
        for at, word in enumerate(words)
        if word == "--target-precision"
    }
    card = Model(find_model(DEFAULT_MODEL), provider="cpu").card
    highest = max(map(float, card.precisions))
    assert asked
    assert {(page, said) for page, said in asked if float(said) > highest} == set()


@pytest.mark.skipif(os.name == "nt", reason="a recipe for sh")
@pytest.mark.parametrize("name", ["README.md", "docs/how-to/telling.md", "docs/tutorials/box.md"])
def test_the_alarm_of_a_page_rings_while_it_sounds(name, tmp_path):
    """The recipe as it stands there, on the example recording in place of the microphone."""
    (recipe,) = (code for code in blocks(ROOT / name, "") if "notify-send" in code)
    example = f"sim:{ROOT / 'examples' / 'afternoon.flac'}"
    (tmp_path / "box.toml").write_text(
        f'store = "{tmp_path}/box.db"\n[[sources]]\nurl = "{example}"\nspeed = 0\n'
    )
    python = f"{sys.executable} -m streamclf"
    listen = f"{python} listen --source {example} --speed 0"
    recipe = recipe.replace("streamclf listen", listen, 1).replace("notify-send", "echo")
    recipe = recipe.replace("streamclf serve", f"{python} serve --config {tmp_path}/box.toml", 1)
    told = subprocess.run(["sh", "-c", recipe], capture_output=True, text=True, timeout=120)
    labels = re.findall(r'"label":"([^"]+)"', told.stdout)
    assert labels == ["Siren", "Smoke detector, smoke alarm"], told.stderr
    assert '"type":"event"' not in told.stdout


@pytest.mark.skipif(os.name == "nt", reason="a recipe for sh")
def test_the_folder_of_readme_becomes_one_table(tmp_path):
    """The recipe as it stands there, but for the line that needs a terminal; twice, as --resume."""
    (recipe,) = (code for code in blocks(ROOT / "README.md", "") if "file recordings/" in code)
    lines = [line for line in recipe.splitlines() if "--ui" not in line]
    example = ROOT / "examples" / "afternoon.flac"
    (tmp_path / "recordings" / "june").mkdir(parents=True)
    for name in ("recordings/a.flac", "recordings/june/b.flac", "day.wav"):
        shutil.copy(example, tmp_path / name)
    script = "\n".join([*lines, lines[0]]).replace("streamclf", f"{sys.executable} -m streamclf")
    told = subprocess.run(
        ["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert "2 of 2 recordings had been done before" in told.stderr
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    heard = [row["source"] for row in rows if row["type"] == "heard"]
    assert heard == ["recordings/a.flac", "recordings/june/b.flac"]
    labels = [row["label"] for row in rows if row["type"] == "event"]
    assert labels == [
        "Siren", "Vehicle horn, car horn, honking", "Smoke detector, smoke alarm", "Beep, bleep",
        "Music", "Electric piano",
    ] * 2  # fmt: skip
    folders = {label.replace(",", "_") for label in labels}
    assert {path.name for path in (tmp_path / "heard").iterdir()} == folders
