"""`agnews review`: serves the review site."""

import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from pipeline.cli.options import LocalPath, page_options, settings_options
from pipeline.cli.output import hide_library_output
from pipeline.settings.sources import REVIEW_SECRET, REVIEW_TOKEN, Loaded
from schema.errors import SettingsError
from schema.wording import amount

if TYPE_CHECKING:
    from pipeline.review.login import ProxyLogin
    from pipeline.review.openid import OpenIdLogin
    from pipeline.review.security import Tokens
    from pipeline.settings import Settings


@click.command(epilog="Example:  agnews review --port 8090")
@page_options(8090)
@click.option(
    "--token",
    envvar=REVIEW_TOKEN,
    show_envvar=True,
    help="Token that allows users to approve and reject; prefer the variable, which process lists do not show.",
)
@click.option(
    "--token-file",
    type=LocalPath(),
    help="File with one token per person, as lines of NAME TOKEN; decisions are recorded under that name.",
)
@settings_options
def review(
    loaded: Loaded, host: str, port: int, names: tuple[str, ...], token: str | None, token_file: Path | None
) -> None:
    """Serve the review site: runs, models, lineage, comparisons, and approvals.

    The site reads the metadata store, the audit log and the serving directory in the settings. It is read-only if no
    token is set. With review.oidc_issuer, people log in at a provider of OpenID Connect, whose client secret is in the
    variable AGNEWS_REVIEW_OIDC_SECRET. With review.user_header, they log in at a proxy, which names them to the site.
    """
    from pipeline.review.security import read_tokens
    from serving.listening import listen

    tokens = read_tokens(token, token_file)
    login = _read_login(loaded.settings, host)
    if login and tokens:
        raise SettingsError(
            "a log-in (review.oidc_issuer, review.user_header) replaces tokens: leave out --token, "
            "AGNEWS_REVIEW_TOKEN and --token-file"
        )
    if review_url := loaded.settings.alerts.review_url:
        names = (*names, urlsplit(review_url).hostname or "")
    with listen(host, port, "--host and --port") as listening:
        _serve(loaded.settings, tokens, login, listening, (host, *names))


def _read_login(settings: "Settings", host: str) -> "OpenIdLogin | ProxyLogin | None":
    from pipeline.review.login import read_proxy_login, read_rights
    from pipeline.review.openid import OpenIdLogin

    review = settings.review
    rights = read_rights(review.readers, review.approvers, review.reader_roles, review.approver_roles)
    if review.user_header and review.proxy_secret_file:
        return read_proxy_login(review.user_header, review.proxy_secret_file, rights)
    if not review.oidc_issuer:
        return None
    if not (secret := os.environ.get(REVIEW_SECRET)):
        raise SettingsError(f"review.oidc_issuer needs {REVIEW_SECRET}, the client's secret at {review.oidc_issuer}")
    if not (_is_loopback(host) or settings.alerts.review_url):
        raise SettingsError(
            f"review.oidc_issuer with --host {host} needs alerts.review_url, the site's address in a browser: the "
            "provider leads back to it"
        )
    return OpenIdLogin(review, secret, rights, settings.alerts.review_url)


def _serve(
    settings: "Settings",
    tokens: "Tokens",
    login: "OpenIdLogin | ProxyLogin | None",
    listening: socket.socket,
    names: tuple[str, ...],
) -> None:
    # Imported here, because TensorFlow Extended takes about ten seconds to import: options are checked first.
    from serving.listening import host_port
    from serving.web import web_server

    with hide_library_output():
        from pipeline.review.app import make_app
        from pipeline.review.site import Site

    site = Site(settings, tokens, login=login)
    runs = len(site.index().runs)
    if not runs:
        click.echo("There are no runs yet; agnews run makes one, and the site then shows it.")
    host, port = names[0], listening.getsockname()[1]
    rights = "people log in" if login else "approvals need a token" if tokens else "read-only"
    click.echo(f"http://{host_port(host, port)}  ({amount(runs, 'run')}; {rights}; Ctrl-C ends it)")
    if not _is_loopback(host) and not login:
        click.echo(
            "Warning: anyone who can reach this address can read the site over plain HTTP. Put a TLS proxy "
            "with authentication in front of it."
        )
    web_server(make_app(site, names)).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
