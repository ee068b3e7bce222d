"""How the columns of a file become rows: which are texts, which is the class, and which classes there are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.example_gen.rows import RawRow, parse_label
from schema.csv_records import refuse_repeated_columns
from schema.data_set import AG_NEWS
from schema.errors import DataError
from schema.metadata import decode_text, encode_json
from schema.news_items import KNOWN_FIELDS, TEXT_COLUMNS, NewsItem

# Names of the class column that are known, each with the number of the first class.
CLASS_COLUMNS = {"class index": 1, "class_index": 1, "class": 1, "label": 0}
EXPECTED = (
    f"a class column ({', '.join(CLASS_COLUMNS)}) and either title and description, or text; data.label_column and "
    "data.text_columns name other ones"
)


@dataclass(frozen=True)
class RowFormat:
    """The columns of the data files and the classes in them.

    Attributes:
        label_column: name of the class column; None for a known name.
        text_columns: names of the text columns, in the order in which they are joined; () for known names.
        first_class: number of the first class where classes are numbers; None for what the known names mean, else 0.
        class_names: class names in the order of the labels.
        kept_columns: names of further columns whose values the rows keep.
        id_column: name of the column with ids, which the rows keep; empty if there is none.
    """

    label_column: str | None = None
    text_columns: tuple[str, ...] = ()
    first_class: int | None = None
    class_names: tuple[str, ...] = AG_NEWS.class_names
    kept_columns: tuple[str, ...] = ()
    id_column: str = ""

    @property
    def needs_header(self) -> bool:
        """Whether a file must name its columns."""
        return bool(self.text_columns or self.kept_columns or self.id_column)

    @classmethod
    def decode(cls, text: str | None) -> "RowFormat":
        """Reads the text that `encode` returns; None is the default format."""
        if text is None:
            return cls()
        values: dict[str, Any] = json.loads(decode_text(text))
        tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | tuples)

    def encode(self) -> str:
        """Returns the format as text that every metadata store can hold."""
        return encode_json(asdict(self))

    def find_columns(self, names: Sequence[str], file: str) -> "Columns":
        """Finds the columns of a file.

        Args:
            names: columns of the file, in lower case.
            file: name of the file, for messages.

        Raises:
            DataError: the file lacks or repeats a column.
        """
        label = self.label_column.lower() if self.label_column else None
        texts, kept = (tuple(map(str.lower, columns)) for columns in (self.text_columns, self.kept_columns))
        ids = tuple(filter(None, (self.id_column.lower(),)))
        known = (label, *texts) if label and texts else (*CLASS_COLUMNS, *KNOWN_FIELDS)
        refuse_repeated_columns(names, dict.fromkeys((*known, *kept, *ids)), file)
        label = label or next((name for name in names if name in CLASS_COLUMNS), None)
        texts = texts or (TEXT_COLUMNS if {*TEXT_COLUMNS} <= set(names) else KNOWN_FIELDS[2:])
        wanted = (label or "label", *texts, *kept, *ids)
        if missing := [name for name in wanted if name not in names]:
            expected = f"the columns {', '.join(wanted)}" if self.label_column or self.needs_header else EXPECTED
            raise DataError(
                f"{file} has the columns {', '.join(names)}; {', '.join(missing)} is missing. It needs {expected}"
            )
        first = self.first_class if self.first_class is not None else CLASS_COLUMNS.get(wanted[0], 0)
        return Columns(wanted[0], texts, first, self.class_names, kept, ids)


@dataclass(frozen=True)
class Columns:
    """The columns of one file.

    Attributes:
        label: column with the class.
        texts: columns with the texts.
        first_class: number of the first class.
        class_names: class names.
        kept: further columns to keep.
        ids: column with ids, or none.
    """

    label: str
    texts: tuple[str, ...]
    first_class: int
    class_names: tuple[str, ...]
    kept: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def to_row(self, file: str, number: int, values: Mapping[str, object], lines: int = 1) -> RawRow:
        """Returns the row of a record, whose texts `NewsItem.of_texts` joins.

        Args:
            file: path of the file.
            number: number of the record.
            values: its values by column; absent and null texts are empty, and such kept values are "(none)".
            lines: number of its lines.
        """
        item = NewsItem.of_texts([str(values.get(name) or "") for name in self.texts])
        label = values.get(self.label)
        number_of_class = parse_label(label, first=self.first_class, class_names=self.class_names)
        kept = tuple(to_text(values.get(name)) or "(none)" for name in self.kept)
        source_id = "".join(to_text(values.get(name)) for name in self.ids)
        return RawRow(file, number, number_of_class, item.title, item.description, str(label), lines, kept, source_id)


def to_text(value: object) -> str:
    """Returns a value of any type as a text without blanks at its ends; None is empty."""
    return "" if value is None else str(value).strip()
