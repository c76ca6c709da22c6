"""What tells: it takes what streams hear, asks the rules, and hands messages to their targets.

Nothing here holds audio up. Streams put what happened into a queue, one thread feeds the rules, and
each target has a thread and a queue of its own (`streamclf.notify.delivery`).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count
from streamclf.notify.cut_events import CutEvents
from streamclf.notify.delivery import Delivery
from streamclf.notify.happenings import Happening
from streamclf.notify.history import History, NoHistory
from streamclf.notify.lost_sources import LostSources, Presence
from streamclf.notify.messages import Message
from streamclf.notify.options import NotifyPlan
from streamclf.notify.outbox import Outbox
from streamclf.notify.rulebook import RuleBook
from streamclf.notify.sink import HappeningSink
from streamclf.notify.targets.base import Target
from streamclf.notify.targets.factory import open_target
from streamclf.notify.targets.options import TargetOptions
from streamclf.sinks.base import Sink

NOTHING_CUT = CutEvents()
LIMIT_HAPPENINGS = 10_000
"""Most happenings that wait for the rules, a few MB."""
CLIP_S = 2.0
"""Longest wait, in seconds, for the clip of an event that has just ended. It is mostly there in a
tenth of a second, and what follows to the same target waits for it."""
KEPT_CLIPS = 200
"""Clips of the newest events that are remembered for messages about them."""
CLOSE_S = 1.5
"""Longest wait, in seconds, for messages to be delivered at the end; others wait in the store."""
NOTE_S = 1.0
"""Longest wait, in seconds, for messages to be noted at the end."""
LOOK_EVERY_S = 1.0
"""Seconds between two looks at how sources fare, where a rule is about lost ones."""
TELL_EVERY_S = 60.0
"""Seconds between two lines of the log about rules that fail or cannot follow."""
LONGEST_TEXT = 200
"""Characters of a message that the log shows."""


@dataclass(frozen=True)
class Prepared:
    """A plan made ready: nothing of it can fail any more.

    Attributes:
        plan: The plan.
        targets: Its targets with their options, open.
    """

    plan: NotifyPlan
    targets: tuple[tuple[TargetOptions, Target], ...]


class Notifier:
    """Rules and targets of a process.

    Args:
        plan: Who is told what.
        store: The store that remembers what was told; None for none.
        history: What is known of the time before.
        report: Called with one line about what was told and what failed, from any thread.
        presences: Tells how each source fares, see `LostSources`.
        open_target: Opens a target; tests replace it.
        now_us: Returns microseconds since 1970-01-01 UTC.

    Raises:
        UsageError: A target cannot be opened; the message begins with its name.
    """

    def __init__(
        self,
        plan: NotifyPlan,
        store: Path | None,
        history: History | None = None,
        *,
        report: Callable[[str], None],
        presences: Callable[[], Mapping[str, Presence]] = dict,
        open_target: Callable[[TargetOptions], Target] = open_target,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._open_target = open_target
        self._report, self._now_us = report, now_us
        self._first: Prepared | None = self.prepare(plan)
        self._plan = plan
        self._history = history or NoHistory()
        self._book = RuleBook(plan.rules, self._history)  # which the thread alone uses
        self._lost = LostSources(plan.rules, self._history)  # the same
        self._presences, self._looked_at = presences, -LOOK_EVERY_S
        self._outbox = Outbox(store, report, now_us)
        self._deliveries: dict[str, Delivery] = {}
        self._queue: deque[Happening | NotifyPlan] = deque()
        self._changed = threading.Condition()
        self._busy = self._closing = False
        self._n_told = self._n_lost = self._n_lost_told = 0
        self._told_at = -TELL_EVERY_S
        self._clips: OrderedDict[str, Path] = OrderedDict()
        self._clip_came = threading.Condition()
        self._with_clips: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="streamclf-notify", daemon=True)

    def prepare(self, plan: NotifyPlan) -> Prepared:
        """Open the targets of a plan; sends nothing.

        Raises:
            UsageError: A target cannot be opened.
        """
        opened: list[tuple[TargetOptions, Target]] = []
        try:
            for options in plan.targets:
                try:
                    opened.append((options, self._open_target(options)))
                except UsageError as error:
                    raise UsageError(f"target {options.name}: {error}") from error
        except BaseException:
            for _, target in opened:
                target.close()
            raise
        return Prepared(plan, tuple(opened))

    def start(self, cut: CutEvents = NOTHING_CUT) -> None:
        """Take up what waited when the last process ended, and begin.

        Args:
            cut: Events of that process about which it may not have told all, as it was killed.
        """
        first = self._first
        assert first is not None
        self._first = None
        waiting = self._outbox.restore([options.name for options in first.plan.targets])
        for options, target in first.targets:
            self._begin_delivery(options, target, waiting[options.name])
        self._tell_cut(cut)
        self._outbox.start()
        self._thread.start()

    def take_over(self, prepared: Prepared) -> None:
        """Follow new settings: messages that wait stay, unless their target has gone."""
        kept = {options.name for options, _ in prepared.targets}
        gone = [self._deliveries[name] for name in self._deliveries if name not in kept]
        fresh = [options.name for options, _ in prepared.targets]
        fresh = [name for name in fresh if name not in self._deliveries]
        for options, target in prepared.targets:
            if options.name in self._deliveries:
                # Its files may hold other secrets, also where the options are the same.
                self._deliveries[options.name].replace(options, target)
            else:
                self._begin_delivery(options, target, [])
        with self._changed:
            self._plan = prepared.plan
            self._queue.append(prepared.plan)
            self._changed.notify_all()
            for delivery in gone:
                del self._deliveries[delivery.name]
        for delivery in gone:
            delivery.give_up("the settings have no such target any more")
            delivery.join(0.0)

    def sink(self, name: str) -> Sink:
        """Make the sink of a source, by its name."""
        return HappeningSink(name, self._take, self._now_us)

    def expect_clips(self, name: str, expected: bool) -> None:
        """Note whether the events of a source have clips, which `note_clip` tells of."""
        with self._clip_came:
            (self._with_clips.add if expected else self._with_clips.discard)(name)

    def note_clip(self, event_id: str, path: Path) -> None:
        """Note the clip of an event, from any thread."""
        with self._clip_came:
            self._clips[event_id] = path
            while len(self._clips) > KEPT_CLIPS:
                self._clips.popitem(last=False)
            self._clip_came.notify_all()

    def tell(self, message: Message, age_s: float = 0.0) -> None:
        """Deliver a message to its targets; from any thread.

        Args:
            message: The message; one that names no targets goes to all.
            age_s: How long ago it was to be told, in seconds.
        """
        message = _encodable(message)
        if not message.targets:
            message = replace(message, targets=tuple(each.name for each in self._plan.targets))
        self._outbox.add(message)
        with self._changed:
            self._n_told += 1
            deliveries = [self._deliveries.get(name) for name in message.targets]
        for delivery in deliveries:
            if delivery is not None:
                delivery.put(message, age_s)
        names = ", ".join(message.targets) or "nobody"
        text = one_line(message.text)
        text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
        self._report(f"rule {message.rule}: {text} (to {names})")

    def describe(self) -> dict[str, Any]:
        """Describe how rules and targets fare, in plain values that JSON can hold."""
        with self._changed:
            deliveries = [*self._deliveries.values()]
            rules = {
                "n_rules": len(self._plan.rules),
                "n_told": self._n_told,
                "n_lost": self._n_lost,
                "n_unnoted": self._outbox.n_unnoted,
            }
        return {"rules": rules, "targets": [delivery.describe() for delivery in deliveries]}

    def close(self) -> None:
        """Deliver and note what there is, as far as there is time; the rest waits in the store."""
        until = time.monotonic() + CLOSE_S
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)
            self._tell_left_out()
        deliveries = [*self._deliveries.values()]
        for delivery in deliveries:
            delivery.drain(max(until - time.monotonic(), 0.0))
        for delivery in deliveries:
            delivery.stop()
        for delivery in deliveries:
            delivery.join(max(until - time.monotonic(), 0.05))
        n_waiting = sum(delivery.describe()["waiting"] for delivery in deliveries)
        if n_waiting:
            verb = "waits" if n_waiting == 1 else "wait"
            self._report(f"{format_count(n_waiting, 'message')} {verb} for the next start")
        for _, target in self._first.targets if self._first is not None else ():
            target.close()
        self._outbox.close(NOTE_S)

    def _tell_left_out(self) -> None:
        """Stop the rules where they cannot follow to the end, and tell what they leave out."""
        with self._changed:
            n_left = sum(not isinstance(item, NotifyPlan) for item in self._queue)
            self._queue.clear()
            self._n_lost += n_left
        if n_left:
            self._report(
                f"warning: rules: the end came before they could follow; {n_left} happenings were "
                "left out"
            )

    def _begin_delivery(
        self, options: TargetOptions, target: Target, waiting: Iterable[Message]
    ) -> None:
        delivery = Delivery(
            options,
            target,
            settle=self._outbox.settle,
            report=self._report,
            find_clip=self._find_clip,
        )
        now_us = self._now_us()
        for message in waiting:
            delivery.put(message, max(now_us - message.told_us, 0) / 1e6)
        with self._changed:
            self._deliveries[options.name] = delivery
        delivery.start()

    def _tell_cut(self, cut: CutEvents) -> None:
        """Tell what was not told before a kill of events that it cut short, or that had ended."""
        if not self._plan.rules:
            return
        # The rules decide once more, from what they knew before these events.
        self._history.leave_out({each.event_id for each in cut.happened})
        told = [(each, message) for each in cut.happened for message in self._feed(each)]
        self._history.leave_out(())
        missing = (message for happening, message in told if cut.is_untold(happening))
        for message in self._outbox.find_new(missing):
            self.tell(message, max(self._now_us() - message.told_us, 0) / 1e6)

    def _find_clip(self, message: Message) -> Path | None:
        """Find the clip of an event that has ended, waiting for one that is sure to come."""
        event_id = message.event_id
        if event_id is None or message.on != "end":
            return None
        is_new = abs(self._now_us() - message.told_us) < CLIP_S * 1e6
        with self._clip_came:
            if is_new and message.source in self._with_clips:
                self._clip_came.wait_for(lambda: event_id in self._clips or self._closing, CLIP_S)
            found = self._clips.get(event_id)
        return found if found is not None else self._outbox.find_clip(event_id)

    def _take(self, happening: Happening) -> None:
        """Take what happened; never waits."""
        with self._changed:
            if not self._plan.rules:
                return
            if len(self._queue) >= LIMIT_HAPPENINGS:
                self._n_lost += 1
                return
            self._queue.append(happening)
            self._changed.notify_all()

    # The methods below run in the thread.

    def _work(self) -> None:
        while True:
            with self._changed:
                patience_s = LOOK_EVERY_S if self._lost.watches else None
                self._changed.wait_for(lambda: self._queue or self._closing, patience_s)
                if not self._queue and self._closing:
                    return
                item = self._queue.popleft() if self._queue else None
                n_lost = self._n_lost - self._n_lost_told
            if isinstance(item, NotifyPlan):
                self._book.change(item.rules)
                self._lost.change(item.rules)
            elif item is not None:
                for message in self._feed(item):
                    self.tell(message)
            self._look_for_lost()
            if n_lost and self._tell_now_and_then(
                f"warning: rules: more happened than they could follow; {n_lost} happenings were "
                "left out"
            ):
                self._n_lost_told += n_lost

    def _look_for_lost(self) -> None:
        """Tell of sources that are away, or back, once a second."""
        now = time.monotonic()
        if not self._lost.watches or now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        offset = datetime.now().astimezone().utcoffset()
        zone = round(offset.total_seconds() / 60) if offset is not None else 0
        for message in self._lost.look(self._presences(), self._now_us(), zone):
            self.tell(message)

    def _feed(self, happening: Happening) -> list[Message]:
        try:
            return self._book.feed(happening)
        except Exception as error:  # any error: the thread must go on
            self._tell_now_and_then(
                f"error: rules: a mistake in streamclf itself: {type(error).__name__}: {error}"
            )
            return []

    def _tell_now_and_then(self, line: str) -> bool:
        now = time.monotonic()
        if now - self._told_at < TELL_EVERY_S:
            return False
        self._told_at = now
        self._report(line)
        return True


_TEXTS = ("rule", "source", "label", "name", "text", "event_id", "asked", "asked_name")


def _encodable(message: Message) -> Message:
    """Escape what UTF-8 cannot hold in its texts, such as parts of the names of some files."""
    texts = {
        name: said.encode("utf-8", "backslashreplace").decode()
        for name in _TEXTS
        if (said := getattr(message, name)) is not None and not said.isascii()
    }
    return replace(message, **texts)
