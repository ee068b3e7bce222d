import yaml
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import SettingsError


def run(*arguments):
    return CliRunner().invoke(cli, ["kubeflow", *arguments])


def test_compile_names_the_file_and_the_runtime_parameters(tmp_path):
    shown = run("compile", "--profile", "kubeflow", "--set", "trainer.epochs=4", "--output", str(tmp_path / "out"))
    [file] = (tmp_path / "out").iterdir()
    assert f"compiled: {file}" in shown.output
    assert "epochs: passes over the training rows at most  [4]" in shown.output
    specification, _ = yaml.safe_load_all(file.read_text())
    assert specification["pipelineInfo"]["name"] == "agnews"


def test_a_parameter_without_a_value_is_refused():
    refused = run("submit", "--profile", "kubeflow", "--param", "epochs").exception
    assert isinstance(refused, SettingsError)
    assert "expected NAME=VALUE" in str(refused)


def test_a_run_needs_a_host():
    refused = run("submit", "--profile", "kubeflow").exception
    assert isinstance(refused, SettingsError)
    assert "kubeflow.host is not set" in str(refused)


def test_on_the_default_profile_the_message_names_the_one_for_kubeflow(tmp_path):
    refused = run("compile", "--output", str(tmp_path)).exception
    assert isinstance(refused, SettingsError)
    assert "--profile kubeflow" in str(refused)
