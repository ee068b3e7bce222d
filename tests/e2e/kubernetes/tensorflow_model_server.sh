#!/bin/sh
# TensorFlow Serving listens on all addresses; this project's server listens on 127.0.0.1 unless it gets another one.
exec /opt/venv/bin/python -m serving.server --host=0.0.0.0 "$@"
