"""Lets Home Assistant's own schemas read a discovery message on standard input.

It runs with the Python of an environment that has Home Assistant, see
``scripts/home_assistant.sh``, and knows nothing of streamclf. A key that Home Assistant leaves out
without a word counts as a mistake here.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from homeassistant.components.mqtt import abbreviations
from homeassistant.const import __version__

NEWER = {"default_entity_id": (2025, 10)}
"""Keys that older versions do not know, and the first that does."""
SHARED = ("availability", "availability_mode", "qos", "encoding", "state_topic", "command_topic")


def main() -> int:
    """Check the message; returns the exit code."""
    message = json.load(sys.stdin)
    mistakes = _check_device(message)
    device = _expand(message["dev"], abbreviations.DEVICE_ABBREVIATIONS)
    n_checked = 0
    for id, component in message["cmps"].items():
        config = _expand(component, abbreviations.ABBREVIATIONS)
        platform = config.pop("p")
        if not config:  # it is taken away
            continue
        shared = {key: message[key] for key in SHARED if key in message and key not in config}
        mistakes += [
            f"{id}: {mistake}"
            for mistake in _check(platform, {**config, **shared, "device": device})
        ]
        n_checked += 1
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    verdict = f"{len(mistakes)} mistakes" if mistakes else "fine"
    print(f"Home Assistant {__version__}: {n_checked} entities: {verdict}")
    return 1 if mistakes or not n_checked else 0


def _expand(config: dict[str, Any], short: dict[str, str]) -> dict[str, Any]:
    return {short.get(key, key): value for key, value in config.items()}


def _check_device(message: dict[str, Any]) -> list[str]:
    """Check the message as a whole, where this version knows devices with several entities."""
    try:
        schemas = importlib.import_module("homeassistant.components.mqtt.schemas")
    except ImportError:
        print("this version knows no devices with several entities: those are checked one by one")
        return []
    schema = schemas.DEVICE_DISCOVERY_SCHEMA
    components = {
        id: {"platform": each["p"], **{key: value for key, value in each.items() if key != "p"}}
        for id, each in message["cmps"].items()
    }
    whole = {
        **{key: value for key, value in message.items() if key not in ("dev", "o", "cmps")},
        "device": _expand(message["dev"], abbreviations.DEVICE_ABBREVIATIONS),
        "origin": _expand(message["o"], abbreviations.ORIGIN_ABBREVIATIONS),
        "components": components,
    }
    try:
        schema(whole)
    except Exception as error:  # whichever library of schemas it uses
        return [f"the device: {error}"]
    return []


def _check(platform: str, config: dict[str, Any]) -> list[str]:
    """Check the description of an entity, and that nothing of it is left out."""
    module = importlib.import_module(f"homeassistant.components.mqtt.{platform}")
    try:
        read = module.DISCOVERY_SCHEMA(dict(config))
    except Exception as error:
        return [str(error)]
    version = tuple(int(part) for part in __version__.split(".")[:2])
    return [
        f"{key}: is not known"
        for key in config.keys() - read.keys()
        if version >= NEWER.get(key, (0, 0))
    ]


if __name__ == "__main__":
    sys.exit(main())
