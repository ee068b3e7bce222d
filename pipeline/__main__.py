"""Runs the command `agnews` for `python -m pipeline`."""

from pipeline.cli import main

main()
