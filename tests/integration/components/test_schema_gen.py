import hashlib
import shutil

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler.compiler import Compiler
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.schema_gen.component import CuratedSchemaGen, SchemaExecutor
from schema.errors import SettingsError
from schema.features import SCHEMA_PATH


@pytest.fixture
def run(tmp_path):
    shutil.copy(SCHEMA_PATH, tmp_path / "schema.pbtxt")
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE

    def run():
        """Runs the component; returns the states of all its executions and the newest schema."""
        component = CuratedSchemaGen(tmp_path / "schema.pbtxt")
        pipeline = Pipeline("test", str(tmp_path / "root"), config, [component], enable_cache=True)
        LocalDagRunner().run_with_ir(Compiler().compile(pipeline))
        with metadata.Metadata(config) as handle:
            states = [execution.last_known_state for execution in handle.store.get_executions()]
            [*_, newest] = handle.store.get_artifacts_by_type("Schema")
        return states, (tmp_path / newest.uri / "schema.pbtxt").read_text()

    return run


def test_an_unchanged_schema_comes_from_the_cache(run):
    run()
    assert run()[0] == [mlmd.Execution.COMPLETE, mlmd.Execution.CACHED]


def test_an_edited_schema_is_imported_again(run, tmp_path):
    before = run()[1]
    edited = before.replace("threshold: 0.05", "threshold: 0.5")
    (tmp_path / "schema.pbtxt").write_text(edited)
    states, imported = run()
    assert states == [mlmd.Execution.COMPLETE, mlmd.Execution.COMPLETE]
    assert imported == edited
    assert edited != before


@pytest.fixture
def import_schema(tmp_path):
    def import_schema(file, fingerprint):
        """Runs the executor like a pod, on a machine without the compiled path."""
        schema = standard_artifacts.Schema()
        schema.uri = str(tmp_path / "imported")
        SchemaExecutor().Do({}, {"schema": [schema]}, {"schema_file": file, "fingerprint": fingerprint})
        return (tmp_path / "imported/schema.pbtxt").read_text()

    return import_schema


def test_the_installed_schema_replaces_a_missing_file(import_schema):
    installed = SCHEMA_PATH.read_text()
    fingerprint = hashlib.sha256(installed.encode()).hexdigest()
    assert import_schema("/elsewhere/schema.pbtxt", fingerprint) == installed


def test_a_schema_that_differs_from_the_compiled_one_is_refused(import_schema):
    with pytest.raises(SettingsError, match="from the same version"):
        import_schema("/elsewhere/schema.pbtxt", "0" * 64)
