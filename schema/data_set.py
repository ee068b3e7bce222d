"""Describes a data set: its classes and length buckets, read once from its schema file and passed on explicitly."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from schema.errors import SettingsError
from schema.files import read_small_file
from schema.metadata import SCHEMA_FILE, decode_text, encode_json
from schema.wording import amount

SCHEMA_PATH = Path(__file__).with_name(SCHEMA_FILE)
"""The schema of AG News, the default data set."""
MIN_CLASSES, MAX_CLASSES = 2, 1000
ID, TITLE, DESCRIPTION, LABEL, TEXT_LENGTH, LENGTH_BUCKET = FEATURES = (
    *("id", "title", "description", "label", "text_length", "length_bucket"),
)
"""Names of the features that ingestion makes from the columns of any data set."""
SOURCE_ID = "source_id"
"""Feature with the id of a row in the files, if the schema has this feature; its tag is the name of the column."""


@dataclass(frozen=True)
class DataSet:
    """Classes, length buckets and kept columns of a data set.

    Attributes:
        class_names: class names in the order of the label values, which begin with 0.
        length_buckets: names of the text-length buckets, shortest first.
        length_bounds: text lengths in characters at which the next bucket begins.
        kept_columns: further columns of the files, by whose values metrics are sliced.
        text_columns: columns with the texts, in the order in which they are joined; the inputs of a model.
        id_column: column with ids, which rows keep as `SOURCE_ID`; empty if there is none.
    """

    class_names: tuple[str, ...]
    length_buckets: tuple[str, ...]
    length_bounds: tuple[int, ...]
    kept_columns: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = (TITLE, DESCRIPTION)
    id_column: str = ""

    @classmethod
    def of_schema(cls, schema: schema_pb2.Schema, file: str = "the schema") -> "DataSet":
        """Reads the description from a schema.

        Raises:
            SettingsError: the schema lacks a feature, or its classes or buckets are impossible; names `file`.
        """
        features = {feature.name: feature for feature in schema.feature}
        if missing := [name for name in FEATURES if name not in features]:
            raise SettingsError(
                f"{file} has no feature {', '.join(missing)}; begin with a file that agnews init writes"
            )
        label, bucket = features[LABEL], features[LENGTH_BUCKET]
        names, buckets = tuple(label.annotation.tag), tuple(bucket.string_domain.value)
        problem = None
        if not MIN_CLASSES <= len(names) <= MAX_CLASSES:
            found = amount(len(names), "class name")
            problem = f"label has {found} (annotation tags), expected {MIN_CLASSES} to {MAX_CLASSES}"
        elif len(set(names)) < len(names) or not all(name.strip() == name != "" for name in names):
            problem = "the class names of label must differ, and must not begin or end with blanks"
        elif (label.int_domain.min, label.int_domain.max) != (0, len(names) - 1):
            problem = f"the int_domain of label must be 0 to {len(names) - 1}, for {len(names)} class names"
        bounds = tuple(map(int, filter(str.isdecimal, bucket.annotation.tag)))
        if problem is None and (len(buckets) != len(bounds) + 1 or list(bounds) != sorted(set(bounds))):
            problem = (
                f"length_bucket has {amount(len(buckets), 'name')} and the bounds {list(bounds)} (annotation tags); "
                "expected rising bounds, one less than names"
            )
        kept = tuple(name for name in features if name not in (*FEATURES, SOURCE_ID))
        ids = list(features[SOURCE_ID].annotation.tag) if SOURCE_ID in features else [""]
        if len(ids) != 1 or (SOURCE_ID in features and not ids[0]):
            problem = f"the feature {SOURCE_ID} needs one annotation tag, the name of the column with the ids"
        if bad := [name for name in kept if features[name].type != schema_pb2.BYTES or "=" in name]:
            problem = (
                f"the feature {bad[0]} must have the type BYTES, and a name without =, to be a column that is kept"
            )
        if problem:
            raise SettingsError(f"{file}: {problem}; correct it there")
        return cls(names, buckets, bounds, kept, id_column=ids[0])

    @classmethod
    def decode(cls, text: str | None) -> "DataSet":
        """Reads the text that `encode` returns; None, in runs before this parameter, is AG News."""
        if text is None:
            return AG_NEWS
        values: dict[str, Any] = json.loads(decode_text(text))
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values)

    def encode(self) -> str:
        """Returns the description as text that every metadata store can hold, for a component's parameters.

        As a parameter it is part of the cache key.
        """
        return encode_json(asdict(self))

    def length_bucket(self, text_length: int) -> str:
        """Returns the bucket of a text length, the number of characters of all texts of a row."""
        return self.length_buckets[sum(text_length >= bound for bound in self.length_bounds)]

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of the Evaluator's slices by class and length bucket, in display order."""
        return (
            *(f"{LABEL}={name}" for name in self.class_names),
            *(f"{LENGTH_BUCKET}={name}" for name in self.length_buckets),
        )


def read_schema(file: Path = SCHEMA_PATH) -> schema_pb2.Schema:
    """Parses a schema file.

    Raises:
        SettingsError: the file cannot be read, or is not a schema; the message names file and line.
    """
    try:
        return text_format.Parse(read_small_file(file).decode("utf-8"), schema_pb2.Schema())
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"data.schema_file {file}: {error}; name a schema.pbtxt in UTF-8") from error
    except text_format.ParseError as error:
        raise SettingsError(f"data.schema_file {file}, line {error}; correct it there") from error


def read_data_set(file: Path = SCHEMA_PATH) -> DataSet:
    """Reads the description of a data set from its schema file.

    Raises:
        SettingsError: as `read_schema` and `DataSet.of_schema`.
    """
    return DataSet.of_schema(read_schema(file), str(file))


def describe_slice(name: str) -> str:
    """Describes a slice in words, for instance "class Sports" for "label=Sports"."""
    column, _, value = name.partition("=")
    return {LABEL: f"class {value}", LENGTH_BUCKET: f"{value} texts"}.get(column, f"{name} rows" if not value else name)


def describe_metric(metric: str, slice_name: str, is_change: bool = False) -> str:
    """Describes a metric of a slice, or its change, in words.

    The accuracy on the rows of one class is the recall of that class.
    """
    column, _, value = slice_name.partition("=")
    change = "change of " if is_change else ""
    if metric == "accuracy" and column == LABEL:
        return f"{change}recall of {value}"
    return change + (metric if not value and column == "all" else f"{metric} on {describe_slice(slice_name)}")


AG_NEWS = read_data_set()
"""The default data set."""
