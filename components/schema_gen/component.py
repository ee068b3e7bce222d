"""Imports the curated schema, and notices when it changes."""

import hashlib
from pathlib import Path

from tfx.components.schema_gen.import_schema_gen import executor
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types import Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import SCHEMA_FILE_KEY, ImportSchemaGenSpec

from schema.errors import SettingsError
from schema.features import SCHEMA_PATH

FINGERPRINT = "fingerprint"


class Executor(executor.Executor):
    """Imports the file; where it does not exist, on another machine, the one that is installed there."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """Writes the schema.

        Raises:
            SettingsError: the schema here is not the one that the pipeline was compiled with.
        """
        wanted = Path(exec_properties[SCHEMA_FILE_KEY])
        file = wanted if wanted.exists() else SCHEMA_PATH
        if _fingerprint(file) != exec_properties[FINGERPRINT]:
            raise SettingsError(
                f"the schema {file} is not the one that the pipeline was compiled with: build the container image and "
                "compile the pipeline from the same version"
            )
        super().Do(input_dict, output_dict, {**exec_properties, SCHEMA_FILE_KEY: str(file)})


class _Spec(ImportSchemaGenSpec):
    PARAMETERS = {**ImportSchemaGenSpec.PARAMETERS, FINGERPRINT: ExecutionParameter(type=str)}  # noqa: RUF012


class CuratedSchemaGen(ImportSchemaGen):
    """TFX's ImportSchemaGen with the file's content among its parameters.

    The cache key of TFX's own holds the file's path alone: an edited schema would not be noticed.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, schema_file: Path):
        """
        Args:
            schema_file: a schema.pbtxt.
        """
        schema = Channel(type=standard_artifacts.Schema)
        # Not ImportSchemaGen's, which would make the spec without the fingerprint.
        BaseComponent.__init__(
            self, _Spec(schema_file=str(schema_file), fingerprint=_fingerprint(schema_file), schema=schema)
        )


def _fingerprint(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
