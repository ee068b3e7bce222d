"""Tests `agnews approvals list`, `approve` and `reject` on a request that the pipeline made."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from ml_metadata.errors import AbortedError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.manifest import files_of
from pipeline.cli import cli
from pipeline.metadata.connection import connection_config
from pipeline.settings import Settings
from schema.errors import ApprovalError, AuditError, RunError
from serving.audit import AuditLog, fingerprint
from tests.support.commands import agnews


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Creates a working directory in which model 1, trained by ann@here, needs an approval."""
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", "serving_model")
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", "runs")
    monkeypatch.setenv("AGNEWS_IDENTITY", "bob@here")
    export = tmp_path / "model/Format-Serving"
    export.mkdir(parents=True)
    (export / "saved_model.pb").write_bytes(b"graph")
    store = stored()
    put(store, "Model", uri=str(tmp_path / "model"))
    request = {"model_id": 1, "wanted": 1, "fingerprint": fingerprint(files_of(str(export))), "author": "ann@here"}
    put(store, "AgNewsApprovalRequest", **request)
    return tmp_path


def stored():
    return MetadataStore(connection_config(Settings.model_validate({"pipeline": {"root": "runs"}})))


def put(store, kind, uri="", pipeline="agnews", run=None, **properties):
    """Records an artifact as the output of an execution of a pipeline, or of a run's component RequestApproval."""
    artifact = mlmd.Artifact(type_id=store.put_artifact_type(mlmd.ArtifactType(name=kind)), uri=uri)
    artifact.state = mlmd.Artifact.LIVE
    for name, value in properties.items():
        setattr(artifact.custom_properties[name], "int_value" if isinstance(value, int) else "string_value", value)
    execution = mlmd.Execution(type_id=store.put_execution_type(mlmd.ExecutionType(name="any")))
    context = mlmd.Context(type_id=store.put_context_type(mlmd.ContextType(name="pipeline")), name=pipeline)
    contexts, steps = [context], []
    if run is not None:
        steps = [{"key": "request"}, {"index": 0}]
        for kind, name in (("pipeline_run", run), ("node", f"{pipeline}.RequestApproval")):
            contexts.append(mlmd.Context(type_id=store.put_context_type(mlmd.ContextType(name=kind)), name=name))
    made = [(artifact, mlmd.Event(type=mlmd.Event.OUTPUT, path=mlmd.Event.Path(steps=steps)))]
    store.put_execution(execution, made, contexts, reuse_context_if_already_exist=True)


def test_control_characters_in_a_reason_do_not_reach_the_terminal(place):
    agnews("approvals", "approve", "1", "--by", "bob@here", "--reason", "a\x1b[2Jb\rc")
    listed = agnews("approvals", "list")
    assert "\x1b" not in listed
    assert "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c" in listed


def test_a_model_can_be_named_by_the_run_that_requests_the_approval(place):
    run = "scheduled__2026-01-02T00:00:00+00:00.0"
    digest = fingerprint(files_of(str(place / "model/Format-Serving")))
    put(stored(), "AgNewsApprovalRequest", run=run, model_id=1, wanted=1, fingerprint=digest, author="ann@here")
    with pytest.raises(ApprovalError, match="no request for model scheduled__2026-01-03"):
        agnews("approvals", "approve", "scheduled__2026-01-03", "--reason", "good")
    assert "model 1 is approved; approved by bob@here" in agnews("approvals", "approve", run, "--reason", "good")


def test_a_request_is_listed_until_it_is_decided(place):
    assert re.search(r"^1 .* ann@here +pending ", agnews("approvals", "list"), re.MULTILINE)
    shown = agnews("approvals", "approve", "1", "--reason", "[better]")
    assert "model 1 is approved; approved by bob@here" in shown
    assert "next: the same agnews run" in shown
    listed = agnews("approvals", "list")
    assert re.search(
        r"^1 .* ann@here +approved +1 of 1, by bob@here \(claimed\), valid until .* UTC\. ", listed, re.MULTILINE
    )
    assert re.search(r"^ +approved by bob@here \(claimed\), .*: \[better\]", listed, re.MULTILINE)
    assert "needed: approvals by 1, not counting who trained the model, not older than 72 hours" in listed


def test_a_rejection_names_its_author_and_is_in_the_audit_log(place):
    assert "is rejected; rejected by cem@here" in agnews(
        "approvals", "reject", "1", "--by", "cem@here", "--reason", "bad rows"
    )
    [line] = AuditLog(place / "serving_model/audit.jsonl").lines()
    entry = line.entry
    assert (entry.action, entry.by, entry.who, entry.why) == ("reject", "cem@here", "bob@here", "bad rows")
    [decision] = stored().get_artifacts_by_type("AgNewsApprovalDecision")
    decided = decision.custom_properties["when"].string_value
    assert entry.details == {"model_id": 1, "author": "ann@here", "decided": decided}


def test_rejecting_a_served_model_says_that_it_is_live(place):
    export = place / "serving_model/agnews/17"
    (export / "assets.extra").mkdir(parents=True)
    (export / "saved_model.pb").write_bytes(b"graph")
    (export / "assets.extra/mlmd_uuid").write_text("1")
    rejected = agnews("approvals", "reject", "1", "--reason", "bad rows")
    assert "Warning: the model is live. Servers load it as version 17" in rejected
    assert "agnews versions rollback --reason" in rejected


def test_the_requests_are_listed_without_importing_tfx(place):
    """Importing TFX takes ten seconds or more."""
    code = "import sys; from pipeline.cli import cli; cli(['approvals', 'list'], standalone_mode=False); "
    code += "print(sorted({'tensorflow', 'tfx', 'apache_beam'} & set(sys.modules)))"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.search("^1 .* pending ", listed, re.MULTILINE)
    assert listed.splitlines()[-1] == "[]"


def test_one_of_two_approvals_leaves_it_pending(place):
    assert "model 1 is pending" in agnews(
        "approvals", "approve", "1", "--reason", "good", "--set", "promotion.approvers=2"
    )


def test_the_list_as_json_holds_everything(place):
    agnews("approvals", "approve", "1", "--reason", "good")
    [request] = json.loads(agnews("approvals", "list", "--json"))
    assert (request["status"], request["author"], request["model_id"]) == ("approved", "ann@here", 1)
    assert (request["decisions"][0]["who"], request["decisions"][0]["why"]) == ("bob@here", "good")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["approvals", "approve", "1", "--by", "ann@there", "--reason", "mine"], "ann@here trained it"),
        (["approvals", "approve", "7", "--reason", "good"], "no request for model 7; models with a request: 1"),
        (["approvals", "approve", "1", "--reason", " "], "needs a name and a reason"),
        (["approvals", "reject", "1", "--by", "@here", "--reason", "bad"], "needs a name and a reason"),
    ],
)
def test_a_decision_that_the_rules_forbid_is_one_message_and_leaves_nothing(place, arguments, message):
    with pytest.raises(ApprovalError, match=message):
        agnews(*arguments)
    assert not (place / "serving_model/audit.jsonl").exists()


@pytest.mark.parametrize("known", [True, False])
def test_another_pipelines_request_is_neither_listed_nor_decided(place, known):
    if known:
        put(stored(), "Model", uri="other", pipeline="other")
    assert "No model is waiting for approval" in agnews("approvals", "list", "--set", "pipeline.name=other")
    with pytest.raises(
        ApprovalError, match=r"no request for model 1; models with a request: none.*pipeline\.name other"
    ):
        agnews("approvals", "reject", "1", "--reason", "bad rows", "--set", "pipeline.name=other")
    assert not (place / "serving_model/audit.jsonl").exists()


def test_a_decision_that_the_metadata_store_does_not_take_is_one_message(place, monkeypatch):
    def held(*_, **__):
        raise AbortedError("Cannot create node for type_id: 41")

    monkeypatch.setattr(MetadataStore, "put_execution", held)
    with pytest.raises(
        RunError,
        match=r"not in the metadata store, so it does not count: another process is writing to it; .*decide again",
    ):
        agnews("approvals", "approve", "1", "--reason", "good")


def test_an_approval_dated_in_the_future_is_listed_as_void(place):
    [request] = json.loads(agnews("approvals", "list", "--json"))
    made = {"fingerprint": request["fingerprint"], "approved": 1, "who": "bob@here", "when": "2999-01-02T03:04+00:00"}
    put(stored(), "AgNewsApprovalDecision", **made, why="good")
    listed = " ".join(agnews("approvals", "list").split())
    assert "pending 0 of 1. Another person than the author ann@here must approve it." in listed
    assert "approved by bob@here (claimed), 2999-01-02T03:04 (in the future: it does not count): good" in listed


def test_a_decision_needs_a_reason(place):
    assert "Missing option '--reason'" in CliRunner().invoke(cli, ["approvals", "approve", "1"]).output


def test_without_requests_the_list_says_how_they_come_about(place):
    assert "No model is waiting for approval" in agnews("approvals", "list", "--set", "pipeline.root=other")


def test_verify_finds_a_decision_outside_the_log_or_changed_in_the_store(place):
    agnews("approvals", "approve", "1", "--reason", "better")
    assert "1 entry, as written" in agnews("audit", "verify")
    store = stored()
    [decision] = store.get_artifacts_by_type("AgNewsApprovalDecision")
    noted = {name: getattr(value, value.WhichOneof("value")) for name, value in decision.custom_properties.items()}
    put(store, "AgNewsApprovalDecision", **noted | {"who": "cem%40here"})
    put(store, "AgNewsApprovalDecision", **noted | {"fingerprint": "ab" * 32})
    put(store, "AgNewsApprovalDecision", **noted | {"audit": ""})
    with pytest.raises(AuditError) as raised:
        agnews("audit", "verify")
    assert re.findall(r"no entry of the log says that (\S+) did approve it", str(raised.value)) == [
        "cem@here",
        "bob@here",
        "bob@here",
    ]


def change(decision, state=mlmd.Artifact.LIVE, **properties):
    """Changes a decision in the metadata store, but not in the audit log."""
    decision.state = state
    for name, value in properties.items():
        decision.custom_properties[name].string_value = value
    stored().put_artifacts([decision])


def test_verify_finds_a_rejection_that_was_taken_out_of_the_metadata_store(place):
    agnews("approvals", "reject", "1", "--by", "cem@here", "--reason", "bad rows")
    agnews("approvals", "approve", "1", "--reason", "good")
    assert "2 entries, as written" in agnews("audit", "verify")
    rejection, _ = stored().get_artifacts_by_type("AgNewsApprovalDecision")
    change(rejection, state=mlmd.Artifact.DELETED)
    assert "approved" in agnews("approvals", "list")
    with pytest.raises(AuditError, match="line 1: the decision of cem@here to reject model 1 does not count"):
        agnews("audit", "verify")
    agnews("approvals", "reject", "1", "--by", "cem@here", "--reason", "bad rows, still")
    assert "3 entries, as written" in agnews("audit", "verify")


def test_verify_finds_a_changed_time_of_a_decision(place):
    agnews("approvals", "approve", "1", "--reason", "good")
    [decision] = stored().get_artifacts_by_type("AgNewsApprovalDecision")
    change(decision, when="2030-01-02T03:04:05.678+00:00")
    with pytest.raises(AuditError) as raised:
        agnews("audit", "verify")
    assert str(raised.value).splitlines()[1:] == [
        f"  artifact {decision.id} of the metadata store: no entry of the log says that bob@here did approve it then",
        "  line 1: the decision of bob@here to approve model 1 does not count: the metadata store does not have it "
        "like that; decide again",
    ]


def test_verify_finds_an_old_approval_that_was_copied_behind_the_rejection(place):
    agnews("approvals", "approve", "1", "--reason", "good")
    agnews("approvals", "reject", "1", "--reason", "bad rows")
    approval, _ = stored().get_artifacts_by_type("AgNewsApprovalDecision")
    noted = {name: getattr(value, value.WhichOneof("value")) for name, value in approval.custom_properties.items()}
    put(stored(), "AgNewsApprovalDecision", **noted)
    assert "approved by bob@here" in agnews("approvals", "list")
    with pytest.raises(
        AuditError, match="line 1: the decision of bob@here to approve model 1 is in the metadata store after a later"
    ):
        agnews("audit", "verify")


@pytest.mark.parametrize("name", ["serving_model/audit.jsonl", "moved.jsonl"])
def test_verify_accepts_entries_without_a_time_and_a_moved_log(place, name):
    agnews("approvals", "approve", "1", "--reason", "good")
    log = AuditLog(place / "serving_model/audit.jsonl")
    [line] = log.lines()
    log.path.unlink()
    receipt = log.append(replace(line.entry, details={"model_id": 1, "author": "ann@here"}))
    [decision] = stored().get_artifacts_by_type("AgNewsApprovalDecision")
    change(decision, audit=receipt)
    log.path.rename(place / name)
    assert "as written" in agnews("audit", "verify", "--set", f"promotion.audit_log={name}")
    change(decision, when="2030-01-02T03:04:05.678+00:00")
    with pytest.raises(AuditError, match="to approve model 1 does not count"):
        agnews("audit", "verify", "--set", f"promotion.audit_log={name}")


def test_verify_does_not_miss_decisions_of_another_metadata_store(place):
    agnews("approvals", "approve", "1", "--reason", "good")
    (place / "runs/metadata.sqlite").unlink()
    assert "the metadata store is not there" in agnews("audit", "verify")
    put(stored(), "AgNewsApprovalRequest", model_id=1, wanted=1, fingerprint="ab" * 32)
    assert "1 entry, as written" in agnews("audit", "verify")


def test_a_model_can_be_named_by_the_first_digits_of_its_fingerprint(place):
    [request] = json.loads(agnews("approvals", "list", "--json"))
    assert "model 1 is approved" in agnews(
        "approvals", "approve", request["fingerprint"][:8].upper(), "--reason", "good"
    )


def test_the_card_to_read_is_named_and_its_files_are_noted_with_the_decision(place):
    card = write_card(place)
    assert f"read before you decide on 1: {card}/model_card.html" in agnews("approvals", "list")
    agnews("approvals", "approve", "1", "--reason", "good")
    [line] = AuditLog(place / "serving_model/audit.jsonl").lines()
    assert line.entry.details["card"] == {
        "uri": str(card),
        "files": {name: hashlib.sha256((card / name).read_bytes()).hexdigest() for name in CARD},
    }


def test_verify_finds_a_changed_card_and_reports_a_deleted_one(place):
    card = write_card(place)
    agnews("approvals", "approve", "1", "--reason", "good")
    assert "as written" in agnews("audit", "verify")
    (card / "model_card.html").write_text("recall 1.0")
    with pytest.raises(AuditError) as raised:
        agnews("audit", "verify")
    assert str(raised.value).splitlines() == [
        "what was approved is not what is there:",
        f"  line 1: the model card that bob@here decided on, {card}, has changed (differs: model_card.html)",
    ]
    shutil.rmtree(card)
    shown = agnews("audit", "verify")
    assert f"the model card that bob@here decided on, {card}, no longer exists" in shown
    assert "1 entry, as written" in shown


CARD = ("model_card.html", "model_card.json")


def write_card(place):
    card = place / "card"
    card.mkdir()
    for name in CARD:
        (card / name).write_text(f"{name}: recall 0.9")
    store = stored()
    [request] = store.get_artifacts_by_type("AgNewsApprovalRequest")
    judged = request.custom_properties["fingerprint"].string_value
    put(store, "agnews.ModelCard", uri=str(card), model_id=1, model_fingerprint=judged)
    return card


def test_verify_reports_decisions_whose_receipts_name_another_log(place):
    agnews("approvals", "approve", "1", "--reason", "better")
    assert "not checked" not in agnews("audit", "verify")
    store = stored()
    forged = {"fingerprint": "ab" * 32, "approved": 1, "who": "cem%40here", "audit": f"{'0' * 64} /tmp/%1Bmy%20log"}
    put(store, "AgNewsApprovalDecision", **forged)
    put(store, "AgNewsApprovalDecision", **forged)
    shown = agnews("audit", "verify")
    assert "not checked: 2 records of the metadata store with receipts of the log '/tmp/\\x1bmy log'" in shown
    assert "artifact 4 (AgNewsApprovalDecision), artifact 5 (AgNewsApprovalDecision)" in shown
