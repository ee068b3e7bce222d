"""`agnews data`: downloads, generates and describes the data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from components import download
from components.example_gen.csv_reader import EXPECTED
from components.example_gen.readers import FORMATS
from components.example_gen.sources import AG_NEWS, DataSource
from components.example_gen.synthetic import write_synthetic
from components.trainer import glove
from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import check_file, report_write_errors, write_file
from pipeline.settings import Settings
from pipeline.settings.sources import Loaded
from schema.errors import DataError
from schema.features import TEST, TRAIN
from schema.wording import amount


@click.group(epilog="Example:  agnews data describe --data ~/ag_news --png ag_news.png")
def data() -> None:
    """Download, generate and describe the data."""


@data.command(epilog="Example:  agnews data fetch --to ~/ag_news && export AG_NEWS_DIR=~/ag_news")
@click.option("--to", "directory", type=LocalPath(), help="Directory for the files  [default: data.cache]")
@settings_options
def fetch(loaded: Loaded, directory: Path | None) -> None:
    """Download the public files; an interrupted download is resumed."""
    option = "--to" if directory else "data.cache"
    directory = directory or Path(loaded.settings.data.cache) / "ag_news"
    with report_write_errors(option, directory), download_progress() as progress:
        download.download(AG_NEWS, directory, progress)
    click.echo(f"{directory}: {', '.join(AG_NEWS.md5)} are complete, their checksums are right")


@data.command(epilog="Example:  agnews data sample --to /tmp/sample --rows 1000")
@click.option("--to", "directory", type=LocalPath(), required=True, help="Directory to create.")
@click.option(
    "--rows",
    type=click.IntRange(min=8),
    default=4000,
    show_default=True,
    help="Number of training rows; a quarter of this number is added as test rows.",
)
@click.option("--seed", default=7, show_default=True, help="Random seed; the same seed gives the same rows.")
def sample(directory: Path, rows: int, seed: int) -> None:
    """Write synthetic data: generated rows that look like news items."""
    if directory.exists():
        raise click.BadParameter(f"{directory} exists: name a directory that is not there yet", param_hint="--to")
    with report_write_errors("--to", directory):
        write_synthetic(directory, train_rows=rows, test_rows=rows // 4, seed=seed)
    click.echo(f"{directory}: {amount(rows, 'training row')} and {amount(rows // 4, 'test row')}, synthetic")


@data.command(epilog="Example:  agnews data describe --png ag_news.png")
@click.option("--png", type=LocalPath(dir_okay=False), help="Also write the plots to this file.")
@settings_options
def describe(loaded: Loaded, png: Path | None) -> None:
    """Count rows and classes, and plot text lengths and frequent words.

    The words are the most frequent ones of each class. The exit status is 3 if a split has no valid row.
    """
    from rich.console import Console

    from pipeline.cli.data_description import check_format, describe_files, draw_description, print_description

    if png:
        check_format("--png", png)
        check_file("--png", png)
    source = resolve_source(loaded.settings)
    click.echo(f"data: {source.describe()}")
    console = Console()
    splits = {}
    settings = loaded.settings.data
    patterns = {TRAIN: source.train_pattern, TEST: source.test_pattern}
    for name, pattern in ((name, pattern) for name, pattern in patterns.items() if pattern):
        with console.status(f"reading {name} …"):
            splits[name] = describe_files(
                source.files(pattern), max_chars=settings.max_chars, row_format=settings.row_format()
            )
    print_description(console, splits)
    if png:
        write_file("--png", png, draw_description(splits, png.suffix[1:], title=source.describe()))
        click.echo(f"plots: {png}")
    if empty := [name for name, split in splits.items() if not split.rows]:
        raise DataError(
            f"{source.base}: no row of {' or '.join(empty)} is good. Expected are {FORMATS}; of CSV, {EXPECTED}"
        )


def resolve_source(settings: Settings) -> DataSource:
    """Returns the data files that the settings select; shows a download's progress, and warns of synthetic rows."""
    from pipeline.runners import preflight

    with download_progress() as progress:
        source = preflight.resolve_source(settings, progress)
    if source.synthetic:
        click.secho(
            f"The public data cannot be downloaded here ({source.offline}): SYNTHETIC rows stand in. For the real "
            "ones set AG_NEWS_DIR or --data to a directory that holds train.csv and test.csv.",
            fg="yellow",
            err=True,
        )
    return source


@contextmanager
def download_progress() -> Iterator[download.Progress]:
    """Shows a progress bar if something is downloaded in the `with` block, after a note on the licence."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    tasks: dict[str, TaskID] = {}
    licences = {name: files.licence for files in (AG_NEWS, *glove.FILES.values()) for name in files.md5}
    shown = set()
    bar = Progress(*columns, console=Console(stderr=True))

    def progress(name: str, done: int, total: int | None) -> None:
        if licences[name] not in shown:
            shown.add(licences[name])
            bar.console.print(licences[name], style="dim", highlight=False)
            bar.start()
        if name not in tasks:
            tasks[name] = bar.add_task(name)
        bar.update(tasks[name], completed=done, total=total)

    try:
        yield progress
    finally:
        if tasks:  # Otherwise stopping would print an empty line.
            bar.stop()
