"""Runs TFX's entry point in a pod, and handles the differences between Kubeflow Pipelines and Vertex AI.

- An artifact has no name before it exists, and later has a name without its type. TFX hashes the name into the id and
  imports the class in the type. Therefore both are set: the name to the unique URI, and the type to the declared one.
- If TFX has no file system for an object store, artifacts are read and written on the pod's disk, and Kubeflow's
  launcher copies them.
- An input that does not exist (`components.earlier_runs.ABSENT`) is removed.
- Runtime parameters are inserted where their templates say.
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

# Directories in which Kubeflow's launcher stores the files of an object store: see
# backend/src/v2/component/launcher_v2.go of kubeflow/pipelines. gs:// has no entry: TFX and Beam access it directly,
# also on the workers of a cluster.
MIRRORS = {"minio://": "/minio/", "s3://": "/s3/"}
# Kubeflow identifies our artifact types by title, but TFX needs the class.
ARTIFACT_TYPES = {
    "agnews.ValidationBlessing": "components.validation_gate.component.ValidationBlessing",
    "agnews.ModelCard": "components.model_card.component.ModelCard",
    "agnews.Approval": "components.approval.component.Approval",
}


def fill(parameters: Mapping[str, Any], templates: list[str]) -> dict[str, Any]:
    """Inserts the values of runtime parameters into execution properties.

    Args:
        parameters: parameters of the task by name, including runtime parameters.
        templates: list of `place=template`. A place is the name of an execution property, optionally followed by dots
            and keys of its JSON; a template is `{parameter}`, or text that contains it.

    Returns:
        The execution properties, without runtime parameters.
    """
    properties, used = dict(parameters), set()
    for assignment in templates:
        place, _, template = assignment.partition("=")
        name, *keys = place.split(".")
        [parameter] = [one for one in parameters if f"{{{one}}}" in template]
        value = parameters[parameter]
        if isinstance(value, float) and value.is_integer():
            value = int(
                value
            )  # Protocol buffers convert JSON integers to floats; none of our parameters has a fraction.
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
    """Returns the path of an artifact on the pod's disk, or the URI if TFX can read it."""
    for scheme, directory in MIRRORS.items():
        if uri.startswith(scheme):
            return directory + uri.removeprefix(scheme)
    return uri


def prepare(invocation: Mapping[str, Any], declared: Mapping[str, Any], templates: list[str]) -> dict[str, Any]:
    """Converts the input that Kubeflow passes into one that TFX's entry point accepts.

    Args:
        invocation: an `ExecutorInput` as a dictionary.
        declared: declared inputs of the component, a `ComponentInputsSpec` as a dictionary.
        templates: see `fill`.

    Returns:
        The new `ExecutorInput` as a dictionary.
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
    """Returns the properties that TFX's driver sets on the ingested examples."""
    from tfx.types.artifact import CUSTOM_PROPERTIES_PREFIX

    facts = {name: value for name, value in found.items() if name != "input_config"}
    # The type also declares these names; the driver sets them as custom properties.
    own = {f"{CUSTOM_PROPERTIES_PREFIX}{name}": facts[name] for name in ("span", "version") if name in facts}
    return facts | own


def restore(output: Mapping[str, Any], invocation: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an `ExecutorOutput` as a dictionary, with the URIs that Kubeflow passed."""
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
    """Runs a component's executor with the arguments of the compiled command line."""
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
    # TFX's own launchers create these directories before a component runs, and components rely on them.
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
    """Logs events with their fields, and exits with the message and status of a user error, without a stack trace.

    Other users cannot write to files that the pod creates in the `with` block and later.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(FieldsFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    deny_others_writing()
    try:
        yield
    except AgNewsError as error:
        logging.getLogger(__name__).error(str(error))
        # NothingToTrain has exit status 0, but Kubeflow would then start the next pod, whose input does not exist.
        sys.exit(error.exit_code or DataError.exit_code)


if __name__ == "__main__":
    with ending_with_the_message():
        main(sys.argv[1:])
