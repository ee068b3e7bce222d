import importlib
import os
import re
import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from ml_metadata.errors import AbortedError

from pipeline.cli import LOG_LEVEL, METADATA_LOG_LEVEL, cli, main
from pipeline.settings.sources import profile_names
from schema.errors import TRY_AGAIN, AgNewsError, DataError, SettingsError
from tests.support import ROOT


def run(*arguments):
    return CliRunner().invoke(cli, arguments)


def commands(group=cli, path=()):
    yield path
    for name in group.list_commands(None) if isinstance(group, click.Group) else []:
        yield from commands(group.get_command(None, name), (*path, name))


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example(command):
    shown = run(*command, "--help").output
    assert "Example:  agnews" in shown


def test_help_needs_neither_tensorflow_nor_time():
    code = "import sys; sys.argv = ['agnews', '--help']; from pipeline.cli import cli; cli(standalone_mode=False); "
    code += "print([name for name in ('tensorflow', 'tfx', 'pydantic', 'rich') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize("variable", [LOG_LEVEL, METADATA_LOG_LEVEL])
@pytest.mark.parametrize(("given", "seen"), [(None, "2"), ("0", "0")])
def test_every_command_sets_libraries_log_levels_unless_the_user_did(monkeypatch, capsys, variable, given, seen):
    monkeypatch.setenv(variable, given or "")
    if given is None:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(sys, "argv", ["agnews"])
    with pytest.raises(SystemExit):
        main(click.command()(lambda: click.echo(os.environ[variable])))
    assert capsys.readouterr().out.strip() == seen


@pytest.mark.parametrize(("given", "seen"), [(0o000, "664"), (0o002, "664"), (0o022, "644"), (0o077, "600")])
def test_no_command_makes_files_that_all_users_may_write(monkeypatch, tmp_path, given, seen):
    monkeypatch.setattr(sys, "argv", ["agnews"])
    before = os.umask(given)
    try:
        with pytest.raises(SystemExit):
            main(click.command()((tmp_path / "file").touch))
    finally:
        os.umask(before)
    assert f"{(tmp_path / 'file').stat().st_mode & 0o777:o}" == seen


def test_a_mistakes_message_does_not_steer_the_terminal(monkeypatch, capsys):
    def fails():
        raise AgNewsError("no file a\x1b[2J\udcff\n  second line")

    monkeypatch.setattr(sys, "argv", ["agnews"])
    with pytest.raises(SystemExit):
        main(click.command()(fails))
    assert capsys.readouterr().err.endswith(
        "no file a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}\n  second line\n"
    )


def test_a_locked_metadata_store_is_one_message_without_a_trace(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["agnews"])

    @click.command()
    def command():
        raise AbortedError("database is locked")

    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 5
    assert (
        "the metadata store: another process is writing to it; wait until that process has finished, then repeat"
        in capsys.readouterr().err
    )


def agnews(*arguments, cwd):
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": ""}, timeout=120
    )


@pytest.fixture
def main_of(monkeypatch, capfd):
    """Returns a function that runs a command line in this process as a process of its own would: status and errors."""

    def run_main(*arguments):
        monkeypatch.setattr(sys, "argv", ["agnews", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capfd.readouterr().err

    return run_main


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["run", "--set", "trainer.epocs=3"], 2, "did you mean 'trainer.epochs'"),
        (["run", "--set", "epochs"], 2, "expected KEY=VALUE"),
        (["run", "--data", "gone"], 3, "gone: no such directory"),
        (["run", "--profile", "production"], 2, "set it to a local directory"),
        (["run", "--span", "2026-03-01"], 2, "flag --span: data: span needs a train_pattern"),
        (["run", "--span", "yesterday"], 2, "flag --span: data.span: expected a whole number, or a date as YYYY-MM-DD"),
        (
            ["run", "--span", "2026-13-40"],
            2,
            "flag --span: data.span: expected a whole number, or a date as YYYY-MM-DD",
        ),
        (["config", "check", "gone.yaml"], 2, "gone.yaml: No such file or directory; name a file that can be read"),
        (["rn"], 2, "did you mean 'run'"),
        (["data", "sample", "--to", "."], 2, "exists"),
        (["data", "sample", "--to", "file/x"], 2, "--to file/x: "),
        (["data", "fetch", "--to", "file/x"], 2, "--to file/x: Not a directory"),
        (["data", "describe", "--png", "gone/x.png"], 2, "--png gone/x.png: No such file or directory"),
        (["data", "describe", "--png", "x.foo"], 2, "--png x.foo: the name must end in .png"),
        (["run", "--set", "data.cache=file/x"], 2, "data.cache "),
        (["run", "--set", "trainer.word_vectors=lerned"], 2, "trainer.word_vectors lerned: No such file"),
        (["run", "--set", "alerts.webhook_url_file=gone"], 2, "Error: alerts.webhook_url_file: "),
        (["run", "--set", "alerts.smtp_password_file=gone"], 2, "Error: alerts.smtp_password_file: "),
        (["run", "--set", "promotion.signing_key_file=gone"], 2, "gone: No such file or directory; name a key file"),
        (["schema", "infer"], 5, "`agnews run` computes them"),
        (["schema", "infer", "--output", "gone/x"], 2, "--output gone/x: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_users_mistake_is_one_message_and_a_status_without_a_trace(main_of, tmp_path, arguments, status, message):
    (tmp_path / "file").touch()
    ended, errors = main_of(*arguments)
    assert ended == status, errors
    assert message in errors
    assert "Traceback" not in errors


def test_a_process_ends_with_the_status_and_the_message_of_a_mistake(tmp_path):
    ended = agnews("run", "--data", "gone", cwd=tmp_path)
    assert ended.returncode == 3
    assert ended.stderr.startswith("Error: ")
    assert "gone: no such directory" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["plan", "--profile", "kubeflow"], 0),
        (["monitor", "file"], 3),
        (["serve", "--port=70000", "--model_base_path=."], 2),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_tensorflow_prints_nothing_next_to_the_message(tmp_path, arguments, status):
    (tmp_path / "file").touch()
    ended = agnews(*arguments, cwd=tmp_path)
    assert ended.returncode == status, ended.stderr
    assert [line[:7] for line in ended.stderr.splitlines()] == ["Error: "] * (status > 0)


def test_docker_is_looked_for_before_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr("docker.utils.utils.DEFAULT_UNIX_SOCKET", f"http+unix://{tmp_path}/none.sock")
    run("data", "sample", "--to", str(tmp_path / "sample"), "--rows", "40")
    settings = ("infra_validator.platform=docker", f"pipeline.root={tmp_path}/runs")
    ended = run("run", "--data", str(tmp_path / "sample"), *(word for one in settings for word in ("--set", one)))
    assert isinstance(ended.exception, SettingsError)
    assert "infra_validator.platform docker: Docker does not answer" in str(ended.exception)
    assert [place.name for place in (tmp_path / "runs").iterdir()] == ["logs"]


def test_every_exit_status_is_once_in_the_operators_table():
    for module in ("pipeline.runners.kubeflow.client", "serving.client", "serving.promotion"):
        importlib.import_module(module)  # The modules define their own errors.

    def kinds(of=AgNewsError):
        return {of}.union(*(kinds(kind) for kind in of.__subclasses__()))

    listed = re.findall(r"^\| (\d+) \|", (ROOT / "docs/guides/when-a-run-stops.md").read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert {kind.exit_code for kind in kinds()} | {0, TRY_AGAIN, 129, 130, 143} == {int(status) for status in listed}


LOADING = """
import time
from pipeline.settings import sources as settings_sources
from pipeline.cli import main

def load(*_, **__):
    print("loading", flush=True)
    time.sleep(60)

settings_sources.load = load
main()
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_command_that_gets_a_signal_ends_with_its_status(tmp_path, number, status):
    process = subprocess.Popen(
        [sys.executable, "-c", LOADING, "config", "show"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "loading\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (status, "")
    assert "Aborted" not in errors
    assert "Traceback" not in errors


def test_the_operators_page_lists_the_profiles():
    assert f"`--profile {'|'.join(profile_names())}`" in (ROOT / "docs/guides/configure.md").read_text()


def test_config_show_says_where_each_value_comes_from():
    shown = run("config", "show", "--profile", "sample", "--set", "trainer.epochs=9").output
    lines = {line.split()[0]: line for line in shown.splitlines()}
    assert lines["trainer.epochs"].split()[1:] == ["9", "flag", "--set", "trainer.epochs"]
    assert lines["trainer.units"].endswith("profile sample")
    assert lines["trainer.seed"].endswith("default")


def test_config_show_as_yaml_is_a_file_that_config_check_accepts(tmp_path):
    (tmp_path / "shown.yaml").write_text(run("config", "show", "--format", "yaml").output)
    assert run("config", "check", str(tmp_path / "shown.yaml")).output.endswith("good\n")


def test_config_keys_lists_every_key_with_its_meaning():
    assert "maximum number of passes over train" in run("config", "keys").output


def test_a_sample_can_be_written_and_described(tmp_path):
    assert run("data", "sample", "--to", str(tmp_path / "sample"), "--rows", "40").exit_code == 0
    shown = run("data", "describe", "--data", str(tmp_path / "sample"), "--png", str(tmp_path / "plots.png"))
    assert "train: 40 rows, bad: none" in shown.output
    assert (tmp_path / "plots.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("Vote;Today;World\n", "no row of train is good. Expected are .csv,"),
        ("headline,body,topic\nVote,Today,World\n", "data.label_column and data.text_columns name other ones"),
        ("", "no row of train is good"),
    ],
    ids=["no class", "unknown names", "empty"],
)
def test_data_that_cannot_be_used_is_described_with_status_3(tmp_path, train, said):
    (tmp_path / "train.csv").write_text(train)
    (tmp_path / "test.csv").write_text("1,Vote,Today\n")
    ended = run("data", "describe", "--data", str(tmp_path))
    assert isinstance(ended.exception, DataError)
    assert said in str(ended.exception)
    assert str(tmp_path) in str(ended.exception)
    assert "max_bad_fraction" not in str(ended.exception)


def test_without_network_the_data_commands_say_so(tmp_path, monkeypatch):
    from components import download

    monkeypatch.setattr(
        download, "download", lambda files, directory, progress: (_ for _ in ()).throw(download.Offline("no way out"))
    )
    ended = run("data", "fetch", "--to", str(tmp_path / "data"))
    assert isinstance(ended.exception, download.Offline)


def test_a_download_shows_the_licence_note_once(tmp_path, monkeypatch):
    from components import download

    def two_files(files, directory, progress):
        for name in ("train.csv", "test.csv"):
            progress(name, 0, 10)
            progress(name, 10, 10)

    monkeypatch.setattr(download, "download", two_files)
    shown = run("data", "fetch", "--to", str(tmp_path / "data"))
    assert shown.exit_code == 0
    assert shown.stderr.count("non-commercial") == 1


def test_nothing_to_download_shows_nothing_on_the_way(tmp_path, monkeypatch):
    from components import download

    monkeypatch.setattr(download, "download", lambda files, directory, progress: None)
    assert run("data", "fetch", "--to", str(tmp_path / "data")).stderr == ""


def test_a_failed_run_sends_alerts_and_shows_one_that_failed(tmp_path, http_sink):
    with http_sink(404) as sink:
        ended = agnews("run", "--data", "gone", "--set", f"alerts.webhook_url={sink.url}", cwd=tmp_path)
    assert ended.returncode == 3
    assert len(sink.bodies) == 1
    assert "gone: no such directory" in sink.bodies[0]
    shown = "the alert could not be sent by webhook: the server answered 404 Not Found"
    [log] = (tmp_path / "runs/logs").iterdir()
    assert shown in ended.stderr
    assert shown in log.read_text()


def test_a_tilde_in_an_option_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shown = run("data", "sample", "--to=~/sample", "--rows", "8")
    assert shown.exit_code == 0, shown.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sample"]


@pytest.mark.parametrize("setting", ["pipeline.root", "pusher.destination"])
@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_place_that_tensorflow_takes_for_a_pattern_stops_a_run_first(tmp_path, monkeypatch, command, setting):
    monkeypatch.chdir(tmp_path)
    ended = run(command, "--data", "missing", "--set", f"{setting}=out [1]")
    assert isinstance(ended.exception, SettingsError)
    assert str(ended.exception).startswith(f"{setting} {tmp_path}/out [1]: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_shown_settings_hold_no_mask_that_would_be_read_as_a_password(tmp_path, monkeypatch, form):
    from pipeline.settings.sources import load

    monkeypatch.setenv("AGNEWS_METADATA__PASSWORD", "very-secret")
    monkeypatch.setenv("AGNEWS_ALERTS__SMTP_PASSWORD", "very-secret")
    shown = run("config", "show", "--format", form).output
    assert "**" not in shown
    assert "very-secret" not in shown
    (tmp_path / "shown.yaml").write_text(shown)
    assert load("default", tmp_path / "shown.yaml").settings.metadata.password.get_secret_value() == "very-secret"
