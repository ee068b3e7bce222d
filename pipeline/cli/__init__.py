"""The command `agnews`: one module a group, imported when it is called, so that `agnews --help` is quick."""

import difflib
import importlib
import os
import sys

import click

from pipeline.cli.printable import printable
from pipeline.cli.streams import finish_output, output_error, prepare_streams
from schema.errors import AgNewsError, StoreError
from schema.files import deny_others_writing
from schema.interruption import end_on_signals
from serving.this_machine import exempt_from_proxies

# TensorFlow reads the one when it is first used, the other when it is imported.
INTRA_OP_THREADS = "TF_NUM_INTRAOP_THREADS"
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

# Name, where it is, and its line in `agnews --help`.
_COMMANDS = {
    "run": ("pipeline.cli.run:run", "Run the pipeline, from data to a pushed model."),
    "compare": ("pipeline.cli.compare:compare", "Compare the networks with each other and with linear peers."),
    "serve": ("pipeline.cli.serve:serve", "Serve a pushed model, with the flags of TensorFlow Serving."),
    "model": ("pipeline.cli.model:model", "Describe a trained model."),
    "classify": ("pipeline.cli.classify:classify", "Ask a served model for the classes of texts or a file's rows."),
    "batch": ("pipeline.cli.batch:batch", "Score files offline, without a server."),
    "demo": ("pipeline.cli.demo:demo", "Serve a web page that classifies a text and shows the words that mattered."),
    "versions": ("pipeline.cli.versions:versions", "List the pushed versions: served, labelled, how good, by whom."),
    "promote": ("pipeline.cli.promotion:promote", "Label a version stable or canary, and have it served."),
    "rollback": ("pipeline.cli.promotion:rollback", "Go back to the version that was in production before."),
    "prune": ("pipeline.cli.promotion:prune", "Delete old versions, never one that is served."),
    "approvals": ("pipeline.cli.approvals:approvals", "List the models that ask to be pushed, and who decided what."),
    "approve": ("pipeline.cli.approvals:approve", "Approve a model, so that the next run pushes it."),
    "reject": ("pipeline.cli.approvals:reject", "Reject a model: no run pushes it."),
    "review": ("pipeline.cli.review:review", "Serve the review site: runs, models, lineage, comparisons, approvals."),
    "audit": ("pipeline.cli.audit:audit", "Show, check and export the record of every change."),
    "verify": ("pipeline.cli.audit:verify", "Compare what is served with what was pushed."),
    "monitor": ("pipeline.cli.monitor:monitor", "Compare a served model's request log with its training and its past."),
    "reproduce": ("pipeline.cli.reproduce:reproduce", "Repeat a model's training and compare the outcome."),
    "canary": ("pipeline.cli.canary:canary", "Compare the answers of stable and canary."),
    "kubeflow": ("pipeline.cli.kubeflow:kubeflow", "Compile for Kubeflow Pipelines, start a run, schedule runs."),
    "artifacts": ("pipeline.cli.artifacts:artifacts", "Find artifacts whose files were deleted, and mark them."),
    "data": ("pipeline.cli.data:data", "Fetch, make and describe the data."),
    "schema": ("pipeline.cli.schema:schema", "Compare the curated schema with the data."),
    "config": ("pipeline.cli.config:config", "Show, explain and check the settings."),
}


class _LazyGroup(click.Group):
    """Imports a command's module when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context):
        with end_on_signals():
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args and args[0] not in _COMMANDS:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example:  agnews run --profile sample",
)
@click.version_option(package_name="agnews-pipeline", prog_name="agnews")
def cli() -> None:
    """The AG News production pipeline: from news items to a model that TensorFlow Serving can serve."""


def main(command: click.Command = cli, name: str = "agnews") -> None:
    """Runs a command line; a user's mistake is one message and its exit status, without a trace."""
    # Half of the cores to an operation: a bidirectional layer has two at a time, and their many small products gain
    # little from more. On two cores training is 1.4 times as fast as with TensorFlow's default, all cores to each.
    os.environ.setdefault(INTRA_OP_THREADS, str(max(1, (os.cpu_count() or 1) // 2)))
    # Errors: what TensorFlow thinks of the processor is nothing that a command was asked for.
    os.environ.setdefault(LOG_LEVEL, "2")
    prepare_streams()
    exempt_from_proxies()
    deny_others_writing()
    try:
        try:
            command(prog_name=name)
        finally:
            finish_output()
    except BrokenPipeError:  # Whoever read the output has gone, as `head` does.
        sys.exit(1)
    except Exception as error:
        told = _users_error(error)
        if told is None:
            raise
        click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        click.echo("\n".join(map(printable, str(told).split("\n"))), err=True)
        sys.exit(told.exit_code)


def _users_error(error: Exception) -> AgNewsError | None:
    """What a user can do something about; None for a programming mistake."""
    if isinstance(error, AgNewsError):
        return error
    if isinstance(error, OSError):
        return output_error(error)
    # Where ML Metadata raised it, it was imported; to import it here would take each command a second.
    metadata = sys.modules.get("ml_metadata.errors")
    if metadata and isinstance(error, metadata.StatusError):
        from pipeline.metadata.connection import refusal

        return StoreError(f"the metadata store: {refusal(error)}, then repeat")
    return None
