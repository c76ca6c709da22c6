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
# A path in place of a command is a recording: streamclf knows which is which.
[ $# -gt 0 ] || set -- "$root/examples/afternoon.flac"
exec streamclf "$@"
