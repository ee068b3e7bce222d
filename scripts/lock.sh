#!/usr/bin/env bash
# Renews requirements/*.txt from pyproject.toml: all sets are resolved together first, so that they share versions.
set -euo pipefail
cd "$(dirname "$0")/.."
all=$(mktemp)
trap 'rm -f "$all"' EXIT
compile() {
    UV_SYSTEM_CERTS=1 .venv/bin/uv pip compile pyproject.toml --quiet --upgrade --python-version 3.11 --python-platform x86_64-manylinux_2_39 \
        --custom-compile-command "make lock" "$@"
}
compile --all-extras --output-file "$all" >/dev/null
compile --constraint "$all" --no-annotate --output-file requirements/default.txt >/dev/null
for extra in airflow kubeflow gpu dev; do
    compile --constraint "$all" --no-annotate --extra "$extra" --output-file "requirements/$extra.txt" >/dev/null
    echo "requirements/$extra.txt: $(grep -c == "requirements/$extra.txt") packages"
done
