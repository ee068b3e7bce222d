import os
import signal

import filelock
import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel
from tfx.types.standard_artifacts import InfraBlessing, ModelBlessing

from pipeline.runners import local
from pipeline.runners.events import State
from schema import interruption
from schema.errors import DataError, RunError
from tests.support.recorder import Recorder


@component
def Produce(made: OutputArtifact[ModelBlessing], text: Parameter[str]) -> None:
    with open(os.path.join(made.uri, "text"), "w") as file:
        file.write(text)


@component
def Consume(made: InputArtifact[ModelBlessing], fault: Parameter[str], out: OutputArtifact[ModelBlessing]) -> None:
    if fault == "data":
        raise DataError("row 7 is bad")
    if fault == "bug":
        raise ZeroDivisionError("first line\nwhat went wrong\n        ^\n\n")
    if "signal" in fault:
        interruption.interrupt(signal.SIGTERM)
    if fault == "signal, wrapped":
        raise RuntimeError("Interrupted [while running 'a step']")
    if fault == "signal, reported as bad data":
        raise DataError("row 7 is bad")


@pytest.fixture
def run(tmp_path, connection):
    def run(run_id, *, text="one", fault="none"):
        produce = Produce(text=text)
        consume = Consume(made=produce.outputs["made"], fault=fault)
        pipeline = Pipeline("test", str(tmp_path / "test"), connection, [produce, consume], enable_cache=True)
        watcher = Recorder()
        try:
            local.run(pipeline, run_id, tmp_path, watcher)
        finally:
            run.watcher = watcher
        return watcher

    run.store = lambda: metadata_store.MetadataStore(connection)
    return run


def test_components_run_in_order_and_then_come_from_the_cache(run):
    first, second = run("local-1"), run("local-2")
    assert first.upstream == {"Produce": [], "Consume": ["Produce"]}
    assert [state for state in first.changes if state[1] is not State.RUNNING] == [
        ("Produce", State.DONE),
        ("Consume", State.DONE),
    ]
    assert [state for _, state in second.changes if state is not State.RUNNING] == [State.CACHED, State.CACHED]


def test_a_changed_setting_runs_its_component_and_those_after_it(run):
    run("local-1")
    assert [state for _, state in run("local-2", text="two").changes if state is not State.RUNNING] == [
        State.DONE,
        State.DONE,
    ]


def test_a_users_error_keeps_its_kind_and_gets_its_components_name(run):
    with pytest.raises(DataError, match="Consume: row 7 is bad"):
        run("local-1", fault="data")
    assert run.watcher.changes[-1] == ("Consume", State.FAILED)


def test_another_error_becomes_one_line(run):
    with pytest.raises(RunError, match=r"^Consume failed: ZeroDivisionError: what went wrong$"):
        run("local-1", fault="bug")


@pytest.mark.parametrize("fault", ["signal, dropped", "signal, wrapped", "signal, reported as bad data"])
@pytest.mark.usefixtures("interrupt")
def test_a_component_that_hides_a_signal_is_stopped_and_not_failed(run, fault):
    with pytest.raises(interruption.Interrupted):
        run("local-1", fault=fault)
    assert run.watcher.changes[-1] == ("Consume", State.STOPPED)
    # The outputs of the component are not recorded as finished work.
    states = {execution.last_known_state for execution in run.store().get_executions()}
    assert states == {mlmd.Execution.COMPLETE, mlmd.Execution.RUNNING}


def test_no_component_starts_after_a_signal(run, interrupt):
    interrupt()
    with pytest.raises(interruption.Interrupted):
        run("local-1")
    assert run.watcher.changes == []


@pytest.mark.usefixtures("interrupt")
def test_the_run_after_a_stopped_one_does_the_components_work_again(run, monkeypatch):
    with pytest.raises(interruption.Interrupted):
        run("local-1", fault="signal, dropped")
    monkeypatch.setattr(interruption, "is_interrupted", lambda: False)
    assert run("local-2", fault="signal, dropped").changes[-3:] == [
        ("Produce", State.CACHED),
        ("Consume", State.RUNNING),
        ("Consume", State.DONE),
    ]


def test_after_a_failure_the_finished_components_come_from_the_cache(run):
    with pytest.raises(DataError):
        run("local-1", fault="data")
    assert ("Produce", State.CACHED) in run("local-2").changes


def test_one_run_at_a_time_uses_a_root(run, tmp_path):
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(RunError, match="another run holds"):
        run("local-1")


def test_what_a_killed_run_left_behind_is_closed_and_removed(run, tmp_path):
    run("local-1")
    store = run.store()
    [produced] = store.get_executions_by_type(store.get_execution_types()[0].name)
    produced.last_known_state = mlmd.Execution.RUNNING
    store.put_executions([produced])
    left_behind = tmp_path / "test/Produce/made" / str(produced.id)
    assert left_behind.exists()

    run("local-2")

    [closed] = run.store().get_executions_by_id([produced.id])
    assert closed.last_known_state == mlmd.Execution.CANCELED
    assert not left_behind.exists()


@component
def ProduceTwo(schema: OutputArtifact[ModelBlessing], model: OutputArtifact[InfraBlessing]) -> None:
    pass


@component
def ConsumeTwo(schema: InputArtifact[ModelBlessing], model: InputArtifact[InfraBlessing], turn: Parameter[int]) -> None:
    assert (schema.uri.split("/")[-2], model.uri.split("/")[-2]) == ("schema", "model")


@component
def ProduceModel(model: OutputArtifact[InfraBlessing]) -> None:
    pass


@pytest.mark.parametrize("known_first", [Produce, ProduceModel])
def test_several_cached_outputs_keep_their_keys(tmp_path, connection, known_first):
    def run(run_id, *components):
        pipeline = Pipeline("test", str(tmp_path / "test"), connection, list(components), enable_cache=True)
        local.run(pipeline, run_id, tmp_path, Recorder())

    # PostgreSQL returns the artifacts of the oldest type first.
    run("local-0", known_first(text="one") if known_first is Produce else known_first())
    for turn in (1, 2):
        produce = ProduceTwo()
        run(
            f"local-{turn}",
            produce,
            ConsumeTwo(schema=produce.outputs["schema"], model=produce.outputs["model"], turn=turn),
        )


class NothingFound(ResolverStrategy):
    def resolve_artifacts(self, store, input_dict):
        return {"made": []}


def test_a_needed_input_that_does_not_exist_is_said_so(tmp_path, connection):
    resolver = Resolver(strategy_class=NothingFound, made=Channel(type=ModelBlessing)).with_id("Nothing")
    consume = Consume(made=resolver.outputs["made"], fault="none")
    pipeline = Pipeline("test", str(tmp_path / "test"), connection, [resolver, consume])
    with pytest.raises(RunError, match="an input that it needs does not exist"):
        local.run(pipeline, "local-1", tmp_path, Recorder())
