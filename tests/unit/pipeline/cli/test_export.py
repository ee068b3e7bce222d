import pytest
from click.testing import CliRunner

from pipeline.cli.export import export
from schema.errors import SettingsError


def test_a_wrong_address_is_reported_before_tensorflow_is_imported():
    """The unit tests' conftest fails a module that imports TensorFlow."""
    with pytest.raises(SettingsError, match="nonsense: use --to http://HOST:PORT, or set MLFLOW_TRACKING_URI to it"):
        CliRunner().invoke(export, ["mlflow", "--to", "nonsense"], catch_exceptions=False)
