"""Spans and versions of data, as they stand in the names of its files.

A pattern holds {SPAN}, or {YYYY}, {MM} and {DD} together, and may hold {VERSION}; {SPAN:4} has four digits. A date is
the span of its days since 1970-01-01. Source: tfx/components/example_gen/utils.py, which finds them in each run.
"""

import datetime
import glob
import os
import re

_PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
_DATE = ("YYYY", "MM", "DD")
_FIRST_DAY = datetime.date(1970, 1, 1)


def has_dates(pattern: str) -> bool:
    """Whether a pattern's spans are dates."""
    return all(f"{{{part}}}" in pattern for part in _DATE)


def is_dated(pattern: str) -> bool:
    """Whether a pattern tells spans apart at all."""
    return has_dates(pattern) or any(name == "SPAN" for name, _ in _PLACEHOLDER.findall(pattern))


def span_of_date(date: datetime.date) -> int:
    """The span of a date, days since 1970-01-01."""
    return (date - _FIRST_DAY).days


def span_name(span: int, pattern: str) -> str:
    """A span as a reader of the pattern's file names knows it: by its date, where these hold dates."""
    return str(_FIRST_DAY + datetime.timedelta(span)) if has_dates(pattern) else str(span)


def matching_files(base: str, pattern: str) -> list[str]:
    """The local files that a pattern under `base` matches, in order; a placeholder stands for anything."""
    return sorted(glob.glob(os.path.join(glob.escape(base), _PLACEHOLDER.sub("*", pattern))))


def newest_versions(base: str, pattern: str) -> dict[int, int | None]:
    """The spans that a dated pattern finds under a local `base`, and of each the highest version, if it has versions.

    Files whose names do not fit, for instance by a word in the place of the span, are none.
    """
    fits = re.compile(_expression(os.path.join(base, pattern), base))
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


def _expression(path: str, base: str) -> str:
    """The regular expression of a glob with placeholders; `base` is taken as it stands."""
    expression, position = re.escape(base), len(base)
    for placeholder in _PLACEHOLDER.finditer(path, position):
        name, width = placeholder.groups()
        digits = {"YYYY": 4, "MM": 2, "DD": 2}.get(name, width)
        expression += _glob(path[position : placeholder.start()])
        expression += rf"(?P<{name}>\d{{{digits}}})" if digits else rf"(?P<{name}>\d+)"
        position = placeholder.end()
    return expression + _glob(path[position:])


def _glob(text: str) -> str:
    return re.escape(text).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
