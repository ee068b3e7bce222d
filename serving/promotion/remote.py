"""Sends a new model config to a running server, and waits until the server serves it.

Source of the protocol: tensorflow/serving, tensorflow_serving/apis/model_service.proto.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass

import grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.client.connection import Tls
from serving.promotion.errors import PromotionError
from serving.tensorflow_messages import GetModelStatusRequest, ModelServiceStub, ModelVersionStatus, ReloadConfigRequest
from serving.this_machine import proxy_options

_ASK_AGAIN_SECONDS = 0.1
# A server polls its directories once a second; until then it may report the end of an earlier try.
_LOOKS_SECONDS = 3.0


@dataclass(frozen=True)
class ServerVersionState:
    """The state of a version on a server.

    Attributes:
        name: START, LOADING, AVAILABLE, UNLOADING or END.
        error: why the version is not available; empty if there is no error.
    """

    name: str
    error: str


_UNKNOWN = ServerVersionState("unknown", "")


class Server:
    """A running TensorFlow Serving, or the local server.

    Args:
        address: host:port of its gRPC interface.
        timeout: limit for a call, or for loading versions, seconds.
        tls: settings of an encrypted connection.

    Raises:
        ClientError: a file of `tls` cannot be read.
    """

    def __init__(self, address: str, timeout: float, tls: Tls | None = None):
        self.address = address
        self._timeout = timeout
        options = proxy_options(address)
        channel = (
            grpc.secure_channel(address, tls.credentials(), options) if tls else grpc.insecure_channel(address, options)
        )
        self._stub = ModelServiceStub(channel)

    def states(self, model_name: str) -> dict[int, ServerVersionState]:
        """Returns the state of each version that the server knows; empty if it does not know the model."""
        request = GetModelStatusRequest()
        request.model_spec.name = model_name
        try:
            response = self._stub.GetModelStatus(request, timeout=self._timeout)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return {}
            raise self._call_error("GetModelStatus", error) from error
        return {
            status.version: ServerVersionState(
                ModelVersionStatus.State.Name(status.state), _one_line(status.status.error_message)
            )
            for status in response.model_version_status
        }

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the server's whole config.

        Raises:
            PromotionError: the server refuses the config, or does not respond.
        """
        request = ReloadConfigRequest(config=config)
        try:
            response = self._stub.HandleReloadConfigRequest(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._call_error("HandleReloadConfigRequest", error) from error
        if response.status.error_code:
            reason = _one_line(response.status.error_message)
            raise PromotionError(f"the server at {self.address} refused the config: {reason}")

    def wait_until_available(self, model_name: str, version: int) -> None:
        """Waits until the server serves a version.

        Raises:
            PromotionError: the version cannot be loaded, or is not available in time.
        """
        began = time.monotonic()
        while True:
            state = self.states(model_name).get(version, _UNKNOWN)
            if state.name == "AVAILABLE":
                return
            waited = time.monotonic() - began
            if state.name == "END" and state.error and waited > _LOOKS_SECONDS:
                raise PromotionError(f"the server at {self.address} cannot load version {version}: {state.error}")
            if waited > self._timeout:
                raise PromotionError(
                    f"the server at {self.address} does not serve version {version} after {self._timeout:g} s, "
                    f"its state is {state.name}: see the server's log, and whether it reads the same directory"
                )
            time.sleep(_ASK_AGAIN_SECONDS)

    def wait_until_gone(self, model_name: str, versions: Collection[int]) -> None:
        """Waits until no request can reach the versions, or until the time limit, which is not an error."""
        began = time.monotonic()
        while time.monotonic() - began < self._timeout:
            states = self.states(model_name)
            if not any(states.get(version, _UNKNOWN).name == "AVAILABLE" for version in versions):
                return
            time.sleep(_ASK_AGAIN_SECONDS)

    def _call_error(self, method: str, error: grpc.RpcError) -> PromotionError:
        return PromotionError(f"{method} at {self.address}: {error.code().name}: {_one_line(error.details() or '')}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
