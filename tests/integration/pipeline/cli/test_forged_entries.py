"""Appends well-formed entries to the audit log that nobody's action made, with a correct chain."""

import shutil

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.connection import connection_config
from pipeline.settings import Settings
from schema.errors import AuditError
from serving.audit import AuditLog, Entry, manifest
from serving.audit.signature import signer
from tests.support.commands import agnews

NAME = "agnews"


@pytest.fixture
def place(tmp_path, monkeypatch, key_files):
    """Creates a directory with versions 1 and 2, signed and recorded, of which 2 was promoted."""
    private, _ = key_files()
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", "serving_model")
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", "runs")
    monkeypatch.setenv("AGNEWS_PROMOTION__SIGNING_KEY_FILE", str(private))
    for number in (1, 2):
        record_push(tmp_path, number, private)
    agnews("versions", "promote", "2", "--label", "stable", "--by", "ann@here")
    return tmp_path


def record_push(place, number, private):
    path = place / f"serving_model/{NAME}/{number}"
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph %d" % number)
    details = {"files": manifest(path), "model_id": number}
    entry = Entry("push", NAME, number, str(number) * 64, details=details)
    receipt = log(place).append(entry, signer(private))
    store = MetadataStore(connection_config(Settings.model_validate({"pipeline": {"root": "runs"}})))
    pushed = mlmd.Artifact(type_id=store.put_artifact_type(mlmd.ArtifactType(name="PushedModel")), uri=str(path))
    noted = {"audit": receipt, "pushed_version": str(number), "fingerprint": entry.fingerprint}
    for name, value in noted.items():
        pushed.custom_properties[name].string_value = value
    store.put_artifacts([pushed])


def log(place):
    return AuditLog(place / "serving_model/audit.jsonl")


def push(place):
    """Changes a version, and logs its new files as pushed."""
    path = place / f"serving_model/{NAME}/2"
    (path / "saved_model.pb").write_bytes(b"evil graph")
    return Entry("push", NAME, 2, "2" * 64, details={"files": manifest(path), "model_id": 2})


def prune(place):
    """Deletes a version, and logs that it was pruned."""
    shutil.rmtree(place / f"serving_model/{NAME}/1")
    return Entry("prune", NAME, 1, details={"label": "", "from": 1, "record": 9, "detail": ""})


def promote(place):
    return Entry("promote", NAME, 1, by="bob@here", details={"label": "stable", "from": 2, "record": 9, "detail": ""})


def rollback(place):
    return Entry("rollback", NAME, 1, by="bob@here", details={"label": "stable", "from": 2, "record": 9, "detail": ""})


@pytest.mark.parametrize("forge", [push, prune, promote, rollback])
def test_a_forged_entry_is_found_by_the_metadata_store(place, forge):
    assert "3 known to the metadata store" in agnews("audit", "verify")
    log(place).append(forge(place))
    with pytest.raises(AuditError, match=f"line 4: the metadata store has no record of this {forge.__name__}"):
        agnews("audit", "verify")


@pytest.mark.parametrize("forge", [push, prune, promote, rollback])
def test_a_forged_entry_is_found_by_the_public_key(place, forge):
    options = ("serving_model", "--public-key", str(place / "key.pub"))
    assert "as it was pushed, signed" in agnews("versions", "verify", *options)
    log(place).append(forge(place))
    with pytest.raises(AuditError, match="not signed"):
        agnews("versions", "verify", *options)


def test_a_repeated_entry_of_a_killed_command_is_no_forgery(place):
    """A command that is killed before it closes its record leaves an entry, and the next command enters it again."""
    [*_, line] = log(place).lines()
    repeated = log(place).append(
        Entry("promote", NAME, 2, line.entry.fingerprint, "ann@here", details=line.entry.details)
    )
    [execution] = store().get_executions_by_type("agnews.Promotion")
    execution.custom_properties["audit"].string_value = repeated
    store().put_executions([execution])
    assert "as written" in agnews("audit", "verify")


def store():
    return MetadataStore(connection_config(Settings.model_validate({"pipeline": {"root": "runs"}})))
