"""Converts the section `beam` of the settings to Beam's options."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from pipeline.settings import BeamSettings
from schema.errors import SettingsError

JOB_SERVERS = Path(__file__).parents[2] / ".job_servers"
"""Directory where `make job-server-flink` and `make job-server-spark` write the job servers, one folder per engine."""

# Packages that the serializers of both engines access, and that Java 17 closes by default.
_OPENED_PACKAGES = (
    *("java.base/java.lang", "java.base/java.lang.invoke", "java.base/java.net", "java.base/java.nio"),
    *("java.base/java.util", "java.base/java.util.concurrent", "java.base/sun.nio.ch", "java.base/sun.util.calendar"),
)
# Keeps a worker for the next stage of the same pipeline, because it takes about ten seconds to import TensorFlow.
_KEPT_WORKERS = "--environment_cache_millis=60000"
# Stops TFX from packing a copy of itself for the workers, which leaves 45 MB in the temporary directory per component
# and run. The workers use this installation, and no container is started.
_NOTHING_TO_STAGE = "--sdk_container_image=none"


def beam_arguments(settings: BeamSettings) -> list[str]:
    """Returns Beam's options for the settings; `settings.args` come last, because Beam uses an option's last value.

    Raises:
        SettingsError: the job server has not been built.
    """
    preset = {"direct": _direct, "flink": _flink, "spark": _spark, "dataflow": _dataflow}[settings.runner]
    return [*preset(settings), *settings.args]


def _direct(settings: BeamSettings) -> list[str]:
    mode = "in_memory" if settings.workers == 1 else "multi_processing"
    return [
        "--runner=DirectRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={settings.workers}",
        # Otherwise Beam downloads Prism, a runner in Go, from GitHub if it can, and uses it instead of the runner that
        # is tested here. Compatibility with the installed version has no other effect.
        f"--update_compatibility_version={version('apache-beam')}",
        _NOTHING_TO_STAGE,
    ]


def _flink(settings: BeamSettings) -> list[str]:
    return [
        "--runner=pipeline.beam.job_servers.FlinkRunner",
        f"--flink_master={settings.master or '[local]'}",
        f"--parallelism={settings.workers}",
        *_portable(settings, "--flink_job_server_jar"),
    ]


def _spark(settings: BeamSettings) -> list[str]:
    return [
        "--runner=pipeline.beam.job_servers.SparkRunner",
        f"--spark_master_url={settings.master or f'local[{settings.workers}]'}",
        *_portable(settings, "--spark_job_server_jar"),
    ]


def _portable(settings: BeamSettings, jar_option: str) -> list[str]:
    """Returns the options for the job server and the Python workers of a Java engine."""
    workers = [*_python_workers(settings), _NOTHING_TO_STAGE]
    if settings.job_endpoint:
        return [*workers, f"--job_endpoint={settings.job_endpoint}"]
    opened = [f"--job_server_jvm_properties=--add-opens={package}=ALL-UNNAMED" for package in _OPENED_PACKAGES]
    return [*workers, f"{jar_option}={_job_server_jar(settings)}", *opened]


def _python_workers(settings: BeamSettings) -> list[str]:
    if settings.worker_pool:
        return ["--environment_type=EXTERNAL", f"--environment_config={settings.worker_pool}", _KEPT_WORKERS]
    if settings.workers == 1 and settings.master is None:
        return ["--environment_type=LOOPBACK"]
    command = str(Path(sys.executable).with_name("agnews-beam-worker"))
    # A node of a cluster runs one task at a time; an engine inside the job server runs all of them.
    processes = 1 if settings.master else settings.workers
    return [
        "--environment_type=PROCESS",
        f"--environment_config={json.dumps({'command': command})}",
        f"--sdk_worker_parallelism={processes}",
        _KEPT_WORKERS,
    ]


def _job_server_jar(settings: BeamSettings) -> Path:
    jar = settings.job_server or JOB_SERVERS / settings.runner / "job-server.jar"
    if not jar.exists():
        raise SettingsError(
            f"beam.runner {settings.runner} needs its job server, and {jar} is not there: run `make job-server-"
            f"{settings.runner}`, or name one in beam.job_server, or the address of a running one in beam.job_endpoint"
        )
    return jar


def _dataflow(settings: BeamSettings) -> list[str]:
    return [
        "--runner=DataflowRunner",
        f"--project={settings.project}",
        f"--region={settings.region}",
        f"--temp_location={settings.temp_location}",
        f"--max_num_workers={settings.workers}",
        # The image contains the package and its locked dependencies: nothing is staged, and all workers run one code.
        "--experiments=use_runner_v2",
        f"--sdk_container_image={settings.image}",
        "--sdk_location=container",
    ]
