"""A typed client of TensorFlow Serving and of the local server, for synchronous and asyncio code.

It calls `tensorflow.serving.PredictionService` over gRPC and needs only TensorFlow's messages at run time, not
TensorFlow itself.
"""

from schema.news_items import Classification, NewsItem
from serving.client.canary import CANARY, STABLE, Canary
from serving.client.client import AsyncClient, Client
from serving.client.connection import Tls
from serving.client.errors import (
    ClientError,
    DeadlineError,
    InvalidTextError,
    ModelNotFoundError,
    RefusedError,
    UnavailableError,
)
from serving.client.shadow import Shadow
from serving.client.tracing import Tracing

__all__ = [
    "CANARY",
    "STABLE",
    "AsyncClient",
    "Canary",
    "Classification",
    "Client",
    "ClientError",
    "DeadlineError",
    "InvalidTextError",
    "ModelNotFoundError",
    "NewsItem",
    "RefusedError",
    "Shadow",
    "Tls",
    "Tracing",
    "UnavailableError",
]
