"""One item of an archive, heard exactly once: its result is there whole, or not at all."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec
import numpy as np

from streamclf import __version__
from streamclf.archive.manifest import FORMAT, Item, Manifest, Plan, PlannedRecording, read_plan
from streamclf.archive.many import call_for_each
from streamclf.archive.open_planned import open_planned
from streamclf.archive.piece import Piece, hear_piece, join
from streamclf.archive.place import ChangedError, Patience, Place
from streamclf.archive.places import open_place
from streamclf.archive.plan import without_name
from streamclf.archive.tables import Table, make_tables, read_account, result_name
from streamclf.archive.whole import Heard, Keep, hear_whole
from streamclf.core.errors import PlaceError, RecordingError
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import ModelOptions
from streamclf.model.vetting.vetting import vet_model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.make_engine import make_engine
from streamclf.sources.recording.recording import Recording

T = TypeVar("T")

Outcome: TypeAlias = Literal["done", "skipped", "failed", "stopped"]
"""``done``: heard here; ``skipped``: its result was there; ``failed``: no result was put, a later
run tries it again; ``stopped``: `Runner.stop` came first."""


@dataclass(frozen=True)
class Hearing:
    """With what an archive is heard: the model, its settings, and what is kept.

    It can be pickled, and is the same on each machine.

    Attributes:
        model: The model, whose file each worker must find under the same name.
        settings: Settings of the engine.
        thresholds: Options of the thresholds.
        scores: Whether the scores of each window are kept.
        features: Whether the features of each window are kept.
    """

    model: ModelOptions
    settings: Settings
    thresholds: ThresholdOptions
    scores: bool = False
    features: bool = False


@dataclass(frozen=True)
class ItemReport:
    """What became of an item; it can be pickled.

    Attributes:
        item: Number of the item.
        outcome: What became of it.
        planned_s: Seconds that the plan gives it.
        heard_s: Seconds of audio that were heard.
        gap_s: Seconds that are known to be missing.
        failed_s: Planned seconds of recordings that failed.
        elapsed_s: Seconds that it took here.
        n_events: Events found.
        n_recordings: Recordings whose results were put; a long one counts with its last piece.
        failures: One line for each recording that failed, with its path.
        reason: Why no result was put; empty where one was.
        is_gone: Whether no result was put because none of its recordings is there as planned, and
            not because they could not be read.
    """

    item: int
    outcome: Outcome
    planned_s: float = 0.0
    heard_s: float = 0.0
    gap_s: float = 0.0
    failed_s: float = 0.0
    elapsed_s: float = 0.0
    n_events: int = 0
    n_recordings: int = 0
    failures: list[str] = field(default_factory=list)
    reason: str = ""
    is_gone: bool = False

    @property
    def kinds(self) -> list[str]:
        """Why recordings of it, or all of it, could not be heard, so that like ones are alike."""
        failures = [self.reason] if self.outcome == "failed" else self.failures
        return [kind_of(failure.partition(": ")[2] or failure) for failure in failures]


class Runner:
    """Hears items of one archive, one after the other, in one thread.

    Args:
        results: URL or path of the folder that holds the plan and gets the results.
        hearing: Model and settings.
        archive: Where the archive lies, if not where the plan says: it may be mounted elsewhere,
            or its URL may need a password.
        say: Called with each line about unusual settings.
        patience: How long a store is asked again; None for the usual.
        engine: Engine with the settings of a run that is there, to hear items again; None for one
            that is made as told.

    Attributes:
        run: Hash of model, settings and plan, which is in the names of the results.
        plan: The plan, in figures.
        engine: The engine.
        results: Where the results lie.

    Raises:
        StoreError: There is no plan.
        PlaceError: The places cannot be reached.
        ModelError: The model cannot be opened.
        UsageError: The settings do not fit the model.
    """

    def __init__(
        self,
        results: str,
        hearing: Hearing,
        *,
        archive: str | None = None,
        say: Callable[[str], None] = lambda line: None,
        patience: Patience | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.results = open_place(results, patience)
        self.plan = read_plan(self.results)
        self._archive = open_place(archive or self.plan.root, patience)
        # A copy has other times and ETags than what was planned: there only the size must be same.
        self._compares_marks = archive is None
        self.engine = engine or open_engine(hearing, say)
        self._keep = Keep(averages=hearing.scores, features=hearing.features)
        description = describe_run(self.engine, hearing, self.plan)
        self.run = str(description["run"])
        self._stopped = False
        self._recording: Recording | None = None
        name = run_name(self.run)
        if engine is None and not self.results.exists(name):
            self.results.put_whole(name, msgspec.json.format(msgspec.json.encode(description)))

    def run_item(self, item: Item) -> ItemReport:
        """Hear an item, unless its result is there; put its result in place whole.

        It does not raise for what is wrong with a recording or with reading it: the report says so.

        Raises:
            PlaceError: Results cannot be written or looked for.
        """
        began = time.perf_counter()
        if self.results.exists(self._name("events", item)):
            return ItemReport(item.number, "skipped", item.seconds)
        try:
            if item.kind == "piece":
                report = self._run_piece(item)
            else:
                report = self._put(item, self.hear(item))
        except _Stopped:
            report = ItemReport(item.number, "stopped", item.seconds)
        except _UnreadError as error:
            is_gone = isinstance(error.__cause__, ChangedError)
            report = ItemReport(
                item.number, "failed", item.seconds, reason=str(error), is_gone=is_gone
            )
        return replace(report, elapsed_s=time.perf_counter() - began)

    def hear(self, item: Item) -> list[tuple[PlannedRecording, Heard | str]]:
        """Hear the recordings of an item in one pass each; of a piece, the whole recording.

        Returns:
            Each recording with what was heard in it, or with the reason why nothing was.
        """
        found: list[tuple[PlannedRecording, Heard | str]] = []
        changed: list[ChangedError] = []
        for planned in item.recordings:
            try:
                heard: Heard | str = self._hear(
                    planned, lambda recording: hear_whole(self.engine, recording, self._keep)
                )
            except ChangedError as error:
                changed.append(error)
                heard = without_name(str(error), planned.path)
            except PlaceError as error:
                raise _UnreadError(str(error)) from error
            found.append((planned, heard))
        if changed and len(changed) == len(found):
            # Where all is gone, a disk may not be there: what is then put would be wrong for good.
            raise _UnreadError(str(changed[0])) from changed[0]
        return found

    def make_tables(
        self, item: Item, heard: list[tuple[PlannedRecording, Heard | str]]
    ) -> dict[Table, bytes]:
        """Make the files of an item, the events last."""
        return make_tables(
            heard, run=self.run, item=item.result_number, sample_rate=self.engine.card.sample_rate
        )

    def stop(self) -> None:
        """End `run_item` soon, without a result; may be called from another thread."""
        self._stopped = True
        recording = self._recording
        if recording is not None:
            recording.stop()
        self._archive.close()

    def close(self) -> None:
        """Release the connections. Safe to call twice."""
        self._archive.close()
        self.results.close()

    def _hear(self, planned: PlannedRecording, hear: Callable[[Recording], T]) -> T | str:
        """Open a recording and hear it.

        Returns:
            What was heard, or why it cannot be opened.

        Raises:
            _Stopped: `stop` was called.
            PlaceError: Its bytes cannot be had.
        """
        try:
            self._check_stopped()
            checked = planned if self._compares_marks else replace(planned, mark="")
            with open_planned(self._archive, checked) as recording:
                self._recording = recording
                self._check_stopped()
                heard = hear(recording)
        except RecordingError as error:
            return without_name(str(error), planned.path)
        except (PlaceError, OSError) as error:
            self._check_stopped()
            if isinstance(error, OSError):  # the disk, not the recording
                reason = (error.strerror or str(error)).lower()
                raise PlaceError(f"{planned.path}: cannot be read: {reason}") from error
            raise
        finally:
            self._recording = None
        self._check_stopped()
        if isinstance(heard, Heard):
            heard.fault = without_name(heard.fault, planned.path)
        return heard

    def _run_piece(self, item: Item) -> ItemReport:
        """Hear a piece, and join the recording if all its pieces are there."""
        (planned,) = item.recordings
        folder = piece_folder(self.run, planned)
        names = [f"{folder}/{number:04}.parquet" for number in range(item.n_pieces)]
        there = self.results.names(folder)
        if names[item.piece] not in there:
            piece = self._hear_alone(
                planned,
                lambda recording: hear_piece(
                    self.engine, recording, item.begin, item.end, self._keep
                ),
            )
            if isinstance(piece, str):  # what could be opened once cannot be now: it is told
                return self._put(item, [(planned, piece)])
            self.results.put_whole(names[item.piece], piece.to_parquet())
            there = self.results.names(folder)
        if not set(names) <= there.keys():
            return ItemReport(item.number, "done", item.seconds, heard_s=item.seconds)
        pieces = (Piece.from_parquet(self.results.read(name)) for name in names)
        try:
            heard = self._hear_alone(
                planned, lambda recording: join(self.engine, pieces, recording, self._keep)
            )
        except FileNotFoundError:
            if self.results.exists(self._name("events", item)):  # joined elsewhere, and removed
                return ItemReport(item.number, "skipped", item.seconds)
            raise _UnreadError(f"{self.results}/{folder}: a piece of it is gone") from None
        return self._put(item, [(planned, heard)])

    def _hear_alone(self, planned: PlannedRecording, hear: Callable[[Recording], T]) -> T | str:
        """Hear the recording of a piece, as `_hear` does.

        Raises:
            _UnreadError: Its bytes cannot be had, or it is gone.
        """
        try:
            return self._hear(planned, hear)
        except PlaceError as error:
            raise _UnreadError(str(error)) from error

    def _put(self, item: Item, heard: list[tuple[PlannedRecording, Heard | str]]) -> ItemReport:
        """Put the results of an item; the events come last, and say that it is done."""
        files = self.make_tables(item, heard)
        for table, data in files.items():
            self.results.put_whole(self._name(table, item), data)
        account = read_account(files["events"])
        planned_s = item.seconds
        heard_s = account.seconds(account.heard)
        if item.kind == "piece":  # the others have told theirs
            heard_s = min(heard_s, planned_s)
        return ItemReport(
            item.number,
            "done",
            planned_s,
            heard_s,
            account.seconds(account.missing),
            account.seconds(account.failed),
            n_events=account.rows["events"],
            n_recordings=account.recordings,
            failures=[f"{path}: {reason}" for path, reason in account.failures.items()],
        )

    def _name(self, table: Table, item: Item) -> str:
        return result_name(table, self.run, item.site, item.date, item.result_number)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise _Stopped


class _Stopped(Exception):  # noqa: N818
    """`Runner.stop` was called."""


class _UnreadError(Exception):
    """The bytes of a recording cannot be had now, so that nothing can be said of an item."""


def kind_of(reason: str) -> str:
    """Return a reason without what is of one recording alone, so that like ones are counted."""
    return re.split(r": |; | \(| at [\d.]+ s", reason, maxsplit=1)[0]


def open_engine(hearing: Hearing, say: Callable[[str], None]) -> Engine:
    """Open the model, and make the engine of a run.

    Raises:
        ModelError: The model cannot be opened, or has no features that are to be kept.
        UsageError: The settings do not fit the model.
    """
    model = open_model(hearing.model)
    if model.notice:
        say(model.notice)
    classifier = Classifier(model, features=hearing.features)
    return make_engine(classifier, hearing.settings, hearing.thresholds, say)


def open_model(options: ModelOptions) -> Model:
    """Open a model for recordings.

    Raises:
        ModelError: It cannot be opened.
    """
    return Model(
        find_model(options.name),
        provider=options.provider,
        options=options.card,
        n_threads=options.n_threads,
        live=False,
    )


def describe_run(engine: Engine, hearing: Hearing, plan: Plan) -> dict[str, object]:
    """Describe a run by all that its results follow from, and by the hash of that.

    Args:
        engine: The engine.
        hearing: Model and settings as given.
        plan: The plan.
    """
    model: Model = engine.scorer.model  # type: ignore[attr-defined]
    card, settings = engine.card, engine.settings
    kept = {"scores": hearing.scores, "features": hearing.features}
    chosen: dict[str, object] = {
        "hop_s": engine.hop_s,
        "average_s": settings.average_s,
        "average_kind": settings.average_kind,
        "thresholds": msgspec.to_builtins(engine.thresholds),
        "channel": settings.channel,
        "unknown": settings.name_unknown,
        "labels": None if settings.labels is None else sorted(settings.labels),
        "max_duration_s": settings.max_duration_s,
        "begin": settings.begin,
        "broader": settings.broader,
        **kept,
    }
    digest = _hash_model(model.path)
    whole = [FORMAT, plan.id, digest, msgspec.to_builtins(card), chosen]
    run = hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()[:16]
    names = {label: card.display_name(label) for label in card.labels}
    return {
        "format": FORMAT,
        "run": run,
        "plan": plan.id,
        "model": {
            "name": card.name,
            "version": card.version,
            "file": hearing.model.name,
            "sha256": digest,
            "sample_rate": card.sample_rate,
            "labels": card.labels,
            "display_names": names,
        },
        "settings": chosen,
        "streamclf": __version__,
    }


def _hash_model(path: Path) -> str:
    """Return a hash of a model's file, and of its weights in files beside it."""
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    if vet_model(path) > len(data):
        import onnx  # which few models need here

        tensors = onnx.load(str(path), load_external_data=False).graph.initializer
        entries = [entry for tensor in tensors for entry in tensor.external_data]
        for name in sorted({entry.value for entry in entries if entry.key == "location"}):
            digest.update(hashlib.sha256((path.parent / name).read_bytes()).digest())
    return digest.hexdigest()


def run_name(run: str) -> str:
    """Return the name of the file that describes a run."""
    return f"runs/{run}.json"


def piece_folder(run: str, recording: PlannedRecording) -> str:
    """Return the folder of the pieces of a recording."""
    return f"pieces/{run}/{recording.recording:08}"


def find_open_items(results: Place, manifest: Manifest, run: str) -> list[int]:
    """List the items that a run has still to hear, from one listing of its results.

    Of a recording all of whose pieces are there and that is not joined, the first piece is listed.

    Args:
        results: Where the results lie.
        manifest: The manifest.
        run: Hash of the run.

    Raises:
        PlaceError: The results cannot be listed.
    """
    done = [number_in(name) for name in results.names(f"events/{run}")]
    heard: dict[int, set[int]] = {}
    for name in results.names(f"pieces/{run}"):
        recording, piece = name.rsplit("/", 2)[1:]
        heard.setdefault(int(recording), set()).add(number_in(piece))
    pieces, n_pieces = manifest.numbers("piece"), manifest.numbers("n_pieces")
    recordings = manifest.first_recordings()
    is_open = ~np.isin(np.arange(len(manifest)) - pieces, done)
    numbers: list[int] = []
    for number in np.flatnonzero(is_open).tolist():
        there = heard.get(int(recordings[number]), set()) if n_pieces[number] else set()
        index = int(pieces[number])
        if index not in there or (index == 0 and len(there) == n_pieces[number]):
            numbers.append(number)
    return numbers


def remove_leftovers(results: Place, run: str) -> None:
    """Remove the pieces of a run that is done, and what workers that died left half-written.

    Raises:
        PlaceError: Something cannot be removed.
    """
    for _ in call_for_each(results.remove, results.names(f"pieces/{run}"), results.max_requests):
        pass
    results.remove_asides()


def number_in(name: str) -> int:
    """Return the number in the name of a file of results."""
    return int(name.rpartition("/")[2].partition(".")[0])
