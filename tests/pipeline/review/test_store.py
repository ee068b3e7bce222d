"""The store is read once, then what changed; a run that goes on is seen, and the file is not written to."""

import hashlib
from pathlib import Path

import pytest
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from benchmarks.review_store import APPROVER, SimulatedStore
from pipeline.review import store as store_module
from pipeline.review.store import StoreReader
from schema.errors import RunError


@pytest.fixture
def growing(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    return made


def test_all_runs_executions_and_artifacts_are_there(snapshot, simulated):
    assert [run.name for run in snapshot.runs.values()] == [f"local-{number:06d}" for number in range(12)]
    assert len(snapshot.executions) == len(simulated.store.get_executions())
    assert len(snapshot.artifacts) == len(simulated.store.get_artifacts())


def test_a_database_server_is_read_as_a_file_is(connection, tmp_path):
    made = SimulatedStore(tmp_path / "files", files=1, test_rows=8, connection=connection)
    made.add_runs(2)
    reader = StoreReader(connection, max_age=-1)
    assert len(reader.snapshot().runs) == 2
    made.add_runs(12)
    known = reader.snapshot()
    assert sorted(run.name for run in known.runs.values()) == [f"local-{number:06d}" for number in range(14)]
    assert set(known.executions) == {one.id for one in made.store.get_executions()}
    assert {one.properties["who"] for one in known.of_type("AgNewsApprovalDecision")} == {APPROVER}


def test_new_runs_are_found_without_reading_the_others_again(growing, monkeypatch):
    reader = StoreReader(growing.connection, max_age=-1)
    reader.snapshot()
    growing.add_runs(3)
    asked = []
    monkeypatch.setattr(
        store_module, "_contexts", lambda store, one: asked.append(one) or store.get_contexts_by_execution(one)
    )
    known = reader.snapshot()
    assert len(known.runs) == 4
    assert set(known.executions) == {one.id for one in growing.store.get_executions()}
    assert len(asked) == sum(1 for one in known.executions.values() if one.run != 1 and one.id > 14)


def test_what_was_running_is_seen_to_end(growing):
    reader = StoreReader(growing.connection, max_age=-1)
    [execution] = growing.store.get_executions()[-1:]
    execution.last_known_state = mlmd.Execution.RUNNING
    growing.store.put_executions([execution])
    assert reader.snapshot().executions[execution.id].state == "RUNNING"
    execution.last_known_state = mlmd.Execution.FAILED
    growing.store.put_executions([execution])
    assert reader.snapshot().executions[execution.id].state == "FAILED"


def test_more_changes_than_a_page_holds_are_all_found(growing):
    reader = StoreReader(growing.connection, max_age=-1)
    reader.snapshot()
    growing.add_runs(25)
    assert len(reader.snapshot().executions) == len(growing.store.get_executions()) > 300


def test_a_young_snapshot_is_given_again(growing):
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


def test_a_store_that_is_not_there_yet_holds_nothing_and_is_not_made(tmp_path):
    reader = StoreReader(file_in(tmp_path), max_age=-1)
    assert not reader.snapshot().runs
    assert list(tmp_path.iterdir()) == []
    SimulatedStore(tmp_path, files=1, test_rows=8).add_runs(1)
    assert len(reader.snapshot().runs) == 1


def test_a_busy_store_shows_what_was_there_before(growing, monkeypatch):
    reader = StoreReader(growing.connection, max_age=-1)
    before = reader.snapshot()

    def busy(*_):
        raise errors.AbortedError("database is locked")

    monkeypatch.setattr(store_module, "_changed", busy)
    assert reader.snapshot() is before


def test_a_store_that_is_none_is_a_message_and_no_trace(tmp_path):
    (tmp_path / "metadata.sqlite").write_text("no database" * 100)
    with pytest.raises(RunError, match=r"the metadata store cannot be read: .*; see the settings"):
        StoreReader(file_in(tmp_path)).snapshot()


def test_reading_leaves_the_file_as_it_is(growing):
    file = Path(growing.connection.sqlite.filename_uri)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    reader = StoreReader(growing.connection, max_age=-1)
    reader.node_names(list(reader.snapshot().executions))
    reader.snapshot()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


def test_a_components_name_is_the_one_it_has_in_the_pipeline(growing):
    reader = StoreReader(growing.connection)
    names = reader.node_names([one.id for one in reader.snapshot().executions_of(1)])
    assert "AgNewsExampleGen" in names.values()
    assert "AgNewsPusher" in names.values()
