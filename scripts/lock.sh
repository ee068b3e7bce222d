#!/usr/bin/env bash
# Writes requirements/*.txt, with hashes, from pyproject.toml and requirements/*.in:  scripts/lock.sh [--upgrade]
# The sets of pyproject.toml are resolved together first, so that they share versions; each set with a file of its own is
# resolved alone. Without --upgrade, locked versions stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."
all=$(mktemp)
trap 'rm -f "$all"' EXIT
compile() {
    UV_SYSTEM_CERTS=1 .venv/bin/uv pip compile --quiet --python-version 3.11 \
        --python-platform x86_64-manylinux_2_39 --no-annotate --custom-compile-command "make lock" "$@" >/dev/null
}
# uv keeps the versions that it finds in the file that it writes.
sets="default gpu dev"
for set_name in $sets; do cat "requirements/$set_name.txt"; done | grep == | sed 's/ .*//' | sort -u >"$all"
compile pyproject.toml --all-extras --output-file "$all" "$@"
for set_name in $sets; do
    extra=()
    if [ "$set_name" != default ]; then extra=(--extra "$set_name"); fi
    lock=requirements/$set_name.txt
    compile pyproject.toml --constraint "$all" --generate-hashes "${extra[@]}" --output-file "$lock"
    echo "$lock: $(grep -c == "$lock") packages"
done
for own in requirements/*.in; do
    compile "$own" --generate-hashes --output-file "${own%.in}.txt" "$@"
    echo "${own%.in}.txt: $(grep -c == "${own%.in}.txt") packages"
done
