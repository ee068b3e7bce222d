"""`agnews demo`: serves a web page for trying a served model."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import page_options, server_options, settings_options
from pipeline.settings.sources import Loaded

if TYPE_CHECKING:
    from pipeline.settings import Settings


@click.command(epilog="Example:  agnews demo --server localhost:8500 --port 8080")
@page_options(8080)
@server_options
@settings_options
def demo(loaded: Loaded, host: str, port: int, names: tuple[str, ...], client_options: dict[str, Any]) -> None:
    """Serve a web page that classifies a text and highlights the important words.

    The page links to the model card of the version, if the version is in the metadata store.
    """
    from serving.client import AsyncClient
    from serving.demo import Demo, make_app
    from serving.listening import host_port, listen
    from serving.web import web_server

    page = Demo(
        # The page draws stable or canary once per item, so that all requests about an item go to one version.
        make_client=lambda: AsyncClient(**client_options | {"canary": None}),
        canary=client_options["canary"],
        card=_cards(loaded.settings),
        server=client_options["address"],
    )
    with listen(host, port, "--host and --port") as listening:
        click.echo(f"http://{host_port(host, listening.getsockname()[1])}  (Ctrl-C ends it)")
        web_server(make_app(page, (host, *names))).run(sockets=[listening])


def _cards(settings: "Settings") -> Callable[[int], Path | None]:
    from pipeline.metadata.connection import existing_store

    store = existing_store(settings)
    if store is None:
        return lambda version: None
    from pipeline.metadata.lineage import find_card_page

    return functools.partial(find_card_page, settings, store)
