import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import SettingsError


def run(*arguments):
    return CliRunner().invoke(cli, ["kubeflow", *arguments])


@pytest.mark.kubeflow
def test_compile_names_the_file_and_the_parameters_of_a_run(tmp_path):
    shown = run("compile", "--profile", "kubeflow", "--set", "trainer.epochs=4", "--output", str(tmp_path / "out"))
    [file] = (tmp_path / "out").iterdir()
    assert f"compiled: {file}" in shown.output
    assert "epochs: maximum number of training epochs; empty: the network's own  [4]" in shown.output
    assert "span: span to ingest, as a number or YYYY-MM-DD; empty: the latest  [unset]" in shown.output
    specification, _ = yaml.safe_load_all(file.read_text())
    assert specification["pipelineInfo"]["name"] == "agnews"


@pytest.fixture
def not_compiled(monkeypatch):
    monkeypatch.setattr("pipeline.runners.kubeflow.client.compile_pipeline", lambda *_: pytest.fail("compiled"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", "--param", "epochs"], "expected NAME=VALUE"),
        (["submit"], "kubeflow.host is not set"),
        (["schedule", "--cron", "@daily", "--param", "epochs"], "expected NAME=VALUE"),
        (["schedule", "--cron", "30 4 * * *"], "has 5 fields"),
        (["schedule", "--cron", "@daily"], "kubeflow.host is not set"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.usefixtures("not_compiled")
def test_a_mistake_in_the_arguments_is_reported_before_the_compilation(arguments, message):
    refused = run(*arguments, "--profile", "kubeflow").exception
    assert isinstance(refused, SettingsError)
    assert message in str(refused)


@pytest.mark.usefixtures("not_compiled")
def test_on_the_default_profile_the_message_names_the_one_for_kubeflow(tmp_path):
    refused = run("compile", "--output", str(tmp_path)).exception
    assert isinstance(refused, SettingsError)
    assert "--profile kubeflow" in str(refused)
