#!/bin/sh
# Sets everything up in .venv (with torch, about 6 GB) and runs all checks; pytest comes last.
#
#   sh scripts/test.sh               everything
#   sh scripts/test.sh --packages    only what the tests need of the system (Debian)
#   sh scripts/test.sh ARGUMENT...   the rest goes to pytest
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_packages libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins tmux chromium
[ "${1:-}" != --packages ] || exit 0
make_venv
say "setting everything up in .venv"
pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
pip install --quiet --disable-pip-version-check --group train --group dev --editable .
ruff check .
ruff format --check .
mypy
lint-imports --no-cache
sh scripts/docs.sh
sh scripts/wheel.sh
# As many workers as there are processors for this container; what hangs is told after ten minutes.
PYTEST_XDIST_AUTO_NUM_WORKERS=$(python -c 'from streamclf.core.cpu_count import count_cores; print(count_cores())')
export PYTEST_XDIST_AUTO_NUM_WORKERS
exec python -m pytest -n auto --dist loadfile --timeout 600 --cov --cov-report=term:skip-covered --cov-fail-under=90 "$@"
