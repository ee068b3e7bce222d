"""How a channel to a server is made: credentials, retries, keep-alive."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from serving.client.errors import ClientError

# gRPC itself retries: its policy holds for the synchronous and the asyncio client alike, keeps the call's deadline,
# heeds a server's push-back, and needs no code here, which a retrying library around the stub would. Predict reads
# only, so that a second try is safe. A server at its limit, and a deadline that has passed, are not tried again.
# The throttle stops retries where most calls fail (gRFC A6).
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService", "method": "Predict"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.1},
}
_UNLIMITED = -1


@dataclass(frozen=True)
class Tls:
    """PEM files of an encrypted connection.

    Attributes:
        root_certificates: whom to trust; None: gRPC's own list.
        certificate: the client's own, for mutual TLS, with `private_key`.
        private_key: of `certificate`.
    """

    root_certificates: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises:
        ClientError: a file cannot be read, or one of certificate and key is missing.
        """
        if (self.certificate is None) != (self.private_key is None):
            raise ClientError("mutual TLS needs both the client's certificate and its private key")
        roots, key, chain = (
            None if path is None else _read(path)
            for path in (self.root_certificates, self.private_key, self.certificate)
        )
        return grpc.ssl_channel_credentials(roots, key, chain)


def channel_options(keep_alive: float | None) -> list[tuple[str, Any]]:
    """Options of a channel.

    Args:
        keep_alive: seconds between pings on an idle connection, so that a silent firewall does not end it; None: no
            pings. Servers close the connection of a client that pings more often than they allow, gRPC's own and so
            TensorFlow Serving's default is 300 s.
    """
    options = [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        # The server sets the limits.
        ("grpc.max_receive_message_length", _UNLIMITED),
        ("grpc.max_send_message_length", _UNLIMITED),
        # A connection is tried again as soon as a call is: gRPC's own first pause of 1 s outlasts the retries.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if keep_alive is not None:
        options += [
            ("grpc.keepalive_time_ms", round(keep_alive * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
    return options


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror}; name a readable PEM file") from error
