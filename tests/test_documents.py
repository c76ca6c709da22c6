"""README and the documents: what they name is there, so that nobody follows them into nothing.

Options of `python -m train...` are not looked at here: only pages about `streamclf` itself.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamclf.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ABOUT_THE_COMMAND = [
    "README.md",
    "docs/listening.md",
    "docs/recordings.md",
    "docs/outputs.md",
    "docs/always-on.md",
]
OTHERS = {
    "--help",
    "--line-buffered",  # grep's
    # of python -m train.pocket, which these pages name in passing
    "--data",
    "--start",
    "--last-layer",
    "--save",
}


def options_of_all_commands() -> set[str]:
    import typer

    group = typer.main.get_command(app)
    return {
        name
        for command in group.commands.values()
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


@pytest.mark.parametrize("name", ABOUT_THE_COMMAND)
def test_options_that_a_page_names_are_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - OTHERS
    assert named
    assert named <= options_of_all_commands()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", there.read_text(encoding="utf-8"))
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in slugs, target


@pytest.mark.skipif(os.name == "nt", reason="a recipe for sh")
@pytest.mark.parametrize("name", ["README.md", "docs/listening.md"])
def test_the_alarm_of_a_page_rings_while_it_sounds(name):
    """The recipe as it stands there, on the example recording in place of the microphone."""
    text = (ROOT / name).read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```\n(streamclf listen [^`]*done\n)```", text)
    source = f"--source sim:{ROOT / 'examples' / 'afternoon.flac'} --speed 0"
    command = f"{sys.executable} -m streamclf listen {source}"
    recipe = recipe.replace("streamclf listen", command, 1).replace("notify-send", "echo")
    told = subprocess.run(["sh", "-c", recipe], capture_output=True, text=True, timeout=120)
    labels = re.findall(r'"label":"(\w+)"', told.stdout)
    assert labels == ["siren", "clock_alarm"], told.stderr
    assert '"type":"event"' not in told.stdout


def test_readme_fits_a_page_or_two():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_page_is_reached_from_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8")):
            waiting.append((page.parent / target).resolve())
    assert set(PAGES) <= reached


@pytest.mark.skipif(os.name == "nt", reason="a recipe for sh")
def test_the_folder_of_readme_becomes_one_table(tmp_path):
    """The recipe as it stands there, but for the line that needs a terminal; twice, as --resume."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```\n(streamclf file recordings/[^`]*)```", text)
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
    assert labels == ["siren", "car_horn", "clock_alarm", "pouring_water"] * 2
    assert sorted(path.name for path in (tmp_path / "heard").iterdir()) == sorted(set(labels))
