"""The commands as a user gives them, on a request as the pipeline leaves it."""

import json
import re

import pytest
from click.testing import CliRunner
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.exports import files_of
from pipeline.cli import cli
from pipeline.metadata_store import connection_config
from pipeline.settings import Settings
from schema.audit import AuditLog, fingerprint
from schema.errors import ApprovalError, AuditError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory in which model 1, trained by ann@here, asks to be pushed."""
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", "serving_model")
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", "runs")
    monkeypatch.setenv("AGNEWS_IDENTITY", "bob@here")
    export = tmp_path / "model/Format-Serving"
    export.mkdir(parents=True)
    (export / "saved_model.pb").write_bytes(b"graph")
    store = MetadataStore(connection_config(Settings.model_validate({"pipeline": {"root": "runs"}})))
    put(store, "Model", uri=str(tmp_path / "model"))
    request = {"model_id": 1, "wanted": 1, "fingerprint": fingerprint(files_of(str(export))), "author": "ann@here"}
    put(store, "AgNewsApprovalRequest", **request)
    pipeline_type = store.put_context_type(mlmd.ContextType(name="pipeline"))
    store.put_contexts([mlmd.Context(type_id=pipeline_type, name="agnews")])
    return tmp_path


def put(store, kind, uri="", **properties):
    artifact = mlmd.Artifact(type_id=store.put_artifact_type(mlmd.ArtifactType(name=kind)), uri=uri)
    artifact.state = mlmd.Artifact.LIVE
    for name, value in properties.items():
        setattr(artifact.custom_properties[name], "int_value" if isinstance(value, int) else "string_value", value)
    store.put_artifacts([artifact])


def agnews(*arguments):
    ended = CliRunner().invoke(cli, arguments)
    if ended.exit_code:
        raise ended.exception
    return ended.output


def test_a_request_is_listed_until_it_is_decided(place):
    assert re.search(r"^1 .* ann@here +pending ", agnews("approvals"), re.MULTILINE)
    shown = agnews("approve", "1", "--reason", "[better]")
    assert "model 1 is approved; approved by bob@here" in shown
    assert "next: the same agnews run" in shown
    listed = agnews("approvals")
    assert re.search(r"^1 .* ann@here +approved +approved by bob@here, .*: \[better\]", listed, re.MULTILINE)
    assert "needed: approvals by 1, not counting who trained the model, not older than 72 hours" in listed


def test_a_rejection_says_by_whom_and_stands_in_the_audit_log(place):
    assert "is rejected; rejected by cem@here" in agnews("reject", "1", "--by", "cem@here", "--reason", "bad rows")
    [line] = AuditLog(place / "serving_model/audit.jsonl").lines()
    entry = line.entry
    assert (entry.action, entry.by, entry.who, entry.why) == ("reject", "cem@here", "bob@here", "bad rows")
    assert entry.details == {"model_id": 1, "author": "ann@here"}


def test_one_of_two_approvals_leaves_it_pending(place):
    assert "model 1 is pending" in agnews("approve", "1", "--reason", "good", "--set", "promotion.approvers=2")


def test_the_list_as_json_holds_everything(place):
    agnews("approve", "1", "--reason", "good")
    [request] = json.loads(agnews("approvals", "--json"))
    assert (request["status"], request["author"], request["model_id"]) == ("approved", "ann@here", 1)
    assert (request["decisions"][0]["who"], request["decisions"][0]["why"]) == ("bob@here", "good")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["approve", "1", "--by", "ann@there", "--reason", "mine"], "ann@here trained it"),
        (["approve", "7", "--reason", "good"], "no request for model 7; there are: 1"),
        (["approve", "1", "--reason", " "], "needs a name and a reason"),
        (["reject", "1", "--by", "@here", "--reason", "bad"], "needs a name and a reason"),
    ],
)
def test_a_decision_that_the_rules_forbid_is_one_message_and_leaves_nothing(place, arguments, message):
    with pytest.raises(ApprovalError, match=message):
        agnews(*arguments)
    assert not (place / "serving_model/audit.jsonl").exists()


def test_a_decision_needs_a_reason(place):
    assert "Missing option '--reason'" in CliRunner().invoke(cli, ["approve", "1"]).output


def test_without_requests_the_list_says_how_they_come_about(place):
    assert "no model asks to be pushed" in agnews("approvals", "--set", "pipeline.root=other")


def test_a_decision_that_was_written_past_the_log_or_changed_in_the_store_is_found_by_verify(place):
    agnews("approve", "1", "--reason", "better")
    assert "1 entries, as they were written" in agnews("audit", "verify")
    store = MetadataStore(connection_config(Settings.model_validate({"pipeline": {"root": "runs"}})))
    [decision] = store.get_artifacts_by_type("AgNewsApprovalDecision")
    noted = {name: getattr(value, value.WhichOneof("value")) for name, value in decision.custom_properties.items()}
    put(store, "AgNewsApprovalDecision", **noted | {"who": "cem%40here"})
    put(store, "AgNewsApprovalDecision", **noted | {"fingerprint": "ab" * 32})
    put(store, "AgNewsApprovalDecision", **noted | {"audit": ""})
    with pytest.raises(AuditError) as raised:
        agnews("audit", "verify")
    assert re.findall(r"no entry says that (\S+) did approve it", str(raised.value)) == [
        "cem@here",
        "bob@here",
        "bob@here",
    ]
