"""The process that serves one export over gRPC while it is validated; started as a module, ended by its parent.

It speaks what TensorFlow Serving speaks: PredictionService.Predict and ModelService.GetModelStatus of
tensorflow_serving/apis. Like it, it runs the graph in a session: an export may load in TensorFlow 2 and not there.
It loads the model before it opens its port, and prints the port when it has.
"""

import sys
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

# A text of a megabyte, in a batch, is more than gRPC's own 4 MiB.
MESSAGE_LIMITS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
READY = "ready"


class _Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, saved_model: str):
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            self._signatures = tf.compat.v1.saved_model.load(self._session, ["serve"], saved_model).signature_def

    def Predict(self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext):
        name = request.model_spec.signature_name or "serving_default"
        if name not in self._signatures:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"the model has no signature {name!r}")
        signature = self._signatures[name]
        try:
            feeds = {signature.inputs[key].name: tf.make_ndarray(value) for key, value in request.inputs.items()}
            fetches = {key: tensor.name for key, tensor in signature.outputs.items()}
            outputs = self._session.run(fetches, feeds)
        except (tf.errors.OpError, TypeError, ValueError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response


class _ModelStatus(model_service_pb2_grpc.ModelServiceServicer):
    def GetModelStatus(self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext):
        status = get_model_status_pb2.ModelVersionStatus
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=[status(version=1, state=status.AVAILABLE)]
        )


def main(saved_model: str) -> None:
    """Serves a SavedModel on a free port of the loopback interface until the process is ended."""
    predictions = _Predictions(saved_model)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), options=MESSAGE_LIMITS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(predictions, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelStatus(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(READY, port, flush=True)  # noqa: T201 - the parent waits for this line
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
