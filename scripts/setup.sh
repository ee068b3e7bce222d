#!/usr/bin/env bash
# Installs one locked set:  scripts/setup.sh default|dev|gpu|airflow|kubeflow
# A set with a file requirements/SET.in does not share its packages with TFX and gets an environment of its own, .venv-SET,
# without the project; the other sets share .venv.
# Idempotent: returns at once while the lock, pyproject.toml and the place of the project are the same.
# Every package must have one of the hashes in the lock.
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=${1:-default}
venv=$PWD/.venv
if [ -f "requirements/$set_name.in" ]; then venv=$PWD/.venv-$set_name; fi
lock=requirements/$set_name.txt
uv_version=0.13.9
# The host's certificates: behind a company's proxy uv's own would not do. For the scripts that are called from here, too.
export UV_SYSTEM_CERTS=1

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }
[ -f "$lock" ] || die "no lock file $lock; the sets are: $(cd requirements && ls -- *.txt | sed 's/\.txt//' | xargs)"

# The place counts: an environment holds absolute paths and does not survive a move.
state=$(cat "$lock" pyproject.toml scripts/setup.sh scripts/glibc.sh <(echo "$venv") | sha256sum)
stamp=$venv/.installed-$set_name
if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] && "$venv/bin/python" -c '' 2>/dev/null; then exit 0; fi

# One set-up at a time, when two jobs start together on a fresh checkout.
exec 9>.setup.lock
flock 9
if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then exit 0; fi

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11*/bin/python3.11 /usr/bin/python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

if ! "$venv/bin/python" -c '' 2>/dev/null || [ "$(cat "$venv/.place" 2>/dev/null)" != "$venv" ]; then
    say "making ${venv##*/} (one minute on a warm network)"
    rm -rf "$venv"
    python=$(find_python)
    if [ -n "$python" ]; then
        "$python" -m venv "$venv"
    elif command -v uv >/dev/null; then
        uv venv --quiet --python 3.11 --seed "$venv" || die "uv could not get Python 3.11: install it (for instance 'uv python install 3.11') and run again"
    else
        die "Python 3.11 with its venv module is needed: install it (Debian and Ubuntu: 'apt install python3.11-venv'; pyenv: 'pyenv install 3.11'), or install uv, which brings its own, and run again"
    fi
    echo "$venv" >"$venv/.place"
fi

[ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version" ||
    die "uv could not be installed: check the network and run again"
uv() { VIRTUAL_ENV=$venv "$venv/bin/uv" "$@"; }
# Two TFX wheels are tagged for glibc 2.39 alone; scripts/glibc.sh makes older hosts fit.
uv pip install --quiet --python-platform x86_64-manylinux_2_39 --require-hashes --requirements "$lock" ||
    die "the packages of $lock could not be installed; see uv's message above: check the network, or the lock, and run again"
if [ "$venv" = "$PWD/.venv" ]; then
    uv pip install --quiet --no-deps --editable .
    scripts/glibc.sh "$venv"
    "$venv/bin/python" -c 'import ml_metadata, tensorflow_data_validation' >/dev/null 2>"$venv/import.log" ||
        die "TFX's native libraries do not load on this host; see .venv/import.log, or use the image python:3.11-slim-trixie"
fi
echo "$state" >"$stamp"
