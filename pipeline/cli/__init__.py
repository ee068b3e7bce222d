"""The command `agnews`. A subcommand's module is imported when it is called, so that `agnews --help` is fast."""

import ast
import difflib
import gc
import importlib
import os
import sys
from pathlib import Path

import click

from pipeline.cli.output import finish_output, prepare_streams, print_error, users_error
from schema.files import deny_others_writing
from schema.interruption import end_on_signals
from serving.this_machine import exempt_from_proxies

# TensorFlow reads the first variable when it is first used, the second when it is imported.
INTRA_OP_THREADS = "TF_NUM_INTRAOP_THREADS"
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# ML Metadata reads this one when it is imported. It would print each connection to a PostgreSQL server.
METADATA_LOG_LEVEL = "GLOG_minloglevel"
_HELP_OPTIONS = ["-h", "--help"]

# Each command or group of commands; a module of this package defines it as a function of the same name.
_COMMANDS = (
    "init",
    "run",
    "plan",
    "component",
    "finish",
    "alert",
    "compare",
    "reproduce",
    "serve",
    "classify",
    "batch",
    "demo",
    "versions",
    "approvals",
    "audit",
    "models",
    "dossier",
    "monitor",
    "labels",
    "review",
    "artifacts",
    "clean",
    "export",
    "data",
    "schema",
    "config",
    "kubeflow",
)
# Former names, which stay valid, with the current ones.
_FORMER_NAMES = {
    "promote": "versions promote",
    "rollback": "versions rollback",
    "prune": "versions prune",
    "verify": "versions verify",
    "canary report": "versions canary",
    "canary": "versions canary",
    "approve": "approvals approve",
    "reject": "approvals reject",
    "model": "models",
}
# These were commands before they became groups.
_FORMER_LISTS = ("versions", "approvals")


def _summary(name: str) -> str:
    """Returns the first line of a command's docstring, from its source: importing the module would be slow."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    [docstring] = [ast.get_docstring(function) or "" for function in functions if function.name == name]
    return docstring.partition("\n")[0]


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        return getattr(importlib.import_module(f"pipeline.cli.{name}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in _COMMANDS])

    def invoke(self, ctx: click.Context):
        with end_on_signals():
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        current = use_current_name(args)
        if current != args and not ctx.resilient_parsing:
            click.echo(f"note: the command is now `agnews {' '.join(current[:2])}`", err=True)
        if current[0] not in _COMMANDS:
            names = {name: name for name in _COMMANDS} | _FORMER_NAMES
            near = difflib.get_close_matches(current[0], names, n=1)
            ctx.fail(f"no command {current[0]!r}" + (f"; did you mean {names[near[0]]!r}?" if near else ""))
        return super().resolve_command(ctx, current)


def use_current_name(args: list[str]) -> list[str]:
    """Returns the arguments of `agnews` with the current name of the command if they begin with a former one."""
    for former, current in _FORMER_NAMES.items():
        words = former.split()
        if args[: len(words)] == words:
            return [*current.split(), *args[len(words) :]]
    match args:
        case [name, *rest] if name in _FORMER_LISTS and all(word.startswith("-") for word in rest[:1]):
            return args if set(_HELP_OPTIONS) & set(rest[:1]) else [name, "list", *rest]
    return args


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": _HELP_OPTIONS, "max_content_width": 110},
    epilog="Example:  agnews run --profile sample",
)
@click.version_option(package_name="agnews-pipeline", prog_name="agnews")
def cli() -> None:
    """Train, check and serve a text classifier with TensorFlow Extended; AG News is the default data set."""


def configure_tensorflow() -> None:
    """Sets variables of TensorFlow and ML Metadata that the user did not set; call it before they are imported."""
    # Each operation gets half of the cores: a bidirectional layer runs two at a time, and their many small products
    # gain little from more. On two cores, training is 1.4 times as fast as with TensorFlow's default of all cores.
    os.environ.setdefault(INTRA_OP_THREADS, str(max(1, (os.cpu_count() or 1) // 2)))
    # Show errors only: remarks about the processor and about connections do not matter to a user of a command.
    os.environ.setdefault(LOG_LEVEL, "2")
    os.environ.setdefault(METADATA_LOG_LEVEL, "2")


def save_time() -> None:
    """Saves time that Beam and the imports of TensorFlow and TFX would take."""
    # Beam parses its options for each transform, and each time argparse looks for translations of its own words.
    os.environ.setdefault("LANGUAGE", "C")
    # The imports make objects that stay; to search them for garbage takes a fifth of the time.
    gc.set_threshold(5_000, 20, 20)


def main(command: click.Command = cli, name: str = "agnews") -> None:
    """Runs a command line; prints a user's mistake as one message without a stack trace, and exits with its status."""
    configure_tensorflow()
    save_time()
    prepare_streams()
    exempt_from_proxies()
    deny_others_writing()
    try:
        try:
            command(prog_name=name)
        finally:
            finish_output()
    except BrokenPipeError:  # The reader of the output has exited, as `head` does.
        sys.exit(1)
    except Exception as error:
        user_error = users_error(error)
        if user_error is None:
            raise
        print_error(user_error)
        sys.exit(user_error.exit_code)
