"""Errors between a client and its server, distinguished by what the caller can do about them."""

import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote

from schema.errors import AgNewsError
from serving.this_machine import is_this_machine

if TYPE_CHECKING:
    import grpc


class ClientError(AgNewsError):
    """Base class of the client's errors."""

    exit_code = 6


class InvalidTextError(ClientError):
    """A text cannot be classified; nothing was sent. `index` is its position in the list, from 0."""

    def __init__(self, index: int, flaw: str):
        super().__init__(f"item {index}: {flaw}; nothing was sent, correct the item or leave it out")
        self.index = index


class UnavailableError(ClientError):
    """No server responds at the address, or the server currently accepts no requests."""


class ModelNotFoundError(ClientError):
    """The server has no such model, version or label."""


class DeadlineError(ClientError):
    """The answers did not arrive in time."""


class RefusedError(ClientError):
    """The server does not accept the request, or its response does not hold classes and probabilities."""


_ADDRESS = re.compile(r"(?:dns:(?:///)?|ipv4:|ipv6:)?(?P<host>\[[^\]]+\]|[^:/\[\]]+):(?P<port>\d+)")
# A connection within this machine is made or refused at once.
_CONNECT_SECONDS = 0.01
_UNKNOWN_LABEL = "version label"  # TensorFlow Serving reports an unknown label as an invalid argument.


def from_rpc(error: "grpc.RpcError", *, address: str, asked: str, timeout: float) -> ClientError:
    """Converts the error of a failed call into the client's error.

    Args:
        error: error of a synchronous or asyncio call.
        address: address of the server.
        asked: model and version in words.
        timeout: limit that the caller gave, seconds.
    """
    import grpc

    # gRPC quotes the brackets of an IPv6 address.
    code, details = error.code(), unquote(error.details() or "")
    match code:
        # At a short deadline gRPC still retries, and does not report what happened.
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED if _is_refused(address):
            return UnavailableError(
                f"nothing listens at {address}: check the address, or start a server there "
                "(`agnews serve` or tensorflow_model_server)"
            )
        case grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(
                f"no answer from {address}: {details}; check the address, and TLS on both sides, "
                "or start a server there (`agnews serve` or tensorflow_model_server)"
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(
                f"{address} did not answer within {timeout:g} s: allow more time, send fewer texts a call, or check "
                "that a server runs there"
            )
        case grpc.StatusCode.NOT_FOUND:
            return ModelNotFoundError(
                f"{address} does not serve {asked}: {details}; `agnews versions list` lists the versions"
            )
        case grpc.StatusCode.INVALID_ARGUMENT if _UNKNOWN_LABEL in details:
            return ModelNotFoundError(
                f"{address} does not know the label asked for ({asked}): {details}; "
                "`agnews versions promote` sets labels, and without --server, servers learn them at their next poll"
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return RefusedError(f"{address} is at a limit: {details}; send smaller batches, or later")
        case _:
            return RefusedError(f"{address} refused a request for {asked}: {code.name}: {details}")


def _is_refused(address: str) -> bool:
    """Returns whether an address is on this machine, and nothing listens there.

    Other machines are not tried: the deadline may have passed, and an event loop may wait. gRPC's own text says why it
    could not connect to them.
    """
    if not is_this_machine(address):
        return False
    try:
        if address.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_CONNECT_SECONDS)
                probe.connect(address.removeprefix("unix:").replace("///", "/", 1))
        elif match := _ADDRESS.fullmatch(address):
            socket.create_connection((match["host"].strip("[]"), int(match["port"])), _CONNECT_SECONDS).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except (OSError, OverflowError):
        return False
    return False
