"""The executor of SchemaGen."""

import hashlib
from pathlib import Path

from tfx.components.schema_gen.import_schema_gen import executor
from tfx.types.standard_component_specs import SCHEMA_FILE_KEY

from schema.errors import SettingsError
from schema.features import SCHEMA_PATH

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
