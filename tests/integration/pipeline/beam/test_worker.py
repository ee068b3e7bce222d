import sys
from concurrent import futures

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import data_plane, sdk_worker_main
from google.protobuf import text_format

from pipeline.beam import worker as beam_worker
from pipeline.beam.data_plane import DiskQueue


class Engine(beam_provision_api_pb2_grpc.ProvisionServiceServicer):
    def GetProvisionInfo(self, request, context):
        assert dict(context.invocation_metadata())["worker_id"] == "7"
        response = beam_provision_api_pb2.GetProvisionInfoResponse()
        response.info.pipeline_options["job_name"] = "a job"
        response.info.control_endpoint.url = "control:1"
        response.info.logging_endpoint.url = "logging:2"
        response.info.runner_capabilities.extend(["a", "b"])
        return response


def test_it_becomes_beams_worker_with_unsent_output_on_disk(monkeypatch):
    monkeypatch.setattr(data_plane._GrpcDataChannel, "__init__", data_plane._GrpcDataChannel.__init__)
    started = []

    def start(arguments):
        environment = beam_worker.os.environ
        control = text_format.Parse(
            environment["CONTROL_API_SERVICE_DESCRIPTOR"], beam_provision_api_pb2.ProvisionInfo().control_endpoint
        )
        started.append((environment["WORKER_ID"], control.url, environment["RUNNER_CAPABILITIES"]))
        channel = data_plane._GrpcDataChannel()
        channel.close()
        started.append(type(channel._to_send))
        assert '"job_name": "a job"' in environment["PIPELINE_OPTIONS"]

    monkeypatch.setattr(sdk_worker_main, "main", start)
    monkeypatch.setattr(beam_worker.os, "environ", dict(beam_worker.os.environ))
    server = grpc.server(futures.ThreadPoolExecutor(1))
    beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(Engine(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # An engine gives more than is asked for here.
    given = ["--id=7", f"--provision_endpoint=127.0.0.1:{port}", "--control_endpoint=control:1"]
    monkeypatch.setattr(sys, "argv", ["agnews-beam-worker", *given])
    try:
        beam_worker.main()
    finally:
        server.stop(None)
    assert started == [("7", "control:1", "a b"), DiskQueue]
