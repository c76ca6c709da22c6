"""Options that belong together reach what takes them, each in its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from streamclf.cli import option_groups
from streamclf.cli.option_groups import grouped
from streamclf.core.settings import Settings
from streamclf.model.model_file import CardOptions
from streamclf.runs.engine_setup import ModelOptions, ThresholdOptions
from streamclf.runs.outputs import OutputOptions
from streamclf.sources.factory import SourceOptions

CARD = option_groups.Card(Path("labels.csv"), 16000, 0.975, "sigmoid", "multi-label")


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width", "-w")] = 3
    tall: Annotated[bool, typer.Option("--tall")] = False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x"], "x Size(width=3, tall=False) red"),
        (["-w", "7", "x", "--colour", "blue", "--tall"], "x Size(width=7, tall=True) blue"),
    ],
)
def test_a_group_gives_its_options_to_a_command_and_comes_as_one(arguments, said):
    app = typer.Typer()

    @app.command()
    @grouped
    def paint(*, name: str, size: Size, colour: str = "red") -> None:
        """Paint it."""
        print(name, size, colour)

    result = CliRunner().invoke(app, arguments)
    assert result.output.strip() == said
    assert [c.callback.__name__ for c in app.registered_commands if c.callback] == ["paint"]


def test_groups_say_what_the_program_takes():
    assert CARD.read() == CardOptions(
        labels=Path("labels.csv"), sample_rate=16000, window_s=0.975, activation="sigmoid",
        task="multi-label",
    )  # fmt: skip
    assert option_groups.Model("esc10", "cuda", 3).read(CARD, self_check=True) == ModelOptions(
        name="esc10", provider="cuda", n_threads=3, card=CARD.read(), self_check=True
    )
    assert option_groups.Thresholds(0.1, 0.2, Path("t.toml"), 0.3, 0.4).read() == ThresholdOptions(
        threshold=0.1, precision=0.2, file=Path("t.toml"), min_duration_s=0.3, max_gap_s=0.4
    )
    listening = option_groups.Listening(0.25, True, 2.0, "exponential", 2)
    assert listening.read(fixed_hop=True, name_unknown=True) == Settings(
        hop_s=0.25, exact_hop=True, average_s=2.0, average_kind="exponential", channel=2,
        fixed_hop=True, name_unknown=True,
    )  # fmt: skip
    simulated = option_groups.Source("sim:a.wav", speed=2.0, loop=True)
    assert simulated.read(2) == SourceOptions("sim:a.wav", speed=2.0, loop=True, channel=2)
    microphone = option_groups.Source(device="usb", no_reconnect=True)
    assert microphone.read(None) == SourceOptions(device="usb", reconnect=False)
    piped = option_groups.Source("-", raw="s16le:16000:1")
    assert piped.read(None) == SourceOptions("-", raw="s16le:16000:1")
    outputs = option_groups.Outputs(
        [Path("a.csv")], None, Path("s.csv"), Path("s.json"), Path("heard"), True
    )
    assert outputs.read(top=4, rotate="daily") == OutputOptions(
        files=[Path("a.csv")], scores=Path("s.csv"), overwrite=True, top=4, stats=Path("s.json"),
        rotate="daily", clips=Path("heard"),
    )  # fmt: skip
