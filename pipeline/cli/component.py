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
from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import hide_library_output, report_write_errors
from pipeline.settings.sources import DEFAULT_FILE, Loaded, is_secret
from schema.errors import (
    AgNewsError,
    ApprovalPending,
    NothingToTrain,
    RunError,
    SettingsError,
    component_status,
    status_meaning,
)
from schema.files import replace_file
from schema.interruption import raise_if_interrupted, set_advice

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
    options = _given_options()
    with hide_library_output():
        from pipeline.runners.plan import make_plan

        text = json.dumps(this_command | make_plan(loaded.settings, options), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    with report_write_errors("--output", output):
        replace_file(output, text.encode())


def _given_options() -> list[str]:
    """Returns the settings options of this command line, with absolute paths.

    Raises:
        SettingsError: an option contains a secret, which a plan must not.
    """
    given = click.get_current_context().params
    options = ["--profile", given["profile"]]
    if config := given["config_file"] or (DEFAULT_FILE if DEFAULT_FILE.exists() else None):
        options += ["--config", str(config.absolute())]
    if data := given["data"]:
        options += ["--data", data if "://" in data else os.path.abspath(data)]
    for assignment in given["assignments"]:
        if is_secret(assignment.partition("=")[0]):
            raise SettingsError(f"--set {assignment.partition('=')[0]}: a plan must not hold secrets; use its variable")
        options += ["--set", assignment]
    return options


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
@click.option("--will-retry", is_flag=True, help="Send no alert for an error that may pass: the caller tries again.")
@click.option("--log", help="Where people find the output of this command, for alerts.")
@_end_with_status
@settings_options
def component(loaded: Loaded, name: str, run_id: str, wait: float, will_retry: bool, log: str | None) -> None:
    """Run the component NAME of a run, for an orchestrator.

    All components of a run have the same settings, and run in the order of `agnews plan`. The command may be killed and
    called again. A component that has finished in this run is not repeated. If promotion.require_approval is true,
    RequestApproval ends with status 8 until there is a decision.

    The log goes to stderr. Its last line says what the exit status means: 0 done, 8 waiting for approval, 13 nothing to
    train, 1 and 75 errors that may pass, and any other an error that a user must fix. The last line of stdout is the
    outcome as JSON.
    """
    settings = loaded.settings
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
    except (ApprovalPending, NothingToTrain):
        raise
    except Exception as error:
        raise_if_interrupted()
        if not (will_retry and (not isinstance(error, AgNewsError) or error.may_pass)):
            notify(settings, Event.of_error(error, run_id, log))
        raise
    result = {"component": name, "run": run_id, "execution": outcome.execution.id, "state": outcome.state}
    click.echo(json.dumps(result))


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
