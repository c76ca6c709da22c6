"""Prints what streamclf publishes for Home Assistant: a device with every kind of entity.

``scripts/home_assistant.sh`` lets Home Assistant's own schemas read it.
"""

from __future__ import annotations

import json

from streamclf.notify.mqtt.discovery import AnnouncedSource, describe_device
from streamclf.notify.mqtt.names import keys_of_labels
from streamclf.notify.mqtt.options import COMMANDS
from streamclf.notify.mqtt.topics import Topics


def main() -> None:
    """Print the message."""
    labels = {"dog": "dog", "smoke_alarm": "smoke alarm", "/m/07yv9": "Vehicle (any)"}
    keys = keys_of_labels(labels)
    sources = [
        AnnouncedSource(
            "kitchen", "kitchen", labels, {each: {each} for each in labels}, keys, calibrated=True
        ),
        AnnouncedSource("kuche", "Küche", labels, {"dog": {"dog"}}, keys, calibrated=False),
        AnnouncedSource("meter", "meter", {}, {}, {}, calibrated=False),
    ]
    device = describe_device(
        Topics("0123abcd", "streamclf/0123abcd", "homeassistant"),
        "attic",
        sources,
        page="https://sounds.example/attic",
        allow=COMMANDS,
        before={"yard-event": "event", "yard-level": "sensor"},
    )
    print(json.dumps(device, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
