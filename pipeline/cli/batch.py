"""`agnews batch`: scores files offline."""

import datetime
from functools import partial
from pathlib import Path

import click

from pipeline.beam.engine_check import check_engine
from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import hide_library_output, make_directory
from pipeline.settings.sources import Loaded
from schema.errors import RunError
from schema.wording import amount


@click.command(epilog="Example:  agnews batch 'texts-*.csv' --to scored")
@click.argument("files", nargs=-1, required=True, type=LocalPath(path_type=str))
@click.option(
    "--to",
    "output",
    type=LocalPath(path_type=str),
    required=True,
    help="Directory to create: a local path, or a URI that Beam can write to.",
)
@click.option(
    "--model",
    type=LocalPath(path_type=str),
    help="Directory of a SavedModel  [default: the newest pushed version]",
)
@settings_options
def batch(loaded: Loaded, files: tuple[str, ...], output: str, model: str | None) -> None:
    """Score files offline with a SavedModel on Beam, without a server.

    FILES are CSV with a header (the model's text columns, or text; optionally id), JSON Lines (also .gz), or TFRecords
    of tf.Examples (*tfrecord*). The settings beam.* select the engine. The output is sharded JSON Lines. Rows that
    cannot be scored are written to quarantine-*.jsonl in the same directory, with the reasons.
    """
    from pipeline.cli.models import newest_pushed_version

    settings = loaded.settings
    model = model or str(newest_pushed_version(Path(settings.pusher.destination) / settings.pusher.model_name))
    check_engine(settings.beam)
    if "://" not in output:
        make_directory("--to", Path(output).absolute().parent)
    click.echo(f"model: {model}")
    with hide_library_output():
        from pipeline.beam.job_servers import stop_job_servers_on_exit
        from pipeline.beam.options import beam_arguments
        from pipeline.runners.logs import root_cause_line
        from serving.batch import score_files

        clock = partial(datetime.datetime.now, datetime.UTC)
        try:
            with stop_job_servers_on_exit():
                summary = score_files(files, model, output, beam_arguments(settings.beam), clock=clock)
        except RuntimeError as error:
            if settings.beam.runner == "direct":
                raise
            # An engine passes on only the text of an exception that a worker raises.
            raise RunError(f"{settings.beam.runner}: {root_cause_line(error)}") from error
    click.echo(
        f"{output}: scored {amount(summary.rows_scored, 'row')} of {amount(len(summary.files), 'file')}, "
        f"{summary.rows_quarantined:,} in quarantine"
    )
