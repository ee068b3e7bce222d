#!/usr/bin/env bash
# Generates the Python modules of serving/client/messages.proto.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# The code of later releases of grpcio-tools demands a matching version of protobuf at run time.
# The path is the file's name in protobuf's pool, where another package could have a messages.proto, too.
.venv/bin/uv tool run --quiet --from grpcio-tools==1.62.3 --with "setuptools<81" \
    python -m grpc_tools.protoc -Iagnews/client=serving/client \
    --python_out="$out" --pyi_out="$out" agnews/client/messages.proto
cp "$out"/agnews/client/messages_pb2.py "$out"/agnews/client/messages_pb2.pyi serving/client/
