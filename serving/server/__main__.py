"""Starts the model server: `python -m serving.server`, with the flags of tensorflow_model_server."""

import sys

import click

from schema.errors import AgNewsError
from serving.server import Flags, run, server_flags


@click.command(epilog="Example:  python -m serving.server --model_name=agnews --model_base_path=/models/agnews")
@server_flags
def main(flags: Flags) -> None:
    """Serve models with the flags of tensorflow_model_server."""
    try:
        run(flags)
    except AgNewsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(prog_name="python -m serving.server")
