"""Options that several commands have: settings, and the model server to send requests to."""

import functools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schema.errors import SettingsError
from schema.paths import expand_home, is_remote
from serving.finite_range import FiniteRange

if TYPE_CHECKING:
    from pipeline.settings.sources import Loaded

# Sections that no component reads.
_NOT_OF_COMPONENTS = ("airflow", "kubeflow", "review")

# An IPv6 address contains colons, so it is written in brackets.
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%\w]+\]|[^:\[\]/]+):\d+|unix:.+")
_LAST_PORT = 65535
# The longest time to wait for a server, one day.
MOST_SECONDS = 86_400


class LocalPath(click.Path):
    """A path whose leading `~` is expanded; a shell expands it only at the start of a word, not in `--to=~/x`."""

    def __init__(self, **options: Any):
        super().__init__(**{"path_type": Path} | options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("the path is empty; name one", param, ctx)
        try:
            path = super().convert(expand_home(os.fspath(value)), param, ctx)
        except ValueError as error:
            self.fail(f"{value}: {error}", param, ctx)
        # Click's own check lets devices and pipes pass.
        if not self.file_okay and os.path.exists(path) and not os.path.isdir(path):
            self.fail(f"{value} is not a directory", param, ctx)
        return path


def settings_options(command: Callable) -> Callable:
    """Adds `--profile`, `--config`, `--data` and `--set` to a command, and passes it the settings as `loaded`."""

    @click.option("--profile", default="default", show_default=True, help="Named set of settings to start with.")
    @click.option(
        "--config",
        "config_file",
        type=LocalPath(),
        help="Settings file (YAML)  [default: ./agnews.yaml]",
    )
    @click.option("--data", metavar="PATH", help="Directory with the data; short for --set data.path=…")
    @click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Value of one setting; may be repeated."
    )
    @functools.wraps(command)
    def with_settings(*args, profile: str, config_file: Path | None, data: str | None, assignments, **kwargs):
        from pipeline.settings.sources import load

        flags = {}
        for assignment in assignments:
            key, separator, value = assignment.partition("=")
            if not separator:
                raise SettingsError(f"--set {assignment}: expected KEY=VALUE, for instance --set trainer.epochs=3")
            flags[key] = (value, f"flag --set {key}")
        # Only some commands have the option --span.
        if (span := kwargs.pop("span", None)) is not None:
            flags["data.span"] = (span, "flag --span")
        loaded = load(profile, config_file, flags, data_path=data)
        return command(*args, loaded=loaded, **kwargs)

    return with_settings


span_option = click.option(
    "--span", metavar="N|YYYY-MM-DD", help="Span to ingest; short for --set data.span=…  [default: latest]"
)
"""Adds `--span` to a command that has `settings_options`, which put its value into the settings."""


def by_option(purpose: str) -> Callable:
    """Returns the option `--by`, which passes a command the name of the person as `by`; `identity()` without it."""

    def to_name(context: click.Context, parameter: click.Parameter, given: str | None) -> str:
        from serving.audit import check_name, identity

        if given is None:
            return identity()
        if not (name := check_name(given, "--by")):
            raise SettingsError("--by is empty; give a name, or leave the option out")
        return name

    return click.option("--by", callback=to_name, help=f"{purpose}  [default: $AGNEWS_IDENTITY or user@host]")


def page_options(port: int) -> Callable:
    """Returns a decorator that passes a command `host`, `port` and `names` of its web site; `port` is the default."""

    def with_page(command: Callable) -> Callable:
        host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
        number = click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="Port to listen on; 0 selects a free one.",
        )
        names = click.option(
            "--name", "names", multiple=True, help="Host name under which a proxy serves the site; may be repeated."
        )
        return host(number(names(command)))

    return with_page


def settings_arguments(loaded: "Loaded") -> list[str]:
    """Returns options that give `agnews component` the same settings on another machine.

    Secrets in variables are left out: the environment of the component must hold them, too.

    Raises:
        SettingsError: a flag or a file contains a secret, which a plan must not.
    """
    from components.example_gen.sources import ENVIRONMENT
    from pipeline.settings.sources import is_secret

    options = ["--profile", click.get_current_context().params["profile"]]
    for key, origin in loaded.origins.items():
        section, _, name = key.partition(".")
        if origin == "default" or origin.startswith("profile ") or section in _NOT_OF_COMPONENTS:
            continue
        value = getattr(getattr(loaded.settings, section), name)
        if is_secret(key):
            if not origin.startswith("environment "):
                raise SettingsError(f"{origin}: {key} is a secret, which a plan must not hold; set it by its variable")
            continue
        if isinstance(value, Path) or (key == "data.path" and value and not is_remote(value)):
            value = os.path.abspath(value)
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        options += ["--set", f"{key}={'' if value is None else text}"]
    if loaded.settings.data.path is None and (place := os.environ.get(ENVIRONMENT)):
        options += ["--set", f"data.path={place if is_remote(place) else os.path.abspath(os.path.expanduser(place))}"]
    return options


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


_PEM = LocalPath(dir_okay=False)


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
    @click.option("--model-name", help="Name of the model on the server  [default: the setting pusher.model_name]")
    @click.option(
        "--timeout",
        type=FiniteRange(0, MOST_SECONDS, min_open=True),
        default=10.0,
        show_default=True,
        help="Seconds to wait for the response to one call, including retries.",
    )
    @tls_options
    @functools.wraps(command)
    def with_client_options(*args: Any, address: str, model_name: str | None, timeout: float, tls: Any, **kwargs: Any):
        if model_name is None:
            from pipeline.settings.sources import load

            model_name = load("default", None, {}).settings.pusher.model_name
        client_options = {"address": address, "model_name": model_name, "timeout": timeout, "tls": tls}
        return command(*args, client_options=client_options, **kwargs)

    return with_client_options


def server_options(command: Callable) -> Callable:
    """Adds the options of `asked_server_options`, and `--canary-share`, to a command."""

    @asked_server_options
    @click.option(
        "--canary-share",
        type=FiniteRange(0, 1),
        help="Fraction of the requests to send to the label canary; the others go to stable.",
    )
    @functools.wraps(command)
    def with_canary(*args: Any, client_options: dict[str, Any], canary_share: float | None, **kwargs: Any):
        from serving.client import Canary

        canary = None if canary_share is None else Canary(canary_share)
        return command(*args, client_options=client_options | {"canary": canary}, **kwargs)

    return with_canary
