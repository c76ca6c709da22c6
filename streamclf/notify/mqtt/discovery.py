"""The message by which Home Assistant finds the box: a device with all its entities.

Its form is Home Assistant's device discovery (https://www.home-assistant.io/integrations/mqtt):
``dev``, ``o`` and ``cmps`` at the top, and ``p`` and ``unique_id`` in each component. A component
that has only ``p`` is taken away. Every entity reads one topic of its source, and only its own part
of it, so that none can reset another.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from streamclf import __version__
from streamclf.core.label_names import plain_name
from streamclf.notify.mqtt.names import slug
from streamclf.notify.mqtt.options import Command
from streamclf.notify.mqtt.topics import OFFLINE, ONLINE, Topics

Json: TypeAlias = dict[str, Any]

REFRESH_S = 60.0
"""Longest time, in seconds, that a source which is heard says nothing."""
EXPIRE_S = 150
"""Seconds after which Home Assistant takes what it knows for old: two refreshes may fail."""
LOWEST_THRESHOLD, THRESHOLD_STEP = 0.01, 0.01
_SMOKE = re.compile(r"\b(smoke (alarm|detector)|(alarm|detector) smoke)\b")


@dataclass(frozen=True)
class AnnouncedSource:
    """A source as it is announced.

    Attributes:
        id: Its identifier, which survives renaming.
        name: Its name.
        labels: Labels of the events that it may have, with the names that people read.
        chosen: Those that get a binary sensor, each with the labels that it is heard by.
        keys: Keys of the labels in topics and states.
        calibrated: Whether its levels are sound pressure.
        names: Names of chosen labels that it does not report itself, but narrower ones.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    chosen: Mapping[str, Collection[str]]
    keys: Mapping[str, str]
    calibrated: bool
    names: Mapping[str, str] = field(default_factory=dict)

    def show(self, label: str) -> str:
        """Return the name that people read for a label that it reports, or that is chosen."""
        return self.labels.get(label) or self.names.get(label, label)


def describe_device(
    topics: Topics,
    name: str,
    sources: Iterable[AnnouncedSource],
    *,
    page: str | None = None,
    allow: Sequence[Command] = (),
    before: Mapping[str, str] | None = None,
) -> Json:
    """Describe the device and all its entities.

    Args:
        topics: The box's topics.
        name: Name of the device.
        sources: Its sources.
        page: URL of the page, for the link in Home Assistant.
        allow: What may be done through the broker.
        before: Platforms of the components that were announced before; those that are not wanted
            any more are taken away.
    """
    components: dict[str, Json] = {}
    for source in sources:
        components |= _Entities(topics, source).describe(allow)
    gone = {id: {"p": platform} for id, platform in (before or {}).items() if id not in components}
    device: Json = {
        "ids": [topics.device], "name": name, "mf": "streamclf", "mdl": "sound classifier",
        "sw": __version__,
    }  # fmt: skip
    if page is not None:
        device["cu"] = page
    return {
        "dev": device,
        "o": {"name": "streamclf", "sw": __version__},
        "availability": [_available_at(topics.availability)],
        "availability_mode": "all",
        "qos": 1,
        "cmps": {**components, **gone},
    }


def platforms(device: Json) -> dict[str, str]:
    """The platform of each component of a device that is not taken away."""
    return {id: each["p"] for id, each in device["cmps"].items() if len(each) > 1}


def device_class_of(label: str, name: str) -> str:
    """The class of a label's binary sensor: ``smoke`` for a smoke alarm, else ``sound``."""
    said = f"{plain_name(label)} {plain_name(name)}"
    return "smoke" if _SMOKE.search(said) else "sound"


def _available_at(topic: str) -> Json:
    return {"topic": topic, "payload_available": ONLINE, "payload_not_available": OFFLINE}


class _Entities:
    """The entities of one source."""

    def __init__(self, topics: Topics, source: AnnouncedSource) -> None:
        self._topics = topics
        self._source = source
        self._state = topics.state(source.id)

    def describe(self, allow: Sequence[Command]) -> dict[str, Json]:
        """Describe them by their identifiers."""
        source = self._source
        found: dict[str, Json] = {}
        if source.labels:
            found |= self._event() | self._last() | self._today()
        for label in source.chosen:
            found |= self._sound(label)
            if "threshold" in allow and label in source.labels:
                found |= self._threshold(label)
        found |= self._level() | self._lost() | self._connected() | self._silent()
        if "pause" in allow:
            found |= self._pause()
        return found

    def _entity(
        self, platform: str, what: str, name: str, *, heard: bool = True, **more: Any
    ) -> dict[str, Json]:
        """Describe an entity.

        Args:
            platform: Its platform.
            what: What it is, among the entities of its source.
            name: Its name behind the source's.
            heard: Whether it says something only while the source is heard.
            more: Keys of its platform.
        """
        source, topics = self._source, self._topics
        id = f"{source.id}-{what}"
        entity: Json = {
            "p": platform,
            "unique_id": f"{topics.device}_{id}",
            "name": f"{source.name} {name}",
            "default_entity_id": f"{platform}.{slug(f'{source.name} {name}', what)}",
            "state_topic": self._state,
            **more,
        }
        if heard:
            at = [topics.availability, topics.source_availability(source.id)]
            entity["availability"] = [_available_at(topic) for topic in at]
            entity["availability_mode"] = "all"
        return {id: entity}

    def _sound(self, label: str) -> dict[str, Json]:
        key, name = self._source.keys[label], self._source.show(label)
        several: Json = {}
        if set(self._source.chosen[label]) - {label}:
            # Of a broader label: which of its sounds it is.
            sounds = f"(value_json.sounds or {{}}).get('{key}', [])"
            several = {
                "json_attributes_topic": self._state,
                "json_attributes_template": f"{{{{ {{'sounds': {sounds}}} | tojson }}}}",
            }
        return self._entity(
            "binary_sensor", f"sound-{key}", name,
            device_class=device_class_of(label, name),
            # A state from before the label was chosen has nothing of it, which is no mistake.
            value_template=f"{{{{ value_json.on.get('{key}', '') }}}}",
            payload_on="ON", payload_off="OFF", expire_after=EXPIRE_S, **several,
        )  # fmt: skip

    def _event(self) -> dict[str, Json]:
        return self._entity(
            "event", "event", "sound",
            state_topic=self._topics.event(self._source.id),
            event_types=list(self._source.labels),
            # The end of a sound has its place in the binary sensor, and is no event of its own.
            value_template="{{ value if value_json.phase == 'begin' else '' }}",
            icon="mdi:ear-hearing",
        )  # fmt: skip

    def _last(self) -> dict[str, Json]:
        # A text: neither a device class nor a state class.
        return self._entity(
            "sensor", "last", "last sound",
            value_template="{{ value_json.last.name if value_json.last else None }}",
            json_attributes_topic=self._state,
            json_attributes_template="{{ (value_json.last or {}) | tojson }}",
            icon="mdi:ear-hearing",
        )  # fmt: skip

    def _today(self) -> dict[str, Json]:
        return self._entity(
            "sensor", "today", "sounds today", heard=False,
            value_template="{{ value_json.today }}",
            state_class="total_increasing", icon="mdi:counter",
        )  # fmt: skip

    def _level(self) -> dict[str, Json]:
        # Home Assistant's sound pressure is in dB or dBA, re 20 µPa: what no calibration leads to
        # is no sound pressure.
        calibrated: Json = {"device_class": "sound_pressure", "unit_of_measurement": "dBA"}
        plain: Json = {"unit_of_measurement": "dBFS", "icon": "mdi:volume-high"}
        return self._entity(
            "sensor", "level", "level",
            value_template="{{ value_json.level }}",
            state_class="measurement", expire_after=EXPIRE_S, suggested_display_precision=1,
            **(calibrated if self._source.calibrated else plain),
        )  # fmt: skip

    def _lost(self) -> dict[str, Json]:
        return self._entity(
            "sensor", "lost", "lost", heard=False,
            value_template="{{ value_json.lost_s }}",
            device_class="duration", unit_of_measurement="s", state_class="total_increasing",
            entity_category="diagnostic",
        )  # fmt: skip

    def _connected(self) -> dict[str, Json]:
        return self._entity(
            "binary_sensor", "connected", "connected", heard=False,
            device_class="connectivity",
            value_template="{{ value_json.connected }}",
            payload_on="ON", payload_off="OFF", entity_category="diagnostic",
        )  # fmt: skip

    def _silent(self) -> dict[str, Json]:
        # A state of an earlier version has nothing of it, which is no mistake.
        return self._entity(
            "binary_sensor", "silent", "no signal", heard=False,
            device_class="problem",
            value_template="{{ value_json.get('silent', '') }}",
            payload_on="ON", payload_off="OFF", entity_category="diagnostic",
            icon="mdi:microphone-off",
        )  # fmt: skip

    def _pause(self) -> dict[str, Json]:
        return self._entity(
            "switch", "pause", "paused", heard=False,
            command_topic=self._topics.pause(self._source.id),
            value_template="{{ value_json.paused }}",
            payload_on="ON", payload_off="OFF", retain=False, entity_category="config",
            icon="mdi:microphone-off",
        )  # fmt: skip

    def _threshold(self, label: str) -> dict[str, Json]:
        key, name = self._source.keys[label], self._source.show(label)
        return self._entity(
            "number", f"threshold-{key}", f"{name} threshold", heard=False,
            command_topic=self._topics.threshold(self._source.id, key),
            value_template=f"{{{{ value_json.thresholds.get('{key}') }}}}",
            min=LOWEST_THRESHOLD, max=1.0, step=THRESHOLD_STEP, mode="box", retain=False,
            entity_category="config", icon="mdi:tune-vertical",
        )  # fmt: skip
