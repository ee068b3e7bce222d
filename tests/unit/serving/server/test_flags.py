import click
import pytest
from click.testing import CliRunner

from serving.server import Flags, server_flags


def parsed(*arguments):
    """Returns the Flags of a command line, and its result."""
    seen = []

    @click.command()
    @server_flags
    def command(flags):
        seen.append(flags)

    result = CliRunner().invoke(command, arguments)
    return (seen or [None])[0], result


@pytest.mark.parametrize("arguments", [["--model_base_path=/models/a"], ["--model_base_path", "/models/a"]])
def test_a_flag_takes_its_value_after_an_equals_sign_or_a_space(arguments):
    assert parsed(*arguments)[0].model_base_path == "/models/a"


@pytest.mark.parametrize(
    ("arguments", "batching"),
    [
        ([], False),
        (["--enable_batching"], True),
        (["--enable_batching", "--port=1"], True),
        (["--enable_batching=true"], True),
        (["--enable_batching=false"], False),
    ],
)
def test_a_boolean_flag_can_have_a_value(arguments, batching):
    assert parsed(*arguments)[0].enable_batching is batching


def test_defaults_are_those_of_tensorflow_serving():
    flags = Flags()
    assert (flags.port, flags.model_name, flags.max_num_load_retries, flags.rest_api_timeout_in_ms) == (
        *(8500, "default"),
        *(5, 30_000),
    )


def test_an_ignored_flag_is_accepted_with_a_warning():
    flags, result = parsed("--num_load_threads=4", "--port=9")
    assert flags.port == 9
    assert "warning: --num_load_threads has no effect" in result.output


@pytest.mark.parametrize(
    ("flag", "missing"),
    [("prefer_tflite_model", "TensorFlow Lite"), ("enable_profiler", "profiler"), ("mixed_precision", "precision")],
)
def test_a_warning_names_what_the_server_lacks(flag, missing):
    assert missing in parsed(f"--{flag}=1")[1].output
    assert "has no effect" not in parsed(f"--{flag}=1")[1].output


@pytest.mark.parametrize("flag", ["prefer_tflite_model", "enable_profiler", "use_alts_credentials"])
def test_a_missing_feature_that_is_switched_off_needs_no_warning(flag):
    assert parsed(f"--{flag}=false")[1].output == ""


def test_a_flag_that_asks_for_missing_encryption_is_rejected():
    flags, result = parsed("--use_alts_credentials")
    assert flags is None
    assert (result.exit_code, "--ssl_config_file" in result.output) == (2, True)


def test_the_version_is_printed():
    flags, result = parsed("--version")
    assert (flags, result.exit_code) == (None, 0)
    assert "TensorFlow Library: 2." in result.output


def test_a_misspelt_flag_is_rejected_with_a_suggestion():
    flags, result = parsed("--model_base_pth=/models")
    assert flags is None
    assert result.exit_code == 2
    assert "--model_base_path" in result.output


def test_a_value_of_the_wrong_type_is_rejected():
    assert "'x' is not a valid integer" in parsed("--port=x")[1].output
