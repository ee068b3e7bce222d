"""`python -m pipeline` is the command `agnews`."""

from pipeline.cli import main

main()
