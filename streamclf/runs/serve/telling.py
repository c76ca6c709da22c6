"""Who is told what a serving process hears: rules with their targets, and the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamclf.notify.cut_events import CutEvents
from streamclf.notify.label_check import Reported, describe_unheard
from streamclf.notify.notifier import Notifier, Prepared
from streamclf.notify.options import NotifyPlan
from streamclf.notify.store_history import StoreHistory
from streamclf.runs.console import say
from streamclf.runs.serve.stream import ServedStream
from streamclf.sinks.base import Sink
from streamclf.store.sink import StoreSink

if TYPE_CHECKING:
    from streamclf.notify.mqtt.facts import Control
    from streamclf.notify.mqtt.publisher import MqttPublisher


class Telling:
    """Rules, targets and the broker of a serving process.

    Args:
        plan: Who is told what.
        store: The store, which remembers what was told.
        page: URL by which people outside find the page, for links; None if there is none.
        streams: Tells what streams there are.
        control: Does what is asked through the broker.

    Raises:
        UsageError: A target cannot be opened.
    """

    def __init__(
        self,
        plan: NotifyPlan,
        store: Path,
        page: str | None,
        streams: Callable[[], Iterable[ServedStream]],
        control: Control,
    ) -> None:
        self._plan, self._store, self._page = plan, store, page
        self._files = plan.file_states()
        self._streams, self._control = streams, control
        self._notifier = Notifier(
            plan, store, StoreHistory(store, say), report=say,
            presences=lambda: {stream.name: stream.presence for stream in streams()},
        )  # fmt: skip
        self._publisher: MqttPublisher | None = None

    def check(self, heard: Mapping[str, Reported]) -> None:
        """Check what can be told of the broker without it.

        Args:
            heard: What each source may report, by its name.

        Raises:
            UsageError: A file of its settings cannot be used.
        """
        if self._plan.mqtt is not None:
            from streamclf.notify.mqtt.choose import find_unknown
            from streamclf.runs.serve.broker import check_broker

            check_broker(self._plan.mqtt)
            sources = ((each.labels, each.vocabulary) for each in heard.values())
            for line in find_unknown(sources, self._plan.mqtt.labels):
                say(line)

    def start(self, cut: CutEvents) -> None:
        """Take up what waits, and begin.

        Args:
            cut: Events of a process before that was killed.

        Raises:
            UsageError: A file of the broker's settings cannot be used.
        """
        self._notifier.start(cut)
        if self._plan.mqtt is not None:
            from streamclf.runs.serve.broker import make_publisher  # which few need

            self._publisher = make_publisher(
                self._plan.mqtt, self._store, say, self._page, self._streams, self._control
            )
            self._publisher.start(cut.ends)

    def prepare(self, plan: NotifyPlan) -> Prepared:
        """Make a new plan ready, so that nothing of it can fail any more.

        Raises:
            UsageError: A target cannot be opened, or a file of the broker's cannot be used.
        """
        if self._publisher is not None and plan.mqtt is not None:
            from streamclf.runs.serve.broker import check_broker

            check_broker(plan.mqtt)
        return self._notifier.prepare(plan)

    def describe_change(self, plan: NotifyPlan) -> list[str]:
        """Describe in words what differs in a new plan, and in files that both name."""
        words = ["who is told what changes"] if plan != self._plan else []
        states = plan.file_states()
        return words + [
            f"{path.name} is read anew"
            for path, before in self._files.items()
            if path in states and states[path] != before
        ]

    def take_over(self, prepared: Prepared) -> None:
        """Follow a plan that was made ready."""
        before, after = self._plan.mqtt, prepared.plan.mqtt
        if self._publisher is not None and after is not None:
            self._publisher.take_over(after)
        elif before != after:
            say("warning: whether there is a broker ([mqtt]) changes at the next start alone")
        self._notifier.take_over(prepared)
        self._plan, self._files = prepared.plan, prepared.plan.file_states()

    def make_sinks(self, source: str, memory: StoreSink) -> list[Sink]:
        """Make the sinks of a source.

        Args:
            source: Its name.
            memory: Its sink in the store, which measures its levels.
        """
        sinks: list[Sink] = [self._notifier.sink(source)]
        if self._publisher is not None:
            broker = self._publisher.sink(source)
            memory.on_levels = broker.note_levels
            sinks.append(broker)
        return sinks

    def expect_clips(self, source: str, expected: bool) -> None:
        """Note whether the events of a source have clips."""
        self._notifier.expect_clips(source, expected)

    def note_clip(self, event_id: str, path: Path) -> None:
        """Note the clip of an event, from any thread."""
        self._notifier.note_clip(event_id, path)

    def describe(self) -> dict[str, Any]:
        """Describe how rules, targets and the broker fare, in plain values that JSON can hold."""
        described = self._notifier.describe()
        if self._publisher is not None:
            described["targets"] = [*described["targets"], self._publisher.describe()]
        return described

    def close(self) -> None:
        """Deliver what there is, as far as there is time. Safe to call before `start`."""
        if self._publisher is not None:
            self._publisher.close()
        self._notifier.close()


def warn_of_rules(plan: NotifyPlan, heard: Mapping[str, Reported]) -> None:
    """Name what makes rules tell nothing, or tell it to nobody.

    Args:
        plan: The rules and targets.
        heard: What each source may report, by its name.
    """
    for line in describe_unheard(plan.rules, heard):
        say(line)
    if plan.rules and not plan.targets:
        say("warning: rules tell nobody, as there are no targets: a table [[targets]] makes one")
