"""`agnews demo`: a web page over a served model."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import settings_options
from pipeline.cli.server_options import server_options
from pipeline.settings.sources import Loaded

if TYPE_CHECKING:
    from pipeline.settings import Settings


@click.command(epilog="Example:  agnews demo --server localhost:8500 --port 8080")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address the page is served at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Its port; 0 takes a free one."
)
@server_options
@settings_options
def demo(loaded: Loaded, host: str, port: int, client_options: dict[str, Any]) -> None:
    """Serve a page: paste a news item, see its class, the probabilities and the words that mattered.

    It links the model card of a version that the settings' metadata store knows.
    """
    import uvicorn

    from serving.client import AsyncClient
    from serving.demo import Demo, make_app
    from serving.listening import host_port, listen

    page = Demo(
        # The canary is drawn once an item, here, so that all questions about it go to one version.
        make_client=lambda: AsyncClient(**client_options | {"canary": None}),
        canary=client_options["canary"],
        card=_cards(loaded.settings),
        server=client_options["address"],
    )
    with listen(host, port, "--host and --port") as listening:
        click.echo(f"http://{host_port(host, listening.getsockname()[1])}  (Ctrl-C ends it)")
        uvicorn.Server(uvicorn.Config(make_app(page), log_level="warning")).run(sockets=[listening])


def _cards(settings: "Settings") -> Callable[[int], Path | None]:
    from pipeline.metadata.connection import existing_store

    store = existing_store(settings)
    if store is None:
        return lambda version: None
    from pipeline.metadata.lineage import find_card_page

    return functools.partial(find_card_page, settings, store)
