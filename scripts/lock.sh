#!/usr/bin/env bash
# Writes requirements/*.txt, with hashes, from pyproject.toml:  scripts/lock.sh [--upgrade]
# All sets are resolved together first, so that they share versions. Without --upgrade, locked versions stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."
all=$(mktemp)
trap 'rm -f "$all"' EXIT
compile() {
    UV_SYSTEM_CERTS=1 .venv/bin/uv pip compile pyproject.toml --quiet --python-version 3.11 \
        --python-platform x86_64-manylinux_2_39 --no-annotate --custom-compile-command "make lock" "$@" >/dev/null
}
# uv keeps the versions that it finds in the file that it writes.
grep --no-filename == requirements/*.txt | sed 's/ .*//' | sort -u >"$all"
compile --all-extras --output-file "$all" "$@"
for set_name in default airflow kubeflow gpu dev; do
    extra=()
    if [ "$set_name" != default ]; then extra=(--extra "$set_name"); fi
    lock=requirements/$set_name.txt
    compile --constraint "$all" --generate-hashes "${extra[@]}" --output-file "$lock"
    echo "$lock: $(grep -c == "$lock") packages"
done
