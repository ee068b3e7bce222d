import pytest

from pipeline.metadata.connection import connection_config
from pipeline.metadata.runs import summarize
from pipeline.settings import Settings


def test_the_error_names_an_unknown_run(tmp_path):
    connection = connection_config(Settings.model_validate({"pipeline": {"root": str(tmp_path)}}))
    with pytest.raises(LookupError, match="local-1"):
        summarize(connection, "local-1")
