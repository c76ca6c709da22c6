"""A backtest: what other thresholds, a taught model or rules would have told of the past.

The command ``backtest`` and the page ask the same functions.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamclf.core.card import Card
from streamclf.core.errors import UsageError
from streamclf.core.settings import Settings
from streamclf.core.sureness import Limits, find_sureness_limits, tell_sureness
from streamclf.core.text_format import format_count
from streamclf.core.vocabulary import Vocabulary
from streamclf.model.features import digest_features
from streamclf.notify.replay import WouldTell, replay
from streamclf.notify.rules import Rule
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.listing import StoredEvent, list_events
from streamclf.store.question import Question
from streamclf.teach.backtest import PastEvent
from streamclf.teach.judged_past import JudgedPast
from streamclf.teach.past import Past
from streamclf.teach.search.search import check_comparable
from streamclf.teach.taught_graph import Head, read_graph
from streamclf.teach.taught_model import read_card_of, taught_heads

DAYS = 14
"""Days of the past where nothing is said."""


@dataclass(frozen=True, eq=False)
class JudgingModel:
    """What judges the past of a model file: all but its network.

    Attributes:
        path: The file.
        card: Its card, which names features and has events.
        digest: Digest of its features.
        heads: Layers of the labels that were taught, on the features as they are kept.
    """

    path: Path
    card: Card
    digest: str
    heads: Mapping[str, Head]

    @classmethod
    def open(cls, path: Path) -> JudgingModel:
        """Read what a model file says.

        Raises:
            UsageError: Its card names no features, or it gives values and no events.
            ModelError: It cannot be read.
        """
        card = read_card_of(path)
        if card is None or card.features is None:
            raise UsageError(
                f"{path.name}: its card names no features, beside which scores are kept: "
                "python -m export.restate MODEL.onnx --features names them"
            )
        if card.task == "regression":
            raise UsageError(f"{path.name}: gives values and no events: name another model")
        digest = digest_features(read_graph(path), card.features)
        return cls(path, card, digest, taught_heads(path, card))

    def check_kept(self, kept: FeatureStore) -> None:
        """Check that something was kept that it could judge.

        Raises:
            UsageError: Nothing was kept, or only by other models.
        """
        check_comparable(kept, self.digest, f"{self.card.name} {self.card.version}")


@dataclass(frozen=True, eq=False)
class Backtest:
    """What would have been told.

    Attributes:
        card: Card of the model.
        past: The past that was judged.
        events: The events, the earliest first.
        warning: What was left out, in a line; empty if nothing was.
    """

    card: Card
    past: Past
    events: Sequence[PastEvent]
    warning: str = ""

    def count_told(self, connection: sqlite3.Connection, question: Question) -> Counter[str]:
        """Count what was told then, by label, in the time of which anything is kept.

        Args:
            connection: The store.
            question: Which of its events.
        """
        spans = self.past.spans()
        return Counter(
            event.label
            for event in list_events(connection, question)
            if any(begin <= _place(event) < end for begin, end in spans.get(event.stream, ()))
        )

    def ask_rules(
        self,
        store: Path,
        rules: Sequence[Rule],
        question: Question,
        clip_of: Callable[[PastEvent], str | None],
    ) -> tuple[list[WouldTell], dict[str, PastEvent]]:
        """Find what rules would have told of the events of live sources.

        Args:
            store: The store, which knows the sources and when they were heard.
            rules: The rules.
            question: The time, which has a begin.
            clip_of: Finds the path of the clip of what was told then; None if there is none.

        Returns:
            The messages, in the order of their moments, and the events by the ids that they name.

        Raises:
            StoreError: The store cannot be read.
        """
        since_us, until = question.since_us, question.until
        assert since_us is not None
        until_us = to_us(until or datetime.now(UTC) + timedelta(days=1))
        limits = find_sureness_limits(self.card)
        heard: dict[str, list[StoredEvent]] = defaultdict(list)
        found: dict[str, PastEvent] = {}
        for event in self.events:
            if event.onset_us is not None and not event.is_recording:
                stored = _as_stored(event, self.card, limits, clip_of(event))
                heard[event.source].append(stored)
                found[stored.id] = event
        vocabulary = Vocabulary.of_card(self.card)
        return replay(store, rules, since_us, until_us, heard, vocabulary), found


def run_backtest(
    model: JudgingModel,
    settings: Settings,
    kept: FeatureStore,
    streams: Collection[str] | None,
    question: Question,
    on_step: Callable[[Past, JudgedPast, int], None] = lambda past, judged, n_events: None,
) -> Backtest:
    """Judge the past again.

    Args:
        model: The model.
        settings: How it is listened, with thresholds and labels.
        kept: What was kept.
        streams: Names of sources and paths of recordings; None for all.
        question: The time.
        on_step: Called now and then with the past, with how far it is judged, and with the number
            of events so far. An error that it raises ends the backtest.

    Raises:
        UsageError: Nothing was kept of that time that the model could judge.
        StoreError: What was kept cannot be read.
    """
    model.check_kept(kept)
    past = Past(kept, model.digest, streams, question.since_us, question.until_us)
    if not past.n_windows:
        raise UsageError(
            f"{kept.folder}: nothing is kept there of that time that {model.card.name} could "
            "judge: serve keeps it from its start on; --since and --source choose what counts"
        )
    events: list[PastEvent] = []
    judged = JudgedPast(
        model.card, settings, model.heads, lambda: on_step(past, judged, len(events))
    )
    for event in judged.events(past):
        events.append(event)
    events.sort(key=lambda each: (each.onset_us or 0, each.onset_s))
    if judged.n_without and not judged.n_windows:
        raise UsageError(
            "no scores were kept of that time: an earlier streamclf heard it, or the model has "
            "too many labels; search and teach can use it"
        )
    warning = ""
    if judged.n_without:
        left_out = format_count(judged.n_without, "window")
        warning = f"{left_out} without scores, by an earlier streamclf: left out"
    return Backtest(model.card, past, events, warning)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return round(moment.timestamp() * 1e6)


def local_onset(event: PastEvent) -> datetime:
    """When an event whose time is known began, by this machine's clock."""
    assert event.onset_us is not None
    return datetime.fromtimestamp(event.onset_us / 1e6).astimezone()


def _place(event: StoredEvent) -> float:
    """Where an event begins, as `Past.spans` counts."""
    is_live = event.recording is None and event.onset_us is not None
    return float(event.onset_us or 0) if is_live else event.onset_s


def _as_stored(event: PastEvent, card: Card, limits: Limits, clip: str | None) -> StoredEvent:
    """The event of a live source as one of a store."""
    zone, onset_us = local_onset(event).utcoffset(), event.onset_us
    assert zone is not None
    assert onset_us is not None
    sureness = tell_sureness(limits, event.label, event.score)
    return StoredEvent(
        row=0,
        source=event.source,
        recording=None,
        model=card.name,
        run="backtest",
        sample_rate=event.sample_rate,
        label=event.label,
        onset=round(event.onset_s * event.sample_rate),
        offset=round(event.offset_s * event.sample_rate),
        onset_us=onset_us,
        offset_us=onset_us + round((event.offset_s - event.onset_s) * 1e6),
        utc_offset_min=round(zone.total_seconds() / 60),
        score=event.score,
        highest_score=event.score,
        short=False,
        state="ended",
        elapsed=0,
        verdict=None,
        clip=clip,
        sureness=sureness,
        begin_sureness=sureness,
    )
