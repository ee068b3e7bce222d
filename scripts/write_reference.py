"""Writes the generated pages of docs/reference: `make reference`."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from pipeline.cli import cli
from pipeline.settings import Settings
from pipeline.settings.sources import profile_names
from schema.errors import TRY_AGAIN

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs/reference"
_HELP_WIDTH = 100
_NOTE = "<!-- Written by `make reference` from the code. Edit the code, not this page. -->"

_SETTINGS = f"""\
# Settings

{_NOTE}

Set a value in a settings file, by its environment variable, or with `--set KEY=VALUE`; [Change
settings](../guides/configure.md) says which source overrides which. `agnews config show` prints the values in effect.
If a profile changes a default, the table names the profile and its value.

Five more variables are not settings: `AG_NEWS_DIR` (directory of the data), `AGNEWS_IDENTITY` (the acting person for
the audit log, and the default of `--by`), `AGNEWS_REVIEW_TOKEN` (token of `agnews review`), `AGNEWS_REVIEW_OIDC_SECRET`
(its client secret at the provider of log-ins), and `AGNEWS_SERVING` (the directory that `serving/deploy/compose.yaml`
mounts).
"""
_COMMANDS = f"""\
# Commands

{_NOTE}

The output of `--help`. [Exit statuses](exit-codes.md) are the same for all commands.
"""
_EXIT_CODES = f"""\
# Exit statuses

{_NOTE}

[When a run stops](../guides/when-a-run-stops.md) says what to do about each. A temporary error may be gone when the
same command is repeated. [`agnews component`](plan.md#exit-statuses) ends with 75 for all of them, and orchestrators
repeat it.
"""


def pages() -> dict[str, str]:
    """Returns the text of each generated page by its file name."""
    return {"settings.md": settings_page(), "commands.md": commands_page(), "exit-codes.md": exit_codes_page()}


def settings_page() -> str:
    """Returns a table per section of the settings: key, type, default, variable, and description."""
    schema = Settings.model_json_schema()
    profiles = {
        name: yaml.safe_load((ROOT / f"pipeline/settings/profiles/{name}.yaml").read_text()) for name in profile_names()
    }
    parts = [_SETTINGS]
    for section, reference in schema["properties"].items():
        described = schema["$defs"][reference["$ref"].rpartition("/")[2]]
        parts += [f"## {section}\n", f"{described['description']}\n"]
        parts += ["| key | type | default | environment variable | meaning |", "|---|---|---|---|---|"]
        for name, field in described["properties"].items():
            values = {profile: (tree or {}).get(section, {}) for profile, tree in profiles.items()}
            defaults = [_code(field.get("default"))]
            defaults += [f"{profile}: {_code(tree[name])}" for profile, tree in values.items() if name in tree]
            variable = f"AGNEWS_{section}__{name}".upper()
            cells = [f"`{section}.{name}`", _type(field), "<br>".join(defaults), f"`{variable}`", field["description"]]
            parts.append(_row(cells))
        parts.append("")
    return "\n".join(parts)


def commands_page() -> str:
    """Returns the help of every command, in the order of `agnews --help`."""
    parts = [_COMMANDS]
    top = click.Context(cli, info_name="agnews", terminal_width=_HELP_WIDTH, **cli.context_settings)
    for context in _contexts(top):
        parts += [f"## {context.command_path}\n", f"```\n{context.get_help()}\n```\n"]
    return "\n".join(parts)


def exit_codes_page() -> str:
    """Returns the exit statuses with the errors that end with them."""
    errors = sorted(find_errors(), key=lambda error: (error.exit_code, error.name))
    rows = [(error.exit_code, f"`{error.name}`", error.meaning, "yes" if error.may_pass else "") for error in errors]
    rows += [
        (0, "", "The command succeeded.", ""),
        (1, "", "A bug in the program, printed with its stack trace.", ""),
        (129, "", "SIGHUP ended the command: its terminal was closed.", ""),
        (130, "", "Ctrl-C (SIGINT) interrupted the command.", ""),
        (143, "", "SIGTERM ended the command.", ""),
        (TRY_AGAIN, "", "An error of `agnews component` that may pass, of any class.", "yes"),
    ]
    parts = [
        _EXIT_CODES,
        "| status | error | meaning | temporary |",
        "|---|---|---|---|",
        *(_row([str(status), *cells]) for status, *cells in sorted(rows)),
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True)
class ErrorClass:
    """A subclass of AgNewsError as its source declares it."""

    name: str
    exit_code: int
    may_pass: bool
    meaning: str


def find_errors() -> list[ErrorClass]:
    """Returns every error that a user can meet, by parsing the packages without importing them."""
    classes: dict[str, ast.ClassDef] = {}
    for package in ("schema", "components", "pipeline", "serving"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            classes |= {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found = []
    for name in classes:
        line = [classes[ancestor] for ancestor in _ancestry(classes, name)]
        if line[-1].name == "AgNewsError" and len(line) > 1:
            meaning = " ".join((ast.get_docstring(classes[name]) or "").split())
            found.append(ErrorClass(name, _attribute(line, "exit_code"), _attribute(line, "may_pass"), meaning))
    return found


def _ancestry(classes: dict[str, ast.ClassDef], name: str) -> Iterator[str]:
    """Yields a class, its first base, and so on, as far as the project defines them."""
    while name in classes:
        yield name
        bases = classes[name].bases
        name = bases[0].id if bases and isinstance(bases[0], ast.Name) else ""


def _attribute(line: list[ast.ClassDef], name: str) -> Any:
    """Returns the class attribute of the nearest class that sets it to a constant."""
    for definition in line:
        for node in definition.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=ast.Constant(value=value)) if target == name:
                    return value
    raise LookupError(f"{line[0].name} has no attribute {name}")


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            if command := context.command.get_command(context, name):
                yield from _contexts(click.Context(command, parent=context, info_name=name))


def _type(field: dict[str, Any]) -> str:
    """Returns a JSON schema's type in words, with its limits."""
    if "anyOf" in field:
        return " or ".join(_type(kind) for kind in field["anyOf"] if kind != {"type": "null"})
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of: {_type(field['items'])}"
    if field.get("type") == "object":
        return f"map of: {_type(field['additionalProperties'])}"
    if "format" in field:
        return {"path": "path", "date": "date", "password": "secret text"}[field["format"]]
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}[field["type"]]
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]:g}" for name, sign in signs.items() if name in field]
    if "pattern" in field:
        limits.append(f"that matches `{field['pattern']}`")
    return " ".join([words, ", ".join(limits)]).rstrip()


def _code(value: Any) -> str:
    return "unset" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Writes each page to docs/reference."""
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
