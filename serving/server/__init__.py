"""A local model server: the flags, services, routes and rules of tensorflow_model_server, in one Python process.

For development, tests and small machines; `python -m serving.server --model_name=agnews --model_base_path=…` starts it
where the real one would be started with `tensorflow_model_server` and the same flags. In a process of one's own:

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
    """Serves until SIGTERM or SIGINT; one line of JSON on stdout says when, where and what it serves.

    Raises:
        AgNewsError: it cannot.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Read when TensorFlow is imported.
    from serving.server.server import run as serve

    serve(flags)


def __getattr__(name: str) -> object:
    # TensorFlow is imported when a server is wanted, not for the flags' help.
    if name == "ModelServer":
        from serving.server.server import ModelServer

        return ModelServer
    raise AttributeError(name)
