import sys

import pytest

from schema.errors import SettingsError
from serving.server import Flags, config, options

ONE = 'config { name: "a" base_path: "/a" model_platform: "tensorflow" }'
MODELS = f"model_config_list {{ {ONE} }}"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "file.config"
        path.write_text(text)
        return str(path)

    return write


def test_a_file_in_text_format_is_read(written):
    text = "max_batch_size { value: 32 } allowed_batch_sizes: [8, 32] pad_variable_length_inputs: true "
    text += "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 8 }"
    read = config.read(written(text), config.BatchingParameters)
    assert (read.enable_large_batch_splitting.value, read.max_execution_batch_size.value) == (True, 8)
    assert (read.max_batch_size.value, list(read.allowed_batch_sizes), read.pad_variable_length_inputs) == (
        *(32, [8, 32]),
        True,
    )


def test_a_parse_error_contains_file_and_line(written):
    message = r"file\.config: Error parsing text-format \S*BatchingParameters: 2:1 : .*max_batch"
    with pytest.raises(SettingsError, match=message):
        config.read(written("\nmax_batch: 3"), config.BatchingParameters)


@pytest.mark.parametrize("path", ["gone.config", "."])
def test_an_unreadable_file_is_an_error(path):
    with pytest.raises(SettingsError, match=f"cannot read {path}"):
        config.read(path, config.SSLConfig)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("custom_model_config {}", "custom_model_config is not supported"),
        ('model_config_list { config { base_path: "/a" } }', "needs a name and a base_path"),
        (f"model_config_list {{ {ONE} {ONE} }}", "multiple times"),
        (MODELS.replace('"tensorflow"', '"other"'), "platform 'other' is not supported"),
        (MODELS.replace('"tensorflow"', '""'), "platform '' is not supported: set model_platform to 'tensorflow'"),
        (MODELS.replace('"tensorflow"', '"tensorflow" model_type: TENSORFLOW'), "without the deprecated model_type"),
    ],
)
def test_an_invalid_model_configuration_is_rejected(written, text, reason):
    with pytest.raises(ValueError, match=reason):
        config.check(config.read(written(text), config.ModelServerConfig))


@pytest.mark.parametrize(
    ("flag", "text", "reason"),
    [
        ("batching_parameters_file", "max_batch_size { value: 0 }", "max_batch_size is 0"),
        ("batching_parameters_file", "num_batch_threads { value: -1 }", "num_batch_threads is -1"),
        (
            "batching_parameters_file",
            "batch_timeout_micros { value: -1 }",
            "batch_timeout_micros is -1, it must be at least 0",
        ),
        (
            "batching_parameters_file",
            "max_batch_size { value: 8 } allowed_batch_sizes: [8, 4]",
            r"\[8, 4\] must ascend and end with max_batch_size 8",
        ),
        (
            "batching_parameters_file",
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "end with max_batch_size 8",
        ),
        ("ssl_config_file", 'server_key: "k"', "needs server_key and server_cert"),
        ("ssl_config_file", 'server_key: "k" server_cert: "c" client_verify: true', "custom_ca"),
    ],
)
def test_invalid_values_in_files_are_rejected(written, flag, text, reason):
    with pytest.raises(SettingsError, match=reason):
        options.from_flags(Flags(model_base_path="/a", enable_batching=True, **{flag: written(text)}))


def test_contradicting_numbers_of_threads_are_rejected():
    flags = Flags(model_base_path="/a", tensorflow_session_parallelism=2, tensorflow_intra_op_parallelism=1)
    with pytest.raises(SettingsError, match="--tensorflow_session_parallelism sets both"):
        options.from_flags(flags)


def test_batching_parameters_without_enable_batching_are_rejected(written):
    with pytest.raises(SettingsError, match="set without --enable_batching"):
        options.from_flags(Flags(model_base_path="/a", batching_parameters_file=written("")))


@pytest.mark.parametrize(("text", "name"), [(None, "model_server_batch_threads"), ("", "batch_threads")])
def test_the_batch_threads_have_the_name_of_tensorflow_serving(written, text, name):
    file = "" if text is None else written(text)
    flags = Flags(model_base_path="/a", enable_batching=True, batching_parameters_file=file)
    assert options.from_flags(flags).batching.thread_pool_name == name


def test_flags_without_a_model_are_rejected():
    with pytest.raises(SettingsError, match="no model to serve"):
        options.from_flags(Flags())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ("prometheus_config { enable: false }", None),
    ],
)
def test_the_monitoring_file_sets_the_path_of_the_metrics(written, text, path):
    assert options.from_flags(Flags(model_base_path="/a", monitoring_config_file=written(text))).metrics_path == path


def test_channel_arguments_are_numbers_or_strings():
    given = "grpc.max_receive_message_length=1000,grpc.primary_user_agent=me"
    read = options.from_flags(Flags(model_base_path="/a", grpc_channel_arguments=given))
    assert read.max_request_bytes == 1000
    assert read.channel_arguments["grpc.primary_user_agent"] == "me"
    with pytest.raises(SettingsError, match="expected KEY=VALUE, got 'oops'"):
        options.from_flags(Flags(model_base_path="/a", grpc_channel_arguments="oops"))


@pytest.mark.parametrize(("limit", "largest"), [("-1", sys.maxsize), ("7", 7)])
def test_the_message_limit_of_grpc_also_applies_to_rest(limit, largest):
    given = f"grpc.max_receive_message_length={limit}"
    assert options.from_flags(Flags(model_base_path="/a", grpc_channel_arguments=given)).max_request_bytes == largest


def test_a_message_limit_must_be_a_number():
    given = "grpc.max_receive_message_length=all"
    with pytest.raises(SettingsError, match="must be a number of bytes, or -1 for no limit, got 'all'"):
        options.from_flags(Flags(model_base_path="/a", grpc_channel_arguments=given))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", 70_000, "0 to 65,535"),
        ("port", -1, "0 to 65,535"),
        ("rest_api_port", -2, "-1 to 65,535"),
        ("grpc_max_threads", -1, "0 to 10,000"),
        ("file_system_poll_wait_seconds", -1, "0 to 86,400"),
    ],
)
def test_a_number_out_of_range_is_rejected(name, value, expected):
    with pytest.raises(SettingsError, match=f"--{name}={value}: expected {expected}"):
        options.from_flags(Flags(model_base_path="/a", **{name: value}))


@pytest.mark.parametrize("place", ["/models [1]/agnews", "/models*/agnews", "/back\\\\slash"])
def test_a_base_path_with_wildcards_is_rejected(written, place):
    with pytest.raises(SettingsError, match=r"^--model_base_path "):
        options.from_flags(Flags(model_base_path=place))
    text = f'model_config_list {{ config {{ name: "a" base_path: "{place}" model_platform: "tensorflow" }} }}'
    with pytest.raises(SettingsError, match=r": base_path "):
        options.from_flags(Flags(model_config_file=written(text)))
