"""`agnews kubeflow`: compiles the pipeline for Kubeflow Pipelines and submits it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import LocalPath, settings_arguments, settings_options
from pipeline.cli.output import hide_library_output
from pipeline.settings.sources import Loaded
from schema.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.runners.kubeflow.client import Compiled


@click.group(epilog="Example:  agnews kubeflow compile --profile kubeflow")
def kubeflow() -> None:
    """Compile the pipeline for Kubeflow Pipelines, start a run, or schedule runs."""


def _parameters(command: Callable) -> Callable:
    return click.option(
        "--param",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="Value of a parameter of the run; may be repeated.",
    )(command)


@kubeflow.command("compile", epilog="Example:  agnews kubeflow compile --profile kubeflow --output compiled")
@click.option(
    "--output",
    type=LocalPath(file_okay=False),
    default=Path(),
    help="Directory for the file  [default: the working directory]",
)
@settings_options
def compile_(loaded: Loaded, output: Path) -> None:
    """Compile the pipeline to a file that is named after pipeline and version."""
    compiled = _compile(loaded)
    click.echo(f"compiled: {compiled.write(output)}")
    click.echo("parameters of a run:")
    for parameter in compiled.parameters:
        default = "none: each run must name one" if parameter.default is None else parameter.default or "unset"
        click.echo(f"  {parameter.name}: {parameter.description}  [{default}]")


@kubeflow.command(epilog="Example:  agnews kubeflow submit --profile kubeflow --param epochs=3")
@_parameters
@settings_options
def submit(loaded: Loaded, parameters: tuple[str, ...]) -> None:
    """Compile the pipeline and start one run on kubeflow.host."""
    from pipeline.runners.kubeflow import client

    # Report mistakes before the compilation, which takes half a minute.
    named = _named(parameters)
    client.check_host(loaded.settings.kubeflow)
    started = client.submit(loaded.settings.kubeflow, _compile(loaded), named)
    click.echo(f"run {started.id}: {started.page}")


@kubeflow.command(epilog="Example:  agnews kubeflow schedule --profile kubeflow --cron '0 30 4 * * *'")
@click.option("--cron", required=True, help="Cron expression of six fields, seconds first, or @daily; UTC.")
@click.option("--name", default=None, help="Name of the schedule  [default: the name of the pipeline]")
@_parameters
@settings_options
def schedule(loaded: Loaded, cron: str, name: str | None, parameters: tuple[str, ...]) -> None:
    """Compile the pipeline and run it on a schedule.

    The command replaces an existing schedule of the same name.
    """
    from pipeline.runners.kubeflow import client

    settings = loaded.settings
    name = name or settings.pipeline.name
    # Report mistakes before the compilation, which takes half a minute.
    named = _named(parameters)
    client.check_cron(cron)
    client.check_host(settings.kubeflow)
    started = client.schedule(settings.kubeflow, _compile(loaded), cron, named, name)
    click.echo(f"schedule {name}, {cron}, {started.id}: {started.page}")


def _compile(loaded: Loaded) -> "Compiled":
    from pipeline.runners.kubeflow.client import compile_pipeline
    from pipeline.runners.preflight import check_pods

    check_pods(loaded.settings)
    options = settings_arguments(loaded)
    with hide_library_output():
        from pipeline.runners.plan import make_plan

        plan = make_plan(loaded.settings, options)
    return compile_pipeline(loaded.settings, plan)


def _named(parameters: Iterable[str]) -> dict[str, str]:
    named = {}
    for assignment in parameters:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise SettingsError(f"--param {assignment}: expected NAME=VALUE, for instance --param epochs=3")
        named[name] = value
    return named
