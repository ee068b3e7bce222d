"""Sets up a channel to a server: credentials, retries, keep-alive."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.client.errors import ClientError
from serving.client.protos import METADATA_METHOD, METHOD, SERVICE

if TYPE_CHECKING:
    import grpc

# gRPC itself retries. Its policy applies to both the synchronous and the asyncio client, keeps the call's deadline,
# respects a server's push-back, and needs no code here, unlike a retry library around the stub. Both methods only
# read, so a retry is safe. Calls to a server at its limit, and calls past their deadline, are not retried. The throttle
# stops retries when most calls fail (gRFC A6).
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": SERVICE, "method": method} for method in (METHOD, METADATA_METHOD)],
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
_MAX_PEM_BYTES = 1 << 20


@dataclass(frozen=True)
class Tls:
    """PEM files of an encrypted connection.

    Attributes:
        root_certificates: trusted certificates; None means gRPC's own list.
        certificate: the client's own certificate, for mutual TLS; requires `private_key`.
        private_key: key of `certificate`.
    """

    root_certificates: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None

    def credentials(self) -> "grpc.ChannelCredentials":
        """Returns gRPC's credentials.

        Raises:
            ClientError: a file cannot be read, or only one of certificate and key is given.
        """
        if (self.certificate is None) != (self.private_key is None):
            raise ClientError("mutual TLS needs both the client's certificate and its private key")
        roots, key, chain = (
            None if path is None else _read(path)
            for path in (self.root_certificates, self.private_key, self.certificate)
        )
        import grpc

        return grpc.ssl_channel_credentials(roots, key, chain)


def channel_options(keep_alive: float | None) -> list[tuple[str, Any]]:
    """Returns the options of a channel.

    Args:
        keep_alive: seconds between pings on an idle connection, so that a firewall does not silently drop it; None
            means no pings. Servers close the connection of a client that pings more often than they allow; the
            default of gRPC, and so of TensorFlow Serving, is 300 s.
    """
    options = [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        # The server sets the limits.
        ("grpc.max_receive_message_length", _UNLIMITED),
        ("grpc.max_send_message_length", _UNLIMITED),
        # A new call reconnects at once: gRPC's own first pause of 1 s is longer than all retries.
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
        with path.open("rb") as file:
            content = file.read(_MAX_PEM_BYTES + 1)
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror}; name a readable PEM file") from error
    if len(content) > _MAX_PEM_BYTES:
        raise ClientError(f"{path}: it has more than {_MAX_PEM_BYTES} bytes; name a PEM file")
    return content
