"""Handles paths and URIs that users enter: patterns of files, `~`, and characters that TensorFlow and Beam expand.

Beam's `FileSystems.match`, TFX's `fileio.glob` and TensorFlow's file systems treat a whole path as a pattern, and Beam
cannot escape one: it reads a directory "ag [1]" as "ag 1". Therefore every module lists files with `list_files`.
"""

import fnmatch
import glob
import os
import re
from urllib.parse import urlsplit

from schema.errors import DataError, SettingsError

# A leading wildcard does not match hidden files: ".DS_Store", "._train.csv", "_SUCCESS", "_temporary".
_VISIBLE = r"(?!(?<=/)[._])"
_TOKEN = re.compile(r"(?<![^/])\*\*/|/+|\*+|\?|\[!?\]?[^]/]*\]|.", re.DOTALL)
_WILDCARDS = "*?[\\"
# NAME_MAX of Linux. Checks like Path.exists raise an error for longer names.
_LONGEST_NAME = 255


def list_files(base: str, pattern: str) -> list[str]:
    """Returns the sorted files under a directory that match a pattern.

    Args:
        base: directory or URI, taken literally.
        pattern: `*`, `?` and `[…]` match within a name, and `**/` matches any number of directories. Names that begin
            with `.` or `_` match only if the pattern contains that character.

    Raises:
        DataError: this user may not look into a directory in which the pattern could match a file.
    """
    place = os.path.join(base, pattern)
    literal = place.removesuffix(pattern)
    if is_remote(place):
        from apache_beam.io.filesystems import FileSystems

        [matched] = FileSystems.match([place])
        found = [file.path for file in matched.metadata_list]
    else:
        _require_access(literal, pattern)
        found = [path for path in glob.glob(glob.escape(literal) + pattern, recursive=True) if not os.path.isdir(path)]
    fits = re.compile(re.escape(literal) + expression(pattern))
    return sorted(filter(fits.fullmatch, found))


def _require_access(literal: str, pattern: str) -> None:
    """Refuses a directory that glob would skip without a word, so that its files would be missing."""
    parts = pattern.split("/")
    for depth, part in enumerate(parts):
        folders = "".join(f"{folder}/" for folder in parts[:depth])
        fits = re.compile(re.escape(literal) + expression(folders))
        mode = os.X_OK | (os.R_OK if glob.has_magic(part) else 0)
        for directory in filter(fits.fullmatch, glob.glob(glob.escape(literal) + folders, recursive=True)):
            if not os.access(directory, mode, effective_ids=True):
                raise DataError(
                    f"{directory}: Permission denied; let this user read it, since files in it may match {pattern!r}"
                )


def expression(pattern: str) -> str:
    """Returns the regular expression of a pattern of `list_files`, or of a part of one."""
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
    """Returns whether a path is a URI, for instance of an object store."""
    return "://" in place


def is_address(place: str) -> bool:
    """Returns whether a text is the address of an HTTP server."""
    return urlsplit(place).scheme in ("http", "https") and bool(urlsplit(place).hostname)


def expand_home(place: str) -> str:
    """Replaces a leading `~` or `~user` of a local path; a URI stays unchanged.

    Raises:
        ValueError: the home directory is unknown, or no file system has such a path.
    """
    if not is_remote(place) and any(len(os.fsencode(name)) > _LONGEST_NAME for name in place.split("/")):
        raise ValueError(f"a name in a path has at most {_LONGEST_NAME} bytes")
    expanded = place if is_remote(place) else os.path.expanduser(place)
    if expanded.partition("/")[0] == "~":
        raise ValueError("the home directory is unknown: write it in place of ~, or set HOME")
    return expanded


def refuse_wildcards(name: str, place: str) -> None:
    r"""Refuses a directory that TensorFlow or Beam would expand as a pattern.

    Args:
        name: setting or option, for the message.
        place: directory or URI.

    Raises:
        SettingsError: the directory contains `*`, `?`, `[` or `\`.
    """
    if found := sorted({character for character in place if character in _WILDCARDS}):
        raise SettingsError(
            f"{name} {place}: TensorFlow and Beam expand {' '.join(found)} in this path as a pattern and would read "
            "and write other directories; name a directory without these characters (for a relative path, the working "
            "directory counts too)"
        )
