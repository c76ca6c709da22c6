#!/bin/sh
# Sets streamclf up in .venv (without torch) and runs it.
#
#   sh scripts/run.sh                    the example recording
#   sh scripts/run.sh PATH...            recordings or folders
#   sh scripts/run.sh listen             the microphone; so with every other command
set -eu
called_from=$PWD
cd "$(dirname "$0")/.."
. scripts/setup.sh
case "${1:-}" in
    listen | serve | devices | calibrate) need_packages libportaudio2 ;;
esac
make_venv
say "setting streamclf up in .venv"
pip install --quiet --disable-pip-version-check .
root=$PWD
cd "$called_from"
case "${1:-}" in
    '') exec streamclf file "$root/examples/afternoon.flac" ;;
    listen | serve | file | heard | report | devices | calibrate | info | bench | verify | config | store | -*) exec streamclf "$@" ;;
    *) exec streamclf file "$@" ;;
esac
