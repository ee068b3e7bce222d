"""A local model server with the flags, services and routes of tensorflow_model_server, in one Python process.

It is meant for development, tests and small machines. Start it with the flags of tensorflow_model_server:

    python -m serving.server --model_name=agnews --model_base_path=serving_model/agnews

Or run it in your own process:

    with ModelServer(Flags(port=0, model_name="agnews", model_base_path="serving_model/agnews")) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
"""

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.listening import reserve
from serving.server.flags import Flags, server_flags

if TYPE_CHECKING:
    from serving.server.server import ModelServer

__all__ = ["Flags", "ModelServer", "run", "server_flags"]


_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2
_KERAS_OPTIMIZERS = "keras.src.optimizers"


def run(flags: Flags) -> None:
    """Serves models until SIGTERM or SIGINT.

    When the server is ready, it prints a line of JSON with its ports and versions to stdout.

    Raises:
        AgNewsError: the server cannot start.
    """
    from serving.server import options

    # The import of TensorFlow takes seconds. Mistakes are reported before it.
    server_options = options.from_flags(flags)
    with ExitStack() as ports:
        for port, option in ((flags.port, "--port"), (flags.rest_api_port, "--rest_api_port")):
            if port >= 0:
                ports.enter_context(reserve(flags.host, port, f"--host and {option}"))
        for model in server_options.models.model_config_list.config:
            click.echo(f"loading {model.name} from {model.base_path} …", err=True)
        _limit_arenas()
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads this when it is imported.
        with _hide_library_output():
            _import_tensorflow()
            import tensorflow as tf

            from serving.server.server import run as serve

            if not Path("/dev/nvidiactl").exists():
                # TensorFlow says once that there is no GPU, and that oneDNN has no int64 on this processor. Users would
                # take these messages for errors of their model.
                tf.transpose(tf.ones([2, 3], tf.int64))
        serve(flags, release_ports=ports.close)


def _import_tensorflow() -> None:
    """Imports TensorFlow without Keras, which takes 1.8 s and 180 MB of memory, and of which a server has no use.

    TensorFlow imports one of Keras' modules, and goes on without it if there is none.
    """
    if "tensorflow" in sys.modules:
        return
    sys.modules[_KERAS_OPTIMIZERS] = None  # type: ignore[assignment]
    try:
        import tensorflow  # noqa: F401
    finally:
        del sys.modules[_KERAS_OPTIMIZERS]


def _limit_arenas() -> None:
    """Limits the arenas of glibc, as MALLOC_ARENA_MAX does.

    Each thread that loads a model may use another arena, and what a model leaves there is not returned to the system.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError):  # Another C library.
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


@contextmanager
def _hide_library_output() -> Iterator[None]:
    """Hides what libraries write to stderr, unless an error ends the `with` block."""
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+") as hidden:
        kept = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            hidden.seek(0)
            shutil.copyfileobj(hidden, sys.stderr)
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def __getattr__(name: str) -> object:
    # The help of the flags must not wait for the import of TensorFlow.
    if name == "ModelServer":
        from serving.server.server import ModelServer

        return ModelServer
    raise AttributeError(name)
