#!/bin/sh
# Builds the wheel, installs it into an environment of its own, and hears the example with it:
# what somebody gets who installs streamclf, without torch and without this clone.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(find_python) || exit 1
say "building the wheel and hearing the example with it"
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder" .
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$folder"/streamclf-*.whl
cp examples/afternoon.flac "$folder"
cd "$folder"
venv/bin/streamclf file afternoon.flac --format jsonl >events.jsonl
grep -q '"label":"Siren"' events.jsonl
if venv/bin/python -c 'import torch' 2>/dev/null; then
    say "torch came with the wheel, and must not"
    exit 1
fi
