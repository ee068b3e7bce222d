"""What the pods run: TFX's own entry point, and around it what Kubeflow Pipelines does otherwise than Vertex AI.

- An artifact has no name before it is made, and later one that says nothing of its type. TFX hashes the name into the
  id and imports the class that the type names, so both are set: the name is the URI, which no two artifacts share, and
  the type is the declared one.
- Artifacts of an object store that TFX has no file system for are read and written on the pod's disk, from where
  Kubeflow's launcher copies them.
- An input that does not exist (`components.earlier_runs.ABSENT`) is left out.
- Runtime parameters go where their templates say.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.runners.kubeflow.tasks import FOUND_DATA
from pipeline.runners.logs import FieldsFormatter
from schema.errors import AgNewsError, DataError
from schema.files import deny_others_writing
from serving.this_machine import exempt_from_proxies

# Where Kubeflow's launcher keeps the files of a store: backend/src/v2/component/launcher_v2.go of kubeflow/pipelines.
# gs:// has none here: TFX and Beam read and write it themselves, on the workers of a cluster, too.
MIRRORS = {"minio://": "/minio/", "s3://": "/s3/"}
# Kubeflow knows our artifact types by title, TFX needs the class.
ARTIFACT_TYPES = {
    "agnews.ValidationBlessing": "components.validation_gate.component.ValidationBlessing",
    "agnews.ModelCard": "components.model_card.component.ModelCard",
    "agnews.Approval": "components.approval.component.Approval",
}


def fill(parameters: Mapping[str, Any], templates: list[str]) -> dict[str, Any]:
    """Puts runtime parameters where they belong.

    Args:
        parameters: of the task, by name; runtime parameters among them.
        templates: `place=template` each. A place is the name of an execution property or, after dots, keys of the JSON
            in it; a template is `{parameter}`, or a text around it.

    Returns:
        The execution properties alone.
    """
    properties, used = dict(parameters), set()
    for assignment in templates:
        place, _, template = assignment.partition("=")
        name, *keys = place.split(".")
        [parameter] = [one for one in parameters if f"{{{one}}}" in template]
        value = parameters[parameter]
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # Protocol buffers know no whole numbers in JSON; no parameter of ours is a fraction.
        if template != f"{{{parameter}}}":
            value = template.replace(f"{{{parameter}}}", str(value))
        used.add(parameter)
        properties[name] = _with(properties[name], keys, value) if keys else value
    return {name: value for name, value in properties.items() if name not in used}


def _with(document: str, keys: list[str], value: Any) -> str:
    tree = json.loads(document)
    branch = tree
    for key in keys[:-1]:
        branch = branch[key]
    if keys[-1] not in branch:
        raise KeyError(f"{'.'.join(keys)} is not in {document}")
    branch[keys[-1]] = value
    return json.dumps(tree)


def local_place(uri: str) -> str:
    """Where the artifact is on the pod's disk; the URI itself where TFX can read it."""
    for scheme, directory in MIRRORS.items():
        if uri.startswith(scheme):
            return directory + uri.removeprefix(scheme)
    return uri


def prepare(invocation: Mapping[str, Any], declared: Mapping[str, Any], templates: list[str]) -> dict[str, Any]:
    """What TFX's entry point is to be given instead of what Kubeflow gives.

    Args:
        invocation: an `ExecutorInput` as a dictionary.
        declared: the inputs that the component declares, a `ComponentInputsSpec` as a dictionary.
        templates: see `fill`.
    """
    inputs, outputs = dict(invocation.get("inputs", {})), dict(invocation["outputs"])
    types = {name: artifact["artifactType"] for name, artifact in declared.get("artifacts", {}).items()}
    inputs["artifacts"] = {
        name: _readable(artifacts, types[name])
        for name, artifacts in inputs.get("artifacts", {}).items()
        if not _absent(artifacts)
    }
    outputs["artifacts"] = {name: _readable(artifacts) for name, artifacts in outputs.get("artifacts", {}).items()}
    parameters = fill(inputs.get("parameterValues", {}), templates)
    if found := json.loads(parameters.pop(FOUND_DATA, "null")):
        parameters |= found
        [examples] = outputs["artifacts"]["examples"]["artifacts"]
        examples["metadata"] = examples.get("metadata", {}) | _metadata(found)
    inputs["parameterValues"] = parameters
    return {**invocation, "inputs": inputs, "outputs": outputs}


def _absent(artifacts: Mapping[str, Any]) -> bool:
    return any(artifact.get("metadata", {}).get("absent") for artifact in artifacts["artifacts"])


def _readable(artifacts: Mapping[str, Any], kind: Mapping[str, Any] | None = None) -> dict[str, Any]:
    changed = [
        {**artifact, "name": artifact["uri"], "uri": local_place(artifact["uri"]), "type": kind or artifact["type"]}
        for artifact in artifacts["artifacts"]
    ]
    return {"artifacts": changed}


def _metadata(found: Mapping[str, Any]) -> dict[str, Any]:
    """What TFX's driver writes into the properties of the ingested examples."""
    from tfx.types.artifact import CUSTOM_PROPERTIES_PREFIX

    facts = {name: value for name, value in found.items() if name != "input_config"}
    # These are properties that the type declares as well; the driver sets those that it does not.
    own = {f"{CUSTOM_PROPERTIES_PREFIX}{name}": facts[name] for name in ("span", "version") if name in facts}
    return facts | own


def restore(output: Mapping[str, Any], invocation: Mapping[str, Any]) -> dict[str, Any]:
    """An `ExecutorOutput` with the URIs that Kubeflow gave, as a dictionary."""
    given = invocation["outputs"].get("artifacts", {})
    artifacts = {
        name: {
            "artifacts": [
                {**artifact, "uri": original["uri"]}
                for artifact, original in zip(made["artifacts"], given[name]["artifacts"], strict=True)
            ]
        }
        for name, made in output.get("artifacts", {}).items()
    }
    return {**output, "artifacts": artifacts}


def main(argv: list[str]) -> None:
    """Runs a component's executor as the compiled command line says."""
    exempt_from_proxies()
    parser = argparse.ArgumentParser()
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    parser.add_argument("--fill", action="append", default=[])
    arguments, beam_arguments = parser.parse_known_args(argv)
    invocation = json.loads(arguments.json_serialized_invocation_args)
    declared = json.loads(arguments.json_serialized_inputs_spec_args)

    from tfx.dsl.io import fileio
    from tfx.orchestration.kubeflow.v2 import compiler_utils
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    compiler_utils.TITLE_TO_CLASS_PATH.update(ARTIFACT_TYPES)
    prepared = prepare(invocation, declared, arguments.fill)
    # TFX's own launchers make them before a component runs, and components count on it.
    for artifacts in prepared["outputs"]["artifacts"].values():
        for artifact in artifacts["artifacts"]:
            fileio.makedirs(artifact["uri"])
    arguments.json_serialized_invocation_args = json.dumps(prepared)
    kubeflow_v2_run_executor.main((arguments, beam_arguments))
    place = invocation["outputs"]["outputFile"]
    with fileio.open(place, "r") as file:
        output = restore(json.load(file), invocation)
    with fileio.open(place, "w") as file:
        json.dump(output, file)


@contextmanager
def ending_with_the_message() -> Iterator[None]:
    """Logs events with their fields; ends the process with a user error's message and status, without a trace.

    Files that the pod makes from here on are not writable for other users.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(FieldsFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    deny_others_writing()
    try:
        yield
    except AgNewsError as error:
        logging.getLogger(__name__).error(str(error))
        # Kubeflow knows no pod that ended well and left nothing (NothingToTrain, 0): the next one would miss its input.
        sys.exit(error.exit_code or DataError.exit_code)


if __name__ == "__main__":
    with ending_with_the_message():
        main(sys.argv[1:])
