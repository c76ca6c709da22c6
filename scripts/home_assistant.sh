#!/bin/sh
# Lets Home Assistant's own schemas read what streamclf publishes for it. Each Home Assistant needs a
# Python of its own years (2026.11: Python 3.14), and more packages than all of streamclf: it has an
# environment of its own in build/home-assistant, and a job of its own.
#
#   sh scripts/home_assistant.sh                      the newest version that this Python can have
#   sh scripts/home_assistant.sh homeassistant==...   another one
set -eu
cd "$(dirname "$0")/.."
there=build/home-assistant
python -m venv "$there"
"$there/bin/pip" install --quiet --disable-pip-version-check "${1:-homeassistant}"
# What the integration itself asks for, in the version that this Home Assistant wants.
wanted=$("$there/bin/python" -c '
import json, pathlib
import homeassistant.components as components
folder = pathlib.Path(components.__path__[0])
print(*json.loads((folder / "mqtt/manifest.json").read_text())["requirements"])')
# shellcheck disable=SC2086
"$there/bin/pip" install --quiet --disable-pip-version-check $wanted
python scripts/discovery.py | "$there/bin/python" scripts/home_assistant.py
