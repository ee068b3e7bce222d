"""The options of every command that asks a model server."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.cli.options import LocalPath

_PEM = LocalPath(dir_okay=False)
# An IPv6 address has colons of its own and stands in brackets.
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%\w]+\]|[^:\[\]/]+):\d+|unix:.+")
_LAST_PORT = 65535


class ServerAddress(click.ParamType):
    """The address of a gRPC interface: `host:port`, `[::1]:port` or `unix:/path`."""

    name = "HOST:PORT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _ADDRESS.fullmatch(value):
            self.fail(f"{value!r}: expected HOST:PORT, with an IPv6 address [ADDRESS]:PORT, or unix:PATH", param, ctx)
        if not value.startswith("unix:") and int(value.rpartition(":")[2]) > _LAST_PORT:
            # gRPC would ask another one: it takes the number modulo 65,536.
            self.fail(f"{value!r}: a port is a number up to {_LAST_PORT}", param, ctx)
        return value


def tls_options(command: Callable) -> Callable:
    """Adds `--tls` and its files; passes `tls`, a serving.client.Tls or None for plain text."""

    @click.option("--tls", "encrypt", is_flag=True, help="Encrypt; trust the usual authorities, or --tls-ca's.")
    @click.option("--tls-ca", type=_PEM, help="PEM file of the authority to trust; implies --tls.")
    @click.option("--tls-cert", type=_PEM, help="PEM file of the client's own certificate; implies --tls.")
    @click.option("--tls-key", type=_PEM, help="PEM file of its private key.")
    @functools.wraps(command)
    def with_tls(
        *args: Any, encrypt: bool, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None, **kwargs: Any
    ):
        from serving.client import Tls

        wanted = encrypt or tls_ca or tls_cert or tls_key
        return command(*args, tls=Tls(tls_ca, tls_cert, tls_key) if wanted else None, **kwargs)

    return with_tls


def asked_server_options(command: Callable) -> Callable:
    """Adds the server's address, TLS, the model's name and a timeout; passes `client_options`, keywords of a Client."""

    @click.option(
        "--server", "address", type=ServerAddress(), default="localhost:8500", show_default=True, help="gRPC."
    )
    @click.option("--model-name", default="agnews", show_default=True, help="Name the server knows the model by.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=10.0,
        show_default=True,
        help="Seconds for the answers to one call, retries included.",
    )
    @tls_options
    @functools.wraps(command)
    def with_client_options(*args: Any, address: str, model_name: str, timeout: float, tls: Any, **kwargs: Any):
        client_options = {"address": address, "model_name": model_name, "timeout": timeout, "tls": tls}
        return command(*args, client_options=client_options, **kwargs)

    return with_client_options


def server_options(command: Callable) -> Callable:
    """As `asked_server_options`, with the share of requests that go to the canary."""

    @asked_server_options
    @click.option(
        "--canary-share",
        type=click.FloatRange(0, 1),
        help="Send this share of the requests to the label canary, the others to stable.",
    )
    @functools.wraps(command)
    def with_canary(*args: Any, client_options: dict[str, Any], canary_share: float | None, **kwargs: Any):
        from serving.client import Canary

        canary = None if canary_share is None else Canary(canary_share)
        return command(*args, client_options=client_options | {"canary": canary}, **kwargs)

    return with_canary
