"""A model service that answers by a script, for tests of what a client does with the answers."""

import contextlib
from concurrent import futures

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

_Status = get_model_status_pb2.ModelVersionStatus


class ScriptedModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Answers GetModelStatus with one state after another, and repeats the last one."""

    def __init__(self):
        self.states = []
        self.reload_error = None
        self.configs = []

    def GetModelStatus(self, request, context):
        if not self.states:
            context.abort(grpc.StatusCode.NOT_FOUND, "Could not find any versions of model agnews")
        state, error = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        status = _Status(version=7, state=state)
        status.status.error_message = error
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[status])

    def HandleReloadConfigRequest(self, request, context):
        self.configs.append(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        if self.reload_error == "in the answer":
            response.status.error_code = 9
            response.status.error_message = "not\nnow"
        elif self.reload_error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.reload_error)
        return response


@contextlib.contextmanager
def serve_model_service(scripted, credentials=None):
    """Returns the address of a server that answers by a script, with TLS if there are credentials."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(scripted, server)
    free = "127.0.0.1:0"
    port = server.add_secure_port(free, credentials) if credentials else server.add_insecure_port(free)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
