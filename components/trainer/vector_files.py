"""Reads word vectors from files in the formats of word2vec and GloVe, without TensorFlow.

A vector is the last numbers of a line, and its word is everything before them: GloVe files contain words with blanks,
for instance ". . ." and "at name@domain.com" in the file of 840 billion tokens.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, cast

import numpy as np

from components.trainer.settings import MAX_DIMENSIONS
from schema.errors import SettingsError
from schema.files import require_regular_file
from schema.wording import amount

_HEADER = re.compile(rb"(\d{1,18})\s+(\d{1,18})\s*")
_GZIP = b"\x1f\x8b"
# Lines that determine the width of the vectors in a file without a header, and that are checked before a run.
_FIRST_LINES = 1000
_LONGEST_WORD = 1000
_LONGEST_LINE = 1 << 20

_Vector = tuple[str, bytes, bytes | list[bytes]]
"""Position of a vector in the file, its word in UTF-8, and its numbers: float32, or a text each."""


def read_vectors(path: Path, words: Collection[str], dimensions: int) -> tuple[dict[str, np.ndarray], int]:
    """Reads the vectors of words; the first vector of a repeated word is used.

    Args:
        path: word2vec (text, or binary where the name ends in .bin) or GloVe (text without a header), maybe gzipped.
        words: the words to read.
        dimensions: the expected width of a vector.

    Returns:
        float32 [dimensions] by word, and the number of vectors in the file.

    Raises:
        SettingsError: the file cannot be read, or does not fit; the message names the line.
    """
    wanted, found, count = set(words), {}, 0
    for place, encoded, numbers in _vectors(path, dimensions):
        count += 1
        word = encoded.decode(errors="replace")
        if word in wanted and word not in found:
            found[word] = _to_array(path, place, numbers, dimensions)
    return found, count


def check_vectors(path: Path, dimensions: int) -> None:
    """Checks the first vectors of a file in the way that `read_vectors` reads them.

    Raises:
        SettingsError: the file cannot be read, or does not fit.
    """
    for place, _, numbers in islice(_vectors(path, dimensions), _FIRST_LINES):
        _to_array(path, place, numbers, dimensions)


def _vectors(path: Path, dimensions: int) -> Iterator[_Vector]:
    binary = path.name.removesuffix(".gz").endswith(".bin")
    with _opened(path) as file:
        count = 0
        header, vectors = (_in_binary if binary else _in_text)(path, file, dimensions)
        for count, vector in enumerate(vectors, 1):  # noqa: B007 - the last number is needed
            yield vector
        if header and count < header:
            raise _error(
                path, f"its header promises {amount(header, 'vector')}, but it has {count:,}; get the complete file"
            )


def _in_text(path: Path, file: IO[bytes], dimensions: int) -> tuple[int | None, Iterator[_Vector]]:
    """Returns the header's count, None without a header, and the vectors."""
    lines = ((number, line) for number, line in _lines(path, file) if not line.isspace())
    first = list(islice(lines, _FIRST_LINES))
    if not first:
        raise _error(path, "it is empty; name another file")
    header = _HEADER.fullmatch(first[0][1])
    if header:
        del first[0]
    widths = Counter(len(line.split()) - 1 for _, line in first)
    width = int(header[2]) if header else min(widths, key=lambda width: (-widths[width], width))
    _require_width(path, width, dimensions)

    def vectors() -> Iterator[_Vector]:
        for number, line in chain(first, lines):
            word, *numbers = line.rsplit(None, dimensions)
            if len(numbers) != dimensions:
                raise _unfit(path, f"line {number}", dimensions)
            yield f"line {number}", word.strip(), numbers

    return int(header[1]) if header else None, vectors()


def _lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a file with their numbers; refuses a file without line ends before it fills the memory."""
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 1):
        if len(line) > _LONGEST_LINE:
            raise _error(path, f"line {number} has more than {_LONGEST_LINE} bytes; name a file of word2vec or GloVe")
        yield number, line


def _in_binary(path: Path, file: IO[bytes], dimensions: int) -> tuple[int, Iterator[_Vector]]:
    header = _HEADER.fullmatch(file.readline(100))
    if not header:
        raise _error(path, "expected the header of a word2vec file, two numbers; a text file must not end in .bin")
    count = int(header[1])
    _require_width(path, int(header[2]), dimensions)

    def vectors() -> Iterator[_Vector]:
        for number in range(1, count + 1):
            word = b""
            while (sign := file.read(1)) not in (b" ", b"") and len(word) < _LONGEST_WORD:
                word += sign
            numbers = file.read(4 * dimensions)
            if len(numbers) < 4 * dimensions:
                return
            yield f"vector {number}", word.strip(), numbers

    return count, vectors()


def _to_array(path: Path, place: str, numbers: bytes | list[bytes], dimensions: int) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            values = numbers if isinstance(numbers, bytes) else [float(number) for number in numbers]
            vector = np.frombuffer(values, "<f4") if isinstance(values, bytes) else np.array(values, np.float32)
    except ValueError:
        raise _unfit(path, place, dimensions) from None
    if not np.isfinite(vector).all():
        raise _unfit(path, place, dimensions)
    return vector


def _require_width(path: Path, width: int, dimensions: int) -> None:
    if width > MAX_DIMENSIONS:
        raise _error(path, f"its header is damaged: vectors with {width} elements; get the complete file")
    if width != dimensions:
        raise _error(
            path,
            f"its vectors have {width} elements and the network takes {dimensions}: "
            f"set trainer.embedding_dim to {width}",
        )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file, gzipped or not, and reports what cannot be read."""
    try:
        require_regular_file(path)
        with open(path, "rb") as file:
            if file.peek(len(_GZIP))[: len(_GZIP)] == _GZIP:
                with gzip.open(file) as unpacked:
                    yield cast(IO[bytes], unpacked)
            else:
                yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise _error(
            path, f"{reason}; name a file of word2vec or GloVe that can be read, or set it to random or learned"
        ) from error


def _unfit(path: Path, place: str, dimensions: int) -> SettingsError:
    return SettingsError(
        f"trainer.word_vectors {path}, {place}: expected a word and {dimensions} finite numbers; the file must be "
        "word2vec's (text, or binary with a name that ends in .bin) or GloVe's"
    )


def _error(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"trainer.word_vectors {path}: {reason}")
