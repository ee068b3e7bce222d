"""Reads the lines of plain or gzipped text files with any line ends, in bounded memory.

A file in another format, such as UTF-16 or a web page, is refused.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterator
from typing import IO, Any

from schema.errors import DataError
from schema.news_items import quote

# News items are shorter, and a file without line ends must not fill the memory.
MAX_LINE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 18
# Enough for the signature and, nearly always, the first line.
_HEAD_BYTES = 1 << 12
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIRST_LINE = re.compile(rb"\s*([^\r\n]*)")
_WHOLE_FIRST_LINE = re.compile(rb"\s*\S[^\r\n]*[\r\n]")

# How a file of each format begins, the name of the format, and what to do with the file.
_FORMS = [
    (re.compile(begins), form, remedy)
    for begins, form, remedy in (
        (rb"\xff\xfe\0\0|\0\0\xfe\xff", "UTF-32 text", "save it as UTF-8"),
        (rb"\xff\xfe|\xfe\xff|([^\0]\0){4}|(\0[^\0]){4}", "UTF-16 text", "save it as UTF-8"),
        (rb"\x1f\x8b", "gzip data", "unpack it, or rename it to end in .gz if it is gzipped once"),
        (rb"BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd", "compressed, but not by gzip", "unpack it"),
        (rb"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save the table as CSV"),
        (rb"\0{4}", "binary data", "name a file of text"),
        (rb"PAR1", "a Parquet file", "rename it to end in .parquet if the command reads Parquet"),
        (rb"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch the file: git lfs pull"),
        (
            rb"\s*<(?i:!doctype|html|head|\?xml|!--)",
            "an HTML or XML page",
            "download the file again; this may be a log-in or error page",
        ),
        (rb"\s*\[\s*[\[{]", "a JSON array", "write each object of the array on a line of its own"),
        (rb"\s*\{\s*[\r\n]", "a JSON document of many lines", "write each object on one line"),
    )
]


def refuse_other_form(head: bytes, file: str, expected: str) -> None:
    """Refuses a file whose first bytes show that it is not a text file with rows.

    Args:
        head: first bytes of the file.
        file: name of the file, for the message.
        expected: expected format, for the message.

    Raises:
        DataError: the file has another format, which the message names.
    """
    for begins, form, remedy in _FORMS:
        if begins.match(head.removeprefix(_BYTE_ORDER_MARK)):
            raise DataError(f"{file} is {form}; expected {expected}. Next: {remedy}")


class TextFile:
    """Iterates once over the lines of an open file, with their ends: LF, CR or CRLF.

    A line is cut after `MAX_LINE_BYTES`. A byte order mark of UTF-8 is skipped.

    Attributes:
        first_line: the first line that is not blank, without its line end; may be cut.
    """

    def __init__(self, opened: IO[bytes], file: str, expected: str):
        """Reads the start of a file.

        Args:
            opened: the open file.
            file: name of the file, for messages; a file whose name ends in `.gz` is decompressed.
            expected: expected format, for messages.

        Raises:
            DataError: the file cannot be read, or has another format.
        """
        self._file = file
        self._lines_read = 0
        zipped = gzip.GzipFile(fileobj=opened) if file.endswith(".gz") else None
        source = zipped or opened
        # read1() does not wait for a whole chunk, so the rows of a pipe are read as they arrive.
        self._read: Callable[[int], bytes] = getattr(source, "read1", source.read)
        head = b""
        while len(head) < _HEAD_BYTES and not _WHOLE_FIRST_LINE.match(head) and (chunk := self._read_chunk()):
            head += chunk
        if zipped is not None and zipped.mtime is None:
            raise DataError(f"{file} is empty, so it is not a gzip file; replace it with a complete file")
        refuse_other_form(head, file, expected)
        self._head = head.removeprefix(_BYTE_ORDER_MARK)
        found = _FIRST_LINE.match(self._head)
        self.first_line = found[1] if found else b""

    def __iter__(self) -> Iterator[bytes]:
        """Yields the lines.

        Raises:
            DataError: the file cannot be read to its end; the message names the last line that was read.
        """
        data, unfinished = self._head, b""
        while data:
            lines = (unfinished + data).splitlines(keepends=True)
            # A CR at the end of a chunk may be the first half of CRLF.
            unfinished = b"" if data.endswith(b"\n") else _cut_line(lines.pop())
            self._lines_read += len(lines)
            yield from lines
            data = self._read_chunk()
        if unfinished:
            yield unfinished

    def _read_chunk(self) -> bytes:
        try:
            return self._read(_CHUNK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{self._file} cannot be read after line {self._lines_read}: {error}; "
                "replace it with a complete, readable file"
            ) from error


def parse_object(line: bytes, known: Container[str] | None = None) -> dict[str, Any] | str:
    """Returns the values of a JSON object by name in lower case, or what is wrong with the line.

    Args:
        line: a line of a `TextFile`; in texts, lone surrogates stand for bytes that are not UTF-8 (PEP 383).
        known: names that an object must not repeat; None means all.
    """
    if len(line) >= MAX_LINE_BYTES:
        return f"the line has {MAX_LINE_BYTES:,} bytes or more"
    try:
        pairs = json.loads(line.decode("utf-8", "surrogateescape"), object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        return f"invalid JSON: {error}"
    if not isinstance(pairs, tuple):  # An array is a list.
        return f"expected a JSON object, found {quote(line.decode('utf-8', 'replace').strip())}"
    names = [name.strip().lower() for name, _ in pairs]
    counts = Counter(names).items()
    if repeated := sorted(name for name, count in counts if count > 1 and (known is None or name in known)):
        return f"{', '.join(repeated)} more than once in one object"
    return dict(zip(names, (value for _, value in pairs), strict=True))


def _cut_line(line: bytes) -> bytes:
    """Cuts an unfinished line that is too long, but keeps its last byte, which may be a CR."""
    return line if len(line) <= MAX_LINE_BYTES else line[:MAX_LINE_BYTES] + line[-1:]
