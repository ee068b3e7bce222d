"""The options of every command that asks a model server."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_PEM = click.Path(path_type=Path, dir_okay=False)


def server_options(command: Callable) -> Callable:
    """Adds the server's address, TLS, timeout and canary share; passes `client_options`, keywords of a client."""

    @click.option(
        "--server", "address", default="localhost:8500", show_default=True, metavar="HOST:PORT", help="gRPC address."
    )
    @click.option("--model-name", default="agnews", show_default=True, help="Name the server knows the model by.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=10.0,
        show_default=True,
        help="Seconds for the answers to one call, retries included.",
    )
    @click.option("--tls", is_flag=True, help="Encrypt; trust the usual authorities unless --tls-ca names another.")
    @click.option("--tls-ca", type=_PEM, help="PEM file of the authority to trust; implies --tls.")
    @click.option("--tls-cert", type=_PEM, help="PEM file of the client's own certificate; implies --tls.")
    @click.option("--tls-key", type=_PEM, help="PEM file of its private key.")
    @click.option(
        "--canary-share",
        type=click.FloatRange(0, 1),
        help="Send this share of the requests to the label canary, the others to stable.",
    )
    @functools.wraps(command)
    def with_client_options(
        *args: Any,
        address: str,
        model_name: str,
        timeout: float,
        tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        canary_share: float | None,
        **kwargs: Any,
    ):
        from serving.client import Canary, Tls

        host, _, port = address.rpartition(":")
        if not host or not (port.isdecimal() or host == "unix"):
            raise click.BadParameter(f"{address!r}: expected HOST:PORT or unix:PATH", param_hint="--server")
        client_options = {
            "address": address,
            "model_name": model_name,
            "timeout": timeout,
            "tls": Tls(tls_ca, tls_cert, tls_key) if tls or tls_ca or tls_cert or tls_key else None,
            "canary": None if canary_share is None else Canary(canary_share),
        }
        return command(*args, client_options=client_options, **kwargs)

    return with_client_options
