"""Checks that each change of the served versions is entered in the audit log."""

import os
import signal
import subprocess
import sys

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from schema.errors import AuditError
from serving.audit import AuditLog, problems, receipt_hash
from serving.promotion import Deployment, PromotionError, promote, prune, roll_back
from tests.support import ROOT
from tests.support.logged_push import log_push


def entries(deployment):
    return [line.entry for line in deployment.audit.lines() if line.entry.action != "push"]


def test_promotion_roll_back_and_pruning_are_entered_with_who_and_why(deployment, me):
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "stable", me)
    roll_back(deployment, None, me)
    prune(deployment, 1, me)
    results = [
        (one.action, one.version, one.details["from"], one.outcome, one.by, one.why) for one in entries(deployment)
    ]
    assert results == [
        ("promote", 2, None, "COMPLETE", "me@here", "because"),
        ("promote", 3, 2, "COMPLETE", "me@here", "because"),
        ("rollback", 2, 3, "COMPLETE", "me@here", "because"),
        ("prune", 1, 1, "COMPLETE", "me@here", "because"),
    ]
    assert problems(deployment.audit, {}) == []


def test_the_fingerprint_is_that_of_the_versions_push(deployment, me):
    push = log_push(deployment.directory / "2")
    promote(deployment, 2, "stable", me)
    assert entries(deployment)[-1].fingerprint == push.fingerprint


def test_a_failed_attempt_is_entered_as_such(served_by, server, me):
    promote(served_by, 2, "stable", me)
    server.broken = {3}
    with pytest.raises(PromotionError):
        promote(served_by, 3, "stable", me)
    assert [(entry.version, entry.outcome) for entry in entries(served_by)] == [(2, "COMPLETE"), (3, "FAILED")]


def test_each_record_holds_the_receipt_of_its_entry(deployment, me, store):
    promote(deployment, 2, "stable", me)
    [execution], [*_, line] = store.get_executions(), deployment.audit.lines()
    assert receipt_hash(execution.custom_properties["audit"].string_value, deployment.audit) == line.hash


def test_nothing_is_changed_that_cannot_be_entered(directory, store, me, tmp_path):
    (tmp_path / "file").write_text("")
    deployment = Deployment(directory.parent, "agnews", store, audit=AuditLog(tmp_path / "file/audit.jsonl"))
    with pytest.raises(AuditError):
        promote(deployment, 2, "stable", me)
    assert not deployment.config_path.exists()
    assert store.get_executions() == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from serving.audit import AuditLog
from serving.promotion import Deployment, Signature, promote
config = mlmd.ConnectionConfig()
config.sqlite.filename_uri = sys.argv[2]
config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
AuditLog.append = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
place = Deployment(Path(sys.argv[1]), "agnews", MetadataStore(config), pause=lambda seconds: None)
promote(place, 2, "stable", Signature("killed@here"))
"""


def test_the_next_command_enters_a_change_killed_before_its_entry(directory, tmp_path, me):
    store_file = tmp_path / "metadata.sqlite"
    command = [sys.executable, "-c", _KILLED, str(directory.parent), str(store_file)]
    ended = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(store_file)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    deployment = Deployment(directory.parent, "agnews", MetadataStore(config), pause=lambda seconds: None)
    assert entries(deployment) == []
    prune(deployment, 9, me)
    [entry] = entries(deployment)
    assert (entry.action, entry.version, entry.by, entry.outcome) == ("promote", 2, "killed@here", "COMPLETE")
    assert entry.details["detail"] == "closed by the next command"
