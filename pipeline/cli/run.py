"""`agnews run`: runs the whole pipeline on this machine."""

import sys
from dataclasses import replace

import click

from pipeline.alerts import Event
from pipeline.cli.options import settings_options, span_option
from pipeline.cli.output import make_console, make_directory, send_alert
from pipeline.runners.logs import logged_to
from pipeline.settings.sources import Loaded
from schema.errors import AgNewsError, ApprovalPending, NothingToTrain, SettingsError
from schema.interruption import set_advice


@click.command(epilog="Example:  agnews run --data ~/ag_news --set trainer.epochs=3")
@click.option("--no-cache", is_flag=True, help="Run every component, even if nothing has changed.")
@span_option
@click.option("--verbose", is_flag=True, help="Show the output of TFX and TensorFlow instead of the table.")
@settings_options
def run(loaded: Loaded, no_cache: bool, verbose: bool) -> None:
    """Run the pipeline, from data to a pushed model.

    The outputs of a component come from the cache if its inputs and settings are those of an earlier run. The summary
    at the end shows whether there was something to train, and whether the model was pushed.

    Exit status: 0 the run finished, even if no model was pushed; 8 the model needs an approval
    (promotion.require_approval).
    """
    from rich.console import Console

    from pipeline.cli.data import resolve_source
    from pipeline.runners.display import LiveDisplay, PlainDisplay
    from pipeline.runners.preflight import prepare
    from pipeline.runners.run_id import new_run_id

    settings = loaded.settings
    if no_cache:
        settings = settings.model_copy(
            update={"pipeline": settings.pipeline.model_copy(update={"enable_cache": False})}
        )
    if "://" in settings.pipeline.root:
        raise SettingsError(
            f"pipeline.root {settings.pipeline.root} is remote: to run on this machine set it to a local directory"
        )
    settings.check_places()
    root = settings.pipeline.make_root()
    make_directory("pipeline.root", root)
    run_id = new_run_id()
    log = root / "logs" / f"{run_id}.log"
    on_terminal = sys.stdout.isatty() and not verbose
    set_advice(f"the next run continues after the last finished component. The log is {log}")
    try:
        source = prepare(settings, resolve_source)
        with logged_to(log, verbose=verbose) as terminal:
            console = Console(file=terminal, force_terminal=on_terminal)
            console.print(f"run {run_id}, data: {source.describe()}", markup=False, highlight=False, soft_wrap=True)
            with LiveDisplay(console) if on_terminal else PlainDisplay(console) as display:
                # Imported here, because TensorFlow Extended takes about ten seconds to import: checks run first.
                from pipeline.beam.job_servers import stop_job_servers_on_exit
                from pipeline.cli.summary import print_summary
                from pipeline.dag import create_pipeline
                from pipeline.metadata.connection import connection_config
                from pipeline.metadata.runs import summarize
                from pipeline.runners import local

                waiting = skipped = None
                try:
                    with stop_job_servers_on_exit():
                        local.run(create_pipeline(settings, source), run_id, root, display, str(log))
                except ApprovalPending as pending:
                    waiting = str(pending)
                except NothingToTrain as nothing:
                    skipped = str(nothing)
                summary = replace(summarize(connection_config(settings), run_id), waiting=waiting, skipped=skipped)
        print_summary(make_console(120), summary, settings, run_id, log)
        if event := summary.event(run_id, str(log)):
            send_alert(settings, event, log)
        if waiting:
            sys.exit(ApprovalPending.exit_code)
    except AgNewsError as error:
        send_alert(settings, Event.of_error(error, run_id, str(log)), log)
        raise type(error)(f"{error}\nThe log is {log}") from error
    except Exception as error:
        send_alert(settings, Event.of_error(error, run_id, str(log)), log)
        raise
