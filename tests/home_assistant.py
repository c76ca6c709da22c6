"""A client that plays Home Assistant: it builds entities of what it discovers, and follows them.

It knows of Home Assistant what `streamclf.notify.mqtt` relies on: the device message, keys that
components share, templates, availability, retained messages, and components that have only ``p``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import jinja2
from brokers import Broker, Subscriber

PREFIX = "homeassistant"
SHARED = ("availability", "availability_mode", "qos", "state_topic", "encoding")

_templates = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)


@dataclass
class Entity:
    """An entity, as its component describes it."""

    config: dict[str, Any]
    state: str = "unknown"
    attributes: dict[str, Any] = field(default_factory=dict)
    fired: list[dict[str, Any]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)


class HomeAssistant:
    """A Home Assistant that begins to listen.

    Attributes:
        device: The device as it was described last; None where there is none.
        entities: Its entities by the identifiers of their components.
    """

    def __init__(self, broker: Broker, **options: Any) -> None:
        self.device: dict[str, Any] | None = None
        self.entities: dict[str, Entity] = {}
        self._taken = 0
        self._values: dict[str, str] = {}
        self._subscriber = Subscriber(broker, f"{PREFIX}/device/+/config", "streamclf/#", **options)

    def be_born(self) -> None:
        """Say that it has started."""
        self._subscriber.publish(f"{PREFIX}/status", "online")

    def ask(self, id: str, payload: str) -> None:
        """Send a command of an entity."""
        self._subscriber.publish(self.entities[id].config["command_topic"], payload)

    def until(self, holds: Any) -> None:
        """Wait until something holds of its entities."""

        def update() -> bool:
            self._take()
            return bool(holds(self))

        self._subscriber.until(update)

    def state(self, id: str) -> str:
        """State of an entity, as its page shows it."""
        if id not in self.entities:
            return "gone"
        entity = self.entities[id]
        at = entity.config.get("availability", [])
        online = [self._values.get(each["topic"]) == each["payload_available"] for each in at]
        if at and not (all if entity.config["availability_mode"] == "all" else any)(online):
            return "unavailable"
        return entity.state

    def close(self) -> None:
        self._subscriber.close()

    def _take(self) -> None:
        heard = self._subscriber.heard
        while self._taken < len(heard):
            topic, payload, retained = heard[self._taken]
            self._taken += 1
            if topic.startswith(f"{PREFIX}/device/"):
                self._discover(payload)
                continue
            self._values[topic] = payload
            for entity in self.entities.values():
                self._tell(entity, topic, payload, retained)

    def _discover(self, payload: str) -> None:
        if not payload:
            self.device, self.entities = None, {}
            return
        self.device = json.loads(payload)
        for id, component in self.device["cmps"].items():
            if len(component) == 1:
                self.entities.pop(id, None)
                continue
            shared = {key: self.device[key] for key in SHARED if key in self.device}
            entity = self.entities.setdefault(id, Entity({}))
            entity.config = {**shared, **component}
            topic = entity.config["state_topic"]
            if topic in self._values:  # it is retained, and comes with the subscription
                self._tell(entity, topic, self._values[topic], True)

    def _tell(self, entity: Entity, topic: str, payload: str, retained: bool) -> None:
        config = entity.config
        if topic == config.get("json_attributes_topic") and payload:
            rendered = self._render(config["json_attributes_template"], payload)
            entity.attributes = json.loads(rendered)
        if topic != config["state_topic"] or not payload:
            return
        value = self._render(config["value_template"], payload)
        if config["p"] == "event":
            if not retained and value:
                event = json.loads(value)
                assert event["event_type"] in config["event_types"]
                entity.fired.append(event)
            return
        if not value.strip():  # nothing for this entity
            return
        names = {config.get("payload_on"): "on", config.get("payload_off"): "off"}
        entity.state = names.get(value, value) if "payload_on" in config else value
        if not entity.states or entity.states[-1] != entity.state:
            entity.states.append(entity.state)

    def _render(self, template: str, payload: str) -> str:
        values = {"value": payload, "value_json": json.loads(payload)}
        return _templates.from_string(template).render(values)
