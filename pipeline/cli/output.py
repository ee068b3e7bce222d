"""Prepares output streams and tables, prints errors and untrusted text, checks output paths and sends alerts."""

import codecs
import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from schema.errors import AgNewsError, RunError, SettingsError, StoreError
from schema.files import replace_file
from schema.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pipeline.alerts import Event
    from pipeline.settings import Settings

_ESCAPE = "agnews-escape"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# A user's file that is another user's, or of another kind than the command needs.
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)


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


def file_error(error: OSError) -> AgNewsError | None:
    """Returns an error that explains what to do about a file or a disk, or None for an error of another kind."""
    if error.filename is None and error.errno in _NO_ROOM:
        return RunError(f"{error.strerror}: what the command writes is cut; make room and repeat")
    if error.filename is None and error.errno == errno.ENOENT and not _has_working_directory():
        return SettingsError("the working directory was deleted; change to another directory and repeat")
    if error.filename is not None and error.errno in _UNUSABLE:
        return SettingsError(
            f"{os.fsdecode(error.filename)}: {error.strerror}; make it usable for this user, or name another place"
        )
    return None


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def print_error(error: AgNewsError) -> None:
    """Prints a user's mistake on stderr."""
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    click.echo("\n".join(map(strip_control_characters, str(error).split("\n"))), err=True)


def users_error(error: Exception) -> AgNewsError | None:
    """Returns the error to print for a user, or None for a bug in the program."""
    if isinstance(error, AgNewsError):
        return error
    if isinstance(error, OSError):
        return file_error(error)
    # If ML Metadata raised the error, it is already imported; importing it here would cost each command a second.
    metadata = sys.modules.get("ml_metadata.errors")
    if metadata and isinstance(error, metadata.StatusError):
        from pipeline.metadata.connection import refusal

        return StoreError(f"the metadata store: {refusal(error)}, then repeat")
    return None


def strip_control_characters(text: str, replacement: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Replaces control characters, which could move the terminal's cursor and so hide other lines.

    Args:
        text: untrusted text, for instance a reason or a name.
        replacement: replacement of each character that cannot be printed, including line breaks and undecodable bytes.
    """
    return "".join(sign if sign.isprintable() else replacement for sign in text)


def list_problems(title: str, problems: list[str]) -> str:
    """Returns a message with one line per problem; line breaks in names of files and people are replaced."""
    return "\n  ".join([title, *map(strip_control_characters, problems)])


def make_console(plain_width: int, file: TextIO | None = None) -> "Console":
    """Returns a console for tables, which is as wide as the terminal, or has a given width without a terminal."""
    from rich.console import Console

    return Console(file=file, width=None if sys.stdout.isatty() else plain_width)


def make_table(*columns: str, **options: Any) -> "Table":
    """Returns a table without lines; the options are those of `rich.table.Table`."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="dim", **options)


def hide_library_output() -> contextlib.AbstractContextManager[TextIO]:
    """Hides library output in the `with` block; a log level would hide only part of TensorFlow's import messages."""
    from pipeline.runners.logs import logged_to

    return logged_to(Path(os.devnull), verbose=False)


@contextlib.contextmanager
def report_write_errors(option: str, place: Path) -> Iterator[None]:
    """Reports write errors in the `with` block as an error of an option or a setting.

    Args:
        option: name of the option or setting.
        place: path that the block writes to.

    Raises:
        SettingsError: the path cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{option} {place}: {error.strerror or error}; name a place that can be written") from error


def write_file(option: str, file: Path, content: str | bytes) -> None:
    """Writes a file completely or not at all; a link keeps leading to the file.

    Raises:
        SettingsError: the file cannot be written; what it held before stays.
    """
    with report_write_errors(option, file):
        replace_file(file, content.encode() if isinstance(content, str) else content, follow_links=True)


def check_file(option: str, file: Path) -> None:
    """Checks that a file can be written, and leaves no file behind if it does not exist yet.

    Raises:
        SettingsError: the file cannot be written.
    """
    with report_write_errors(option, file):
        if not file.exists():
            tempfile.TemporaryFile(dir=file.parent).close()
        elif not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_directory(option: str, directory: Path) -> None:
    """Creates a directory if it does not exist, and checks that it can be written.

    Raises:
        SettingsError: the directory cannot be created or written.
    """
    with report_write_errors(option, directory):
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()


def send_alert(settings: "Settings", event: "Event", log: Path) -> None:
    """Sends an event as an alert, and prints delivery problems; the details go to the log file.

    Raises:
        Interrupted: a signal has interrupted the process. Nothing is sent, because the signal may have caused the
            event.
    """
    from pipeline.alerts import notify
    from pipeline.runners.logs import logged_to

    raise_if_interrupted()
    with logged_to(log, verbose=False):
        problems = notify(settings, event)
    for problem in problems:
        click.secho(problem, fg="yellow", err=True)


def _set_errors(handler: str) -> None:
    if hasattr(sys.stdout, "reconfigure"):  # A stream that replaces it in a test or a notebook may lack it.
        sys.stdout.reconfigure(errors=handler)


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end
