"""The backtester of the page: it judges the past again, one order at a time, in its own thread.

A new order takes the place of the one that goes on, so that whoever tries one threshold after
another need not wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamclf.core.card import Card
from streamclf.core.errors import UsageError
from streamclf.core.label_choice import choose_events
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.model_file import find_model
from streamclf.notify.replay import WouldTell
from streamclf.notify.rules import Rule
from streamclf.runs.background_work import describe_failure, lower_priority
from streamclf.runs.backtest import DAYS, Backtest, JudgingModel, run_backtest
from streamclf.store.database import connect_to_read
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.question import Question
from streamclf.teach.backtest import PastEvent
from streamclf.teach.judged_past import JudgedPast
from streamclf.teach.past import Past

MOST_DAYS = 366
MOST_KEPT = 500
"""Events, and messages, of an answer that are kept: the newest."""
N_TASKS = 12
"""Answers that are kept, to compare thresholds."""
NOT_HERE = (
    "This page cannot try the past: it belongs to a run that remembers nothing. One of streamclf "
    "serve, or of a run with a store, can."
)
_LIMITS = {"threshold": (0.0, 1.0), "days": (1, MOST_DAYS)}


@dataclass(frozen=True)
class BacktestOrder:
    """What is to be judged again.

    Attributes:
        label: The sound, as people write it; empty for those of the rule.
        model: Name of the model, as `Backtester.models` lists it; empty for the first.
        threshold: Averaged score at which events begin; None for the thresholds of the model.
        precision: Part of the events that should be right, in place of a threshold.
        days: Days of the past, up to now.
        rule: Name of a rule that is asked what it would have told; empty for none.

    Raises:
        UsageError: A number is out of range.
    """

    label: str = ""
    model: str = ""
    threshold: float | None = None
    precision: float | None = None
    days: int = DAYS
    rule: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} {value:g}: must be from {low:g} to {high:g}")
        if not (self.label or self.rule):
            raise UsageError("label: is empty: name a sound, or a rule")
        if self.threshold is not None and self.precision is not None:
            raise UsageError("threshold and precision: give one of them")


@dataclass(frozen=True, eq=False)
class BacktestAnswer:
    """What would have been told.

    Attributes:
        card: Card of the model.
        past_s: Seconds of the past.
        n_events: Number of events.
        events: The newest of them, the newest first.
        n_told: Number of events that were told then.
        n_messages: Number of messages of the rule.
        messages: The newest of them, the newest first, with the event that each is about; None for
            one about quiet.
        warning: What was left out, in a line; empty if nothing was.
    """

    card: Card
    past_s: float
    n_events: int
    events: Sequence[PastEvent]
    n_told: int
    n_messages: int = 0
    messages: Sequence[tuple[WouldTell, PastEvent | None]] = ()
    warning: str = ""


@dataclass(eq=False)
class BacktestTask:
    """An order, and how far it is.

    Attributes:
        order: The order.
        asked: When it was given.
        answer: What came of it; None as long as it goes on, or if it failed.
        problem: Why it failed, or that it was stopped; empty if it did not.
        part: Part of the past that is judged, 0 to 1.
    """

    order: BacktestOrder
    asked: datetime
    answer: BacktestAnswer | None = None
    problem: str = ""
    part: float = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended yet."""
        return self.answer is None and not self.problem


def _now() -> datetime:
    return datetime.now(UTC)


class _StoppedError(Exception):
    """The order was stopped."""


class Backtester:
    """The backtester of a store.

    Args:
        store: The store, beside which features are kept.
        models: Tells the names or paths of the models that could judge; the first is the usual one.
        rules: Tells the rules of the settings.
        now: Tells the present, with an offset.

    Attributes:
        task: The newest order; None if there was none.
    """

    def __init__(
        self,
        store: Path,
        models: Callable[[], Sequence[str]],
        rules: Callable[[], Sequence[Rule]] = tuple,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self.task: BacktestTask | None = None
        self._store, self._models, self._rules = store, models, rules
        self._now = now
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._tasks: dict[BacktestOrder, BacktestTask] = {}
        self._opened: dict[Path, tuple[int, JudgingModel]] = {}

    @property
    def models(self) -> list[str]:
        """Names or paths of the models that could judge."""
        return list(self._models())

    @property
    def rules(self) -> list[Rule]:
        """The rules that can be tried: all but those about lost sources."""
        return [rule for rule in self._rules() if rule.on != "lost"]

    def open_model(self, name: str = "") -> JudgingModel:
        """Read a model file, once as long as it does not change, and check that it could judge.

        Args:
            name: One of `models`; empty for the first.

        Raises:
            UsageError: There is none of this name, it cannot judge, or nothing is kept of it.
            ModelError: It cannot be read.
            StoreError: What was kept cannot be read.
        """
        names = self.models
        if not names:
            raise UsageError(NOT_HERE.rstrip("."))
        if name and name not in names:
            raise UsageError(
                f"model {name[:80]}: no source is heard with it: name one of {', '.join(names)}"
            )
        path = find_model(name or names[0])
        changed = path.stat().st_mtime_ns
        known = self._opened.get(path)
        if known is None or known[0] != changed:
            known = self._opened[path] = (changed, JudgingModel.open(path))
        known[1].check_kept(FeatureStore.beside(self._store))
        return known[1]

    def begin(self, order: BacktestOrder) -> BacktestTask:
        """Begin to judge the past; what is being judged is stopped, unless it is the same.

        Raises:
            UsageError: The order makes no sense.
            ModelError: The model cannot be read.
            StoreError: What was kept cannot be read.
        """
        model = self.open_model(order.model)
        settings, rule = self._choose(order, model.card)
        with self._lock:
            if self.task is not None and self.task.goes_on:
                if self.task.order == order:
                    return self.task
                self.task.problem = "something else was asked for meanwhile: try it again"
            self.task = task = BacktestTask(order, self._now())
            self._tasks.pop(order, None)
            self._tasks[order] = task
            for old in list(self._tasks)[:-N_TASKS]:
                del self._tasks[old]
        threading.Thread(
            target=self._work, args=(task, model, settings, rule), name="streamclf-backtest",
            daemon=True,
        ).start()  # fmt: skip
        return task

    def stop(self) -> None:
        """Stop what is being judged."""
        with self._lock:
            if self.task is not None and self.task.goes_on:
                self.task.problem = "it was stopped"

    def task_of(self, order: BacktestOrder) -> BacktestTask | None:
        """The newest task of an order, if it is still known."""
        return self._tasks.get(order)

    def tasks_like(self, order: BacktestOrder) -> list[BacktestTask]:
        """The tasks with an answer that differ from an order by nothing but the threshold."""
        like = replace(order, threshold=None, precision=None)
        return [
            task
            for each, task in self._tasks.copy().items()
            if task.answer is not None and replace(each, threshold=None, precision=None) == like
        ]

    def _choose(self, order: BacktestOrder, card: Card) -> tuple[Settings, Rule | None]:
        """Make the settings of an order, and find its rule.

        Raises:
            UsageError: A label, a rule or a precision is none.
        """
        rule = next((each for each in self.rules if each.name == order.rule), None)
        if order.rule and rule is None:
            known = ", ".join(each.name for each in self.rules) or "there are none"
            raise UsageError(f"rule {order.rule[:80]}: is none of the settings: {known}")
        only = order.label or ",".join(rule.labels if rule is not None else ())
        options = ThresholdOptions(order.threshold, order.precision, only=only or None)
        try:
            settings = choose_events(card, Settings(), options)
        except UsageError as error:
            text = str(error).removeprefix("--only ").removeprefix("--target-")
            raise UsageError(text) from error
        return settings, rule

    def _work(
        self, task: BacktestTask, model: JudgingModel, settings: Settings, rule: Rule | None
    ) -> None:
        lower_priority()
        try:
            with self._turn:  # what was stopped ends first
                answer = self._answer(task, model, settings, rule)
            with self._lock:
                if task.goes_on:
                    task.answer = answer
        except _StoppedError:
            pass
        except Exception as error:  # any error: who waits is told that it has ended
            task.problem = task.problem or describe_failure(error, self._store, "backtest")

    def _answer(
        self, task: BacktestTask, model: JudgingModel, settings: Settings, rule: Rule | None
    ) -> BacktestAnswer:
        def note(past: Past, judged: JudgedPast, n_events: int) -> None:
            if not task.goes_on:
                raise _StoppedError
            task.part = judged.n_windows / past.n_windows

        kept = FeatureStore.beside(self._store)
        labels = tuple(sorted(settings.labels or ()))
        question = Question(since=task.asked - timedelta(days=task.order.days), labels=labels)
        made = run_backtest(model, settings, kept, None, question, note)
        with closing(connect_to_read(self._store)) as connection:
            n_told = made.count_told(connection, question).total()
        return self._tell(made, question, n_told, rule)

    def _tell(
        self, made: Backtest, question: Question, n_told: int, rule: Rule | None
    ) -> BacktestAnswer:
        messages: list[tuple[WouldTell, PastEvent | None]] = []
        if rule is not None:
            told, by_id = made.ask_rules(self._store, [rule], question, lambda event: None)
            messages = [(each, by_id.get(each.message.event_id or "")) for each in told]
        return BacktestAnswer(
            made.card,
            made.past.seconds,
            len(made.events),
            made.events[: -MOST_KEPT - 1 : -1],
            n_told,
            len(messages),
            messages[: -MOST_KEPT - 1 : -1],
            made.warning,
        )
