#!/bin/sh
# Measures how much of the runtime its tests reach, branches too, in the present environment: 90 % at least.
#
# It is no part of scripts/test.sh: to count branches doubles the time of what it counts. Nothing of
# training and export counts, so their tests stay away.
#
#   sh scripts/coverage.sh ARGUMENT...   the rest goes to pytest
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
run_tests --ignore tests/train --cov --cov-report=term:skip-covered --cov-fail-under=90 "$@"
