"""The messages and the stub of PredictionService, without TensorFlow."""

from typing import Any

from serving.client.messages_pb2 import DT_FLOAT, DT_STRING, PredictRequest, PredictResponse, TensorProto

__all__ = [
    "DT_FLOAT",
    "DT_STRING",
    "METHOD",
    "SERVICE",
    "PredictRequest",
    "PredictResponse",
    "PredictionServiceStub",
    "TensorProto",
]

SERVICE = "tensorflow.serving.PredictionService"
METHOD = "Predict"


class PredictionServiceStub:
    """Calls `tensorflow.serving.PredictionService` over a synchronous or asyncio channel."""

    def __init__(self, channel: Any):
        self.Predict = channel.unary_unary(
            f"/{SERVICE}/{METHOD}",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )
