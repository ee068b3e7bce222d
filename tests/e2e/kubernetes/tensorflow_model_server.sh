#!/bin/sh
exec /opt/venv/bin/python -m serving.server "$@"
