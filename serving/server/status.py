"""A refused request: the canonical code and the message that the client gets, whichever way it asked."""

import grpc

# A longer message does not fit in gRPC's trailers: the client would see RESOURCE_EXHAUSTED instead.
_MESSAGE_CHARACTERS = 1024
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """What a client is told. `code` is a grpc.StatusCode, `message` at most 1,024 characters."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message[:_MESSAGE_CHARACTERS])
        self.code = code

    @property
    def message(self) -> str:
        return self.args[0]


def invalid(message: str) -> RequestError:
    """INVALID_ARGUMENT: the request is wrong whatever the server's state."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """NOT_FOUND: no such model or version."""
    return RequestError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> RequestError:
    """FAILED_PRECONDITION: the model or its state does not allow this."""
    return RequestError(grpc.StatusCode.FAILED_PRECONDITION, message)


def deadline_exceeded() -> RequestError:
    """DEADLINE_EXCEEDED: nothing was run, or nobody waits for it any more."""
    return RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request could be answered")


def from_exception(error: Exception) -> RequestError:
    """The status of an error that a graph, a file or a conversion raised.

    TensorFlow's errors carry the canonical code; their message is cut where TensorFlow appends Python's own trace.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, UnicodeDecodeError):
        # TensorFlow's message quotes what was sent, and Python cannot read it.
        return invalid("the request holds bytes that are not UTF-8 where text is expected")
    if isinstance(error, MemoryError):
        return RequestError(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error) or "there is not enough memory")
    code = _BY_NUMBER.get(getattr(error, "error_code", None), grpc.StatusCode.INTERNAL)
    message = str(getattr(error, "message", error)).split("\n\nOriginal stack trace")[0]
    return RequestError(code, message.strip() or type(error).__name__)
