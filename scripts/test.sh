#!/bin/sh
# Sets everything up in .venv (with torch, about 6 GB) and runs all checks; pytest comes last.
#
#   sh scripts/test.sh               everything
#   sh scripts/test.sh --packages    only what the tests need of the system (Debian)
#   sh scripts/test.sh ARGUMENT...   the rest goes to pytest
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_packages libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins tmux chromium mosquitto openssl
[ "${1:-}" != --packages ] || exit 0
make_venv
say "setting everything up in .venv"
pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
pip install --quiet --disable-pip-version-check --group train --group dev --editable .
# Most of it is a download and an installation: it runs beside the checks.
sh scripts/wheel.sh &
wheel=$!
trap 'kill "$wheel" 2>/dev/null' EXIT
ruff check .
ruff format --check .
mypy
lint-imports --no-cache
sh scripts/docs.sh
export SITE_IS_BUILT=1 # so tests need not build it again
wait "$wheel"
trap - EXIT
run_tests "$@"
