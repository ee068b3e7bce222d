"""`agnews schema`: the curated schema against what the data says."""

from pathlib import Path

import click

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.outputs import check_file, writing
from pipeline.cli.quiet import quiet
from pipeline.settings.sources import Loaded


@click.group(epilog="Example:  agnews schema infer")
def schema() -> None:
    """Compare the curated schema with the data."""


@schema.command(epilog="Example:  agnews schema infer --output inferred.pbtxt")
@click.option("--output", type=LocalPath(dir_okay=False), help="Write the inferred schema to this file.")
@settings_options
def infer(loaded: Loaded, output: Path | None) -> None:
    """Infer a schema from the latest run's statistics and show where the curated one differs.

    Lines with - stand in schema/schema.pbtxt alone, lines with + in what the data says alone. Comparators, class
    names and bounds are decisions that no data can tell, so they are always among the former.
    """
    from pipeline.metadata.connection import connection_config

    if output:
        check_file("--output", output)
    with quiet():
        from pipeline.metadata.schema_difference import infer_from_latest_statistics

    inferred, span, difference = infer_from_latest_statistics(connection_config(loaded.settings))
    click.echo(f"statistics of span {span}, split train:")
    for line in difference:
        click.secho(line, fg={"-": "red", "+": "green"}.get(line[:1]))
    if output:
        with writing("--output", output):
            output.write_text(inferred, encoding="utf-8")
        click.echo(f"inferred schema: {output}")
