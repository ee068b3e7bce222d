"""`agnews serve`: the local server, with the flags of tensorflow_model_server."""

import click

from pipeline.cli.quiet import quiet
from serving.server import Flags, run, server_flags


@click.command(
    epilog="Example:  agnews serve --model_name=agnews --model_base_path=$PWD/serving_model/agnews --rest_api_port=8501"
)
@server_flags
def serve(flags: Flags) -> None:
    """Serve models as TensorFlow Serving does, without Docker: for development, tests and small machines.

    The flags are those of tensorflow_model_server: going to the real one is a change of one word. When it serves, it
    prints one line of JSON with its ports. Flags of the real server that make no difference here are accepted with a
    warning.
    """
    with quiet():
        import serving.server.server  # noqa: F401  # What it imports has remarks; the server's own log comes after them.
    run(flags)
