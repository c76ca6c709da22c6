"""README and the documents: what they name is there, so that nobody follows them into nothing.

Options of `python -m train...` are not looked at here: only pages about `streamclf` itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streamclf.cli import app

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
