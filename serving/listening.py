"""Addresses that servers listen at, IPv4 and IPv6."""

import errno
import os
import socket

from schema.errors import RunError


def host_port(host: str, port: int) -> str:
    """`host:port` as in a URL and for gRPC: an IPv6 address stands in brackets."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def listen(host: str, port: int, options: str, *, backlog: int = 128) -> socket.socket:
    """A TCP socket that listens; of a name with addresses of both kinds at the IPv4 one, at `::` to both kinds.

    Args:
        host: address or name, an IPv6 address with brackets or without.
        port: 0 takes a free one.
        options: the command line's options that name another address, for the message.
        backlog: connections that may wait to be accepted.

    Raises:
        RunError: the address is taken, not of this machine, or not one.
    """
    bare = host.strip("[]")
    try:
        family = min(found[0] for found in socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM))
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        listening = socket.create_server((bare, port), family=family, backlog=backlog, dualstack_ipv6=both)
    except (OSError, OverflowError) as error:
        raise RunError(f"{host_port(host, port)}: {_reason(error)}; name another with {options}") from error
    # Connections inherit it. asyncio sets it on sockets of its own making alone, and without it an answer in two parts
    # waits 40 ms for the other side's delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _reason(error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return "a port is a number from 0 to 65535"
    # Of a failed call not the error's own text, which names the address again; a failed look-up has no other.
    return os.strerror(error.errno) if error.errno and error.errno in errno.errorcode else str(error.strerror or error)
