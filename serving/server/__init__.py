"""A local model server with the flags, services and routes of tensorflow_model_server, in one Python process.

It is meant for development, tests and small machines. Start it with the flags of tensorflow_model_server:

    python -m serving.server --model_name=agnews --model_base_path=serving_model/agnews

Or run it in your own process:

    with ModelServer(Flags(port=0, model_name="agnews", model_base_path="serving_model/agnews")) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
"""

import os
from typing import TYPE_CHECKING

from serving.server.flags import Flags, server_flags

if TYPE_CHECKING:
    from serving.server.server import ModelServer

__all__ = ["Flags", "ModelServer", "run", "server_flags"]


def run(flags: Flags) -> None:
    """Serves models until SIGTERM or SIGINT.

    When the server is ready, it prints a line of JSON with its ports and versions to stdout.

    Raises:
        AgNewsError: the server cannot start.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads this when it is imported.
    from serving.server.server import run as serve

    serve(flags)


def __getattr__(name: str) -> object:
    # The help of the flags must not wait for the import of TensorFlow.
    if name == "ModelServer":
        from serving.server.server import ModelServer

        return ModelServer
    raise AttributeError(name)
