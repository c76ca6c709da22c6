"""Options of the outputs: files, formats, and the kinds of records in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError
from streamclf.sinks.file_names import Format, check_scores_ending, format_of, is_template
from streamclf.sinks.live.rotation import Rotation
from streamclf.sinks.output_files import is_there

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamclf.core.card import Card
    from streamclf.sinks.clips.quota import ClipQuota
    from streamclf.sinks.clips.speech import SpeechJudge
    from streamclf.sinks.live.live_outputs import LiveOutputs

Privacy: TypeAlias = Literal["speech"]
MAX_DAYS = 36_500
"""Most days that clips may be kept: a century, which a time in microseconds can hold."""


@dataclass(frozen=True)
class OutputOptions:
    """The outputs of a run, besides and including standard output.

    Attributes:
        files: For events, a sink each; a name with ``{stem}``, ``{name}`` or ``{dir}`` is a file a
            recording.
        format: Of standard output; None for text on a terminal, else JSON Lines.
        updates: Whether there are lines of the best labels at each hop (live).
        summary: Whether a recording gets one answer in place of its events.
        top: Labels in a line of updates, or in an answer.
        begins: Whether there are lines for events that begin, too.
        scores: For those of each window.
        stats: For what was heard and lost.
        store: File that remembers what was heard, see `streamclf.store`.
        levels: Whether the store gets sound levels of each minute.
        clips: Folder for the audio of each event.
        overwrite: Whether files that are there are replaced.
        clips_limit: What the clips' folder may hold (live), such as ``20GB``.
        clips_days: Days after which a clip is deleted (live, with a store).
        clips_min: Clips of each label that stay all the same (live, with a store).
        privacy: What no file may hold; None for no such thing.
        append: Whether to go on with files that are there (live).
        rotate: When to begin new files (live), see `Rotation`.
        resume: Whether to leave out recordings whose own files are there already, and those that
            tables of many recordings, or the store, hold to their end.

    Raises:
        UsageError: What is asked for does not go together, or a name says no format.
    """

    panel: ClassVar[str] = "Output"

    files: tuple[Path, ...] = option(
        (),
        "--output",
        "-o",
        metavar="FILE",
        help="Also write events to a .jsonl, .csv, .txt (Audacity) or .selections.txt (Raven) "
        "file; may be repeated.",
    )
    format: Format | None = option(
        None,
        "--format",
        "-f",
        help="Format of standard output; by default text on a terminal, else jsonl.",
    )
    updates: bool = option(
        False, "--updates", help="Also write a line with the best labels at each hop."
    )
    summary: bool = option(
        False,
        "--summary",
        help="Write one result for each recording instead of events: its best labels, or a value.",
    )
    top: int = option(
        5, "--top", "-k", minimum=1, metavar="N", help="Number of best labels to name."
    )
    begins: bool = option(
        False, "--begins", help="Also write a JSON line when an event begins, as listen does."
    )
    scores: Path | None = option(
        None, "--scores", metavar="FILE", help="Write each window's scores to .csv or .npz."
    )
    stats: Path | None = option(
        None,
        "--stats",
        metavar="FILE",
        help="Write statistics of the audio that was heard and lost, as JSON.",
    )
    store: Path | None = option(
        None,
        "--store",
        metavar="FILE",
        help="Also remember events, gaps and levels in this store (a SQLite file), which heard "
        "asks.",
    )
    levels: bool = option(
        True,
        "--no-levels",
        help="Measure no sound levels for the store, to save processor time (with --store).",
        negated=True,
    )
    clips: Path | None = option(
        None,
        "--clips",
        metavar="FOLDER",
        help="Folder for the audio of each event, with a subfolder for each label.",
    )
    overwrite: bool = option(False, "--overwrite", help="Replace output files that exist.")
    clips_limit: str | None = option(
        None,
        "--clips-limit",
        metavar="SIZE",
        help="Maximum size of the clips folder (500MB, 20GB); when it is full, clips of the label "
        "that uses most space are deleted: the oldest, or with --store those with the lowest "
        "scores.",
    )
    clips_days: float | None = option(
        None,
        "--clips-days",
        metavar="DAYS",
        help="Delete clips after this many days (with --store); clips that are kept or reviewed "
        "stay.",
    )
    clips_min: int | None = option(
        None,
        "--clips-min",
        metavar="N",
        minimum=1,
        help="Number of clips of each label that are never deleted (with --store): those with the "
        "highest scores.",
    )
    privacy: Privacy | None = option(
        None,
        "--privacy",
        help="Write no audio that holds speech, or may: such clips are left out (speech).",
    )
    append: bool = option(False, "--append", help="Append to output files that exist.")
    rotate: str | None = option(
        None,
        "--rotate",
        metavar="SIZE|daily",
        help="Rename output files and begin new ones when they reach a size (10MB, 1GB), or "
        "each day.",
    )
    resume: bool = option(
        False,
        "--resume",
        help="Continue a batch: skip recordings whose results are already in the outputs.",
    )

    def __post_init__(self) -> None:
        for path in self.files:
            chosen = format_of(path)
            if self.summary:
                _check_answers(f"--output {path}", chosen)
        if self.summary and self.format is not None:
            _check_answers("--format", self.format)
        if self.scores is not None:
            check_scores_ending(self.scores)
        if self.append and self.overwrite:
            raise UsageError("--append goes on with a file, --overwrite replaces it: leave one out")
        for name, given in [("--append", self.append), ("--rotate", self.rotate is not None)]:
            if given and not (self.files or self.scores):
                raise UsageError(f"{name} goes with --output or --scores")
            if given and self.scores is not None and self.scores.suffix.lower() == ".npz":
                raise UsageError(
                    f"{name} goes with files of lines, {self.scores} is written whole at the "
                    "end: take .csv for the scores"
                )
        if self.rotate is not None:
            Rotation.parse(self.rotate)
        if self.resume:
            self._check_resume()
        if self.clips is not None and is_there(self.clips) and not self.clips.is_dir():
            raise UsageError(f"--clips {self.clips}: is a file, clips need a folder: name one")
        for name, value in [("--clips-limit", self.clips_limit), *self._kept_by_store()]:
            if value is not None and self.clips is None:
                raise UsageError(f"{name} goes with --clips")
        if self.clips_days is not None and not 0 < self.clips_days <= MAX_DAYS:
            raise UsageError(
                f"--clips-days {self.clips_days:g}: must be above 0 days, up to {MAX_DAYS}"
            )
        self.clip_limit_bytes()

    def _kept_by_store(self) -> list[tuple[str, float | None]]:
        """The options that only a store can keep, each with its value."""
        return [("--clips-days", self.clips_days), ("--clips-min", self.clips_min)]

    def check_store(self) -> None:
        """Refuse options that need a store, if there is none.

        Not checked when the options are made, as `serve` has a store that no option names.

        Raises:
            UsageError: There is no store.
        """
        if not self.levels and self.store is None:
            raise UsageError("--no-levels leaves levels out of a store: add --store FILE")
        for name, value in self._kept_by_store():
            if value is not None and self.store is None:
                raise UsageError(
                    f"{name} goes by what a store knows of the clips: add --store FILE"
                )

    def _check_resume(self) -> None:
        if not self.files and self.store is None:
            raise UsageError(
                "--resume goes by --output or --store, which tell what is done: a table of all, as "
                "in all.csv, files of each recording's own, as in '{dir}/{stem}.csv', or a store; "
                "there is none"
            )
        shared = [path for path in self.shared if format_of(path) not in ("csv", "jsonl")]
        if shared or (self.scores and not is_template(self.scores)):
            raise UsageError(
                "--resume goes on with .csv and .jsonl, and with files of each recording's own, as "
                f"in '{{dir}}/{{stem}}.txt'; {(*shared, self.scores)[0]} is shared by all"
            )
        if self.overwrite:
            raise UsageError("--resume keeps what is done, --overwrite replaces it: leave one out")

    @property
    def n_updated(self) -> int:
        """Labels in a line of updates; 0 for no such lines."""
        return self.top if self.updates else 0

    @property
    def n_best(self) -> int:
        """Labels in a recording's answer; 0 for events in place of one answer."""
        return self.top if self.summary else 0

    @property
    def written(self) -> bool:
        """Whether anything is written besides standard output."""
        return bool(self.files or self.scores or self.clips or self.stats or self.store)

    def needs_averages(self, card: Card) -> bool:
        """Whether an output holds more than events and gaps: something of every window."""
        every = self.scores is not None or self.updates or self.summary
        return card.task == "regression" or every

    @property
    def shared(self) -> list[Path]:
        """Files that hold all recordings."""
        return [path for path in self.files if not is_template(path)]

    def clip_limit_bytes(self) -> int | None:
        """Return the most bytes of all clips together; None for no limit.

        Raises:
            UsageError: The text is no size, or too small a one.
        """
        if self.clips_limit is None:
            return None
        from streamclf.sinks.clips.quota import read_limit

        return read_limit(self.clips_limit)

    def clip_quota(self) -> ClipQuota | None:
        """Return the limit for the clips folder; None for none, or where a store keeps to it."""
        limit_bytes = self.clip_limit_bytes()
        if self.clips is None or limit_bytes is None or self.store is not None:
            return None
        from streamclf.sinks.clips.quota import ClipQuota

        return ClipQuota(self.clips, limit_bytes)

    def speech_judge(self) -> SpeechJudge | None:
        """Return a judge for the clips of one stream; None where all clips may be written."""
        if self.clips is None or self.privacy is None:
            return None
        from streamclf.sinks.clips.speech import SpeechJudge

        return SpeechJudge()

    def live_outputs(
        self, tell: Callable[[str], None], on_gone: Callable[[], None] | None = None
    ) -> LiveOutputs:
        """How a live run keeps its outputs.

        Args:
            tell: Told what goes wrong with them.
            on_gone: Called when standard output has no reader any more, if that is all there is.
        """
        from streamclf.sinks.live.live_outputs import LiveOutputs

        rotation = Rotation.parse(self.rotate) if self.rotate is not None else None
        alone = not (self.files or self.scores)
        return LiveOutputs(self.append, rotation, tell, on_gone if alone else None)


def _check_answers(name: str, chosen: Format) -> None:
    if chosen in ("audacity", "raven"):
        raise UsageError(
            f"{name}: --summary gives one answer a recording, which {chosen} has no place for: "
            "take .csv or .jsonl (text, csv or jsonl)"
        )
