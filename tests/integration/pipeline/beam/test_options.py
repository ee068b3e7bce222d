import json
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.testing.util import assert_that, equal_to
from pydantic import ValidationError
from tfx.utils.dependency_utils import make_beam_dependency_flags

from pipeline.beam.options import beam_arguments
from pipeline.settings import BeamSettings
from schema.errors import SettingsError
from tests.support import direct_runner

DATAFLOW = {"project": "a-project", "region": "europe-west1", "temp_location": "gs://a-bucket/temp", "image": "i:1"}
# How an engine finds the Python of its workers.
PYTHONS = ({}, {"workers": 2}, {"master": "a:1"}, {"worker_pool": "a:1"})


@pytest.fixture
def jar(tmp_path):
    jar = tmp_path / "job-server.jar"
    jar.touch()
    return jar


def parsed(**settings):
    """The options as Beam understands them; an unknown one is an error."""
    options = PipelineOptions(beam_arguments(BeamSettings(**settings)), allow_unknown_options=False)
    return options.get_all_options(drop_default=False)


def test_the_default_is_this_process():
    options = parsed()
    assert (options["direct_running_mode"], options["direct_num_workers"]) == ("in_memory", 1)


def test_the_default_does_not_fetch_another_runner(monkeypatch):
    asked = []
    monkeypatch.setattr(PrismRunner, "run_pipeline", lambda *arguments: asked.append(arguments))
    with beam.Pipeline(argv=direct_runner.options()) as pipeline:
        counted = pipeline | beam.Create(["a", "b"]) | beam.combiners.Count.Globally()
        assert_that(counted, equal_to([2]))
    assert asked == []


@pytest.mark.parametrize(
    "settings",
    [{}, {"workers": 2}, *({"runner": runner} | more for runner in ("flink", "spark") for more in PYTHONS)],
    ids=lambda settings: " ".join(map(str, settings.values())) or "default",
)
def test_nothing_is_packed_for_workers_that_have_the_installation(settings, jar):
    """TFX would leave 45 MB in the temporary directory for each component of each run."""
    if "runner" in settings:
        settings |= {"job_server": jar}
    arguments = beam_arguments(BeamSettings(**settings))
    assert make_beam_dependency_flags(arguments) == arguments


def test_more_workers_of_the_direct_runner_are_processes():
    options = parsed(workers=3)
    assert (options["direct_running_mode"], options["direct_num_workers"]) == ("multi_processing", 3)


def test_flink_alone_works_in_the_runs_process(jar):
    options = parsed(runner="flink", job_server=jar)
    assert options["flink_master"] == "[local]"
    assert options["environment_type"] == "LOOPBACK"
    assert options["flink_job_server_jar"] == str(jar)


@pytest.mark.parametrize("runner", ["flink", "spark"])
def test_more_workers_of_an_engine_alone_are_processes_of_this_installation(jar, runner):
    options = parsed(runner=runner, job_server=jar, workers=2)
    assert options["environment_type"] == "PROCESS"
    assert options["sdk_worker_parallelism"] == "2"
    command = Path(json.loads(options["environment_config"])["command"])
    assert (command.parent, command.exists()) == (Path(sys.executable).parent, True)


def test_spark_alone_has_as_many_threads_as_workers(jar):
    assert parsed(runner="spark", job_server=jar, workers=2)["spark_master_url"] == "local[2]"


def test_a_node_of_a_cluster_finds_its_python_in_its_own_pool(jar):
    options = parsed(runner="flink", job_server=jar, master="jobmanager:8081", worker_pool="localhost:50000", workers=4)
    assert (options["flink_master"], options["parallelism"]) == ("jobmanager:8081", 4)
    assert (options["environment_type"], options["environment_config"]) == ("EXTERNAL", "localhost:50000")


def test_a_running_job_server_needs_no_jar():
    options = parsed(runner="flink", job_endpoint="jobs:8099")
    assert (options["job_endpoint"], options["flink_job_server_jar"]) == ("jobs:8099", None)


def test_a_missing_job_server_is_an_error_that_names_the_command(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.jar is not there: run `make job-server-spark`"):
        beam_arguments(BeamSettings(runner="spark", job_server=tmp_path / "none.jar"))


def test_dataflows_workers_are_the_image_and_nothing_is_staged():
    options = parsed(runner="dataflow", workers=7, **DATAFLOW)
    assert (options["project"], options["region"], options["temp_location"]) == tuple(DATAFLOW.values())[:3]
    assert (options["sdk_container_image"], options["sdk_location"]) == (DATAFLOW["image"], "container")
    assert options["max_num_workers"] == 7


@pytest.mark.parametrize("name", DATAFLOW)
def test_dataflow_lacks_nothing(name):
    with pytest.raises(ValidationError, match=f"runner dataflow needs {name}"):
        BeamSettings(runner="dataflow", **{key: value for key, value in DATAFLOW.items() if key != name})


def test_a_setting_of_another_engine_is_an_error_and_not_ignored():
    with pytest.raises(ValidationError, match="master is for runner flink or spark, not direct"):
        BeamSettings(master="jobmanager:8081")


def test_args_win_over_the_preset():
    options = parsed(workers=2, args=("--direct_running_mode=multi_threading",))
    assert (options["direct_running_mode"], options["direct_num_workers"]) == ("multi_threading", 2)
