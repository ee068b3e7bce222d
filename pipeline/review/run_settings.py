"""Reads the settings of runs from the executions of their components, and filters runs and models by them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from pipeline.metadata.snapshot import Execution
from pipeline.settings import Settings
from schema.errors import suggestion

# Class names of the components that record the settings of a section.
_SECTIONS = {"ExampleGen": "data", "Transform": "transform", "Trainer": "trainer"}
_MAX_CHOICES = 100

Row = TypeVar("Row")


def settings_of_run(executions: Iterable[Execution]) -> dict[str, str]:
    """Returns the settings of a run as texts by name, for instance "trainer.epochs", as far as it recorded them."""
    found: dict[str, str] = {}
    for execution in executions:
        section = next((name for suffix, name in _SECTIONS.items() if execution.type.endswith(suffix)), None)
        if section and execution.config:
            found |= _parse(section, execution.config)
    return found


# Most runs have the same settings.
@lru_cache(maxsize=1_024)
def _parse(section: str, config: str) -> dict[str, str]:
    values = json.loads(config)
    # ExampleGen's is a Protocol Buffers message.
    values = values.get("custom_config", values)
    values = values.get("value", values)
    fields = Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
    return {f"{section}.{name}": _text(value) for name, value in values.items() if name in fields}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    # Protocol Buffers have no integers.
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return value if isinstance(value, str) else json.dumps(value)


def filter_by_settings(
    rows: Sequence[Row], wanted: str, settings_of: Callable[[Row], Mapping[str, str]]
) -> tuple[list[Row], str]:
    """Returns the rows with settings, and a message about a wrong condition, which is empty otherwise.

    Args:
        rows: the rows.
        wanted: conditions NAME=VALUE, separated by spaces; the rows must meet all of them.
        settings_of: returns the settings of a row.
    """
    if not wanted.strip():
        return list(rows), ""
    known = {name for row in rows for name in settings_of(row)}
    conditions = [(name, value) for name, _, value in (word.partition("=") for word in wanted.split())]
    for word, (name, value) in zip(wanted.split(), conditions, strict=True):
        if not value:
            return [], f"{word}: expected NAME=VALUE, for instance trainer.epochs=3."
        if name not in known:
            return [], f"{name}: no run recorded this setting; {suggestion(name, known, 'check its name.')}"
    return [row for row in rows if all(settings_of(row).get(name) == value for name, value in conditions)], ""


def varying_conditions(settings: Iterable[Mapping[str, str]]) -> list[str]:
    """Returns NAME=VALUE of the settings that are not the same in all runs, at most 100, sorted by name."""
    found: dict[str, set[str]] = {}
    for one in settings:
        for name, value in one.items():
            found.setdefault(name, set()).add(value)
    choices = (f"{name}={value}" for name, values in sorted(found.items()) if len(values) > 1 for value in values)
    return sorted(choice for choice in choices if " " not in choice)[:_MAX_CHOICES]
