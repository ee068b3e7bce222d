"""`agnews serve`: runs the local model server, with the flags of tensorflow_model_server."""

import click

from pipeline.cli.output import hide_library_output
from serving.server import Flags, run, server_flags


@click.command(
    epilog="Example:  agnews serve --model_name=agnews --model_base_path=$PWD/serving_model/agnews --rest_api_port=8501"
)
@server_flags
def serve(flags: Flags) -> None:
    """Serve models with the APIs and flags of TensorFlow Serving, without Docker.

    The server is for development, tests and small machines. Its flags are those of tensorflow_model_server, so you can
    switch to the real server by changing one word. When it is ready, it prints one line of JSON with its ports. It
    accepts flags of the real server that have no effect here, and prints a warning.
    """
    with hide_library_output():
        import serving.server.server  # noqa: F401  # Hides messages of the modules that it imports.
    run(flags)
