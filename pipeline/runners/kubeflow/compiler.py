"""Compiles the pipeline to a file for Kubeflow Pipelines, and checks it.

TFX's KubeflowV2DagRunner was made for Vertex AI. Kubeflow Pipelines runs only containers and importers: it has no
resolvers, and no driver before a container. Therefore a separate task finds the data, `DirectoryHistory` reads earlier
runs, and the pods run `pipeline.runners.kubeflow.pod` around TFX's entry point.
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from components.example_gen.sources import DataSource
from pipeline.runners.kubeflow.parameters import runtime_parameters, statistics_directory
from pipeline.runners.kubeflow.specification import (
    Document,
    check,
    declare,
    find_data_first,
    keep_quarantines,
    look_up_anew,
    platform_of,
)
from pipeline.runners.kubeflow.tasks import TRAINER
from pipeline.settings import BeamSettings, KubeflowSettings, Settings
from schema.errors import RunError, SettingsError

POD = ("python3", "-m", "pipeline.runners.kubeflow.pod")


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        name: name of the pipeline.
        version: version of this project, and eight digits of the content's SHA-256, so that it changes with the
            content.
        documents: the pipeline specification and, if pods mount a volume, the platform document.
    """

    name: str
    version: str
    documents: tuple[Document, ...]

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.yaml"

    @property
    def text(self) -> str:
        return yaml.safe_dump_all(self.documents, sort_keys=True)

    def write(self, directory: Path) -> Path:
        """Writes the file, named after pipeline and version, and returns its path.

        Raises:
            SettingsError: the file cannot be written.
        """
        path = directory / self.file_name
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text, encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}; name another directory with --output") from error
        return path


def compile_pipeline(settings: Settings) -> Compiled:
    """Compiles and checks the pipeline.

    Raises:
        SettingsError: a setting is not supported on Kubeflow.
        RunError: kfp is not installed.
    """
    require_kfp()
    _check_settings(settings)
    specification = _specification(settings)
    platform = platform_of(specification, settings.kubeflow)
    check(specification)
    documents = (specification, platform) if platform else (specification,)
    digest = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()[:8]
    return Compiled(settings.pipeline.name, f"{metadata.version('agnews-pipeline')}-{digest}", documents)


def require_kfp() -> None:
    """Checks that Kubeflow's client kfp is installed.

    Raises:
        RunError: kfp is not installed.
    """
    if importlib.util.find_spec("kfp") is None:
        raise RunError("Kubeflow's client kfp is not installed: scripts/setup.sh kubeflow (the extra 'kubeflow')")


def _check_settings(settings: Settings) -> None:
    if settings.promotion.require_approval and not settings.pipeline.enable_cache:
        raise SettingsError(
            "promotion.require_approval needs pipeline.enable_cache on Kubeflow: the run after an approval would train "
            "another model, which nobody approved"
        )
    if settings.data.window > 1:
        raise SettingsError("data.window needs the metadata store, which pods cannot ask: leave it at 1")
    if settings.infra_validator.platform != "process":
        raise SettingsError("infra_validator.platform must be process: TFX cannot compile its own for Kubeflow")
    _check_engine(settings.beam)
    places = {
        "pipeline.root": settings.pipeline.root,
        "data.path": settings.data.path,
        "pusher.destination": settings.pusher.destination,
        "promotion.audit_log": settings.promotion.audit_log,
    }
    mounted = settings.kubeflow.mount_path
    for key, place in places.items():
        if place is not None and "://" not in place and not f"{place}/".startswith(f"{mounted}/"):
            raise SettingsError(
                f"{key} {place} is on the disk of a pod, which ends with it: name a URI or a directory below "
                f"kubeflow.mount_path {mounted} (--profile kubeflow has them all)"
            )
    local = [key for key, place in places.items() if place is not None and "://" not in place]
    if local and settings.kubeflow.volume_claim is None:
        raise SettingsError(
            f"{', '.join(local)} are below kubeflow.mount_path, where nothing is mounted: set kubeflow.volume_claim"
        )


def _check_engine(settings: BeamSettings) -> None:
    """Requires a running job server and worker pool, because a pod cannot start one that Flink or Spark can reach."""
    if settings.runner not in ("flink", "spark"):
        return
    for name, what in (("job_endpoint", "a job server"), ("worker_pool", "the workers next to the cluster's nodes")):
        if getattr(settings, name) is None:
            raise SettingsError(
                f"beam.runner {settings.runner} needs beam.{name} on Kubeflow, the address of {what}: what this "
                "machine would start is not in the pods"
            )


def _specification(settings: Settings) -> Document:
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as kubeflow
    from tfx.orchestration.kubeflow.v2.pipeline_builder import DEFAULT_IMAGE_PATH_KEY

    from pipeline.dag import create_pipeline
    from pipeline.governance.audit_check import audit_log
    from pipeline.runners.kubeflow.history import DirectoryHistory

    destination = settings.pusher.destination
    versions = f"{destination}/{settings.pusher.model_name}"
    log = str(audit_log(settings).path)
    history = DirectoryHistory(versions, statistics_directory(destination), log, settings.pusher.model_name)
    pipeline = create_pipeline(settings, _source(settings), history=history)
    _refuse_resolvers(pipeline.components)
    [trainer] = [component for component in pipeline.components if component.id == TRAINER]
    trainer.with_platform_config(_resources(settings.kubeflow))
    images = {DEFAULT_IMAGE_PATH_KEY: settings.kubeflow.image}
    if settings.kubeflow.trainer_image:
        images[TRAINER] = settings.kubeflow.trainer_image
    config = kubeflow.KubeflowV2DagRunnerConfig(
        default_image=images, default_commands=list(POD), use_pipeline_spec_2_1=True
    )
    job = kubeflow.KubeflowV2DagRunner(config).run(pipeline, write_out=False)
    # Convert to JSON and back, so that numbers are floats, as they are in the parsed protocol buffer.
    specification = json.loads(json.dumps(job["pipelineSpec"]))
    if settings.kubeflow.pipeline_root:
        specification["defaultPipelineRoot"] = settings.kubeflow.pipeline_root
    find_data_first(specification)
    keep_quarantines(specification, f"{settings.pipeline.root}/quarantine")
    for parameter in runtime_parameters(settings):
        declare(specification, parameter)
    look_up_anew(specification)
    return specification


def _refuse_resolvers(components: Iterable[Any]) -> None:
    from tfx.dsl.components.common.resolver import Resolver

    resolvers = [component.id for component in components if isinstance(component, Resolver)]
    if resolvers:
        raise SettingsError(
            f"{', '.join(resolvers)} would look up the metadata store, which Kubeflow's pods cannot ask: switch off "
            "the setting that asks for it"
        )


def _source(settings: Settings) -> DataSource:
    """Returns the data files as the pods see them; they need not exist on this machine."""
    data = settings.data
    return DataSource(data.path or "", data.train_pattern or "train.csv", data.test_pattern or "test.csv", "path")


def _resources(settings: KubeflowSettings) -> Any:
    from kfp.compiler.compiler_utils import _cpu_to_float, _memory_to_float
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig

    resources = PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec()
    # Older backends read the number, newer ones the text; kfp also writes both.
    if settings.cpu:
        resources.resource_cpu_limit, resources.cpu_limit = settings.cpu, _cpu_to_float(settings.cpu)
    if settings.memory:
        resources.resource_memory_limit, resources.memory_limit = settings.memory, _memory_to_float(settings.memory)
    if settings.accelerator:
        accelerator, count = resources.accelerator, settings.accelerator_count
        accelerator.resource_type = accelerator.type = settings.accelerator
        accelerator.resource_count, accelerator.count = str(count), count
    return resources
