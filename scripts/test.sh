#!/bin/sh
# Sets everything up in .venv (with torch, about 6 GB) and runs all checks; pytest comes last.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_packages libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins tmux chromium
make_venv
say "setting everything up in .venv"
pip install --quiet --disable-pip-version-check --editable '.[train,dev]'
ruff check .
ruff format --check .
mypy
lint-imports --no-cache
zensical build --strict
# A file at a time on each core; what hangs is told after ten minutes.
exec python -m pytest -n auto --dist loadfile --timeout 600 --cov --cov-report=term:skip-covered --cov-fail-under=90 "$@"
