"""The past judged again: which events other thresholds, or a taught model, would have given.

`serve` keeps the highest scores of each half second beside its features. They are judged as live
ones are, so that a threshold can be tried on weeks before it holds. A sound that was taught since
has no scores there; its layer computes them from the features.

Only stretches in which an event can begin are judged. One that reaches the end of a day's file is
judged with the next day's. Scores are kept in steps of 1/65,535, and a window lasts until the next
one that was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card
from streamclf.core.errors import UsageError
from streamclf.core.records import Gap, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.classifier import Array, activate
from streamclf.pipeline.engine import Engine
from streamclf.store.features.feature_store import FeatureFile
from streamclf.store.features.layout import (
    MAX_SCORE_STEP,
    FeatureHeader,
    follows,
    known_time,
)
from streamclf.teach.backtest import AROUND_S, CardScorer, PastEvent
from streamclf.teach.past import Held, Past, hold, runs_in
from streamclf.teach.taught_graph import Head

MARGIN = 0.5
"""Part of a threshold from which on a label is looked at in models whose scores exclude each other:
an average of windows that disagree may be surer than each of them."""


@dataclass(frozen=True, eq=False)
class _Columns:
    """Where the scores of a file's records belong among the labels of the model.

    Attributes:
        places: ``(labels of the file,)``: column of each; `missing` for labels that are gone.
        missing: Number of columns.
        heads: Layers of labels that the file has no scores of, by column.
    """

    places: npt.NDArray[np.int64]
    missing: int
    heads: Mapping[int, Head]

    def find(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the columns of labels; `missing` for numbers that a damaged record has."""
        places = self.places[np.minimum(labels, len(self.places) - 1)]
        return np.where(labels < len(self.places), places, self.missing)


@dataclass(frozen=True, eq=False)
class _Run:
    """Records that follow on each other, with the file that the last ones lie in."""

    file: FeatureFile
    records: npt.NDArray[Any]


class JudgedPast:
    """Detection of all labels' events in kept scores.

    Args:
        card: Card of the model.
        settings: How it is listened, with thresholds and labels.
        heads: Layers of the labels that were taught, on the features as they are kept.
        on_step: Called now and then; an error that it raises ends the detection.

    Attributes:
        n_windows: Number of windows that were judged.
        n_without: Number of windows of which no scores were kept.
    """

    def __init__(
        self,
        card: Card,
        settings: Settings,
        heads: Mapping[str, Head],
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._card, self._settings, self._heads = card, settings, heads
        self._on_step = on_step
        self.n_windows = self.n_without = 0

    def events(self, past: Past) -> Iterator[PastEvent]:
        """Find the events of a past, stream by stream.

        Raises:
            UsageError: The scores are those of labels that the model lacks.
        """
        waiting: dict[FeatureHeader, _Run] = {}
        for file, records in past.records():
            if not file.header.n_scores:
                self.n_without += len(records)
                continue
            self.n_windows += len(records)
            columns = self._columns(file)
            engine = self._engine(file)
            bars = self._bars(engine)
            header = file.header
            for begin, end in runs_in(records):
                chosen = records[begin:end]
                before = waiting.pop(header, None)
                if before is not None and follows(header, before.records[-1], chosen[0]):
                    chosen = np.concatenate([before.records, chosen])
                elif before is not None:
                    yield from self._judge_run(before, columns, engine, bars)
                run = _Run(file, chosen)
                if header.recording:
                    yield from self._judge_run(run, columns, engine, bars)
                else:
                    rest = yield from self._judge_run(run, columns, engine, bars, goes_on=True)
                    waiting[header] = rest
        for run in waiting.values():
            columns, engine = self._columns(run.file), self._engine(run.file)
            yield from self._judge_run(run, columns, engine, self._bars(engine))

    def _judge_run(
        self, run: _Run, columns: _Columns, engine: Engine, bars: Bars, *, goes_on: bool = False
    ) -> Generator[PastEvent, None, _Run]:
        """Judge a run; returns what is still to be judged with the day after, if it may go on."""
        n_records = len(run.records)
        around = round(AROUND_S / run.file.header.every_s)
        rest = max(n_records - around, 0)
        held = hold(run.file.header, run.records)
        for first, last, has_begun in self._stretches(run.file, run.records, columns, bars):
            if goes_on and last == n_records:
                rest = min(first, rest)
            elif has_begun:
                yield from self._judge(run.file, run.records, held, columns, engine, (first, last))
        return _Run(run.file, run.records[rest:])

    def _columns(self, file: FeatureFile) -> _Columns:
        card, labels = self._card, file.header.labels
        known = {label: place for place, label in enumerate(card.labels)}
        n_columns = len(card.labels)
        places = np.array([known.get(label, n_columns) for label in labels], np.int64)
        there = set(labels)
        lacking = [label for label in card.labels if label not in there]
        unknown = [label for label in lacking if label not in self._heads]
        if unknown:
            raise UsageError(
                f"{file.path}: has no scores of {unknown[0]}, and they cannot be computed: name "
                f"the model that heard it ({file.header.model}), or one that was taught from it"
            )
        return _Columns(places, n_columns, {known[each]: self._heads[each] for each in lacking})

    def _engine(self, file: FeatureFile) -> Engine:
        settings = replace(
            self._settings, hop_s=file.header.every_s, exact_hop=True, name_unknown=False
        )
        return Engine(CardScorer(self._card), settings)

    def _bars(self, engine: Engine) -> Bars:
        card, thresholds = self._card, engine.thresholds
        chosen = engine.settings.labels
        wanted = [
            engine.kinds.get(label, label) not in thresholds.never
            and (chosen is None or engine.kinds.get(label, label) in chosen)
            for label in card.labels
        ]
        factors = np.full(len(card.labels), 1.0 if card.activation == "sigmoid" else MARGIN)
        if card.n_taught:
            factors[-card.n_taught :] = 1.0
        ons = np.array([thresholds.of(label).on for label in card.labels]) * factors
        offs = np.array([thresholds.of(label).off for label in card.labels]) * factors
        never = np.logical_not(wanted)
        ons[never], offs[never] = np.inf, np.inf
        # One more for labels that the model lacks.
        return Bars(np.append(ons, np.inf) - STEP, np.append(offs, np.inf) - STEP)

    def _stretches(
        self, file: FeatureFile, records: npt.NDArray[Any], columns: _Columns, bars: Bars
    ) -> Iterator[tuple[int, int, bool]]:
        """Find what sounds, as places of records from and to, and whether an event can begin."""
        n_records = len(records)
        begins, sounds = np.zeros(n_records, bool), np.zeros(n_records, bool)
        for start in range(0, n_records, BLOCK):
            self._on_step()
            block = records[start : start + BLOCK]
            places = columns.find(block["labels"])
            scores = block["scores"] * np.float32(1 / MAX_SCORE_STEP)
            begins[start : start + BLOCK] = (scores >= bars.ons[places]).any(axis=1)
            sounds[start : start + BLOCK] = (scores >= bars.offs[places]).any(axis=1)
            for column, head in columns.heads.items():
                own = _score(file, block, head)
                begins[start : start + BLOCK] |= own >= bars.ons[column]
                sounds[start : start + BLOCK] |= own >= bars.offs[column]
        around = round(AROUND_S / file.header.every_s)
        sounding = np.flatnonzero(sounds | begins)
        if not sounding.size:
            return
        breaks = np.flatnonzero(np.diff(sounding) > 2 * around) + 1
        for part in np.split(sounding, breaks):
            first, last = max(int(part[0]) - around, 0), min(int(part[-1]) + around + 1, n_records)
            yield first, last, bool(begins[part].any())

    def _judge(
        self,
        file: FeatureFile,
        records: npt.NDArray[Any],
        held: Held,
        columns: _Columns,
        engine: Engine,
        stretch: tuple[int, int],
    ) -> Iterator[PastEvent]:
        header = file.header
        items = self._items(file, records, held, columns, stretch)
        for result in engine.judge(items):
            if not isinstance(result, SoundEvent):
                continue
            index = max(int(np.searchsorted(held.positions, result.onset, "right")) - 1, 0)
            yield PastEvent(
                header.recording or header.source,
                result.onset / header.sample_rate,
                result.offset / header.sample_rate,
                time_of(held, index, result.onset, header.sample_rate),
                result.score,
                result.label,
                is_recording=bool(header.recording),
                sample_rate=header.sample_rate,
            )

    def _items(
        self,
        file: FeatureFile,
        records: npt.NDArray[Any],
        held: Held,
        columns: _Columns,
        stretch: tuple[int, int],
    ) -> Iterator[Scores | Gap]:
        """Yield the scores of a stretch, with a gap where audio was missing."""
        first, last = stretch
        rate, every_s = file.header.sample_rate, file.header.every_s
        reach = round(2 * every_s * rate) - 1
        values: Array = np.zeros((0, columns.missing), np.float32)
        filled = (first, first)
        expected: int | None = None
        begin, end = np.searchsorted(held.places, [first, last])
        for index in range(int(begin), int(end)):
            place = int(held.places[index])
            if place >= filled[1]:
                self._on_step()
                filled = place, min(place + 1024, last)
                values = _dense(
                    file,
                    records[slice(*filled)],
                    columns,
                    is_shared=self._card.activation == "softmax",
                )
            position = int(held.positions[index])
            if expected is not None and position - expected > reach:
                yield Gap(expected, position - expected, rate, "source")
            yield Scores(position, int(held.lengths[index]), values[place - filled[0]])
            expected = position


@dataclass(frozen=True, eq=False)
class Bars:
    """Scores of a window from which on an event may begin, and go on, by column."""

    ons: npt.NDArray[np.float64]
    offs: npt.NDArray[np.float64]


BLOCK = 8192
STEP = 1e-4
"""More than a step of a kept score."""


def _score(file: FeatureFile, records: npt.NDArray[Any], head: Head) -> Array:
    features = records["values"].astype(np.float32) * np.float32(file.header.scale)
    return activate(head.logits(features)[:, np.newaxis], "sigmoid")[:, 0]


def _dense(
    file: FeatureFile, records: npt.NDArray[Any], columns: _Columns, *, is_shared: bool
) -> Array:
    """Return the scores of all labels, ``(windows, labels)``.

    Those that were not kept are 0, or share what the kept ones leave of 1.
    """
    values = np.zeros((len(records), columns.missing + 1), np.float32)
    places = columns.find(records["labels"])
    scores = records["scores"] * np.float32(1 / MAX_SCORE_STEP)
    n_left = len(file.header.labels) - file.header.n_scores
    if is_shared and n_left:
        rest = (1.0 - scores.sum(axis=1)).clip(0, None) / n_left
        values[:] = np.minimum(rest, scores.min(axis=1))[:, np.newaxis]
    np.put_along_axis(values, places, scores, axis=1)
    for column, head in columns.heads.items():
        values[:, column] = _score(file, records, head)
    return np.asarray(values[:, :-1])


def time_of(held: Held, index: int, position: int, sample_rate: int) -> int | None:
    """Return when a position sounded, by the time of a window near it; None where unknown."""
    time_us = known_time(int(held.times_us[index]))
    if time_us is None:
        return None
    return time_us + round((position - int(held.positions[index])) / sample_rate * 1e6)
