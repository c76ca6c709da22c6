# Sourced by the other scripts: finds Python, gets what the system lacks, makes .venv.
#
#   need_packages NAME...   installs Debian packages, where that is possible without a question
#   make_venv               makes .venv and puts it first in PATH
#   run_tests ARGUMENT...   runs pytest in several processes

say() { printf '%s\n' "$*" >&2; }

need_packages() {
    command -v dpkg-query >/dev/null 2>&1 || return 0
    missing=
    for name in "$@"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing="$missing $name"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then as_root=
    elif sudo -n true 2>/dev/null; then as_root='sudo -n'
    else say "not installed (needs root):$missing"; return 0
    fi
    say "installing$missing"
    $as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing" >/dev/null ||
        say "could not install$missing"
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    say "streamclf needs Python 3.11 or newer, and none was found"
    return 1
}

make_venv() {
    python=$(find_python) || exit 1
    if [ ! -x .venv/bin/pip ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
        "$python" -m venv .venv || exit 1
    fi
    PATH="$PWD/.venv/bin:$PATH"
    export PATH
}

# Five processes more than there are processors for this container: some tests wait for servers and
# clocks. Each begins with a row of files and ends with what another has left, so that none waits;
# what hangs is told after ten minutes. Without compiled files every process compiles the tests anew.
run_tests() {
    unset PYTHONDONTWRITEBYTECODE
    PYTEST_XDIST_AUTO_NUM_WORKERS=$(python -c 'from streamclf.core.cpu_count import count_cores; print(count_cores() + 5)')
    export PYTEST_XDIST_AUTO_NUM_WORKERS
    exec python -m pytest -n auto --dist worksteal --timeout 600 "$@"
}
