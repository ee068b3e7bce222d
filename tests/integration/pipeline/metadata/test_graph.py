"""ML Metadata returns properties and events in any order, which can differ between processes and stores."""

from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.graph import properties
from pipeline.metadata.snapshot import Snapshot

NAMES = [f"recall_{letter}" for letter in "qwertyuiopasdfghjkl"]


def event(kind, artifact, *path):
    steps = [{"key": step} if isinstance(step, str) else {"index": step} for step in path]
    return mlmd.Event(execution_id=1, artifact_id=artifact, type=kind, path={"steps": steps})


def test_properties_are_sorted_by_name():
    artifact = mlmd.Artifact()
    for name in NAMES:
        artifact.custom_properties[name].double_value = 1
    assert list(properties(artifact)) == sorted(NAMES)


def test_links_are_in_the_order_of_their_names_and_positions():
    read, made = mlmd.Event.INPUT, mlmd.Event.OUTPUT
    events = [
        event(read, 4, "model", 0),
        event(made, 9, "evaluation", 0),
        event(read, 2, "examples", 1),
        event(made, 8, "blessing", 0),
        event(read, 3, "examples", 0),
    ]
    artifacts = [mlmd.Artifact(id=one.artifact_id, type="Any", state=mlmd.Artifact.LIVE) for one in events]
    snapshot = Snapshot().updated([], [(mlmd.Execution(id=1), None)], artifacts, events)
    assert [link.artifact for link in snapshot.inputs(1)] == [3, 2, 4]
    assert [link.artifact for link in snapshot.outputs(1)] == [8, 9]
