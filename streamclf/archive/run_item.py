"""One item of an archive, heard exactly once: its result is there whole, or not at all."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from streamclf.archive.hearing import Hearing, describe_run, open_engine
from streamclf.archive.manifest import Item, Manifest, PlannedRecording, read_plan
from streamclf.archive.many import call_for_each
from streamclf.archive.open_planned import fetch_planned, open_planned
from streamclf.archive.piece import Piece, hear_piece, join
from streamclf.archive.place import ChangedError, Patience, Place
from streamclf.archive.places import open_place
from streamclf.archive.plan import without_name
from streamclf.archive.remote_file import run_aside
from streamclf.archive.run_description import begin_run
from streamclf.archive.tables import Table, make_tables, read_account, result_name
from streamclf.archive.whole import Heard, Keep, hear_whole, settle
from streamclf.core.errors import PlaceError, RecordingError, StoreError
from streamclf.pipeline.engine import Engine
from streamclf.sources.containers.streamed_file import File
from streamclf.sources.recording.recording import Recording

T = TypeVar("T")

OUTAGE_S = 900.0
"""Seconds for which a store may be down in the middle of a run, which takes days."""

__all__ = ["Hearing", "ItemReport", "Outcome", "Runner", "find_open_items"]

Outcome: TypeAlias = Literal["done", "skipped", "failed", "stopped"]
"""``done``: heard here; ``skipped``: its result was there; ``failed``: no result was put, a later
run tries it again; ``stopped``: `Runner.stop` came first."""


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
        failures: Why recordings failed, by their paths.
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
    failures: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    is_gone: bool = False

    @property
    def kinds(self) -> list[str]:
        """Why recordings of it, or all of it, could not be heard, so that like ones are alike."""
        if self.outcome == "failed":  # the reason begins with the name of what could not be read
            return [kind_of(self.reason.partition(": ")[2] or self.reason)]
        return [kind_of(reason) for reason in self.failures.values()]


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
        describes: Whether it puts the description of the run, if there is none. A worker does not:
            its model may be another one, and a run of it would then be looked for.

    Attributes:
        run: Hash of model, settings and plan, which is in the names of the results.
        plan: The plan, in figures.
        engine: The engine.
        results: Where the results lie.

    Raises:
        StoreError: There is no plan.
        PlaceError: The places cannot be reached.
        ModelError: The model cannot be opened.
        UsageError: The settings do not fit the model, or the run was begun by other event rules
            and nobody has said whether it is to go on.
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
        describes: bool = True,
    ) -> None:
        self.results = open_place(results, patience, outage_s=OUTAGE_S)
        self.plan = read_plan(self.results)
        self._archive = open_place(archive or self.plan.root, patience, outage_s=OUTAGE_S)
        # A copy has other times and ETags than what was planned: there only the size must be same.
        self._compares_marks = archive is None
        self.engine = engine or open_engine(hearing, say)
        if notice := settle(self.engine):
            say(notice)
        self._keep = Keep(hearing.levels, hearing.scores, hearing.features)
        description = describe_run(self.engine, hearing, self.plan)
        self.run = str(description["run"])
        self._stopped = False
        self._recording: Recording | None = None
        if engine is None and describes:
            begin_run(self.results, description, hearing.rules, say)

    def run_item(self, item: Item) -> ItemReport:
        """Hear an item, unless its result is there; put its result in place whole.

        It does not raise for what is wrong with a recording or with reading it: the report says so.

        Raises:
            PlaceError: Results cannot be written or looked for.
        """
        began = time.perf_counter()
        try:
            if self.results.exists(self._name("events", item)):
                return ItemReport(item.number, "skipped", item.seconds)
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
        except PlaceError:
            if not self._stopped:
                raise
            report = ItemReport(item.number, "stopped", item.seconds)
        return replace(report, elapsed_s=time.perf_counter() - began)

    def hear(self, item: Item) -> list[tuple[PlannedRecording, Heard | str]]:
        """Hear the recordings of an item in one pass each; of a piece, the whole recording.

        Returns:
            Each recording with what was heard in it, or with the reason why nothing was.

        Raises:
            PlaceError: Bytes of one cannot be had, or none is there any more.
        """
        found: list[tuple[PlannedRecording, Heard | str]] = []
        changed: list[ChangedError] = []
        for planned, fetched in self._fetch_ahead(item.recordings):
            try:
                heard: Heard | str = self._hear(
                    planned,
                    lambda recording: hear_whole(self.engine, recording, self._keep),
                    fetched,
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

    def _fetch_ahead(
        self, recordings: Sequence[PlannedRecording]
    ) -> Iterator[tuple[PlannedRecording, Callable[[], File]]]:
        """Yield each recording with what fetches it; a remote one comes while another is heard."""
        if not self._archive.is_remote:
            yield from ((planned, partial(self._fetch, planned)) for planned in recordings)
            return
        ahead: deque[Future[File]] = deque()
        for planned, following in zip_longest(recordings, recordings[1:]):
            if not ahead:
                ahead.append(run_aside(partial(self._fetch, planned)))
            if following is not None:
                ahead.append(run_aside(partial(self._fetch, following)))
            yield planned, ahead.popleft().result

    def _fetch(self, planned: PlannedRecording) -> File:
        checked = planned if self._compares_marks else replace(planned, mark="")
        return fetch_planned(self._archive, checked)

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
        self.results.hurry()

    def close(self) -> None:
        """Release the connections. Safe to call twice."""
        self._archive.close()
        self.results.close()

    def _hear(
        self,
        planned: PlannedRecording,
        hear: Callable[[Recording], T],
        fetched: Callable[[], File] | None = None,
    ) -> T | str:
        """Open a recording and hear it.

        Args:
            planned: The recording.
            hear: Hears it.
            fetched: Returns it when it has come; None to fetch it now.

        Returns:
            What was heard, or why it cannot be opened.

        Raises:
            _Stopped: `stop` was called.
            PlaceError: Its bytes cannot be had.
        """
        try:
            self._check_stopped()
            file = fetched() if fetched is not None else self._fetch(planned)
            with open_planned(file, planned) as recording:
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
        pieces = (self._read_piece(name) for name in names)
        try:
            heard = self._hear_alone(
                planned, lambda recording: join(self.engine, pieces, recording, self._keep)
            )
        except _GoneError:
            if self.results.exists(self._name("events", item)):  # joined elsewhere, and removed
                return ItemReport(item.number, "skipped", item.seconds)
            raise _UnreadError(f"{self.results}/{folder}: a piece of it is gone") from None
        return self._put(item, [(planned, heard)])

    def _read_piece(self, name: str) -> Piece:
        try:
            return Piece.from_parquet(self.results.read(name))
        except FileNotFoundError:
            raise _GoneError(name) from None
        except StoreError as error:
            self.results.remove(name)
            raise _UnreadError(f"{self.results}/{name}: {error}") from error

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
            failures=account.failures,
        )

    def _name(self, table: Table, item: Item) -> str:
        return result_name(table, self.run, item.site, item.date, item.result_number)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise _Stopped


class _Stopped(Exception):  # noqa: N818
    """`Runner.stop` was called."""


class _GoneError(Exception):
    """A piece is not there any more: another worker has joined them, and the run is done."""


class _UnreadError(PlaceError):
    """The bytes of a recording cannot be had now, so that nothing can be said of an item."""


def kind_of(reason: str) -> str:
    """Return a reason without what is of one recording alone, so that like ones are counted."""
    return re.split(r": |; | \(| at [\d.]+ s", reason, maxsplit=1)[0]


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
