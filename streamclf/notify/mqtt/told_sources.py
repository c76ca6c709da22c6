"""All sources as the broker is told of them: who they are, how they fare, and what they hear."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from streamclf.notify.mqtt.choose import choose, find_unknown
from streamclf.notify.mqtt.discovery import AnnouncedSource, Json, platforms
from streamclf.notify.mqtt.facts import SourceFacts
from streamclf.notify.mqtt.identity import load_identity, save_identity
from streamclf.notify.mqtt.names import keys_of_labels, slug, unused
from streamclf.notify.mqtt.options import MqttOptions
from streamclf.notify.mqtt.sink import MqttSink
from streamclf.notify.mqtt.told import ToldSource

LATE_S = 15.0
"""Seconds without audio after which a source counts as away."""
FORGET_S = 20.0
"""Seconds after which a source that is not there any more is taken away."""


class ToldSources:
    """The sources of a box. One thread uses them.

    Args:
        file: File of the identity.
        report: Called with one line of text.
        count_today: Tells how many sounds of a source are known of today.

    Attributes:
        box: Identifier of the box.
        by_id: The sources by their identifiers.
    """

    def __init__(
        self, file: Path, report: Callable[[str], None], count_today: Callable[[str], int]
    ) -> None:
        self.by_id: dict[str, ToldSource] = {}
        self._file = file
        self._report = report
        self._count_today = count_today
        self._identity = load_identity(file, report)
        self._facts: dict[str, SourceFacts] = {}
        self._missing: dict[str, float] = {}
        self._ids: dict[str, str] = {}
        self._announced_from: dict[str, tuple[object, ...]] = {}
        self._warned: list[str] = []

    @property
    def box(self) -> str:
        """Identifier of the box."""
        return self._identity.box

    @property
    def gone(self) -> list[str]:
        """Identifiers of sources that there were once."""
        return [id for id in self._identity.sources if id not in self.by_id]

    @property
    def announced(self) -> dict[str, str]:
        """Platforms of all components that were ever announced."""
        return self._identity.announced

    def look(
        self,
        present: Iterable[SourceFacts],
        sinks: Mapping[str, MqttSink],
        options: MqttOptions,
        now: float,
    ) -> bool:
        """Look at how the sources fare.

        Args:
            present: The sources that there are; none before they were first opened.
            sinks: Their sinks by name.
            options: What is chosen of them.
            now: Monotonic seconds.

        Returns:
            Whether they must be announced anew.
        """
        facts = {each.name: each for each in present}
        if not facts and not self._facts:
            return False
        self._facts = self._keep_missing(facts, now)
        self._identify()
        left = {id for id in self.by_id if id not in self._ids.values()}
        for id in left:
            del self.by_id[id]
        changed = [self._note(each, sinks.get(name), options, now)
                   for name, each in self._facts.items()]  # fmt: skip
        if any(changed):
            self._warn_of_labels(options)
        return bool(left) or any(changed)

    def find(self, name: str) -> ToldSource | None:
        """Find a source by its name; None if it is not known yet."""
        id = self._ids.get(name)
        return None if id is None else self.by_id[id]

    def note_announced(self, device: Json) -> None:
        """Remember what was announced, so that it can be taken away one day."""
        new = platforms(device)
        if not new.items() <= self._identity.announced.items():
            self._identity.note_announced(new)
            self._save()

    def measure(self, told: ToldSource, sink: MqttSink | None) -> None:
        """Take the level since the last call."""
        level = sink.take_level() if sink is not None and told.available else None
        facts = self._facts.get(told.announced.name)
        offset = facts.calibration_db if facts is not None else None
        told.level = None if level is None else round(level + (offset or 0.0), 1)

    def _keep_missing(self, facts: dict[str, SourceFacts], now: float) -> dict[str, SourceFacts]:
        """Add sources that are missing for a moment only, as in a change of the settings.

        One that was renamed is gone at once: what it opened is opened under the new name.
        """
        moved = {each.opens for name, each in facts.items() if name not in self._facts}
        kept = dict(facts)
        for name, before in self._facts.items():
            if name not in facts and before.opens not in moved:
                since = self._missing.setdefault(name, now)
                if now - since < FORGET_S:
                    kept[name] = replace(before, state="lost")
        self._missing = {
            name: since
            for name, since in self._missing.items()
            if name in kept and name not in facts
        }
        return kept

    def _identify(self) -> None:
        """Find the identifiers of all sources, and remember those that are new."""
        before = dict(self._identity.sources)
        self._ids = self._identity.assign((each.name, each.opens) for each in self._facts.values())
        if before != self._identity.sources or not self._file.exists():
            self._save()

    def _note(
        self, facts: SourceFacts, sink: MqttSink | None, options: MqttOptions, now: float
    ) -> bool:
        """Note how a source fares; returns whether it must be announced anew."""
        id, today = self._ids[facts.name], datetime.now().date()
        told = self.by_id.get(id)
        announced_from = (facts.name, facts.labels, facts.calibration_db is None, options)
        changed = told is None or self._announced_from.get(id) != announced_from
        if changed:
            self._announced_from[id] = announced_from
            announced = _announce(id, facts, options)
            if told is None:
                told = ToldSource(announced, self._count_today(facts.name), today)
                self.by_id[id] = told
            told.announced = announced
        assert told is not None
        heard_at = sink.heard_at if sink is not None and not sink.closed else None
        told.paused = facts.paused
        told.connected = facts.state == "paused" or (
            facts.state in ("heard", "silent") and heard_at is not None and now - heard_at < LATE_S
        )
        told.silent = facts.state == "silent"
        told.thresholds = facts.thresholds
        told.lost_s = facts.lost_s
        told.begin_day(today)
        return changed

    def _warn_of_labels(self, options: MqttOptions) -> None:
        sources = ((each.labels, each.vocabulary) for each in self._facts.values())
        unknown = find_unknown(sources, options.labels)
        if unknown != self._warned:
            self._warned = unknown
            for line in unknown:
                self._report(line)

    def _save(self) -> None:
        try:
            save_identity(self._identity, self._file)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._report(
                f"warning: {self._file}: cannot be written: {reason}: after a restart Home "
                "Assistant will show a new device"
            )


def _announce(id: str, facts: SourceFacts, options: MqttOptions) -> AnnouncedSource:
    """Describe a source as it is announced."""
    chosen = choose(facts.labels, options.labels, facts.vocabulary)
    keys = keys_of_labels(facts.labels)
    names: dict[str, str] = {}
    for label in sorted(chosen.keys() - keys.keys()):  # it is heard by narrower labels alone
        keys[label] = unused(slug(label, "sound"), set(keys.values()))
        names[label] = label if facts.vocabulary is None else facts.vocabulary.show(label)
    return AnnouncedSource(
        id, facts.name, dict(facts.labels), chosen, keys, facts.calibration_db is not None, names
    )
