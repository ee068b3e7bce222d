"""Prepares standard output and error for any encoding and any destination."""

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from schema.errors import AgNewsError, RunError, SettingsError

_ESCAPE = "agnews-escape"


def prepare_streams() -> None:
    r"""Makes sure that printing never fails because of a closed stream or an unsupported character.

    A closed stream is replaced by the null device. A character that the encoding of standard output lacks is written as
    `\uXXXX`, in UTF-16 as in JSON: JSON output stays equivalent, and people can still read the rest.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open like the stream that it replaces
    codecs.register_error(_ESCAPE, _escape)
    _set_errors(_ESCAPE)


def finish_output() -> None:
    """Flushes standard output; otherwise Python would flush it at exit, and print a stack trace if that failed.

    Raises:
        OSError: the buffered output cannot be written; it is dropped.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextlib.contextmanager
def exact_output() -> Iterator[None]:
    """Rejects characters that the encoding of standard output lacks, for formats without escapes, such as CSV.

    Raises:
        SettingsError: the output contains such a character.
    """
    _set_errors("strict")
    try:
        yield
    except UnicodeEncodeError as error:
        sign = _escape(error)[0]
        raise SettingsError(
            f"standard output is written as {sys.stdout.encoding}, which lacks {sign}; set PYTHONIOENCODING=utf-8, or "
            "take the format jsonl"
        ) from error
    finally:
        _set_errors(_ESCAPE)


def can_encode(text: str) -> bool:
    """Returns whether the encoding of standard output has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def output_error(error: OSError) -> AgNewsError | None:
    """Returns an error that explains what to do about a failed write, or None for an error of another kind."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) and error.filename is None:
        return RunError(f"{error.strerror}: what the command writes is cut; make room and repeat")
    return None


def _set_errors(handler: str) -> None:
    if hasattr(sys.stdout, "reconfigure"):  # A stream that replaces it in a test or a notebook may lack it.
        sys.stdout.reconfigure(errors=handler)


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end
