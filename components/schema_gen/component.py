"""The SchemaGen component: imports the curated schema, and runs again when its content changes."""

import hashlib
from pathlib import Path

from tfx.components.schema_gen.import_schema_gen import executor
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types import Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import SCHEMA_FILE_KEY, ImportSchemaGenSpec

from schema.data_set import SCHEMA_PATH
from schema.errors import SettingsError

FINGERPRINT = "fingerprint"


class SchemaExecutor(executor.Executor):
    """Imports the curated schema, from this installation if the compiled path does not exist on this machine."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """Writes the schema.

        Raises:
            SettingsError: the schema differs from the one that the pipeline was compiled with.
        """
        compiled = Path(exec_properties[SCHEMA_FILE_KEY])
        file = compiled if compiled.exists() else SCHEMA_PATH
        if fingerprint_file(file) != exec_properties[FINGERPRINT]:
            raise SettingsError(
                f"the schema {file} differs from the one that the pipeline was compiled with: build the container "
                "image and compile the pipeline from the same version"
            )
        super().Do(input_dict, output_dict, {**exec_properties, SCHEMA_FILE_KEY: str(file)})


def fingerprint_file(file: Path) -> str:
    """Returns the SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


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
