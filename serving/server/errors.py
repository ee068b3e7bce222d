"""Errors that the server returns to clients, over gRPC and REST."""

import grpc

# gRPC trailers have a size limit. With a longer message the client would get RESOURCE_EXHAUSTED instead. TensorFlow
# Serving cuts its messages in the same way (model_servers/grpc_status_util.cc).
_MAX_MESSAGE_CHARACTERS = 1024
_CUT = "...TRUNCATED"
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """An error response.

    Attributes:
        code: canonical status code.
        message: text for the client, cut after 1,024 characters.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        if len(message) > _MAX_MESSAGE_CHARACTERS:
            message = message[:_MAX_MESSAGE_CHARACTERS] + _CUT
        super().__init__(message)
        self.code = code

    @property
    def message(self) -> str:
        return self.args[0]


def invalid_argument_error(message: str) -> RequestError:
    """Returns INVALID_ARGUMENT: the request is invalid, independent of the server's state."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found_error(message: str) -> RequestError:
    """Returns NOT_FOUND: the model or version does not exist."""
    return RequestError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition_error(message: str) -> RequestError:
    """Returns FAILED_PRECONDITION: the model or its state does not allow the request."""
    return RequestError(grpc.StatusCode.FAILED_PRECONDITION, message)


def deadline_exceeded_error() -> RequestError:
    """Returns DEADLINE_EXCEEDED: the client no longer waits for the response."""
    return RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request could be answered")


def request_error(error: Exception) -> RequestError:
    """Converts an exception of a graph, a file or a conversion to the error for the client.

    TensorFlow's errors carry the canonical code. Their message is cut where TensorFlow appends a Python stack trace.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, UnicodeDecodeError):
        # TensorFlow's message quotes the input, and Python cannot decode it.
        return invalid_argument_error("the request contains bytes that are not UTF-8 where text is expected")
    if isinstance(error, MemoryError):
        return RequestError(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error) or "there is not enough memory")
    code = _BY_NUMBER.get(getattr(error, "error_code", None), grpc.StatusCode.INTERNAL)
    message = str(getattr(error, "message", error)).split("\n\nOriginal stack trace")[0]
    return RequestError(code, message.strip() or type(error).__name__)
