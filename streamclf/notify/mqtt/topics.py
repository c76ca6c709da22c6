"""Topics of a box and of its sources."""

from __future__ import annotations

from dataclasses import dataclass

from streamclf.notify.mqtt.options import DISCOVERY_PREFIX, MqttOptions

ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True)
class Topics:
    """Topics of one box.

    Attributes:
        box: Identity of the box.
        root: Begin of the box's own topics.
        prefix: Begin of the topics of discovery; empty for none.
    """

    box: str
    root: str
    prefix: str

    @classmethod
    def of(cls, options: MqttOptions, box: str) -> Topics:
        """The topics of a box by the settings."""
        return cls(box, f"{options.topic}/{box}", options.discovery_prefix)

    @property
    def device(self) -> str:
        """Identifier of the device in Home Assistant."""
        return f"streamclf_{self.box}"

    @property
    def discovery(self) -> str:
        """Where Home Assistant finds the device."""
        return f"{self.prefix}/device/{self.device}/config"

    @property
    def births(self) -> tuple[str, ...]:
        """Where Home Assistant says that it has started; whatever the prefix, it may be the usual.

        Its birth topic has a setting of its own there.
        """
        return tuple(dict.fromkeys((f"{self.prefix}/status", f"{DISCOVERY_PREFIX}/status")))

    @property
    def availability(self) -> str:
        """Whether the box is connected; the broker itself says that it is not."""
        return f"{self.root}/status"

    def source_availability(self, source: str) -> str:
        """Whether a source is heard."""
        return f"{self.root}/{source}/status"

    def state(self, source: str) -> str:
        """What a source hears now."""
        return f"{self.root}/{source}/state"

    def event(self, source: str) -> str:
        """Begins and ends of a source."""
        return f"{self.root}/{source}/event"

    def pause(self, source: str) -> str:
        """Where a source is paused, and heard again."""
        return f"{self.root}/{source}/pause/set"

    def threshold(self, source: str, key: str) -> str:
        """Where the threshold of a label is set."""
        return f"{self.root}/{source}/threshold/{key}/set"

    def read_command(self, topic: str) -> tuple[str, str, str] | None:
        """Tell what is asked on a topic.

        Returns:
            The source, ``pause`` or ``threshold``, and the label's key; None for no command.
        """
        if not topic.startswith(f"{self.root}/"):
            return None
        match topic.removeprefix(f"{self.root}/").split("/"):
            case [source, "pause", "set"]:
                return source, "pause", ""
            case [source, "threshold", key, "set"]:
                return source, "threshold", key
        return None
