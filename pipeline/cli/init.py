"""`agnews init`: describes a data set of the user's own in files that `agnews run` reads."""

import contextlib
import os
import re
import shlex
from pathlib import Path

import click

from pipeline.cli.options import LocalPath
from pipeline.cli.output import report_write_errors
from schema.errors import SettingsError
from schema.files import replace_file
from schema.wording import amount

_FEW_ROWS = 10_000
# Without a shape, the feature may be absent from rows that an earlier span has ingested.
_KEPT_COLUMN = """\
feature {{
  # A column that is kept: metrics are sliced by its values.
  name: {name}
  type: BYTES
  not_in_environment: "SERVING"
}}
"""
_ID_COLUMN = """\
feature {{
  # The rows keep the ids of this column.
  name: "source_id"
  type: BYTES
  annotation {{ tag: {name} }}
  not_in_environment: "SERVING"
}}
"""
_SCHEMA, _OWNER, _SETTINGS = "schema.pbtxt", "model_card.yaml", "agnews.yaml"


@click.command(epilog="Example:  agnews init tickets --from tickets.csv && cd tickets && agnews run")
@click.argument("directory", type=LocalPath(file_okay=False))
@click.argument("more_files", nargs=-1, type=LocalPath(exists=True, dir_okay=False))
@click.option(
    "--from",
    "files",
    multiple=True,
    required=True,
    type=LocalPath(exists=True, dir_okay=False),
    help="Data files: CSV with a header, JSON Lines or Parquet. A file whose name contains test has the test rows.",
)
@click.option("--label", metavar="COLUMN", help="Column with the class  [default: chosen by name and values]")
@click.option(
    "--text", "texts", multiple=True, metavar="COLUMN", help="Column with a text; may be repeated  [default: chosen]"
)
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="COLUMN",
    help="Column to slice metrics by, such as a source; repeatable.",
)
@click.option("--id", "ids", metavar="COLUMN", help="Column with ids, which rows keep  [default: chosen by name]")
def init(
    directory: Path,
    more_files: tuple[Path, ...],
    files: tuple[Path, ...],
    label: str | None,
    texts: tuple[str, ...],
    slices: tuple[str, ...],
    ids: str | None,
) -> None:
    """Describe your own data set: write agnews.yaml, schema.pbtxt and model_card.yaml.

    The command looks at the files and proposes columns, classes and length buckets. Check the three files, which have
    comments, and start `agnews run` in the directory. Files that exist already are not overwritten.
    """
    from components.example_gen.proposal import file_pattern, propose

    paths = [Path(os.path.abspath(file)) for file in (*files, *more_files)]
    tests = [path for path in paths if "test" in path.name.lower()]
    trains = [path for path in paths if path not in tests]
    if not trains:
        raise SettingsError(
            f"--from {tests[0]}: name a training file, too; a file whose name contains test has test rows"
        )
    proposal = propose(trains, label, texts, slices, ids)
    base = os.path.commonpath([str(path.parent) for path in paths])
    train_pattern, test_pattern = file_pattern(trains, base), file_pattern(tests, base) if tests else None
    target = Path(os.path.abspath(directory))
    if there := [name for name in (_SETTINGS, _SCHEMA, _OWNER) if (target / name).exists()]:
        raise SettingsError(f"{directory} has {', '.join(there)} already; remove them, or name another directory")
    place = os.path.relpath(base, target) if Path(base).is_relative_to(target) else base
    name = re.sub(r"[^a-z0-9]+", "-", target.name.lower()).strip("-")
    name = name if name[:1].isalpha() else f"data-{name}".strip("-")
    contents = {
        _SETTINGS: _settings_text(proposal, place, name, train_pattern, test_pattern),
        _SCHEMA: _schema_text(proposal.data_set),
        _OWNER: _owner_text(proposal.data_set, name),
    }
    with report_write_errors("DIRECTORY", target), contextlib.ExitStack() as undo:
        target.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            undo.callback((target / file).unlink, missing_ok=True)
            replace_file(target / file, content.encode())
        undo.pop_all()
    columns, classes = proposal.row_format, proposal.data_set.class_names
    shown = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
    click.echo(
        f"{amount(proposal.rows, 'row')}: class in {columns.label_column}, text in {' and '.join(columns.text_columns)}"
    )
    if id_column := proposal.data_set.id_column:
        click.echo(f"ids in {id_column}")
    click.echo(f"{len(classes)} classes: {shown}")
    command = f"cd {shlex.quote(str(directory))} && agnews run"
    click.echo(f"{directory}: {', '.join(contents)} are written; check them, then: {command}")


def _settings_text(proposal, place: str, name: str, train_pattern: str, test_pattern: str | None) -> str:
    columns = proposal.row_format
    few = proposal.rows < _FEW_ROWS
    # A model has to be better than one that always answers with the most frequent class.
    accuracy = min(0.95, round(proposal.largest_share + 0.1, 2))
    lines = [
        "# Settings of this data set. `agnews config keys` lists all settings.",
        "pipeline:",
        f"  name: {name}",
        "data:",
        f"  path: {_quote(place)}",
        f"  train_pattern: {_quote(train_pattern)}",
        f"  test_pattern: {_quote(test_pattern)}"
        if test_pattern
        else "  # There are no test files: this share of the rows is held out, by a hash of the text.\n"
        "  test_fraction: 0.2",
        f"  val_fraction: {0.1 if few else 0.05}",
        "  # Columns with the class, and with the texts in the order in which they are read.",
        f"  label_column: {_quote(columns.label_column)}",
        f"  text_columns: [{', '.join(map(_quote, columns.text_columns))}]",
    ]
    if columns.first_class is not None:
        lines += [
            "  # Number of the first class; the schema may give the classes names.",
            f"  first_class: {columns.first_class}",
        ]
    lines += [
        "  # Classes and length buckets. Relative paths in this file begin at its directory.",
        f"  schema_file: {_SCHEMA}",
        "transform:",
        "  # characters: each character of a script without blanks, such as Chinese, is a token.",
        f"  tokens: {'characters' if proposal.characters else 'words'}",
        "evaluator:",
        "  # What a model must reach on the test rows: more than the most frequent class alone gives.",
        f"  min_accuracy: {accuracy}",
        "  min_label_recall: 0.3",
    ]
    if few:
        lines += [
            "  # With few test rows, a single row is a large share.",
            "  max_accuracy_drop: 0.02",
            "  max_label_recall_drop: 0.1",
        ]
    lines += ["model_card:", f"  owner_file: {_OWNER}", "pusher:", f"  model_name: {name}"]
    return "\n".join(lines) + "\n"


def _schema_text(data_set) -> str:
    from schema.data_set import SCHEMA_PATH

    text = SCHEMA_PATH.read_text(encoding="utf-8")
    classes = "".join(f" tag: {_quote(name)}" for name in data_set.class_names)
    bounds = "".join(f' tag: "{bound}"' for bound in data_set.length_bounds)
    buckets = "".join(f" value: {_quote(name)}" for name in data_set.length_buckets)
    last = len(data_set.class_names) - 1
    # The default schema's text, with these parts replaced.
    replaced = {
        r'int_domain \{ name: "label"[^}]*\}': f'int_domain {{ name: "label" max: {last} is_categorical: true }}',
        r'annotation \{ tag: "World"[^}]*\}': f"annotation {{{classes} }}",
        r'annotation \{ tag: "210"[^}]*\}': f"annotation {{{bounds} }}" if bounds else "# There is one bucket.",
        r'string_domain \{ name: "length_bucket"[^}]*\}': f'string_domain {{ name: "length_bucket"{buckets} }}',
        r"in the order of the values 0 to 3": "in the order of the values from 0",
        r"# schema/data_set.py reads [^\n]*\n[^\n]*\n": "# You may rename the classes here.\n",
        r"# The corpus has 30 to 1,020 [^\n]*": "# A longer text is taken for a broken export.",
        r"# Classes are balanced by construction; [^\n]*": "# A larger move, if significant, is drift.",
    }
    for pattern, new in replaced.items():
        text, count = re.subn(pattern, new.replace("\\", r"\\"), text)
        assert count == 1, pattern
    ids = [data_set.id_column] if data_set.id_column else []
    return (
        text
        + "".join(_KEPT_COLUMN.format(name=_quote(name)) for name in data_set.kept_columns)
        + "".join(_ID_COLUMN.format(name=_quote(name)) for name in ids)
    )


def _owner_text(data_set, name: str) -> str:
    shown = ", ".join(data_set.class_names[:5]) + (", …" if len(data_set.class_names) > 5 else "")
    return f"""# The parts of the model card that no run can compute. Replace each text; lists can have any length.
name: {_quote(f"{name} classifier")}
overview: {_quote(f"Sorts texts into {len(data_set.class_names)} classes: {shown}.")}
owners:
  - name: Name of your team
    contact: team@example.org
data:
  name: {_quote(name)}
  link: https://example.org/where-the-data-is-described
  license: The terms under which the texts may be used.
  sensitive: []
users:
  - Who uses the answers.
use_cases:
  - What the answers are used for.
out_of_scope:
  - What they must not be used for.
limitations:
  - Every text gets one of the {len(data_set.class_names)} classes, even one that belongs to none.
tradeoffs: []
ethical_considerations: []
"""


def _quote(text: str) -> str:
    """Returns a string literal that is valid in YAML and in a protocol buffer's text."""
    import json

    return json.dumps(text, ensure_ascii=False)
