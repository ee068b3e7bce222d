"""Opens listening sockets on IPv4 and IPv6 addresses, and reserves ports."""

import errno
import os
import socket

from schema.errors import RunError


def host_port(host: str, port: int) -> str:
    """Returns `host:port` as in URLs, with an IPv6 address in brackets."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def listen(host: str, port: int, options: str, *, backlog: int = 128) -> socket.socket:
    """Opens a listening TCP socket.

    A name with IPv4 and IPv6 addresses listens on the IPv4 address. The address `::` listens on both.

    Args:
        host: address or name. Brackets around an IPv6 address are optional.
        port: port to listen on. 0 selects a free port.
        options: command-line options that set the address, for the error message.
        backlog: maximum number of connections that wait to be accepted. Defaults to 128.

    Raises:
        RunError: the address is invalid, in use, or does not belong to this machine.
    """
    bare = host.strip("[]")
    try:
        family = min(info[0] for info in socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM))
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        listening = socket.create_server((bare, port), family=family, backlog=backlog, dualstack_ipv6=both)
    except (OSError, OverflowError) as error:
        raise RunError(f"{host_port(host, port)}: {_reason(error)}; choose another address with {options}") from error
    # Connections inherit this option. asyncio sets it only on sockets that it creates. Without it, a response in two
    # parts waits 40 ms for the delayed ACK of the client.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def reserve(host: str, port: int, options: str) -> socket.socket:
    """Keeps a port from other programs while nothing listens on it, so that clients are refused.

    Close the socket before you listen on the port.

    Args:
        host: address or name, as for `listen`.
        port: port to reserve. With 0, the function only checks the host.
        options: command-line options that set the address, for the error message.

    Raises:
        RunError: the address is invalid, in use, or does not belong to this machine.
    """
    reserved = listen(host, port, options)
    # On Linux, a socket that stops listening still has its port. Without SO_REUSEADDR, no other socket can bind it.
    reserved.shutdown(socket.SHUT_RDWR)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return reserved


def _reason(error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return "a port must be a number from 0 to 65535"
    # The text of a socket error repeats the address. A failed name lookup has no errno and only its own text.
    return os.strerror(error.errno) if error.errno and error.errno in errno.errorcode else str(error.strerror or error)
