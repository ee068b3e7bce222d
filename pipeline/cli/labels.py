"""`agnews labels`: adds labels that people give later, and selects items for labelling."""

import csv
import io
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import LocalPath, by_option, settings_options
from pipeline.cli.output import check_file, hide_library_output, report_write_errors, write_file
from pipeline.settings.sources import Loaded
from schema.errors import DataError, SettingsError
from schema.wording import amount

if TYPE_CHECKING:
    from pipeline.monitoring.labels import Selection


@click.group(epilog="Example:  agnews labels add labelled.csv --by ann@desk")
def labels() -> None:
    """Add labels that people give later, so that `agnews monitor` measures the quality in production."""


@labels.command(epilog="Example:  agnews labels add labelled.csv --by ann@desk")
@click.argument("file", type=LocalPath(exists=True, dir_okay=False))
@by_option("Person who gave the labels")
@settings_options
def add(loaded: Loaded, file: Path, by: str) -> None:
    """Add the labels of FILE: all of them, or none if a row is invalid.

    FILE is CSV with a header, or JSON Lines, with the columns label (the name of a class) and item or the text (the
    text columns, or text), and optionally when (ISO 8601), by and selection. Rows with an empty label are skipped. A
    later label of an item replaces an earlier one.
    """
    with hide_library_output():
        from pipeline.monitoring.labels import add_labels, labels_file, read_label_file

        place = labels_file(loaded.settings)
        found, unlabelled = read_label_file(file, by, datetime.now(UTC), loaded.settings.data.data_set())
        if not found:
            raise DataError(f"{file}: no row has a label")
        with report_write_errors("monitoring.directory", place):
            add_labels(place, found)
    rest = f"; {amount(unlabelled, 'row')} without a label" if unlabelled else ""
    click.echo(f"{place}: added {amount(len(found), 'label')}{rest}")


@labels.command(name="next", epilog="Example:  agnews labels next 'texts-*.csv' --to to-label.csv --rows 200")
@click.argument("files", nargs=-1, required=True)
@click.option("--to", "target", type=LocalPath(dir_okay=False), required=True, help="CSV file to write.")
@click.option("--rows", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number of items.")
@click.option(
    "--select",
    type=click.Choice(("random", "uncertain", "disagreement")),
    default="random",
    show_default=True,
    help="random: measures the quality; uncertain: the closest decisions of the newest version; disagreement: items "
    "that the two newest versions classify differently.",
)
@settings_options
def next_items(loaded: Loaded, files: tuple[str, ...], target: Path, rows: int, select: "Selection") -> None:
    """Write items of FILES that people should label next to a CSV file.

    FILES are files of texts, or quoted patterns, as for `agnews batch`. Fill in the column label, then call
    `agnews labels add`. Only randomly selected items count for the accuracy, since the others are not like the traffic.
    """
    check_file("--to", target)
    if target.is_file():
        raise SettingsError(f"--to {target} exists, and people may have filled it in; name a new file")
    settings = loaded.settings
    with hide_library_output():
        from components.model_card.exported_model import ExportedModel
        from pipeline.monitoring.labels import COLUMNS, select_items
        from serving.batch import matching_files, read_file
        from serving.versions import loadable, pushed_versions

        versions = pushed_versions(Path(settings.pusher.destination) / settings.pusher.model_name)
        needed = 2 if select == "disagreement" else 1
        newest = sorted(loadable(versions), reverse=True)[:needed]
        if len(newest) < needed:
            raise SettingsError(
                f"{settings.pusher.destination} has {amount(len(newest), 'version')} of "
                f"{settings.pusher.model_name} that can be loaded; --select {select} needs {needed}"
            )
        columns = settings.data.data_set().text_columns
        models = [ExportedModel(str(versions[version].path)) for version in newest]
        found = (row for file in matching_files(files) for row in read_file(file, columns))
        items = select_items(found, models, select, rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for one in items:
        item = one.item
        writer.writerow((item.id, one.id, item.title, item.description, one.predicted, one.selection, ""))
    write_file("--to", target, text.getvalue())
    command = f"agnews labels add {shlex.quote(str(target))}"
    click.echo(f"{target}: {amount(len(items), 'item')}; fill in the column label, then: {command}")
