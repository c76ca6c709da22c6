"""``python -m train.levels RUN``: are quiet sounds named as well as loud ones?

Recordings for listening reach nearly full scale; sounds from across a room often lie 30 dB lower at
a microphone. This command runs the held-out fold's clips at lower levels, in 16 bits as a recorder
would store them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from streamclf.core.errors import UsageError
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.datasets import ClipSet
from train.evaluate import reopen_data
from train.evaluation.metrics import interval_95
from train.nets.inference import HOP_S, run_windows
from train.run_folder.load_network import load_network, open_held_out
from train.run_folder.run import RunFolder

LEVELS_DB = (0.0, -10.0, -20.0, -30.0, -40.0, -50.0)
LOWEST_DB = -90.0
"""Below this level nothing is left of 16 bits."""

LEVELS_FILE = "levels.json"


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m train.levels",
        description="Measure how well a run names the sounds of its held-out fold when quiet.",
    )
    add = parser.add_argument
    add("run", type=Path, help="the run folder")
    add("--data", type=Path, help="the run's data set (where it was when the run was trained)")
    add("--prepared", type=Path, help="where its prepared clips go")
    add("--levels", type=float, nargs="+", default=LEVELS_DB, metavar="DB",
        help="dB that are added to the clips, none above 0 (0 -10 -20 -30 -40 -50)")  # fmt: skip
    add("--json", action="store_true", help="JSON instead of a line each")
    options = parser.parse_args(arguments)
    check_levels(options.levels)
    result = measure_levels(options.run, options.levels, options.data, options.prepared)
    RunFolder.open(options.run).write_json(LEVELS_FILE, result)
    if options.json:
        print(json.dumps(result, indent=1))
        return 0
    n_clips = result["clips"]
    for level, accuracy in result["averaged_windows"].items():
        low, high = interval_95(round(accuracy * n_clips), n_clips)
        print(f"{level:>4} dB: {accuracy:.1%} of {n_clips} clips ({low:.1%} to {high:.1%})")
    return 0


def check_levels(levels: Iterable[float]) -> None:
    """Check that clips can have these levels.

    Raises:
        UsageError: A level would clip, or leave nothing.
    """
    for level in levels:
        if not LOWEST_DB <= level <= 0:
            raise UsageError(f"--levels: {level:g} dB, must be between {LOWEST_DB:g} and 0")


def measure_levels(
    path: Path, levels: list[float], data: Path | None = None, prepared: Path | None = None
) -> dict[str, Any]:
    """Measure the accuracy of averaged windows at each level, for the model card.

    Returns:
        Accuracies by the level in dB, the number of clips, and a description of the protocol.

    Raises:
        RunError: The run cannot be read, or held no clips of classes out.
    """
    run, config, _ = open_held_out(path)
    system, network = load_network(run, config)
    clips = reopen_data(run, system, config, data=data, prepared=prepared)
    held_out = clips.of_folds([config["data"]["test_fold"]])
    accuracies = {
        f"{level:g}": round(
            run_windows(
                network, change_level(held_out, level), system.window_samples, fill=system.fill
            ).clip_accuracy(),
            4,
        )
        for level in levels
    }
    return {
        "averaged_windows": accuracies,
        "clips": len(held_out.clips),
        "protocol": (
            "the held-out clips raised by so many dB, in 16 bits; mean of the scores of a window "
            f"every {HOP_S:g} s"
        ),
    }


def change_level(clips: ClipSet, level_db: float) -> ClipSet:
    """Change the level of clips, rounded to 16 bits again.

    Args:
        clips: Clips of any number of channels.
        level_db: 0 or less.
    """
    samples = np.concatenate(
        [clips.samples[clip.offset : clip.offset + clip.n_samples] for clip in clips.clips]
    )
    offsets = np.cumsum([0, *(clip.n_samples for clip in clips.clips[:-1])]).tolist()
    moved = [replace(c, offset=offset) for c, offset in zip(clips.clips, offsets, strict=True)]
    quiet = np.rint(samples * np.float32(10 ** (level_db / 20))).astype(np.int16)
    return replace(clips, clips=tuple(moved), samples=quiet)


if __name__ == "__main__":
    sys.exit(main())
