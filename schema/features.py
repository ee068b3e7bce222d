"""Names of features, classes and splits; classes are those of AG News, the default data set."""

from functools import cache

from tensorflow_metadata.proto.v0 import schema_pb2

from schema.data_set import (
    AG_NEWS,
    DESCRIPTION,
    ID,
    LABEL,
    LENGTH_BUCKET,
    SCHEMA_PATH,
    TEXT_LENGTH,
    TITLE,
    read_schema,
)
from schema.splits import SPLITS, TEST, TRAIN, VAL

__all__ = [
    "CLASS_NAMES",
    "DESCRIPTION",
    "ID",
    "LABEL",
    "LENGTH_BUCKET",
    "LENGTH_BUCKETS",
    "SCHEMA_PATH",
    "SPLITS",
    "TEST",
    "TEXT_LENGTH",
    "TITLE",
    "TRAIN",
    "VAL",
    "load_schema",
]

CLASS_NAMES = AG_NEWS.class_names
"""Class names of AG News in the order of the label values 0 to 3."""

LENGTH_BUCKETS = AG_NEWS.length_buckets
"""Names of the text-length buckets of AG News, shortest first."""


@cache
def load_schema() -> schema_pb2.Schema:
    """Returns the parsed schema of AG News. All callers share it, so copy it before changing it."""
    return read_schema()
