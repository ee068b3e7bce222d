"""Reads the lines of text files: plain or gzipped, with any line ends, in bounded memory.

A file that holds something else altogether, such as UTF-16 or a web page, is refused as a whole.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from schema.errors import DataError

# No news item is longer, and a file without line ends must not fill the memory.
MAX_LINE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 18
# Enough for the first bytes and, nearly always, the first line.
_HEAD_BYTES = 1 << 12
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIRST_LINE = re.compile(rb"\s*([^\r\n]*)")
_WHOLE_FIRST_LINE = re.compile(rb"\s*\S[^\r\n]*[\r\n]")

# How a file of each form begins, what it is called, and what to do with it.
_FORMS = [
    (re.compile(begins), form, remedy)
    for begins, form, remedy in (
        (rb"\xff\xfe\0\0|\0\0\xfe\xff", "UTF-32 text", "save it as UTF-8"),
        (rb"\xff\xfe|\xfe\xff|([^\0]\0){4}|(\0[^\0]){4}", "UTF-16 text", "save it as UTF-8"),
        (rb"\x1f\x8b", "gzip data", "unpack it, or give it a name that ends in .gz if it is gzipped once"),
        (rb"BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd", "compressed, but not by gzip", "unpack it"),
        (rb"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save the table as CSV"),
        (rb"PAR1", "a Parquet file", "give it a name that ends in .parquet where the command reads Parquet"),
        (rb"version https://git-lfs", "a Git LFS pointer, not the file it stands for", "fetch the file: git lfs pull"),
        (
            rb"\s*<(?i:!doctype|html|head|\?xml|!--)",
            "an HTML or XML page",
            "download the file again and look for a log-in or an error page in its place",
        ),
        (rb"\s*\[\s*[\[{]", "a JSON array", "write each of its objects as a row"),
        (rb"\s*\{\s*[\r\n]", "a JSON document of many lines", "write each object as a row"),
    )
]


def refuse_other_form(head: bytes, file: str, expected: str) -> None:
    """Refuses a file whose first bytes show that it is no text file of rows.

    Args:
        head: the first bytes of the file.
        file: its name, for the message.
        expected: what the file should be.

    Raises:
        DataError: the file has another form; the message names it.
    """
    for begins, form, remedy in _FORMS:
        if begins.match(head.removeprefix(_BYTE_ORDER_MARK)):
            raise DataError(f"{file} is {form}; expected {expected}. Next: {remedy}")


class TextFile:
    """An open file, as an iterable of its lines with their ends: LF, CR or CRLF. It can be read once.

    A line of more than `MAX_LINE_BYTES` is cut after them. A byte order mark of UTF-8 is left out.

    Attributes:
        first_line: the first line that is not blank, or its beginning, without its end.
    """

    def __init__(self, opened: IO[bytes], file: str, expected: str):
        """
        Args:
            opened: the file.
            file: its name, for messages; one that ends in `.gz` is decompressed.
            expected: what the file should be, for messages.

        Raises:
            DataError: the file cannot be read, or is of another form.
        """
        self._file = file
        self._lines_read = 0
        zipped = gzip.GzipFile(fileobj=opened) if file.endswith(".gz") else None
        source = zipped or opened
        # A pipe's rows are read as they come: read1() does not wait for a whole chunk.
        self._read: Callable[[int], bytes] = getattr(source, "read1", source.read)
        head = b""
        while len(head) < _HEAD_BYTES and not _WHOLE_FIRST_LINE.match(head) and (chunk := self._read_chunk()):
            head += chunk
        if zipped is not None and zipped.mtime is None:
            raise DataError(f"{file} is empty, which no gzip file is; put a whole file in its place")
        refuse_other_form(head, file, expected)
        self._head = head.removeprefix(_BYTE_ORDER_MARK)
        found = _FIRST_LINE.match(self._head)
        self.first_line = found[1] if found else b""

    def __iter__(self) -> Iterator[bytes]:
        """
        Raises:
            DataError: the file cannot be read to its end; it names the last line that could be read.
        """
        data, unfinished = self._head, b""
        while data:
            lines = (unfinished + data).splitlines(keepends=True)
            # A CR at the end of a chunk may be the first half of CRLF.
            unfinished = b"" if data.endswith(b"\n") else _cut(lines.pop())
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
                "put a whole, readable file in its place"
            ) from error


def _cut(line: bytes) -> bytes:
    """An unfinished line, cut where it is too long. Its last byte stays, since it may be a CR."""
    return line if len(line) <= MAX_LINE_BYTES else line[:MAX_LINE_BYTES] + line[-1:]
