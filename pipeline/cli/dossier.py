"""`agnews dossier`: writes the technical file of a pushed version."""

from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import hide_library_output, make_directory
from pipeline.settings.sources import Loaded
from schema.wording import amount


@click.command(epilog="Example:  agnews dossier 1795469554 --to dossier")
@click.argument("version", type=click.IntRange(min=0))
@click.option("--to", "directory", type=LocalPath(file_okay=False), required=True, help="Directory to write to.")
@settings_options
def dossier(loaded: Loaded, version: int, directory: Path) -> None:
    """Write the technical file of a pushed version, and what is missing in it.

    It is ordered by Annex IV of the EU's AI Act, with a second table by the functions of NIST's AI Risk Management
    Framework. Each figure names its place: model card, audit log, approvals, monitoring report. The command writes
    dossier.html, which prints well, dossier.json, and ml-bom.cdx.json, a bill of materials in CycloneDX.
    """
    settings = loaded.settings
    make_directory("--to", directory)
    with hide_library_output():
        from pipeline.governance.dossier import HTML_FILE, write_dossier
        from pipeline.metadata.connection import required_store
        from pipeline.monitoring.archive import reports_directory, stored_reports
        from pipeline.monitoring.report import JSON_FILE

        store = required_store(settings)
        reports = stored_reports(reports_directory(settings), version)
        report = reports[-1].directory / JSON_FILE if reports else None
        written = write_dossier(settings, store, version, report, directory, datetime.now(UTC))
    items = amount(len(written.items), "item")
    click.echo(f"{directory / HTML_FILE}: text is missing in {len(written.missing)} of {items}:")
    for item in written.missing:
        click.echo(f"  {item.reference}: {item.missing}")
