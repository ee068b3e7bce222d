"""Tests of reading the metadata store: completely once, then changes, without writing to it."""

import hashlib
from pathlib import Path

import pytest
from ml_metadata import errors
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from benchmarks.review_store import APPROVER, SimulatedStore
from pipeline.metadata import store_reader
from pipeline.metadata.store_reader import StoreReader
from schema.errors import RunError


@pytest.fixture
def growing(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    return made


def test_the_snapshot_contains_all_runs_executions_and_artifacts(snapshot, simulated):
    assert [run.name for run in snapshot.runs.values()] == [f"local-{number:06d}" for number in range(12)]
    assert len(snapshot.executions) == len(simulated.store.get_executions())
    assert len(snapshot.artifacts) == len(simulated.store.get_artifacts())


def test_a_database_server_is_read_like_a_file(connection, tmp_path):
    made = SimulatedStore(tmp_path / "files", files=1, test_rows=8, connection=connection)
    made.add_runs(2)
    reader = StoreReader(connection, max_age=-1)
    assert len(reader.snapshot().runs) == 2
    made.add_runs(12)
    known = reader.snapshot()
    assert sorted(run.name for run in known.runs.values()) == [f"local-{number:06d}" for number in range(14)]
    assert set(known.executions) == {one.id for one in made.store.get_executions()}
    assert {one.properties["who"] for one in known.of_type("AgNewsApprovalDecision")} == {APPROVER}


def test_new_runs_are_found_without_reading_known_ones(growing, monkeypatch):
    reader = StoreReader(growing.connection, max_age=-1)
    reader.snapshot()
    growing.add_runs(3)
    queried, query = [], MetadataStore.get_contexts_by_execution
    monkeypatch.setattr(
        MetadataStore, "get_contexts_by_execution", lambda store, one: queried.append(one) or query(store, one)
    )
    known = reader.snapshot()
    assert len(known.runs) == 4
    assert set(known.executions) == {one.id for one in growing.store.get_executions()}
    assert len(queried) == sum(1 for one in known.executions.values() if one.run != 1 and one.id > 14)


def test_a_change_of_state_is_noticed(growing):
    reader = StoreReader(growing.connection, max_age=-1)
    [execution] = growing.store.get_executions()[-1:]
    execution.last_known_state = mlmd.Execution.RUNNING
    growing.store.put_executions([execution])
    assert reader.snapshot().executions[execution.id].state == "RUNNING"
    execution.last_known_state = mlmd.Execution.FAILED
    growing.store.put_executions([execution])
    assert reader.snapshot().executions[execution.id].state == "FAILED"


def test_all_changes_are_found_if_they_exceed_one_page(growing):
    reader = StoreReader(growing.connection, max_age=-1)
    reader.snapshot()
    growing.add_runs(25)
    assert len(reader.snapshot().executions) == len(growing.store.get_executions()) > 300


def test_a_recent_snapshot_is_reused(growing):
    moments = iter([0.0, 1.0, 9.0, 9.0])
    reader = StoreReader(growing.connection, max_age=5.0, clock=lambda: next(moments))
    first = reader.snapshot()
    growing.add_runs(1)
    assert reader.snapshot() is first
    assert len(reader.snapshot().runs) == 2


def file_in(directory):
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(directory / "metadata.sqlite")
    return config


def test_a_missing_store_is_empty_and_not_created(tmp_path):
    reader = StoreReader(file_in(tmp_path), max_age=-1)
    assert not reader.snapshot().runs
    assert list(tmp_path.iterdir()) == []
    SimulatedStore(tmp_path, files=1, test_rows=8).add_runs(1)
    assert len(reader.snapshot().runs) == 1


def test_a_locked_store_returns_the_previous_snapshot(growing, monkeypatch):
    reader = StoreReader(growing.connection, max_age=-1)
    before = reader.snapshot()

    def busy(*_):
        raise errors.AbortedError("database is locked")

    monkeypatch.setattr(store_reader, "_read_changes", busy)
    assert reader.snapshot() is before


def test_an_invalid_store_is_a_run_error(tmp_path):
    (tmp_path / "metadata.sqlite").write_text("no database" * 100)
    with pytest.raises(RunError, match=r"the metadata store cannot be read: .*; check the settings"):
        StoreReader(file_in(tmp_path)).snapshot()


def test_reading_does_not_change_the_file(growing):
    file = Path(growing.connection.sqlite.filename_uri)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    reader = StoreReader(growing.connection, max_age=-1)
    reader.node_names(list(reader.snapshot().executions))
    reader.snapshot()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


def test_node_names_are_component_ids_in_the_pipeline(growing):
    reader = StoreReader(growing.connection)
    names = reader.node_names([one.id for one in reader.snapshot().executions_of(1)])
    assert "AgNewsExampleGen" in names.values()
    assert "AgNewsPusher" in names.values()
