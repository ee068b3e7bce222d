"""The SchemaGen component: imports the curated schema, and runs again when its content changes."""

from pathlib import Path

from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types import Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ImportSchemaGenSpec

from components.schema_gen.executor import FINGERPRINT, SchemaExecutor, fingerprint_file


class _SchemaGenSpec(ImportSchemaGenSpec):
    PARAMETERS = {**ImportSchemaGenSpec.PARAMETERS, FINGERPRINT: ExecutionParameter(type=str)}  # noqa: RUF012


class CuratedSchemaGen(ImportSchemaGen):
    """TFX's ImportSchemaGen with the fingerprint of the file among its parameters.

    The cache key of ImportSchemaGen holds only the path of the file, so TFX would not notice an edited schema.
    """

    SPEC_CLASS = _SchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SchemaExecutor)

    def __init__(self, schema_file: Path):
        """Creates the component.

        Args:
            schema_file: path of a schema.pbtxt.
        """
        schema = Channel(type=standard_artifacts.Schema)
        spec = _SchemaGenSpec(schema_file=str(schema_file), fingerprint=fingerprint_file(schema_file), schema=schema)
        # ImportSchemaGen.__init__ would create the spec without the fingerprint.
        BaseComponent.__init__(self, spec)
