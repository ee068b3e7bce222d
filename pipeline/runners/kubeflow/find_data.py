"""Finds span, version and fingerprint of the data in the first pod; the next pod ingests this data.

On other orchestrators, TFX's driver does this before the component runs.
"""

import argparse
import json
import sys

from pipeline.runners.kubeflow.pod import ending_with_the_message
from pipeline.runners.kubeflow.tasks import FOUND_DATA, LATEST_SPAN
from schema.errors import DataError


def find(base: str, input_config: str, span: int) -> dict:
    """Finds the files of a span.

    Args:
        base: directory or URI of the data.
        input_config: patterns of the splits, an `Input` of TFX as JSON.
        span: the span; LATEST_SPAN selects the newest.

    Returns:
        `input_config` with the patterns of the span, `span`, `version` if the patterns contain one, and
        `input_fingerprint`.

    Raises:
        DataError: no file matches.
    """
    from tfx.components.example_gen import utils
    from tfx.proto import example_gen_pb2, range_config_pb2
    from tfx.utils import proto_utils

    from components.example_gen.driver import InputProcessor

    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(input_config, config)
    wanted = None
    if span != LATEST_SPAN:
        wanted = range_config_pb2.RangeConfig(static_range={"start_span_number": span, "end_span_number": span})
    try:
        processor = InputProcessor(base, config.splits, wanted)
        number, version = processor.resolve_span_and_version()
    except (DataError, ValueError) as error:  # TFX raises ValueError if the patterns do not match each other.
        raise DataError(
            f"{error}. Correct data_path or span of the run, or the patterns that it was compiled with"
        ) from error
    fingerprint = processor.get_input_fingerprint(number, version)
    for split in config.splits:
        split.pattern = processor.get_pattern_for_span_version(split.pattern, number, version)
    found = {
        "input_config": proto_utils.proto_to_json(config),
        utils.SPAN_PROPERTY_NAME: number,
        utils.FINGERPRINT_PROPERTY_NAME: fingerprint,
    }
    return found if version is None else found | {utils.VERSION_PROPERTY_NAME: version}


def main(argv: list[str]) -> None:
    """Runs the command line of the pod."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json_serialized_invocation_args", required=True)
    arguments = parser.parse_args(argv)

    from google.protobuf import json_format
    from kfp.pipeline_spec.pipeline_spec_pb2 import ExecutorInput, ExecutorOutput
    from tfx.dsl.io import fileio

    executor_input = json_format.Parse(
        arguments.json_serialized_invocation_args, ExecutorInput(), ignore_unknown_fields=True
    )
    parameters = json_format.MessageToDict(executor_input)["inputs"]["parameterValues"]
    found = find(parameters["data_path"], parameters["input_config"], int(parameters["span"]))
    output = ExecutorOutput()
    output.parameter_values[FOUND_DATA].string_value = json.dumps(found)
    place = executor_input.outputs.output_file
    fileio.makedirs(place.rpartition("/")[0])
    with fileio.open(place, "w") as file:
        file.write(json_format.MessageToJson(output))


if __name__ == "__main__":
    with ending_with_the_message():
        main(sys.argv[1:])
