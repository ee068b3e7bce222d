"""Identifies who performs an action: a user at a host, or the service that AGNEWS_IDENTITY names."""

import getpass
import os
import socket
import unicodedata

IDENTITY = "AGNEWS_IDENTITY"


def identity() -> str:
    """Returns AGNEWS_IDENTITY if it is set, as for services; otherwise user@host."""
    if given := os.environ.get(IDENTITY):
        return readable(given)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container's user may have only a number.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def person(who: str) -> str:
    """Returns the part of an identity that is the same on every host, so that nobody approves their own request."""
    return unicodedata.normalize("NFKC", who).partition("@")[0].strip().casefold()


def readable(argument: str) -> str:
    """Replaces bytes that are not UTF-8, which the metadata store would refuse."""
    return os.fsencode(argument).decode("utf-8", "replace")
