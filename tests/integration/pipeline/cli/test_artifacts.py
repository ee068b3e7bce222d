"""Tests `agnews artifacts check` on the embedded metadata store and on PostgreSQL."""

import json
import shutil

import pytest
from click.testing import CliRunner
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types.standard_artifacts import ExampleStatistics, Model

from pipeline.cli import cli
from schema.errors import RunError
from tests.support.stored_files import write_files

LIVE, DELETED = mlmd.Artifact.LIVE, mlmd.Artifact.DELETED


class Recorded:
    """Records a run's model and statistics, and another pipeline's model, whose files are on another machine."""

    def __init__(self, root, connection):
        self.root, self.connection = root, connection
        self.model = self._record(Model, "agnews", "Trainer", "model", 8)
        self.statistics = self._record(ExampleStatistics, "agnews", "StatisticsGen", "statistics", 3)
        self.others = self._record(Model, "others", "Trainer", "model", 9)
        shutil.rmtree(root / "others")

    def _record(self, kind, pipeline, component, output, number):
        store = MetadataStore(self.connection)
        artifact = write_files(kind(), self.root / pipeline / component / output / str(number))
        stored = artifact.mlmd_artifact
        stored.type_id = store.put_artifact_type(artifact.artifact_type)
        stored.state = LIVE
        names = {"pipeline": pipeline, "pipeline_run": f"run-of-{pipeline}", "node": f"{pipeline}.{component}"}
        contexts = []
        for kind_of_context, name in names.items():
            type_id = store.put_context_type(mlmd.ContextType(name=kind_of_context))
            known = store.get_context_by_type_and_name(kind_of_context, name)
            contexts.append(known or mlmd.Context(name=name, type_id=type_id))
        execution = mlmd.Execution(type_id=store.put_execution_type(mlmd.ExecutionType(name=component)))
        event = mlmd.Event(type=mlmd.Event.OUTPUT, path=mlmd.Event.Path(steps=[{"key": output}]))
        _, [artifact.id], _ = store.put_execution(execution, [(stored, event)], contexts)
        return artifact

    def states(self):
        found = MetadataStore(self.connection).get_artifacts_by_id([self.model.id, self.statistics.id, self.others.id])
        return {artifact.id: artifact.state for artifact in found}

    def check(self, *options):
        config = self.connection
        settings = {"pipeline.root": str(self.root)}
        if config.HasField("postgresql"):
            named = config.postgresql
            settings |= {"metadata.backend": "postgresql", "metadata.host": named.host, "metadata.port": named.port}
            settings |= {"metadata.database": named.dbname, "metadata.user": named.user}
            settings |= {"metadata.password": named.password}
        assignments = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        return CliRunner().invoke(cli, ["artifacts", "check", *assignments, *options])


@pytest.fixture
def recorded(connection, tmp_path):
    return Recorded(tmp_path, connection)


def test_where_nothing_is_gone_the_command_says_so(recorded):
    shown = recorded.check("--mark-deleted")
    assert shown.output == "the files of all artifacts of pipeline agnews are there\n"
    assert set(recorded.states().values()) == {LIVE}


def test_an_artifact_without_files_is_listed_and_marked_once(recorded):
    shutil.rmtree(recorded.root / "agnews/Trainer/model/8/Format-Serving/variables")
    listed = recorded.check().output
    assert "artifacts whose files are gone or damaged: 1" in listed
    assert "run-of-agnews  Trainer" in listed
    assert "model/8/Format-Serving/variables/variables.index" in listed.replace("\n", "")
    assert "next: agnews artifacts check --mark-deleted" in listed
    assert set(recorded.states().values()) == {LIVE}

    assert "marked as deleted" in recorded.check("--mark-deleted").output
    assert recorded.states() == {recorded.model.id: DELETED, recorded.statistics.id: LIVE, recorded.others.id: LIVE}
    [stored] = MetadataStore(recorded.connection).get_artifacts_by_id([recorded.model.id])
    assert (stored.uri, stored.type) == (recorded.model.uri, "Model")
    assert "are there" in recorded.check("--mark-deleted").output


def test_an_artifact_whose_files_are_back_is_restored_on_request_only(recorded):
    kept = shutil.move(recorded.root / "agnews/Trainer/model/8", recorded.root / "kept")
    recorded.check("--mark-deleted")
    shutil.move(kept, recorded.root / "agnews/Trainer/model/8")
    assert "to use them again: agnews artifacts check --restore" in recorded.check("--mark-deleted").output
    assert recorded.states()[recorded.model.id] == DELETED
    assert "marked as live" in recorded.check("--restore").output
    assert set(recorded.states().values()) == {LIVE}


def test_where_the_root_of_an_artifact_is_away_nothing_is_marked(connection, tmp_path):
    recorded = Recorded(tmp_path / "volume", connection)
    (tmp_path / "volume").rename(tmp_path / "elsewhere")
    shown = recorded.check("--mark-deleted", "--set", f"pipeline.root={tmp_path}")
    assert isinstance(shown.exception, RunError)
    assert f"{tmp_path / 'volume'}, which held artifact {recorded.model.id}, does not exist" in str(shown.exception)
    assert set(recorded.states().values()) == {LIVE}


def test_json_names_all_that_is_known(recorded):
    shutil.rmtree(recorded.statistics.uri)
    [artifact] = json.loads(recorded.check("--json").output)
    assert artifact == {
        "id": recorded.statistics.id,
        "type": "ExampleStatistics",
        "run": "run-of-agnews",
        "component": "StatisticsGen",
        "path": recorded.statistics.uri,
        "missing": recorded.statistics.uri,
    }


def test_without_a_store_nothing_is_gone_and_none_is_made(tmp_path):
    shown = CliRunner().invoke(cli, ["artifacts", "check", "--set", f"pipeline.root={tmp_path / 'new'}"])
    assert shown.exit_code == 0
    assert "are there" in shown.output
    assert not (tmp_path / "new").exists()
