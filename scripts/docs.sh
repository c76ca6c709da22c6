#!/bin/sh
# Builds the documentation's site in build/site, in the present environment; every warning is an error.
set -eu
cd "$(dirname "$0")/.."
python scripts/reference.py --check
zensical build --strict --clean
