"""Places that users name: files by pattern, the home directory, and what TensorFlow and Beam read as a pattern.

Beam's `FileSystems.match`, TFX's `fileio.glob` and TensorFlow's file systems take a whole path as a pattern, and Beam
has no way to escape one: a directory "ag [1]" is then read as "ag 1". So every module lists files with `list_files`.
"""

import fnmatch
import glob
import os
import re

from schema.errors import SettingsError

# A wildcard at the beginning of a name matches no hidden file: ".DS_Store", "._train.csv", "_SUCCESS", "_temporary".
_VISIBLE = r"(?!(?<=/)[._])"
_TOKEN = re.compile(r"(?<![^/])\*\*/|/+|\*+|\?|\[!?\]?[^]/]*\]|.", re.DOTALL)
_WILDCARDS = "*?[\\"


def list_files(base: str, pattern: str) -> list[str]:
    """Returns the files under a directory that a pattern matches, sorted.

    Args:
        base: directory or URI; taken literally, whatever characters it holds.
        pattern: `*`, `?` and `[…]` match within a name, `**/` matches any number of directories. Names that begin with
            `.` or `_` are left out, unless the pattern spells that character out.
    """
    place = os.path.join(base, pattern)
    literal = place.removesuffix(pattern)
    if is_remote(place):
        from apache_beam.io.filesystems import FileSystems

        [matched] = FileSystems.match([place])
        found = [file.path for file in matched.metadata_list]
    else:
        found = [path for path in glob.glob(glob.escape(literal) + pattern, recursive=True) if not os.path.isdir(path)]
    fits = re.compile(re.escape(literal) + expression(pattern))
    return sorted(filter(fits.fullmatch, found))


def expression(pattern: str) -> str:
    """Returns the regular expression of a pattern, or of a piece of one, as `list_files` takes it."""
    return _TOKEN.sub(_translate, pattern)


def _translate(match: re.Match[str]) -> str:
    token = match[0]
    if token == "**/":
        return f"(?:{_VISIBLE}[^/]+/)*"
    if token[0] == "/":
        return "/+"
    if token[0] == "*":
        return f"{_VISIBLE}[^/]*"
    if token == "?" or len(token) > 1:
        return f"{_VISIBLE}(?!/){fnmatch.translate(token)}".removesuffix(r"\Z")
    return re.escape(token)


def is_remote(place: str) -> bool:
    """Whether a place is a URI, of an object store for instance."""
    return "://" in place


def expand_home(place: str) -> str:
    """Returns a local place with a leading `~` or `~user` replaced; a URI as it is.

    Raises:
        ValueError: nothing says where the home directory is.
    """
    expanded = place if is_remote(place) else os.path.expanduser(place)
    if expanded.partition("/")[0] == "~":
        raise ValueError("the home directory is unknown: write it in place of ~, or set HOME")
    return expanded


def refuse_wildcards(name: str, place: str) -> None:
    r"""Refuses a place that TensorFlow or Beam would read as a pattern when they write to it or read a model from it.

    Args:
        name: the setting or option, for the message.
        place: directory or URI.

    Raises:
        SettingsError: the place holds `*`, `?`, `[` or `\`.
    """
    if found := sorted({character for character in place if character in _WILDCARDS}):
        raise SettingsError(
            f"{name} {place}: TensorFlow and Beam take {' '.join(found)} in this path for a pattern and would read and "
            "write other directories; name a directory without these characters (a relative one counts with the "
            "working directory)"
        )
