"""Changes of the specification that TFX compiles, into one that Kubeflow Pipelines can run; and its check."""

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
# `components.example_gen.executor` reads it; not imported, since TensorFlow would be as well.
QUARANTINE_ROOT = "quarantine_root"
_FIND_DATA_POD = ("python3", "-m", "pipeline.runners.kubeflow.find_data")


def find_data_first(specification: Document) -> None:
    """A task for what TFX runs as a driver: it finds span, version and fingerprint of the data.

    They are a parameter of the ingesting task, and so part of its cache key: changed files are noticed.
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
    """Bad rows are kept there: what a failed pod leaves on its own disk is lost."""
    ingest = specification["root"]["dag"]["tasks"][EXAMPLE_GEN]["inputs"]["parameters"]
    config = json.loads(ingest["custom_config"]["runtimeValue"]["constant"])
    config["custom_config"]["value"][QUARANTINE_ROOT] = directory
    ingest["custom_config"]["runtimeValue"]["constant"] = json.dumps(config, sort_keys=True)


def declare(specification: Document, parameter: Parameter) -> None:
    """Makes the parameter an input of the run, and of each task that takes it."""
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
    """What looks outside of the run must do so in each one."""
    tasks = specification["root"]["dag"]["tasks"]
    for name in tasks.keys() & {FIND_DATA, PREVIOUS_STATISTICS, KEEPER, BASELINE, GATE}:
        tasks[name].pop("cachingOptions", None)


def platform_of(specification: Document, settings: KubeflowSettings) -> Document | None:
    """The volume, mounted into each pod; None without one."""
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
    """Checks a specification: by its protocol buffer, by kfp's own reader, and for what Kubeflow cannot run.

    Raises:
        ValueError: it is not one that Kubeflow Pipelines takes.
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
