"""Finds spans and versions of data in the names of its files.

A pattern contains {SPAN}, or {YYYY}, {MM} and {DD} together, and may contain {VERSION}; {SPAN:4} has four digits. The
span of a date is its number of days since 1970-01-01, as in tfx/components/example_gen/utils.py.
"""

import datetime
import os
import re
from collections.abc import Mapping

from schema.errors import DataError
from schema.paths import expression, list_files

_PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
_DATE = ("YYYY", "MM", "DD")
_FIRST_DAY = datetime.date(1970, 1, 1)
_SHOWN = 5


def has_dates(pattern: str) -> bool:
    """Returns whether the spans of a pattern are dates."""
    return all(f"{{{part}}}" in pattern for part in _DATE)


def is_dated(pattern: str) -> bool:
    """Returns whether a pattern has spans."""
    return has_dates(pattern) or any(name == "SPAN" for name, _ in _PLACEHOLDER.findall(pattern))


def span_of_date(date: datetime.date) -> int:
    """Returns the span of a date: its days since 1970-01-01."""
    return (date - _FIRST_DAY).days


def span_name(span: int, pattern: str) -> str:
    """Returns a span as the file names of a pattern show it: a date if they contain dates, otherwise a number."""
    return str(_FIRST_DAY + datetime.timedelta(span)) if has_dates(pattern) else str(span)


def matching_files(base: str, pattern: str) -> list[str]:
    """Returns the sorted files that a pattern under `base` matches; a placeholder matches anything."""
    return list_files(base, _PLACEHOLDER.sub("*", pattern))


def newest_versions(base: str, pattern: str) -> dict[int, int | None]:
    """Returns the spans of a dated pattern under `base`, each with its highest version, or None without versions.

    Files with other names, for instance with a word in place of the span, are ignored.
    """
    fits = re.compile(re.escape(os.path.join(base, pattern).removesuffix(pattern)) + _pattern_expression(pattern))
    found: dict[int, int | None] = {}
    for match in filter(None, map(fits.fullmatch, matching_files(base, pattern))):
        parts = match.groupdict()
        try:
            span = (
                int(parts["SPAN"]) if "SPAN" in parts else span_of_date(datetime.date(*(int(parts[p]) for p in _DATE)))
            )
        except ValueError:  # The 31st of February.
            continue
        version = int(parts["VERSION"]) if "VERSION" in parts else None
        earlier = found.get(span)
        found[span] = version if earlier is None or version is None else max(earlier, version)
    return found


def find_span(base: str, patterns: Mapping[str, str], span: int | None) -> tuple[int, int | None]:
    """Finds the span to ingest, which must be complete.

    Args:
        base: directory or URI of the data.
        patterns: dated pattern of each split's files, by the setting that messages name.
        span: number of the span; None for the latest span that any file belongs to.

    Returns:
        The span, and its version if the patterns have versions.

    Raises:
        DataError: a split has no files of the span, or files of another version.
    """
    versions = {key: newest_versions(base, pattern) for key, pattern in patterns.items()}
    spans = sorted(set().union(*versions.values()))
    if span is None:
        # Patterns that match no file were refused before; here a pattern may match files without a number.
        span = spans[-1] if spans else 0
    pattern_of_names = next(iter(patterns.values()))
    name = f"span {span_name(span, pattern_of_names)}"
    for key, pattern in patterns.items():
        if span not in versions[key]:
            whole = [there for there in spans if all(there in found for found in versions.values())]
            shown = ", ".join(span_name(there, pattern_of_names) for there in whole[-_SHOWN:]) or "none"
            raise DataError(
                f"{key} {pattern!r} matches no file of {name} under {base}; complete spans, the latest last: {shown}. "
                "Wait for the file, or name another span (--span)"
            )
    (first, version), *others = ((key, found[span]) for key, found in versions.items())
    for key, other in others:
        if other != version:
            raise DataError(
                f"{name} has version {version} of {first} and version {other} of {key} under {base}; a version needs "
                "the files of both"
            )
    return span, version


def _pattern_expression(pattern: str) -> str:
    """Returns the regular expression of a pattern with placeholders."""
    result, position = "", 0
    for placeholder in _PLACEHOLDER.finditer(pattern):
        name, width = placeholder.groups()
        digits = {"YYYY": 4, "MM": 2, "DD": 2}.get(name, width)
        result += expression(pattern[position : placeholder.start()])
        # Without a width, numbers have no leading zeros, since TFX inserts the plain number.
        result += rf"(?P<{name}>\d{{{digits}}})" if digits else rf"(?P<{name}>0|[1-9]\d*)"
        position = placeholder.end()
    return result + expression(pattern[position:])
