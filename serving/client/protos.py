"""The messages and the stub of PredictionService, without TensorFlow."""

from typing import Any

from serving.client.messages_pb2 import (
    DT_FLOAT,
    DT_STRING,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    TensorProto,
)

__all__ = [
    "DT_FLOAT",
    "DT_STRING",
    "METADATA_METHOD",
    "METHOD",
    "SERVICE",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "ModelSpec",
    "PredictRequest",
    "PredictResponse",
    "PredictionServiceStub",
    "SignatureDefMap",
    "TensorProto",
]

SERVICE = "tensorflow.serving.PredictionService"
METHOD, METADATA_METHOD = "Predict", "GetModelMetadata"


class PredictionServiceStub:
    """Calls `tensorflow.serving.PredictionService` over a synchronous or asyncio channel."""

    def __init__(self, channel: Any):
        self.Predict = channel.unary_unary(
            f"/{SERVICE}/{METHOD}",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )
        self.GetModelMetadata = channel.unary_unary(
            f"/{SERVICE}/{METADATA_METHOD}",
            request_serializer=GetModelMetadataRequest.SerializeToString,
            response_deserializer=GetModelMetadataResponse.FromString,
        )
