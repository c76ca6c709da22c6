"""Heat map of labels over the hours of the day, as a picture by matplotlib."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.sinks.output_files import write_whole
from streamclf.store.display_names import read_display_names
from streamclf.store.queries import count_events, hours_heard
from streamclf.store.question import Database, Question

N_SHOWN = 30
"""Most labels in a map; those with most events."""
COLOURS = ("#f4f6f8", "#cfe3ee", "#8fc1d8", "#4a93b8", "#1f6389", "#0c3350")
"""From none to most, in steps of even lightness that people with any colour vision can tell."""
DEAF = "#e3e3e3"


@dataclass(frozen=True)
class HeatMap:
    """Events by label and hour of the day.

    Attributes:
        labels: The labels as people read them, those with most events first.
        n_events: Events of each label and hour, ``(labels, 24)``.
        hours: Hours heard in each hour of the day.
        n_left_out: Labels that are not among them.
    """

    labels: list[str]
    n_events: list[list[int]]
    hours: list[float]
    n_left_out: int = 0

    @property
    def rates(self) -> list[list[float | None]]:
        """Events in an hour heard; None where nothing was heard."""
        return [
            [n / heard if heard else None for n, heard in zip(row, self.hours, strict=True)]
            for row in self.n_events
        ]

    @property
    def has_hours(self) -> bool:
        """Whether it is known how long was heard."""
        return any(self.hours)


def count_heat_map(connection: Database, question: Question, n_shown: int = N_SHOWN) -> HeatMap:
    """Count events by label and hour of the day."""
    counted: dict[str, list[int]] = {}
    for each in count_events(connection, question, ["label", "hour"]):
        label, hour = each.key
        counted.setdefault(str(label), [0] * 24)[int(str(hour))] += each.n_events
    heard = hours_heard(connection, question, ["hour"])
    labels = sorted(counted, key=lambda label: (-sum(counted[label]), label))
    shown = read_display_names(connection)
    return HeatMap(
        [one_line(shown.get(label, label)) for label in labels[:n_shown]],
        [counted[label] for label in labels[:n_shown]],
        [heard.get((hour,), 0.0) for hour in range(24)],
        max(len(labels) - n_shown, 0),
    )


def draw_heat_map(
    connection: Database,
    question: Question,
    path: Path,
    *,
    title: str,
    overwrite: bool = False,
) -> int:
    """Draw events in an hour heard, by label and hour of the day.

    Args:
        connection: The store.
        question: Which events.
        path: The picture, which ends in .png or .svg.
        title: What it shows.
        overwrite: Whether a file that is there is replaced.

    Returns:
        Number of labels in it.

    Raises:
        UsageError: matplotlib is not installed, there are no events, or the file exists.
        SinkError: The file cannot be written.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib, which is not installed: pip install 'streamclf[plot]', or "
            "take `streamclf report`, which draws by itself"
        ) from error
    counted = count_heat_map(connection, question)
    if not counted.labels:
        raise UsageError(
            f"--plot {path}: there is no event with a time to draw: ask for more, see `streamclf "
            "heard`"
        )
    figure = Figure(figsize=(9.5, 1.7 + 0.29 * len(counted.labels)), layout="constrained")
    _fill(figure, counted, title)
    form = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if form == "svg" else {}
    with (
        write_whole(path, overwrite=overwrite) as part,
        matplotlib.rc_context({"svg.hashsalt": "streamclf"}),
        warnings.catch_warnings(),
    ):
        # A label may be of a script that the font lacks; its letters are boxes then.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(part, format=form, dpi=150, metadata=metadata)
    return len(counted.labels)


def _fill(figure: Any, counted: HeatMap, title: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    axes = figure.add_subplot()
    rates = counted.rates if counted.has_hours else counted.n_events
    values = [[float("nan") if rate is None else float(rate) for rate in row] for row in rates]
    colours = LinearSegmentedColormap.from_list("heard", COLOURS).with_extremes(bad=DEAF)
    most = max(value for row in values for value in row if value == value)
    # By the square root, so that what is rare is seen beside what is frequent.
    image = axes.pcolormesh(
        values, cmap=colours, norm=PowerNorm(0.5, 0, most or 1), edgecolors="white", linewidth=1
    )
    axes.invert_yaxis()
    places = [number + 0.5 for number in range(len(counted.labels))]
    axes.set_yticks(places, [label[:40] for label in counted.labels])
    axes.set_xticks(range(0, 25, 3), [f"{hour:02}:00" for hour in range(0, 25, 3)])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    left_out = f" ({counted.n_left_out} rarer labels are left out)" if counted.n_left_out else ""
    axes.set_title(f"{title}{left_out}", loc="left", fontsize=11, pad=10)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("events in an hour heard" if counted.has_hours else "events")
    for text in [axes.title, *axes.get_yticklabels()]:
        text.set_parse_math(False)  # a label may hold a $
    if counted.has_hours and not all(counted.hours):
        axes.set_xlabel("grey: nothing listened in this hour", fontsize=9)
