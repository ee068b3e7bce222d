import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tfx.types.standard_artifacts import InfraBlessing, Model, ModelBlessing, PushedModel

from components.approval import Rules
from components.approval.component import Approval
from components.manifest import files_of
from components.pusher import component as pusher
from schema.errors import ApprovalPending, AuditError, RunError, SettingsError
from schema.interruption import Interrupted
from serving.audit import AuditLog, Entry, fingerprint
from serving.audit.openssf import SigningFiles
from serving.audit.signature import read_public_key, signature_flaw
from serving.verify import check_version
from tests.support import ROOT
from tests.support.stored_files import judge


@pytest.fixture
def export(tmp_path):
    return make_export(tmp_path / "export", b"one")


def make_export(directory, fingerprint):
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "fingerprint.pb").write_bytes(fingerprint)
    (directory / "variables/variables.data-00000-of-00001").write_bytes(b"\0" * 100_000)
    return str(directory)


def push(saved_model, destination, **options):
    return pusher.push_local(
        str(saved_model), str(destination), mlmd_uuid="17", files=files_of(str(saved_model)), **options
    )


def visible(destination):
    return sorted(path.name for path in Path(destination).iterdir() if path.name.isdecimal())


def test_a_version_holds_the_whole_export_and_the_models_metadata_id(export, tmp_path):
    version = Path(push(export, tmp_path / "serving", now=1000.5))
    assert version == tmp_path / "serving/1000"
    assert (version / "variables/variables.data-00000-of-00001").stat().st_size == 100_000
    assert (version / "assets.extra/mlmd_uuid").read_text() == "17"
    assert not os.path.exists(os.path.join(export, "assets.extra"))


def test_another_user_can_read_a_version_under_any_umask(umask, export, open_directory, read_as_another_user):
    base = open_directory / "serving model/agnews"
    version = Path(push(export, base))
    read_as_another_user(version)
    assert [oct(path.stat().st_mode & 0o777) for path in (base, base.parent)] == ["0o755"] * 2
    assert oct((base / ".push.lock").stat().st_mode & 0o777) == "0o640"


def test_versions_rise_even_when_the_clock_falls_back(export, tmp_path):
    other = make_export(tmp_path / "other", b"two")
    push(export, tmp_path / "serving", now=2000)
    assert push(other, tmp_path / "serving", now=1500).endswith("/2001")


def test_the_same_export_is_not_pushed_twice(export, tmp_path):
    first = push(export, tmp_path / "serving", now=1000)
    assert push(export, tmp_path / "serving", now=2000) == first
    assert visible(tmp_path / "serving") == ["1000"]


def test_an_export_older_than_the_newest_version_is_pushed_again(export, tmp_path):
    other = make_export(tmp_path / "other", b"two")
    for saved_model, now in ((export, 1000), (other, 2000), (export, 3000)):
        push(saved_model, tmp_path / "serving", now=now)
    assert visible(tmp_path / "serving") == ["1000", "2000", "3000"]


def test_a_failed_copy_leaves_no_version(export, tmp_path, monkeypatch):
    def full_disk(directory):
        raise OSError("no space left on device")

    monkeypatch.setattr(pusher, "make_readable", full_disk)
    with pytest.raises(OSError, match="no space"):
        push(export, tmp_path / "serving", now=1000)
    assert visible(tmp_path / "serving") == []


def test_an_export_that_changed_after_its_approval_never_becomes_a_version(export, tmp_path):
    files = files_of(export)
    Path(export, "variables/variables.data-00000-of-00001").write_bytes(b"other weights")
    with pytest.raises(RunError, match="differs: variables/"):
        pusher.push_local(export, str(tmp_path / "serving"), mlmd_uuid="17", files=files)
    assert visible(tmp_path / "serving") == []


def test_an_object_store_gets_no_graph_to_files_that_were_not_approved(export):
    import tensorflow as tf

    files = files_of(export) | {"variables/variables.data-00000-of-00001": "1" * 64}
    with pytest.raises(RunError, match="differs: variables/"):
        pusher._push_remote(export, "ram://changed/agnews", mlmd_uuid="17", files=files)
    assert not tf.io.gfile.glob("ram://changed/agnews/*/saved_model.pb")


def test_no_version_appears_after_a_signal_in_the_copy(export, tmp_path, monkeypatch, interrupt):
    monkeypatch.setattr(pusher, "make_readable", interrupt)
    with pytest.raises(Interrupted):
        push(export, tmp_path / "serving", now=1000)
    assert visible(tmp_path / "serving") == []


def test_an_object_store_gets_no_graph_after_a_signal_in_the_copy(export, monkeypatch, interrupt):
    import tensorflow as tf

    monkeypatch.setattr(pusher, "_stamp", interrupt)
    with pytest.raises(Interrupted):
        pusher._push_remote(export, "ram://interrupted/agnews", mlmd_uuid="17", files=files_of(export))
    assert not tf.io.gfile.glob("ram://interrupted/agnews/*/saved_model.pb")


# Hangs in the middle of the copy, so that the parent can kill it there.
_HANGING = """
import sys, time
from components.pusher import component as pusher
def hang(directory):
    print("copied", flush=True)
    time.sleep(600)
pusher.make_readable = hang
pusher.push_local(sys.argv[1], sys.argv[2], mlmd_uuid="1", files=pusher.files_of(sys.argv[1]), now=1000)
"""


def test_a_killed_push_leaves_no_version_and_the_next_one_cleans_up(export, tmp_path):
    destination = str(tmp_path / "serving")
    command = [sys.executable, "-c", _HANGING, export, destination]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert process.stdout.readline() == "copied\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert visible(destination) == []
    assert list(Path(destination).glob(".incoming-*"))

    push(export, destination, now=2000)
    assert visible(destination) == ["2000"]
    assert not list(Path(destination).glob(".incoming-*"))


def test_concurrent_pushes_get_a_version_each(tmp_path):
    exports = [make_export(tmp_path / f"export-{index}", bytes([index])) for index in range(6)]
    threads = [
        threading.Thread(target=push, args=[export, tmp_path / "serving"], kwargs={"now": 1000}) for export in exports
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert visible(tmp_path / "serving") == [str(1000 + index) for index in range(6)]


def test_to_an_object_store_the_graph_goes_last(export, monkeypatch):
    import tensorflow as tf
    from tfx.utils import io_utils

    copied = []
    original = io_utils.copy_file

    def copy_file(source, target, *args, **kwargs):
        copied.append(os.path.basename(target))
        return original(source, target, *args, **kwargs)

    monkeypatch.setattr(io_utils, "copy_file", copy_file)
    version = pusher._push_remote(export, "ram://serving/agnews", mlmd_uuid="17", files=files_of(export))
    assert copied[-1] == "saved_model.pb"
    assert tf.io.gfile.GFile(f"{version}/assets.extra/mlmd_uuid").read() == "17"
    assert pusher._push_remote(export, "ram://serving/agnews", mlmd_uuid="17", files=files_of(export)) == version


@pytest.fixture
def do(tmp_path):
    """Runs the executor on a blessed model, as the launcher does; returns the PushedModel."""
    make_export(tmp_path / "model/Format-Serving", b"one")

    def do(
        approval=None,
        rules=None,
        log=tmp_path / "serving/audit.jsonl",
        key=None,
        verdicts=(),
        change=None,
        openssf=None,
    ):
        model, pushed = Model(), PushedModel()
        model.uri, model.id, pushed.uri = str(tmp_path / "model"), 17, str(tmp_path / "pushed")
        blessings = {"model_blessing": [ModelBlessing()], "infra_blessing": [InfraBlessing()]}
        for [blessing] in blessings.values():
            blessing.set_int_custom_property("blessed", 1)
        judge(model, *(blessing for [blessing] in blessings.values()))
        for role, judged in dict(verdicts).items():
            blessings[role][0].set_string_custom_property("model_fingerprint", judged)
        if change:
            change()
        inputs = {"model": [model], **blessings} | ({"approval": [approval]} if approval else {})
        properties = {
            "push_destination": f'{{"filesystem": {{"base_directory": "{tmp_path}/serving/agnews"}}}}',
            "audit_log": str(log),
            "approval_rules": rules.to_json() if rules else None,
            "signing_key": str(key) if key else None,
            "openssf": openssf.to_json() if openssf else None,
        }
        pusher.PusherExecutor().Do(inputs, {"pushed_model": [pushed]}, properties)
        return pushed

    return do


RULES = Rules(approvers=1, author_may_approve=False, expires_hours=24)


def test_without_an_approval_the_executor_itself_refuses(do, tmp_path):
    with pytest.raises(ApprovalPending, match=r"agnews approvals approve [0-9a-f]{12} "):
        do(rules=RULES)
    assert not (tmp_path / "serving").exists()


def test_a_gate_that_did_not_approve_pushes_nothing(do, tmp_path):
    refusal = Approval()
    refusal.set_int_custom_property("approved", 0)
    assert do(refusal, RULES).get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


def test_a_verdict_without_decisions_behind_it_is_none(do, tmp_path):
    with pytest.raises(ApprovalPending):
        do(approval_of(tmp_path / "model/Format-Serving", []), RULES)


def approval_of(export, decisions, author="ann@here"):
    """Returns the gate's result on an export."""
    approval = Approval()
    approval.set_int_custom_property("approved", 1)
    approval.set_string_custom_property("author", author)
    approval.set_string_custom_property("decisions", json.dumps(decisions))
    approval.set_string_custom_property("model_fingerprint", fingerprint(files_of(str(export))))
    return approval


def approve(export, log, by="bob@here", **changes):
    """Enters a decision in the log; returns it as the metadata store has it."""
    digest, when = fingerprint(files_of(str(export))), datetime.now(UTC).isoformat(timespec="milliseconds")
    entry = Entry("approve", "agnews", fingerprint=digest, by=by, details={"decided": when, "author": "ann@here"})
    receipt = log.append(entry)
    decision = {"fingerprint": digest, "approved": True, "who": by, "when": when, "why": "good"}
    return decision | {"entry": receipt.partition(" ")[0]} | changes


def test_a_push_names_the_approvals_that_it_relied_on(do, tmp_path):
    export, log = tmp_path / "model/Format-Serving", AuditLog(tmp_path / "serving/audit.jsonl")
    decision = approve(export, log)
    do(approval_of(export, [decision]), RULES)
    approved, push = log.lines()
    assert push.entry.details["approvals"] == [{"by": "bob@here", "decided": decision["when"], "entry": approved.hash}]


@pytest.mark.parametrize(
    "forged",
    [{"who": "cem@here"}, {"when": "2099-01-01T00:00:00+00:00"}, {"entry": "0" * 64}],
    ids=lambda forged: next(iter(forged)),
)
def test_an_approval_that_the_log_does_not_have_pushes_nothing(do, tmp_path, forged):
    export, log = tmp_path / "model/Format-Serving", AuditLog(tmp_path / "serving/audit.jsonl")
    approval = approval_of(export, [approve(export, log, **forged)])
    with pytest.raises((AuditError, ApprovalPending)):
        do(approval, RULES)
    assert not (tmp_path / "serving/agnews").exists()


def test_an_approval_of_another_authors_model_pushes_nothing(do, tmp_path):
    """Somebody who can write to the metadata store alone cannot make themselves an approver."""
    export, log = tmp_path / "model/Format-Serving", AuditLog(tmp_path / "serving/audit.jsonl")
    approval = approval_of(export, [approve(export, log, by="ann@here")], author="dan@here")
    with pytest.raises(AuditError, match="has no approval"):
        do(approval, RULES)


def test_an_approval_of_other_files_pushes_nothing(do, tmp_path):
    make_export(tmp_path / "other", b"two")
    approval = approval_of(
        tmp_path / "other", [approve(tmp_path / "other", AuditLog(tmp_path / "serving/audit.jsonl"))]
    )
    with pytest.raises(RunError, match="the verdict of ApprovalGate"):
        do(approval, RULES)


@pytest.mark.parametrize("role", ["model_blessing", "infra_blessing"])
def test_a_verdict_on_other_files_pushes_nothing(do, tmp_path, role):
    with pytest.raises(RunError, match="is about a model with the fingerprint 0123"):
        do(verdicts={role: "0123" * 16})
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize("change", [b"", b"other weights"], ids=["truncated", "changed"])
def test_a_model_that_changed_since_its_training_is_not_pushed(do, tmp_path, change):
    with pytest.raises(RunError, match=r"model 17 .* not those that were trained \(differs: saved_model.pb\)"):
        do(change=lambda: (tmp_path / "model/Format-Serving/saved_model.pb").write_bytes(change))
    assert not (tmp_path / "serving").exists()


def test_a_push_is_entered_with_the_files_that_arrived(do, tmp_path):
    pushed = do()
    [line] = AuditLog(tmp_path / "serving/audit.jsonl").lines()
    [version] = visible(tmp_path / "serving/agnews")
    assert (line.entry.action, line.entry.model, str(line.entry.version)) == ("push", "agnews", version)
    assert "assets.extra/mlmd_uuid" in line.entry.details["files"]
    assert line.entry.why == "blessed; no approval was asked for"
    assert pushed.get_string_custom_property("fingerprint") == line.entry.fingerprint
    assert pushed.get_string_custom_property("audit").startswith(line.hash)


def test_a_signal_after_the_version_appeared_waits_for_its_entry(do, tmp_path, monkeypatch, interrupt):
    monkeypatch.setattr(pusher, "flush_directory", lambda directory: interrupt() if visible(directory) else None)
    with pytest.raises(Interrupted):
        do()
    [line] = AuditLog(tmp_path / "serving/audit.jsonl").lines()
    assert [str(line.entry.version)] == visible(tmp_path / "serving/agnews")


def test_a_push_after_a_killed_one_is_signed(do, tmp_path, key_files):
    private, public = key_files()
    version = push(tmp_path / "model/Format-Serving", tmp_path / "serving/agnews")
    do(key=private)
    [line] = AuditLog(tmp_path / "serving/audit.jsonl").lines()
    assert str(line.entry.version) == Path(version).name
    assert signature_flaw(read_public_key(public), line.entry) is None
    assert private.read_text().splitlines()[1] not in (tmp_path / "serving/audit.jsonl").read_text()


def test_what_cannot_be_signed_is_not_pushed(do, tmp_path):
    with pytest.raises(SettingsError, match="name a key file that can be read"):
        do(key=tmp_path / "gone.pem")
    assert not (tmp_path / "serving/agnews").exists()


def test_what_cannot_be_entered_is_not_pushed(do, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError):
        do(log=tmp_path / "file/audit.jsonl")
    assert not (tmp_path / "serving").exists()


def test_a_version_changed_before_its_push_was_recorded_is_not_adopted(do, tmp_path):
    version = push(tmp_path / "model/Format-Serving", tmp_path / "serving/agnews")
    (Path(version) / "saved_model.pb").write_bytes(b"another graph")
    with pytest.raises(RunError, match=r"differs: saved_model\.pb"):
        do()
    assert AuditLog(tmp_path / "serving/audit.jsonl").lines() == []


@pytest.fixture
def elliptic(tmp_path):
    """Writes an elliptic-curve key, its public key, and its certificate by an authority; returns the files by name."""
    keys = {role: ec.generate_private_key(ec.SECP256R1()) for role in ("authority", "signer")}
    names = {role: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, role)]) for role in keys}
    made = {}

    def write(role, content):
        made[role] = str(tmp_path / f"{role}.pem")
        Path(made[role]).write_bytes(content)

    pem = serialization.Encoding.PEM
    for role, key in keys.items():
        write(role, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(names[role]).issuer_name(names["authority"])
        builder = builder.public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        builder = builder.not_valid_after(now + timedelta(days=9))
        builder = builder.add_extension(x509.BasicConstraints(role == "authority", None), critical=True)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
        ) | {"encipher_only": False, "decipher_only": False}
        usage |= {"digital_signature": True, "key_cert_sign": role == "authority"}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        if role == "signer":
            purposes = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING])
            builder = builder.add_extension(purposes, critical=False)
        write(f"{role}-certificate", builder.sign(keys["authority"], hashes.SHA256()).public_bytes(pem))
    public = keys["signer"].public_key()
    write("public", public.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return made


@pytest.mark.parametrize("method", ["key", "certificate"])
def test_an_auditors_tool_verifies_a_pushed_version(do, tmp_path, elliptic, method):
    """The tool is the command of the package model-signing."""
    if method == "key":
        openssf, options = SigningFiles(elliptic["signer"]), ["--public_key", elliptic["public"]]
    else:
        openssf = SigningFiles(elliptic["signer"], elliptic["signer-certificate"], elliptic["authority-certificate"])
        options = ["--certificate_chain", elliptic["authority-certificate"]]
    do(openssf=openssf)
    [number] = visible(tmp_path / "serving/agnews")
    version = tmp_path / "serving/agnews" / number
    tool = Path(sys.executable).with_name("model_signing")
    command = [tool, "verify", method, *options, "--signature", version / "model.sig", version]
    good = subprocess.run(command, capture_output=True, text=True)
    assert good.returncode == 0, good.stdout + good.stderr
    assert check_version(version, AuditLog(tmp_path / "serving/audit.jsonl")) == []
    (version / "saved_model.pb").write_bytes(b"evil graph")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_an_unusable_openssf_key_stops_the_push(do, tmp_path, key_files):
    private, _ = key_files()
    with pytest.raises(SettingsError, match=r"promotion\.openssf_key_file: .* cannot be used"):
        do(openssf=SigningFiles(str(private)))
    assert not (tmp_path / "serving/agnews").exists()


def test_a_push_that_fails_leaves_no_copy(export, tmp_path, monkeypatch):
    def fill_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pusher, "make_readable", fill_disk)
    with pytest.raises(OSError, match="No space left"):
        push(export, tmp_path / "serving/agnews")
    assert [path.name for path in (tmp_path / "serving/agnews").iterdir()] == [".push.lock"]
