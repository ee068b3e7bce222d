"""`agnews artifacts`: finds artifacts that are in the metadata store, but no longer on disk."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import settings_options
from pipeline.cli.output import hide_library_output, make_console, make_table, strip_control_characters
from pipeline.settings.sources import Loaded

if TYPE_CHECKING:
    from pipeline.metadata.deleted_artifacts import StoredArtifact


@click.group(epilog="Example:  agnews artifacts check --mark-deleted")
def artifacts() -> None:
    """Find artifacts whose files were deleted, and mark them."""


@artifacts.command(epilog="Example:  agnews artifacts check --mark-deleted")
@click.option("--mark-deleted", is_flag=True, help="Mark artifacts without files as deleted in the metadata store.")
@click.option("--restore", is_flag=True, help="Mark deleted artifacts whose files are back as live again.")
@click.option("--json", "as_json", is_flag=True, help="Print the artifacts as JSON.")
@settings_options
def check(loaded: Loaded, mark_deleted: bool, restore: bool, as_json: bool) -> None:
    """List the artifacts of the pipeline whose files are missing.

    Runs skip such artifacts and report each of them, until they are marked as deleted. This command does not read,
    change or delete any file. If the files are back, for instance because a volume is mounted again, --restore makes
    the artifact usable again.
    """
    settings = loaded.settings
    with hide_library_output():
        from pipeline.metadata.connection import connection_config, existing_store, open_store
        from pipeline.metadata.deleted_artifacts import find_mismatches, mark

        store = existing_store(settings)
        found = find_mismatches(store, settings.pipeline.name) if store else []
        marked = [one for one in found if (mark_deleted if one.missing else restore)]
        if marked:
            mark(open_store(connection_config(settings)), marked)
    if as_json:
        click.echo(json.dumps([asdict(artifact) for artifact in found], indent=2))
        return
    gone, back = [one for one in found if one.missing], [one for one in found if not one.missing]
    if gone:
        click.echo(f"artifacts whose files are gone or damaged: {len(gone)}")
        _print(gone)
        click.echo("marked as deleted" if mark_deleted else "next: agnews artifacts check --mark-deleted")
    if back:
        click.echo(f"artifacts that are marked as deleted and have their files: {len(back)}")
        _print(back)
        click.echo("marked as live" if restore else "to use them again: agnews artifacts check --restore")
    if not found:
        click.echo(f"the files of all artifacts of pipeline {settings.pipeline.name} are there")


def _print(artifacts: "Sequence[StoredArtifact]") -> None:
    from rich.markup import escape

    table = make_table("id", "type", "run", "component")
    table.add_column("path", overflow="fold")
    for one in artifacts:
        cells = (str(one.id), one.type, one.run, one.component, one.missing or one.path)
        table.add_row(*(escape(strip_control_characters(cell)) for cell in cells))
    make_console(180).print(table)
