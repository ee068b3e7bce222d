"""Imports the curated schema, and notices when it changes."""

import hashlib
from pathlib import Path

from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types import Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ImportSchemaGenSpec


class _Spec(ImportSchemaGenSpec):
    PARAMETERS = {**ImportSchemaGenSpec.PARAMETERS, "fingerprint": ExecutionParameter(type=str)}  # noqa: RUF012


class CuratedSchemaGen(ImportSchemaGen):
    """TFX's ImportSchemaGen with the file's content among its parameters.

    The cache key of TFX's own holds the file's path alone: an edited schema would not be noticed.
    """

    SPEC_CLASS = _Spec

    def __init__(self, schema_file: Path):
        """
        Args:
            schema_file: a schema.pbtxt.
        """
        fingerprint = hashlib.sha256(schema_file.read_bytes()).hexdigest()
        schema = Channel(type=standard_artifacts.Schema)
        # Not ImportSchemaGen's, which would make the spec without the fingerprint.
        BaseComponent.__init__(self, _Spec(schema_file=str(schema_file), fingerprint=fingerprint, schema=schema))
