"""`agnews-beam-worker`: the Python worker of a node, which Beam's engines start (--environment_type=PROCESS).

Beam's own launcher, a Go program, is only in its container images. This one is sufficient if the package is already
installed: it requests addresses and options from the engine, and starts Beam's worker. The protocol is Beam's container
contract (beam/model/fn-execution/…/beam_provision_api.proto).
"""

import argparse
import os

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

from pipeline.beam.data_plane import keep_unsent_output_on_disk
from serving.this_machine import exempt_from_proxies


def main() -> None:
    """Runs the worker until the engine closes the connection."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    arguments, _ = parser.parse_known_args()
    # Beam opens its own connections to the engine without options.
    exempt_from_proxies()
    with grpc.insecure_channel(arguments.provision_endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = service.GetProvisionInfo(request, metadata=[("worker_id", arguments.id)]).info
    os.environ |= {
        "WORKER_ID": arguments.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    keep_unsent_output_on_disk()
    sdk_worker_main.main([])
