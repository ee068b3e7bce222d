"""Changes the specification that TFX compiles into one that Kubeflow Pipelines can run, and checks it."""

import json
from typing import Any

import yaml

from pipeline.runners.kubeflow.parameters import Parameter
from pipeline.runners.kubeflow.tasks import (
    BASELINE,
    EXAMPLE_GEN,
    FIND_DATA,
    FOUND_DATA,
    GATE,
    KEEPER,
    PREVIOUS_STATISTICS,
)
from pipeline.settings import KubeflowSettings

Document = dict[str, Any]
# `components.example_gen.executor` reads it; an import would also import TensorFlow.
QUARANTINE_ROOT = "quarantine_root"
_FIND_DATA_POD = ("python3", "-m", "pipeline.runners.kubeflow.find_data")


def find_data_first(specification: Document) -> None:
    """Adds a task that finds span, version and fingerprint of the data, which TFX's driver does elsewhere.

    The task's output is a parameter of the ingesting task, and so part of the cache key: changed files are ingested.
    """
    components, tasks = specification["components"], specification["root"]["dag"]["tasks"]
    executors = specification["deploymentSpec"]["executors"]
    ingest = tasks[EXAMPLE_GEN]["inputs"]["parameters"]
    ingest.pop("range_config", None)
    container = executors[components[EXAMPLE_GEN]["executorLabel"]]["container"]
    container.pop("lifecycle")
    label = f"{FIND_DATA}_executor"
    arguments = ["--json_serialized_invocation_args", "{{$}}"]
    executors[label] = {"container": {"image": container["image"], "command": list(_FIND_DATA_POD), "args": arguments}}
    components[FIND_DATA] = {
        "executorLabel": label,
        "inputDefinitions": {"parameters": {"input_config": {"parameterType": "STRING"}}},
        "outputDefinitions": {"parameters": {FOUND_DATA: {"parameterType": "STRING"}}},
    }
    tasks[FIND_DATA] = {
        "taskInfo": {"name": FIND_DATA},
        "componentRef": {"name": FIND_DATA},
        "inputs": {"parameters": {"input_config": ingest["input_config"]}},
    }
    components[EXAMPLE_GEN]["inputDefinitions"]["parameters"].pop("range_config", None)
    components[EXAMPLE_GEN]["inputDefinitions"]["parameters"][FOUND_DATA] = {"parameterType": "STRING"}
    ingest[FOUND_DATA] = {"taskOutputParameter": {"producerTask": FIND_DATA, "outputParameterKey": FOUND_DATA}}
    tasks[EXAMPLE_GEN]["dependentTasks"] = [FIND_DATA]


def keep_quarantines(specification: Document, directory: str) -> None:
    """Sets the directory for bad rows, because the files on the disk of a failed pod are lost."""
    ingest = specification["root"]["dag"]["tasks"][EXAMPLE_GEN]["inputs"]["parameters"]
    config = json.loads(ingest["custom_config"]["runtimeValue"]["constant"])
    config["custom_config"]["value"][QUARANTINE_ROOT] = directory
    ingest["custom_config"]["runtimeValue"]["constant"] = json.dumps(config, sort_keys=True)


def declare(specification: Document, parameter: Parameter) -> None:
    """Declares a parameter as an input of the run, and of each task that uses it."""
    declared: Document = {"parameterType": parameter.kind, "description": parameter.description}
    if parameter.default is not None:
        number = parameter.kind == "NUMBER_INTEGER"
        declared["defaultValue"] = float(parameter.default) if number else parameter.default
    inputs = specification["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
    inputs[parameter.name] = declared
    for task, fills in parameter.tasks.items():
        component = specification["components"][task]
        container = specification["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        component["inputDefinitions"]["parameters"][parameter.name] = {"parameterType": parameter.kind}
        specification["root"]["dag"]["tasks"][task]["inputs"]["parameters"][parameter.name] = {
            "componentInputParameter": parameter.name
        }
        container["args"] += [argument for fill in fills for argument in ("--fill", fill)]


def look_up_anew(specification: Document) -> None:
    """Disables the cache of tasks that read data from outside the run, so that they run each time."""
    tasks = specification["root"]["dag"]["tasks"]
    for name in tasks.keys() & {FIND_DATA, PREVIOUS_STATISTICS, KEEPER, BASELINE, GATE}:
        tasks[name].pop("cachingOptions", None)


def platform_of(specification: Document, settings: KubeflowSettings) -> Document | None:
    """Returns the platform document that mounts the volume into each pod, or None if there is no volume."""
    if settings.volume_claim is None:
        return None
    from google.protobuf import json_format
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

    config = KubernetesExecutorConfig()
    mount = config.pvc_mount.add(mount_path=settings.mount_path, constant=settings.volume_claim)
    mount.pvc_name_parameter.runtime_value.constant.string_value = settings.volume_claim
    executors = {
        label: json_format.MessageToDict(config) for label in sorted(specification["deploymentSpec"]["executors"])
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def check(specification: Document) -> None:
    """Checks a specification with its protocol buffer and kfp's reader, and for features that Kubeflow cannot run.

    Raises:
        ValueError: Kubeflow Pipelines does not accept the specification.
    """
    from google.protobuf import json_format
    from kfp.components import load_component_from_text
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

    message = json_format.ParseDict(specification, PipelineSpec())
    if json_format.MessageToDict(message) != specification:
        raise ValueError("the specification holds what its protocol buffer does not")
    load_component_from_text(yaml.safe_dump(specification))
    for label, executor in specification["deploymentSpec"]["executors"].items():
        if set(executor) != {"container"} or "lifecycle" in executor["container"]:
            raise ValueError(f"{label} is more than a container, which Kubeflow Pipelines cannot run")
