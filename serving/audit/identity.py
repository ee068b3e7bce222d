"""Who acts: a user at a host, or the service that AGNEWS_IDENTITY names."""

import getpass
import os
import socket
import unicodedata

IDENTITY = "AGNEWS_IDENTITY"


def identity() -> str:
    """AGNEWS_IDENTITY where it is set, for services; else user@host."""
    if given := os.environ.get(IDENTITY):
        return readable(given)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container's user may have a number alone.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def person(who: str) -> str:
    """The part of a name that stays the same on every host: one person at two hosts is no second pair of eyes."""
    return unicodedata.normalize("NFKC", who).partition("@")[0].strip().casefold()


def readable(argument: str) -> str:
    """The text with a replacement sign for bytes that are no UTF-8, which the metadata store would refuse."""
    return os.fsencode(argument).decode("utf-8", "replace")
