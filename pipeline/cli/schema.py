"""`agnews schema`: compares the curated schema with the data."""

from pathlib import Path

import click

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import check_file, hide_library_output, write_file
from pipeline.settings.sources import Loaded
from schema.data_set import read_schema


@click.group(epilog="Example:  agnews schema infer")
def schema() -> None:
    """Compare the curated schema with the data."""


@schema.command(epilog="Example:  agnews schema infer --output inferred.pbtxt")
@click.option("--output", type=LocalPath(dir_okay=False), help="Write the inferred schema to this file.")
@settings_options
def infer(loaded: Loaded, output: Path | None) -> None:
    """Infer a schema from the latest run and compare it with the curated one.

    The command uses the statistics of the run. Lines with - are only in the curated schema (data.schema_file), lines
    with + only in the inferred one. Comparators, class names and bounds cannot be inferred from data, so they always
    appear with -.
    """
    from pipeline.metadata.connection import connection_config

    if output:
        check_file("--output", output)
    with hide_library_output():
        from pipeline.metadata.schema_difference import infer_from_latest_statistics

    inferred, span, difference = infer_from_latest_statistics(
        connection_config(loaded.settings), read_schema(loaded.settings.data.schema_path)
    )
    click.echo(f"statistics of span {span}, split train:")
    for line in difference:
        click.secho(line, fg={"-": "red", "+": "green"}.get(line[:1]))
    if output:
        write_file("--output", output, inferred)
        click.echo(f"inferred schema: {output}")
