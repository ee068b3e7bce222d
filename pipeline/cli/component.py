"""`agnews plan`, `agnews component` and `agnews alert`: the commands with which an orchestrator runs the pipeline."""

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import click

from pipeline.alerts import Event, Kind, notify
from pipeline.cli.options import LocalPath, settings_arguments, settings_options
from pipeline.cli.output import hide_library_output, report_write_errors
from pipeline.settings import Settings
from pipeline.settings.sources import Loaded
from schema.errors import AgNewsError, ApprovalPending, NothingToTrain, RunError, component_status, status_meaning
from schema.files import replace_file
from schema.interruption import raise_if_interrupted, set_advice
from serving.audit import IDENTITY

_POLL_SECONDS = 30.0


@click.command(epilog="Example:  agnews plan --profile sample --output plan.json")
@click.option("--output", type=LocalPath(dir_okay=False), help="Write the plan to this file  [default: print it]")
@settings_options
def plan(loaded: Loaded, output: Path | None) -> None:
    """Print the plan of a run as JSON, for an orchestrator.

    The plan names the components with those that each waits for, this command with its directory and options, the exit
    statuses of `agnews component`, and what an orchestrator needs of the settings. It touches neither data nor metadata
    store, and the same settings and code give the same plan.
    """
    # Relative paths in the settings file belong to this directory.
    this_command = {"command": [str(Path(sys.executable).with_name("agnews"))], "directory": os.getcwd()}
    options = settings_arguments(loaded)
    with hide_library_output():
        from pipeline.runners.plan import make_plan

        text = json.dumps(this_command | make_plan(loaded.settings, options), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    with report_write_errors("--output", output):
        replace_file(output, text.encode())


def _end_with_status(command: Callable) -> Callable:
    """Ends a command with the status that orchestrators understand, and with its meaning as the last line."""

    @functools.wraps(command)
    def with_status(*args, **kwargs) -> None:
        from pipeline.cli import print_error, users_error
        from pipeline.runners.logs import logged_to_stderr
        from pipeline.runners.root_cause import root_cause_line

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
@click.option("--span", metavar="N|YYYY-MM-DD", help="Span to ingest; short for --set data.span=…  [default: latest]")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="HOURS",
    help="Hours to wait for an approval before the command ends with status 8.  [default: 0]",
)
@click.option(
    "--by", help="Person who starts the run, the author of its model  [default: $AGNEWS_IDENTITY or user@host]"
)
@click.option("--will-retry", is_flag=True, help="Send no alert for an error that may pass: the caller tries again.")
@click.option("--log", help="Where people find the output of this command, for alerts.")
@_end_with_status
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
        os.environ[IDENTITY] = by
    set_advice("the same command continues where this one stopped")
    log = log or f"the log of {name}"
    try:
        with redirect_stdout(sys.stderr):
            # Imported here, because TensorFlow Extended takes about ten seconds to import.
            from pipeline.cli.data import resolve_source
            from pipeline.metadata.connection import connection_config
            from pipeline.metadata.runs import summarize
            from pipeline.runners.component import PUSHER, REQUEST, awaited_approval, run_component_of

            outcome = run_component_of(settings, name, run_id, resolve_source)
            if name == REQUEST:
                until = time.monotonic() + wait * 3600
                awaited = awaited_approval(settings, run_id)
                if awaited and not outcome.repeated:
                    notify(settings, Event(Kind.WAITING, run_id, awaited, log))
                while awaited:
                    if time.monotonic() >= until:
                        raise ApprovalPending(awaited)
                    time.sleep(_POLL_SECONDS)
                    awaited = awaited_approval(settings, run_id)
            if name == PUSHER and not outcome.repeated:
                summary = summarize(connection_config(settings), run_id)
                if summary.is_new_refusal(run_id):
                    notify(settings, Event(Kind.NOT_BLESSED, run_id, "\n".join(summary.refusals), log))
    except Exception as error:
        raise_if_interrupted()
        temporary = not isinstance(error, AgNewsError) or error.may_pass
        if not (will_retry and temporary):
            _send_once(settings, name, Event.of_error(error, run_id, log), error)
        raise
    result = {"component": name, "run": run_id, "execution": outcome.execution.id, "state": outcome.state}
    click.echo(json.dumps(result))


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


@click.command(epilog="Example:  agnews finish --run 2026-03-01 --status FAILED --profile sample")
@click.option("--run", "run_id", required=True, help="Name of the run.")
@click.option("--status", required=True, help="Status of the run's tasks: a word, or JSON with the key state.")
@click.option("--log", help="Where people find the logs of the run, for alerts.")
@_end_with_status
@settings_options
def finish(loaded: Loaded, run_id: str, status: str, log: str | None) -> None:
    """Send the alert of a failed run whose component could not, for an orchestrator's last task.

    A component that is killed, for instance because its node ran out of memory, sends no alert itself.
    """
    try:
        state = json.loads(status)["state"]
    except (ValueError, TypeError, KeyError):
        state = status
    if state == "SUCCEEDED":
        return
    with redirect_stdout(sys.stderr):
        from pipeline.runners.component import unexplained_end

        component = unexplained_end(loaded.settings, run_id)
    if component:
        message = f"{component} has not finished (status {state}); its log says why, or its process was killed"
        notify(loaded.settings, Event(Kind.FAILED, run_id, message, log or f"the log of {component}"))


@click.command(epilog="Example:  agnews alert late 2026-03-01 'not finished after 12 hours'")
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("run_id", metavar="RUN")
@click.argument("message")
@click.option("--log", default="unknown", help="Where people find the log of the run.")
@settings_options
def alert(loaded: Loaded, kind: str, run_id: str, message: str, log: str) -> None:
    """Send an alert about a run, for an orchestrator: through the channels of alerts.*, if alerts.events has its kind.

    `agnews run` and `agnews component` send their alerts themselves; only an orchestrator knows that a run is late.
    """
    if problems := notify(loaded.settings, Event(Kind(kind), run_id, message, log)):
        raise RunError("\n".join(problems))
