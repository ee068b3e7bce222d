"""Every setting and option that names a place, the commands that use it, and values that are no such place."""

import resource
import signal
import typing
from contextlib import contextmanager
from pathlib import Path

import click
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.cli.output import users_error
from pipeline.settings.sources import KEYS
from tests.support.limits import only_permitted_files

SECONDS = 20
MEMORY = 1 << 30
VALUES = (
    "missing",
    "file",
    "file/below",
    "empty",
    "directory",
    "loop",
    "x" * 300,
    "/dev/zero",
    "/proc/self/fdinfo",
    "/proc/self/fdinfo/below",
    "/proc/self/mem",
    "closed",
    "closed/below",
)

NO_SERVER = ("--server", "127.0.0.1:1")
# A run ends before its first component, since there is no data.
RUN = ("run", "--data", "nowhere")
STORE = ("approvals", "list")
POSTGRESQL = ("backend=postgresql", "host=127.0.0.1", "port=1", "database=d", "user=u")
# The commands that use each setting.
SETTINGS = {
    "pipeline.root": [RUN, STORE, ("artifacts", "check"), ("versions", "list"), ("audit", "verify"), ("plan",)],
    "data.path": [("data", "describe"), ("schema", "infer"), ("run",)],
    "data.cache": [("data", "fetch")],
    "data.schema_file": [RUN, ("plan",), ("data", "describe")],
    "model_card.owner_file": [RUN],
    "evaluator.must_pass_file": [RUN, ("plan",)],
    "trainer.word_vectors": [RUN],
    "pusher.destination": [
        RUN,
        ("versions", "list"),
        ("audit", "log"),
        ("models", "describe"),
        ("batch", "file", "--to", "to"),
    ],
    "promotion.audit_log": [RUN, ("audit", "log"), ("audit", "verify")],
    "promotion.signing_key_file": [RUN, ("versions", "promote", "1")],
    "promotion.public_key_file": [RUN, ("versions", "promote", "1")],
    "promotion.openssf_key_file": [RUN],
    "promotion.openssf_certificate_file": [(*RUN, "--set", "promotion.openssf_key_file=file")],
    "promotion.openssf_chain_file": [(*RUN, "--set", "promotion.openssf_key_file=file")],
    "monitoring.directory": [("monitor", "file")],
    "review.proxy_secret_file": [("review", "--host", "256.0.0.1", "--set", "review.user_header=X-User")],
    "metadata.password_file": [(*STORE, *(word for one in POSTGRESQL for word in ("--set", f"metadata.{one}")))],
    "alerts.webhook_url_file": [RUN, ("alert", "failed", "run", "text")],
    "alerts.smtp_password_file": [RUN],
    "beam.job_server": [(*RUN, "--set", "beam.runner=flink")],
    "airflow.batch_files": [("plan",)],
    "airflow.batch_output": [("plan",)],
    "airflow.monitor_logs": [("plan",)],
    "kubeflow.token_file": [("kubeflow", "submit", "--set", "kubeflow.host=http://127.0.0.1:1")],
    "kubeflow.python": [("kubeflow", "compile")],
}
# Settings of texts that name no place on this machine.
TEXTS = (
    "evaluator.min_slice_accuracy",
    "data.train_pattern",
    "data.test_pattern",
    "data.text_columns",
    "data.label_column",
    "pipeline.name",
    "pusher.model_name",
    "infra_validator.serving_image",
    "metadata.host",
    "metadata.database",
    "metadata.user",
    "alerts.smtp_host",
    "alerts.smtp_user",
    "alerts.mail_from",
    "alerts.review_url",
    "review.user_header",
    "review.repository_url",
    "review.readers",
    "review.approvers",
    "review.reader_roles",
    "review.approver_roles",
    "review.oidc_issuer",
    "review.oidc_client_id",
    "review.oidc_scope",
    "review.oidc_name_claim",
    "review.oidc_roles_claim",
    "alerts.mail_to",
    "beam.master",
    "beam.job_endpoint",
    "beam.worker_pool",
    "beam.image",
    "beam.project",
    "beam.region",
    "beam.temp_location",
    "beam.args",
    "airflow.schedule",
    "airflow.timezone",
    "airflow.monitor_schedule",
    "kubeflow.host",
    "kubeflow.namespace",
    "kubeflow.experiment",
    "kubeflow.pipeline_root",
    "kubeflow.image",
    "kubeflow.trainer_image",
    "kubeflow.cpu",
    "kubeflow.memory",
    "kubeflow.accelerator",
    "kubeflow.volume_claim",
    "kubeflow.mount_path",
    "kubeflow.secret",
    "kubeflow.secret_path",
)
# The rest of each command line; the place follows the option, or comes last as an argument.
OPTIONS = {
    "plan --output": (),
    "compare --to": ("--data", "nowhere"),
    "reproduce --output": ("1",),
    "reproduce --directory": ("1",),
    "classify --file": NO_SERVER,
    "batch files": ("--to", "to", "--model", "directory", "--"),
    "batch --to": ("file", "--model", "directory"),
    "batch --model": ("file", "--to", "to"),
    "versions canary --file": NO_SERVER,
    "versions verify serving_dir": (),
    "versions verify --log": ("directory",),
    "versions verify --public-key": ("directory",),
    "models describe directory": (),
    "monitor logs": (),
    "dossier --to": ("1",),
    "monitor --prometheus": ("file",),
    "labels add file": (),
    "labels next --to": ("file",),
    "review --token-file": ("--port", "0", "--host", "256.0.0.1"),
    "init directory": ("--from", "file", "--"),
    "init --from": ("new",),
    "init more_files": ("new", "--from", "file", "--"),
    "export openlineage --to": (),
    "data describe --png": ("--data", "rows"),
    "data fetch --to": (),
    "data sample --to": (),
    "schema infer --output": ("--data", "rows"),
    "config check file": (),
    "kubeflow compile --output": (),
}
TLS = ("--tls-ca", "--tls-cert", "--tls-key")


_TENSORFLOW = (
    ("approvals", "list"),
    ("versions", "list"),
    ("plan",),
    ("schema", "infer"),
    ("monitor",),
    ("compare",),
    ("batch",),
    ("models", "describe"),
    ("reproduce",),
    ("labels",),
    ("dossier",),
    ("export",),
)


class Endless(BaseException):
    """A command took too long."""


@contextmanager
def _limits():
    """Ends what reads for ever, before it has used the machine's memory."""

    def end(*_):
        raise Endless

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    former = signal.signal(signal.SIGALRM, end)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
        resource.setrlimit(resource.RLIMIT_AS, before)


def make_places(directory):
    """Creates the files that VALUES names."""
    (directory / "file").write_text("neither a key\nnor\tvectors\n")
    (directory / "empty").touch()
    (directory / "directory").mkdir()
    (directory / "closed").mkdir(mode=0)
    (directory / "loop").symlink_to("loop")


def imports_tensorflow(command):
    """Returns whether a command line needs TensorFlow, TFX or Beam to reach the place."""
    return any(tuple(command[: len(words)]) == words for words in _TENSORFLOW)


def setting_lines(key, value):
    """Yields the command lines that use a setting with a value."""
    for use in SETTINGS[key]:
        yield (*use, "--set", f"{key}={value}")


def option_lines(option, value):
    """Yields the command line that uses an option or argument with a value."""
    *command, name = option.split()
    yield (*command, *OPTIONS[option], *([name] if name.startswith("--") else []), value)


def faults(lines):
    """Runs command lines in this process; returns what ended in a trace, or without an end."""
    return [fault for line in lines if (fault := _fault(line))]


def _fault(line):
    try:
        with _limits(), only_permitted_files():
            error = CliRunner().invoke(cli, line).exception
    except Endless:
        return f"{' '.join(line)}: no end within {SECONDS} s"
    if error is None or isinstance(error, SystemExit) or users_error(error):
        return None
    return f"{' '.join(line)}: {type(error).__name__}: {error}"


def texts_of_settings():
    """Returns the keys of all settings that are texts or paths."""
    kinds = {str, Path}
    return {key for key, field in KEYS.items() if kinds & _types(field.annotation)}


def _types(annotation):
    """Returns a type, or those of a union or tuple, without `Annotated`."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _types(parts[0])
    return {annotation}.union(*map(_types, parts)) if typing.get_origin(annotation) is not typing.Literal else set()


def path_options():
    """Returns all options and arguments of all commands that are paths, as "COMMAND --OPTION"."""
    return {
        f"{name} {next((word for word in param.opts if word.startswith('--')), param.name)}"
        for name, command in all_commands()
        for param in command.params
        if isinstance(param.type, click.Path)
    }


def all_commands(group=cli, path=()):
    """Yields the name and the command of all commands, without groups."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command
