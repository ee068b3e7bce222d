"""Names of features, classes and splits; features and classes are read from the curated schema."""

from functools import cache
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from schema.splits import SPLITS as SPLITS
from schema.splits import TEST as TEST
from schema.splits import TRAIN as TRAIN
from schema.splits import VAL as VAL

SCHEMA_PATH = Path(__file__).with_name("schema.pbtxt")


@cache
def load_schema() -> schema_pb2.Schema:
    """Returns the parsed curated schema. All callers share it, so copy it before changing it."""
    return text_format.Parse(SCHEMA_PATH.read_text(encoding="utf-8"), schema_pb2.Schema())


def feature(name: str) -> schema_pb2.Feature:
    """Returns the schema's entry for a feature.

    Raises:
        KeyError: the schema has no such feature; the message lists the features.
    """
    for entry in load_schema().feature:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in load_schema().feature)
    raise KeyError(f"{SCHEMA_PATH.name} has no feature {name!r}; it has: {known}")


ID = feature("id").name
TITLE = feature("title").name
DESCRIPTION = feature("description").name
LABEL = feature("label").name
TEXT_LENGTH = feature("text_length").name
LENGTH_BUCKET = feature("length_bucket").name

CLASS_NAMES: tuple[str, ...] = tuple(feature(LABEL).annotation.tag)
"""Class names in the order of the label values 0 to 3."""

LENGTH_BUCKETS: tuple[str, ...] = tuple(feature(LENGTH_BUCKET).string_domain.value)
"""Names of the text-length buckets, shortest first."""

LENGTH_BUCKET_BOUNDS: tuple[int, ...] = (210, 255)
"""Text lengths in characters at which the next bucket begins: the terciles of AG News' training rows."""


def length_bucket(text_length: int) -> str:
    """Returns the bucket of a text length, the number of characters in title and description together."""
    return LENGTH_BUCKETS[sum(text_length >= bound for bound in LENGTH_BUCKET_BOUNDS)]
