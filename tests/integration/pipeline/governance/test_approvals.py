"""Reading the requests for approval from the metadata store."""

from datetime import UTC, datetime

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from benchmarks.review_store import SimulatedStore
from pipeline.governance.approvals import Approvals
from schema.metadata import PIPELINE_CONTEXT
from serving.audit import AuditLog
from tests.support.review_site import settings_of

NOW = datetime(2026, 1, 3, tzinfo=UTC)


def test_the_number_of_queries_does_not_grow_with_the_runs(tmp_path, monkeypatch):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    approvals = Approvals(made.store, settings_of(tmp_path), AuditLog(tmp_path / "audit.jsonl"))
    queries, call = [], MetadataStore._call
    monkeypatch.setattr(
        MetadataStore, "_call", lambda store, name, *rest: queries.append(name) or call(store, name, *rest)
    )
    counts = []
    for runs in (10, 20):
        made.add_runs(runs)
        queries.clear()
        assert approvals.requests(NOW)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_requests_of_another_pipeline_in_the_store_are_left_out(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(2)
    settings = settings_of(tmp_path)
    other = settings.model_copy(update={"pipeline": settings.pipeline.model_copy(update={"name": "other"})})
    log = AuditLog(tmp_path / "audit.jsonl")
    made.store.put_contexts([mlmd.Context(type_id=made.store.get_context_type(PIPELINE_CONTEXT).id, name="other")])
    assert len(Approvals(made.store, settings, log).requests(NOW)) == 2
    assert Approvals(made.store, other, log).requests(NOW) == []
