"""The progress display of a training: a bar on a terminal, lines elsewhere, on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from train.base.recipe import Recipe

REFRESH_S = 0.5
"""Seconds between two readings of the loss; each makes the processor wait for the GPU."""

LINE_EVERY_S = 2.0


class ProgressDisplay:
    """Shows loss, accuracy, clips per second and the time left."""

    def __init__(self, recipe: Recipe, n_batches: int, done: int, measure: str) -> None:
        """Prepare the display.

        Args:
            recipe: The recipe; the length of its schedule may change during the training.
            n_batches: Batches of an epoch.
            done: Steps made in earlier sessions.
            measure: ``accuracy``, or ``error`` of a regression.
        """
        self.recipe, self.n_batches, self.done, self.measure = recipe, n_batches, done, measure
        self.began = self.shown = self.printed = time.monotonic()
        console = Console(file=sys.stderr)
        self.bar: Progress | None = None
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[text]}"),
                console=console,
                transient=True,
            )
            self.task = self.bar.add_task("training", total=self._n_steps, text="")

    @property
    def _n_steps(self) -> int:
        return self.recipe.epochs * self.n_batches

    def __enter__(self) -> ProgressDisplay:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def is_due(self) -> bool:
        """Whether it is time to read the loss again."""
        return time.monotonic() - self.shown >= REFRESH_S

    def show_step(self, step: int, sums: list[float]) -> None:
        """Show the running epoch's figures so far, from its sums (see `checkpoint.Progress`)."""
        self.shown = time.monotonic()
        if self.bar:
            loss, metric_sum, clips, seconds = sums
            row = {"epoch": step // self.n_batches, "loss": loss / clips, "seconds": seconds}
            row |= {self.measure: metric_sum / clips}
            n_epochs = self.recipe.epochs
            epoch = f"epoch {min(step // self.n_batches + 1, n_epochs)}/{n_epochs}"
            text = self._describe(row, step, clips)
            self.bar.update(
                self.task, completed=step, total=self._n_steps, description=epoch, text=text
            )

    def show_epoch(self, row: dict[str, Any], step: int, n_clips: int) -> None:
        """Print a finished epoch: always where it was evaluated, else now and then.

        Args:
            row: The epoch's row of the history.
            step: Steps made so far.
            n_clips: Clips of an epoch.
        """
        now = time.monotonic()
        evaluated = any(key.startswith(("held_out", "validation")) for key in row)
        if self.bar and not evaluated:
            return
        n_epochs = self.recipe.epochs
        if evaluated or row["epoch"] == n_epochs or now - self.printed > LINE_EVERY_S:
            line = f"epoch {row['epoch']}/{n_epochs}: {self._describe(row, step, n_clips)}"
            print(line, file=sys.stderr, flush=True)
            self.printed = now

    def _describe(self, row: dict[str, Any], step: int, n_clips: float) -> str:
        parts = [f"loss {row['loss']:.3f}"]
        for key in (self.measure, "validation_clips", "held_out_clips"):
            if row.get(key) is not None:
                name = key.removesuffix("_clips").replace("_", " ")
                value = f"{row[key]:.1%}" if self.measure == "accuracy" else f"{row[key]:.3f}"
                parts.append(f"{name} {value}")
        parts.append(f"{n_clips / max(row['seconds'], 1e-9):.0f} clips/s")
        pace = (time.monotonic() - self.began) / max(1, step - self.done)
        left = (self._n_steps - step) * pace
        parts.append(f"{left / 60:.1f} min left" if left >= 60 else f"{left:.0f} s left")
        return ", ".join(parts)
