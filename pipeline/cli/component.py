"""`agnews component`: runs one component of a run, for an orchestrator."""

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace

import click

from pipeline.alerts import Event, notify
from pipeline.cli.options import settings_options, span_option
from pipeline.cli.output import print_error, users_error
from pipeline.settings import Settings
from pipeline.settings.sources import Loaded
from schema.errors import AgNewsError, ApprovalPending, NothingToTrain, component_status, status_meaning
from schema.interruption import raise_if_interrupted, set_advice
from serving.audit import IDENTITY, check_name
from serving.finite_range import FiniteRange

_POLL_SECONDS = 30.0


def end_with_status(command: Callable) -> Callable:
    """Ends a command with the status that orchestrators understand, and with its meaning as the last line."""

    @functools.wraps(command)
    def with_status(*args, **kwargs) -> None:
        from pipeline.runners.logs import logged_to_stderr, root_cause_line

        error: Exception | None = None
        with logged_to_stderr() as logger:
            try:
                command(*args, **kwargs)
            except Exception as raised:
                raise_if_interrupted()
                error = users_error(raised) or raised
                if isinstance(error, AgNewsError):
                    print_error(error)
                else:
                    logger.exception("unexpected error")
                    click.echo(f"Error: {type(error).__name__}: {root_cause_line(error)}", err=True)
        status = component_status(error)
        click.echo(f"status {status}: {status_meaning(status)}", err=True)
        sys.exit(status)

    return with_status


@click.command(epilog="Example:  agnews component Trainer --run 2026-03-01 --profile sample")
@click.argument("name")
@click.option("--run", "run_id", required=True, help="Name of the run; the same for all components of a run.")
@span_option
@click.option(
    "--wait",
    type=FiniteRange(min=0),
    default=0.0,
    show_default=True,
    metavar="HOURS",
    help="Hours to wait for an approval before the command ends with status 8.",
)
@click.option(
    "--by", help="Person who starts the run, the author of its model  [default: $AGNEWS_IDENTITY or user@host]"
)
@click.option("--will-retry", is_flag=True, help="Send no alert for an error that may pass: the caller tries again.")
@click.option("--log", help="Where people find the output of this command, for alerts.")
@end_with_status
@settings_options
def component(
    loaded: Loaded, name: str, run_id: str, wait: float, by: str | None, will_retry: bool, log: str | None
) -> None:
    """Run the component NAME of a run, for an orchestrator.

    All components of a run have the same settings, and run in the order of `agnews plan`. The command may be killed and
    called again. A component that has finished in this run is not repeated. If promotion.require_approval is true,
    RequestApproval ends with status 8 until there is a decision.

    The log goes to stderr. Its last line says what the exit status means: 0 done, 8 waiting for approval, 13 nothing to
    train, 1 and 75 errors that may pass, and any other an error that a user must fix. The last line of stdout is the
    outcome as JSON.
    """
    settings = loaded.settings
    if by:
        os.environ[IDENTITY] = check_name(by, "--by")
    set_advice("the same command continues where this one stopped")
    log = log or f"the log of {name}"
    try:
        with redirect_stdout(sys.stderr):
            # Imported here, because TensorFlow Extended takes about ten seconds to import.
            from pipeline.cli.data import resolve_source
            from pipeline.dag import PUSHER
            from pipeline.runners.component import REQUEST, awaited_approval, run_component_of

            outcome = run_component_of(settings, name, run_id, resolve_source, log)
            if name == REQUEST:
                until = time.monotonic() + wait * 3600
                awaited = awaited_approval(settings, run_id)
                if awaited and not outcome.repeated:
                    _send_outcome(settings, run_id, log, waiting=awaited)
                while awaited:
                    if time.monotonic() >= until:
                        raise ApprovalPending(awaited)
                    time.sleep(_POLL_SECONDS)
                    awaited = awaited_approval(settings, run_id)
            if name == PUSHER and not outcome.repeated:
                _send_outcome(settings, run_id, log)
    except Exception as error:
        raise_if_interrupted()
        temporary = not isinstance(error, AgNewsError) or error.may_pass
        if not (will_retry and temporary):
            _send_once(settings, name, Event.of_error(error, run_id, log), error)
        raise
    result = {"component": name, "run": run_id, "execution": outcome.execution.id, "state": outcome.state}
    click.echo(json.dumps(result))


def _send_outcome(settings: Settings, run_id: str, log: str, waiting: str | None = None) -> None:
    from pipeline.metadata.connection import connection_config
    from pipeline.metadata.runs import summarize

    summary = replace(summarize(connection_config(settings), run_id), waiting=waiting)
    if event := summary.event(run_id, log):
        notify(settings, event)


def _send_once(settings: Settings, name: str, event: Event, error: Exception) -> None:
    """Sends the alert of a failure, unless an earlier try of the component in this run has sent it."""
    try:
        from pipeline.runners.component import note_end

        is_new = note_end(settings, event.run, name, error)
    except Exception:  # The place of the notes may be what is not available.
        is_new = True
    # The waiting component has sent its alert before it waited.
    if is_new and not isinstance(error, ApprovalPending | NothingToTrain):
        notify(settings, event)
