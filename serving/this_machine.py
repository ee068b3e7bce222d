"""Decides which addresses belong to this machine, and keeps connections to them from using a proxy.

A company's `http_proxy` is meant for the internet. gRPC, httpx and other libraries send everything through it, even to
local servers, unless `no_proxy` excludes them.
"""

import ipaddress
import os
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

# Names in `no_proxy` for libraries that connect to servers of their own. ::1 is left out, because gRPC compares the
# ends of names, and 2001:db8::1 is another machine.
_LOCAL_NAMES = ("localhost", "127.0.0.1")
# `dns:///host:port`, `ipv4:host:port`: gRPC's syntax for naming a resolver (grpc/doc/naming.md).
_RESOLVER = re.compile(r"(?:dns:(?://[^/]*/)?|ipv4:|ipv6:)(.*)")


def is_this_machine(address: str) -> bool:
    """Returns whether a server at an address runs on this machine.

    This is true for `localhost`, this machine's name, addresses of its interfaces, and Unix sockets. Names are not
    looked up in the DNS.

    Args:
        address: `host`, `host:port`, a URL, or any target that gRPC accepts.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    if resolver := _RESOLVER.fullmatch(address):
        address = resolver[1]
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return False
    # Without brackets, the colons of an IPv6 address would start a port.
    with suppress(ValueError):
        host = str(ipaddress.ip_address(address))
    try:
        return _is_own(ipaddress.ip_address(host))
    except ValueError:
        name = host.removesuffix(".")
        return name == "localhost" or name.endswith(".localhost") or name in _own_names(name)


def proxy_options(address: str) -> list[tuple[str, Any]]:
    """Returns options of a gRPC channel that bypass the proxy; empty if the address is on another machine."""
    return [("grpc.enable_http_proxy", 0)] if is_this_machine(address) else []


def proxy_mounts(url: str) -> dict[str, None]:
    """Returns the argument `mounts` of an httpx client that bypasses the proxy; empty for other machines."""
    return {"http://": None, "https://": None} if is_this_machine(url) else {}


def exempt_from_proxies() -> None:
    """Adds this machine to `no_proxy`, for this process and its child processes.

    This is for libraries that connect to servers of their own and accept no options: Beam connects to its workers and
    job server, TensorFlow Extended to the container that InfraValidator starts.
    """
    exempt = os.getenv("no_proxy") or os.getenv("NO_PROXY") or ""
    of_grpc = os.getenv("no_grpc_proxy")  # noqa: SIM112 - gRPC reads the lower-case name alone.
    for variable, names in (("no_proxy", exempt), ("no_grpc_proxy", of_grpc)):
        if names is not None and names.strip() != "*":
            given = [name.strip() for name in names.split(",") if name.strip()]
            os.environ[variable] = ",".join(dict.fromkeys([*given, *_LOCAL_NAMES]))


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped or address.is_loopback or address.is_unspecified:
        return _is_own(mapped) if mapped else True
    # Only addresses of this machine's interfaces can be bound.
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _own_names(name: str) -> tuple[str, ...]:
    own = socket.gethostname().lower()
    # Looking up the full name may take time, so it is done only if the short names match.
    same_machine = name.partition(".")[0] == own.partition(".")[0]
    return (own, socket.getfqdn().lower()) if same_machine and name != own else (own,)
