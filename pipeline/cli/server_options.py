"""Options of every command that sends requests to a model server."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.cli.options import LocalPath

_PEM = LocalPath(dir_okay=False)
# An IPv6 address contains colons, so it is written in brackets.
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%\w]+\]|[^:\[\]/]+):\d+|unix:.+")
_LAST_PORT = 65535


class ServerAddress(click.ParamType):
    """The address of a gRPC interface: `host:port`, `[::1]:port` or `unix:/path`."""

    name = "HOST:PORT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _ADDRESS.fullmatch(value):
            self.fail(f"{value!r}: expected HOST:PORT, with an IPv6 address [ADDRESS]:PORT, or unix:PATH", param, ctx)
        if not value.startswith("unix:") and int(value.rpartition(":")[2]) > _LAST_PORT:
            # gRPC would connect to another port: it takes the number modulo 65,536.
            self.fail(f"{value!r}: a port is a number up to {_LAST_PORT}", param, ctx)
        return value


def tls_options(command: Callable) -> Callable:
    """Adds `--tls` and its files to a command, and passes it `tls`, a serving.client.Tls, or None for plain text."""

    @click.option(
        "--tls", "encrypt", is_flag=True, help="Encrypt the connection; trust the default authorities, or --tls-ca."
    )
    @click.option("--tls-ca", type=_PEM, help="PEM file of the certificate authority to trust; implies --tls.")
    @click.option("--tls-cert", type=_PEM, help="PEM file of the client's certificate; implies --tls.")
    @click.option("--tls-key", type=_PEM, help="PEM file of the client's private key.")
    @functools.wraps(command)
    def with_tls(
        *args: Any, encrypt: bool, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None, **kwargs: Any
    ):
        from serving.client import Tls

        wanted = encrypt or tls_ca or tls_cert or tls_key
        return command(*args, tls=Tls(tls_ca, tls_cert, tls_key) if wanted else None, **kwargs)

    return with_tls


def asked_server_options(command: Callable) -> Callable:
    """Adds options for server address, TLS, model name and timeout to a command.

    The command receives `client_options`, the keyword arguments of a Client.
    """

    @click.option(
        "--server",
        "address",
        type=ServerAddress(),
        default="localhost:8500",
        show_default=True,
        help="gRPC address of the model server.",
    )
    @click.option("--model-name", default="agnews", show_default=True, help="Name of the model on the server.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=10.0,
        show_default=True,
        help="Seconds to wait for the response to one call, including retries.",
    )
    @tls_options
    @functools.wraps(command)
    def with_client_options(*args: Any, address: str, model_name: str, timeout: float, tls: Any, **kwargs: Any):
        client_options = {"address": address, "model_name": model_name, "timeout": timeout, "tls": tls}
        return command(*args, client_options=client_options, **kwargs)

    return with_client_options


def server_options(command: Callable) -> Callable:
    """Adds the options of `asked_server_options`, and `--canary-share`, to a command."""

    @asked_server_options
    @click.option(
        "--canary-share",
        type=click.FloatRange(0, 1),
        help="Fraction of the requests to send to the label canary; the others go to stable.",
    )
    @functools.wraps(command)
    def with_canary(*args: Any, client_options: dict[str, Any], canary_share: float | None, **kwargs: Any):
        from serving.client import Canary

        canary = None if canary_share is None else Canary(canary_share)
        return command(*args, client_options=client_options | {"canary": canary}, **kwargs)

    return with_canary
