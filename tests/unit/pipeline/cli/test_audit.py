"""Tests `agnews audit` and `agnews versions verify` on a serving directory without a server."""

import csv
import io
import json
import shutil

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import AuditError, SettingsError
from serving.audit import AuditLog, Entry, manifest
from serving.audit.signature import signer
from tests.support.commands import agnews


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Creates a working directory with the pushed versions 1 and 2."""
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", "serving_model")
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", "runs")
    monkeypatch.setenv("AGNEWS_IDENTITY", "service@cluster")
    log = AuditLog(tmp_path / "serving_model/audit.jsonl")
    for number in (1, 2):
        path = tmp_path / f"serving_model/agnews/{number}"
        path.mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"graph")
        log.append(Entry("push", "agnews", number, "ab" * 32, by="service@cluster", details={"files": manifest(path)}))
    return tmp_path


def promote_and_roll_back():
    agnews("versions", "promote", "1", "--label", "stable", "--by", "ann@here", "--reason", "[good]")
    agnews("versions", "promote", "2", "--label", "stable", "--by", "ann@here", "--poll-seconds", "0")
    agnews("versions", "rollback", "--by", "bob@here", "--reason", "=1+1")


def test_the_log_shows_who_did_what_and_why(place):
    promote_and_roll_back()
    lines = [" ".join(line.split()) for line in agnews("audit", "log").splitlines()]
    assert "push 1 abababababab service@cluster" in lines[1]
    assert "promote stable 1 abababababab ann@here (claimed) as service@cluster [good]" in lines[3]
    assert "rollback stable 2 → 1 abababababab bob@here (claimed) as service@cluster =1+1" in lines[5]


def test_the_log_as_json_and_the_export_hold_everything(place):
    promote_and_roll_back()
    rows = [json.loads(line) for line in agnews("audit", "log", "--json").splitlines()]
    assert [row["action"] for row in rows] == ["push", "push", "promote", "promote", "rollback"]
    assert [row["previous"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert agnews("audit", "export") == agnews("audit", "log", "--json")
    cells = list(csv.DictReader(io.StringIO(agnews("audit", "export", "--format", "csv"))))
    assert [row["hash"] for row in cells] == [row["hash"] for row in rows]
    assert json.loads(cells[0]["details"]) == rows[0]["details"]


def test_a_reason_that_a_spreadsheet_would_run_is_made_text(place):
    promote_and_roll_back()
    *_, last = csv.DictReader(io.StringIO(agnews("audit", "export", "--format", "csv")))
    assert last["why"] == "'=1+1"


def test_control_characters_in_a_reason_do_not_reach_the_terminal(place):
    agnews("versions", "promote", "1", "--label", "stable", "--reason", "a\x1b[2Jb")
    assert "\x1b" not in agnews("audit", "log")


def test_verify_accepts_an_unchanged_log_and_prints_its_last_hash(place):
    promote_and_roll_back()
    shown = agnews("audit", "verify")
    assert "5 entries, as written; 3 known to the metadata store" in shown
    last = shown.split()[-1]
    assert agnews("audit", "verify", "--expect", last) == shown


def test_verify_names_what_was_changed(place):
    path = place / "serving_model/audit.jsonl"
    promote_and_roll_back()
    path.write_bytes(path.read_bytes().replace(b"[good]", b"[best]"))
    with pytest.raises(AuditError, match="line 4 does not follow"):
        agnews("audit", "verify")


def test_verify_finds_a_cut_end_by_the_store_and_by_a_kept_hash(place):
    path = place / "serving_model/audit.jsonl"
    last = agnews("audit", "verify").split()[-1]
    promote_and_roll_back()
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-1]))
    with pytest.raises(AuditError, match="known from execution 3 of the metadata store"):
        agnews("audit", "verify")
    path.write_bytes(whole[0])
    with pytest.raises(AuditError, match="known from --expect"):
        agnews("audit", "verify", "--expect", last)


@pytest.mark.parametrize("command", ["log", "verify", "export"])
def test_a_log_that_is_not_there_is_not_one_that_is_as_it_was_written(place, command):
    with pytest.raises(AuditError, match=r"elsewhere/audit\.jsonl: no audit log there"):
        agnews("audit", command, "--set", "pusher.destination=elsewhere")


def test_without_the_metadata_store_verify_says_so_and_makes_none(place):
    assert "the metadata store is not there" in agnews("audit", "verify")
    assert not (place / "runs").exists()


def test_a_serving_directory_in_an_object_store_needs_a_log_path(place):
    with pytest.raises(SettingsError, match=r"Set promotion\.audit_log"):
        agnews("audit", "log", "--set", "pusher.destination=gs://bucket/serving")


def test_verify_of_a_serving_directory_names_version_and_file_and_fails(place):
    assert "agnews/2: as it was pushed" in agnews("versions", "verify", "serving_model")
    (place / "serving_model/agnews/2/saved_model.pb").write_bytes(b"Graph")
    ended = CliRunner().invoke(cli, ["versions", "verify", "serving_model"])
    assert isinstance(ended.exception, AuditError)
    assert "agnews/2: differs: saved_model.pb" in str(ended.exception)
    assert "agnews/1: as it was pushed" in ended.output


def test_verify_reports_models_outside_the_directory_without_failing(place):
    config = place / "serving_model/models.config"
    config.write_text('model_config_list { config { name: "agnews" base_path: "/models/agnews" } }')
    assert "note: models.config loads agnews from /models/agnews; that is not" in agnews(
        "versions", "verify", "serving_model"
    )
    config.write_text("model_config {")
    assert "models.config: not a model config file" in agnews("versions", "verify", "serving_model")


@pytest.mark.parametrize("sign", ["\x1b[2J", "\n  agnews 2: ", "\udcff"])
def test_a_files_name_neither_steers_the_terminal_nor_hides_a_finding(place, sign):
    (place / f"serving_model/agnews/2/{sign}.so").touch()
    ended = CliRunner().invoke(cli, ["versions", "verify", "serving_model"])
    assert isinstance(ended.exception, AuditError)
    for lines in (ended.output.splitlines(), str(ended.exception).splitlines()):
        [line] = [line for line in lines if "extra: " in line]
        assert line.endswith(".so")
        assert line.isprintable()


def test_fingerprints_of_a_log_that_was_tampered_with_prove_nothing(place):
    path = place / "serving_model/audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"version": 1', b'"version": 3'))
    with pytest.raises(AuditError, match="audit log: line 2 does not follow"):
        agnews("versions", "verify", "serving_model")


def test_verify_accepts_a_copy_of_the_log_without_the_piece_set_aside(place):
    log = AuditLog(place / "serving_model/audit.jsonl")
    with open(log.path, "ab") as file:
        file.write(b"half of a li")
    log.append(Entry("prune", "agnews", 9))
    agnews("versions", "verify", "serving_model")
    copy = place / "kept/copy.jsonl"
    copy.parent.mkdir()
    shutil.copy(log.path, copy)
    shown = agnews("versions", "verify", "serving_model", "--log", str(copy))
    assert "agnews/2: as it was pushed" in shown
    assert "note: line 3 reports a piece set aside in audit.jsonl.torn-" in shown
    [piece] = log.path.parent.glob("*.torn-*")
    piece.unlink()
    with pytest.raises(AuditError, match="audit log: line 3 reports a piece set aside"):
        agnews("versions", "verify", "serving_model")


def test_without_a_log_there_is_nothing_to_compare_with(place):
    (place / "serving_model/audit.jsonl").unlink()
    with pytest.raises(AuditError, match="name the audit log with --log"):
        agnews("versions", "verify", "serving_model")


def test_with_a_public_key_every_version_must_be_signed_with_it(place, key_files):
    (private, public), (_, other) = key_files("ours"), key_files("other")
    with pytest.raises(AuditError, match="agnews/1: not signed"):
        agnews("versions", "verify", "serving_model", "--public-key", str(public))
    log = AuditLog(place / "serving_model/audit.jsonl")
    for number in (1, 2):
        files = manifest(place / f"serving_model/agnews/{number}")
        log.append(Entry("push", "agnews", number, "ab" * 32, details={"files": files}), signer(private))
    shown = agnews("versions", "verify", "serving_model", "--public-key", str(public))
    assert shown.splitlines()[-1] == "agnews/2: as it was pushed, signed with this key"
    with pytest.raises(AuditError, match="agnews/2: the signature is not this key's"):
        agnews("versions", "verify", "serving_model", "--public-key", str(other))
    with pytest.raises(SettingsError, match="holds no public Ed25519 key"):
        agnews("versions", "verify", "serving_model", "--public-key", str(private))
