"""Checks the files and flags for TensorFlow Serving with the official messages and the local server."""

import inspect
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from pipeline.cli.versions import promote
from pipeline.settings import InfraValidatorSettings, PusherSettings
from schema.errors import SettingsError
from serving.client import Client
from serving.promotion import Served
from serving.promotion.config import served_of
from serving.server.config import BatchingParameters, MonitoringConfig, read
from serving.server.flags import Flags
from serving.server.flags import server_flags as flags_of


@pytest.fixture(scope="module")
def batching(deploy):
    return read(str(deploy / "config/batching_parameters.txt"), BatchingParameters)


def test_models_config_serves_the_newest_version(deploy):
    text = (deploy / "config/models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    [model] = config.model_config_list.config
    assert model.name == PusherSettings().model_name
    assert Path(model.base_path) == Path("/models") / model.name
    assert served_of(config, model.name, [1, 2]) == Served(frozenset({2}), {})


def test_the_largest_batch_of_a_client_fits(batching):
    assert batching.max_batch_size.value >= inspect.signature(Client.__init__).parameters["max_batch"].default


def test_there_is_one_batch_thread_per_core(batching, compose, manifests):
    threads = batching.num_batch_threads.value
    [container] = manifests["Deployment", "tf-serving"]["spec"]["template"]["spec"]["containers"]
    assert threads == compose["services"]["tf-serving"]["cpus"] == int(container["resources"]["limits"]["cpu"])
    for flag in ("intra", "inter"):
        assert f"--tensorflow_{flag}_op_parallelism={threads}" in container["args"]


def test_a_misspelt_batching_parameter_is_found(tmp_path):
    (tmp_path / "batching.txt").write_text("max_batchsize { value: 32 }")
    with pytest.raises(SettingsError, match="max_batchsize"):
        read(str(tmp_path / "batching.txt"), BatchingParameters)


def test_metrics_are_enabled_at_the_path_that_prometheus_scrapes(deploy):
    monitoring = read(str(deploy / "config/monitoring.config"), MonitoringConfig).prometheus_config
    assert monitoring.enable
    assert monitoring.path in (deploy / "prometheus/prometheus.yml").read_text()


@pytest.mark.parametrize("place", ["compose", "kubernetes"])
def test_the_server_accepts_all_flags(server_flags, place):
    read_flags = []
    command = click.command()(flags_of(read_flags.append))
    ended = CliRunner().invoke(command, server_flags[place])
    assert ended.exit_code == 0, ended.output
    [flags] = read_flags
    assert isinstance(flags, Flags)
    # Without this flag a server rejects a configuration with labels when it starts.
    assert flags.allow_version_labels_for_unavailable_models
    assert flags.enable_batching
    assert CliRunner().invoke(command, [*server_flags[place], "--enable_batchin=true"]).exit_code == 2


def test_compose_and_kubernetes_start_the_same_server(server_flags):
    assert server_flags["compose"] == server_flags["kubernetes"]


def test_promotions_wait_longer_than_the_poll_interval(server_flags):
    [polled] = [flag for flag in server_flags["compose"] if flag.startswith("--model_config_file_poll_wait_seconds=")]
    [option] = [option for option in promote.params if option.name == "poll_seconds"]
    assert option.default > int(polled.partition("=")[2])


def test_the_image_is_that_of_infra_validator(compose, manifests):
    pod = manifests["Deployment", "tf-serving"]["spec"]["template"]["spec"]
    images = {container["image"] for container in [*pod["containers"], *pod["initContainers"]]}
    assert images == {compose["services"]["tf-serving"]["image"]} == {InfraValidatorSettings().serving_image}
