"""Feature names and label classes, read from the curated schema so that they stand in one place."""

from functools import cache
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

SCHEMA_PATH = Path(__file__).with_name("schema.pbtxt")


@cache
def load_schema() -> schema_pb2.Schema:
    """The curated schema, parsed. Shared by all callers: copy it before changing it."""
    return text_format.Parse(SCHEMA_PATH.read_text(encoding="utf-8"), schema_pb2.Schema())


def feature(name: str) -> schema_pb2.Feature:
    """The schema's entry for `name`.

    Raises:
        KeyError: the schema has no such feature; it names the file and the features there are.
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

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
"""The splits: train and val are the training rows, parted by a hash of the id; test is the official test."""

CLASS_NAMES: tuple[str, ...] = tuple(feature(LABEL).annotation.tag)
"""Class names in the order of the label values 0 to 3."""

LENGTH_BUCKETS: tuple[str, ...] = tuple(feature(LENGTH_BUCKET).string_domain.value)
"""Names of the text-length buckets, shortest first."""

LENGTH_BUCKET_BOUNDS: tuple[int, ...] = (210, 255)
"""Characters at which the next bucket begins: the terciles of AG News' training rows."""


def length_bucket(text_length: int) -> str:
    """The bucket of a text of `text_length` characters (title and description together)."""
    return LENGTH_BUCKETS[sum(text_length >= bound for bound in LENGTH_BUCKET_BOUNDS)]
