"""`agnews clean`: removes the files of old artifacts."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pipeline.cli.options import by_option, settings_options
from pipeline.cli.output import hide_library_output
from pipeline.settings.sources import Loaded
from schema.errors import SettingsError
from schema.wording import amount
from serving.finite_range import FiniteRange

_MOST_DAYS = 36_500


@click.command(epilog="Example:  agnews clean --keep-runs 20 --older-than 30 --dry-run")
@click.option("--keep-runs", type=click.IntRange(min=1), default=10, show_default=True, help="Newest runs to keep.")
@click.option(
    "--older-than",
    type=FiniteRange(0, _MOST_DAYS),
    default=30.0,
    show_default=True,
    metavar="DAYS",
    help="Keep also the runs of the last DAYS days.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@by_option("Name to record with the removal")
@settings_options
def clean(loaded: Loaded, keep_runs: int, older_than: float, dry_run: bool, by: str) -> None:
    """Remove the files of artifacts that only old runs used.

    The metadata store keeps every record, so lineage stays complete, and the audit log gets an entry. The command never
    removes model cards, evaluations, or what leads to a model that is pushed, waits for approval, is approved, or is
    the next run's baseline; nor the data of the next window, nor what a kept run used or has in its cache.
    """
    settings = loaded.settings
    if "://" in settings.pipeline.root:
        raise SettingsError(f"pipeline.root {settings.pipeline.root} is remote: use the store's own lifecycle rules")
    now = datetime.now(UTC)
    with hide_library_output():
        from pipeline.governance.retention import models_in_use, removable_artifacts, remove, size, unfinished_removal
        from pipeline.metadata.connection import connection_config, open_store, required_store
        from pipeline.metadata.store_reader import StoreReader
        from pipeline.runners.local import exclusive

        store = required_store(settings)
        with exclusive(Path(settings.pipeline.root)):
            snapshot = StoreReader(connection_config(settings)).snapshot()
            used = models_in_use(snapshot, settings, store, now)
            since = (now - timedelta(days=older_than)).timestamp()
            old = removable_artifacts(snapshot, settings, used, keep_runs, since)
            removed = [*unfinished_removal(snapshot, settings), *old]
            kinds = Counter(artifact.type for artifact in removed)
            bytes_of_files = sum(map(size, removed))
            if not dry_run:
                remove(settings, open_store(connection_config(settings)), removed, by, now)
    for kind, count in kinds.most_common():
        click.echo(f"{count:6,} {kind}")
    for model, reason in sorted(used.items()):
        click.echo(f"kept: model {model}, {reason}")
    what = f"{amount(len(removed), 'artifact')}, {bytes_of_files / 1e6:,.1f} MB"
    click.echo(f"{'would remove' if dry_run else 'removed'} {what}" if removed else "nothing to remove")
