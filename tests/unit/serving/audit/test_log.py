"""Checks that an entry is written completely or not at all, even if other processes write or are killed."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from pipeline.governance.audit_check import audit_log
from pipeline.settings import Settings
from schema.errors import AuditError
from serving.audit import IDENTITY, AuditLog, Entry, problems, receipt_hash
from tests.support import ROOT


@pytest.fixture
def log(tmp_path):
    return AuditLog(tmp_path / "serving model" / "audit [1].jsonl")


def child(code, log, *arguments):
    command = [sys.executable, "-c", f"import sys\nfrom pathlib import Path\n{code}", str(log.path), *arguments]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)


def test_an_entry_comes_back_with_who_wrote_it_and_when(log, monkeypatch):
    monkeypatch.setenv(IDENTITY, "pipeline@cluster")
    log.append(
        Entry("promote", "agnews", 7, "ab" * 32, by="ann@here", why="naïve \\ \n 東京", details={"label": "stable"})
    )
    [line] = log.lines()
    entry = line.entry
    assert (entry.action, entry.version, entry.by, entry.why) == ("promote", 7, "ann@here", "naïve \\ \n 東京")
    assert entry.who == "pipeline@cluster"
    assert entry.when.endswith("+00:00")
    assert entry.details == {"label": "stable"}


def test_each_entry_has_the_previous_hash_and_the_receipt_its_own(log):
    receipts = [log.append(Entry("push", "agnews", number)) for number in (1, 2, 3)]
    lines = log.lines()
    assert [line.entry.previous for line in lines] == ["0" * 64, lines[0].hash, lines[1].hash]
    assert [receipt_hash(receipt, log) for receipt in receipts] == [line.hash for line in lines]


def test_a_receipt_of_another_log_is_none_of_this_one(log, tmp_path):
    assert receipt_hash(AuditLog(tmp_path / "other.jsonl").append(Entry("push")), log) is None


def test_a_receipt_can_be_stored_where_a_backslash_is_an_error(tmp_path):
    receipt = AuditLog(tmp_path / "a\\b é" / "audit.jsonl").append(Entry("push"))
    assert "\\" not in receipt
    assert receipt.isascii()


def test_the_log_can_be_written_by_its_owner_alone_under_any_umask(umask, log):
    log.append(Entry("push"))
    with open(log.path, "ab") as file:
        file.write(b'{"torn')
    log.append(Entry("push"))
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in log.path.parent.iterdir()}
    name = log.path.name
    assert {found.partition("torn-")[0] for found in modes} == {name, f"{name}.", f".{name}.lock"}
    assert set(modes.values()) == {"0o640"}
    assert oct(log.path.parent.stat().st_mode & 0o777) == "0o755"


@pytest.mark.parametrize(("readers", "mode"), [("owner", "0o600"), ("group", "0o640"), ("everyone", "0o644")])
def test_the_setting_says_who_may_read_a_new_log(umask, tmp_path, readers, mode):
    promotion = {"audit_log": str(tmp_path / "log"), "audit_log_readers": readers}
    log = audit_log(Settings.model_validate({"promotion": promotion}))
    log.append(Entry("push"))
    assert oct(log.path.stat().st_mode & 0o777) == mode


def test_the_same_content_is_parsed_once(log):
    log.append(Entry("push"))
    first = log.lines()
    assert all(now is before for now, before in zip(log.lines(), first, strict=True))
    log.append(Entry("prune"))
    assert [line.entry.action for line in log.lines()] == ["push", "prune"]


def test_a_mode_that_an_administrator_gave_the_log_stays(log):
    log.append(Entry("push"))
    log.path.chmod(0o664)
    log.append(Entry("push"))
    assert oct(log.path.stat().st_mode & 0o777) == "0o664"


_WRITER = """
from serving.audit import AuditLog, Entry
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    log.append(Entry("push", sys.argv[2], number))
"""


def test_entries_of_processes_that_write_at_the_same_time_form_one_chain(log):
    writers = [child(_WRITER, log, f"writer-{index}", "25") for index in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    assert problems(log, {}) == []
    entries = [line.entry for line in log.lines()]
    for index in range(4):
        assert [entry.version for entry in entries if entry.model == f"writer-{index}"] == list(range(25))


# Writes half of the line and dies, like a process that is killed there.
_DIES = """
import os, signal
from serving.audit import AuditLog, Entry, log
def half(descriptor, data):
    os.write(descriptor, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
log._write_all = half
AuditLog(Path(sys.argv[1])).append(Entry("push", "killed"))
"""


def kill_in_the_middle_of_a_write(log):
    assert child(_DIES, log).wait(timeout=60) == -signal.SIGKILL


def test_half_an_entry_is_reported_by_verify_and_set_aside_by_the_next(log):
    log.append(Entry("push", "agnews", 1))
    kill_in_the_middle_of_a_write(log)
    torn = log.torn()
    assert torn
    [problem] = problems(log, {})
    assert "cut off" in problem

    log.append(Entry("push", "agnews", 2))

    assert problems(log, {}) == []
    first, recovered, second = (line.entry for line in log.lines())
    assert (first.version, recovered.action, second.version) == (1, "recover", 2)
    assert (log.path.parent / recovered.details["file"]).read_bytes() == torn


@pytest.mark.parametrize("death", ["os.truncate", "AuditLog._write", "Path.rename"])
def test_a_kill_while_a_piece_is_set_aside_loses_nothing(log, death):
    log.append(Entry("push", "agnews", 1))
    kill_in_the_middle_of_a_write(log)
    torn = log.torn()
    code = f"""
import os, signal
from serving.audit import AuditLog, Entry
{death} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
AuditLog(Path(sys.argv[1])).append(Entry("push", "killed again"))
"""
    assert child(code, log).wait(timeout=60) == -signal.SIGKILL
    log.append(Entry("push", "agnews", 2))
    assert problems(log, {}) == []
    results = [line.entry for line in log.lines() if line.entry.action == "recover"]
    assert results
    assert (log.path.parent / results[0].details["file"]).read_bytes() == torn
    assert not list(log.path.parent.glob("*.pending"))


def test_a_lost_piece_that_was_set_aside_is_reported(log):
    kill_in_the_middle_of_a_write(log)
    log.append(Entry("push", "agnews", 2))
    [aside] = log.path.parent.glob("*.torn-*")
    aside.unlink()
    assert "set aside" in problems(log, {})[0]


@pytest.mark.parametrize("name", ["", None, "a\0b", "."])
def test_an_entry_of_a_piece_with_an_impossible_name_is_reported(log, name):
    log.append(Entry("recover", details={"file": name, "sha256": "ab" * 32}))
    assert "set aside" in problems(log, {})[0]


def test_a_full_disk_leaves_no_half_entry(log, monkeypatch):
    log.append(Entry("push", "agnews", 1))
    original = os.write

    def full(descriptor, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor, data[: len(data) - 10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(AuditError, match=r"jsonl cannot be written: No space left"):
        log.append(Entry("push", "agnews", 2))
    monkeypatch.undo()
    assert (log.torn(), problems(log, {}), len(log.lines())) == (b"", [], 1)


def test_a_place_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match=r"set promotion\.audit_log"):
        AuditLog(tmp_path / "file" / "audit.jsonl").require_writable()


def test_a_log_whose_lock_cannot_be_taken_is_not_writable(log):
    log.append(Entry("push", "agnews", 1))
    lock = log.path.with_name(f".{log.path.name}.lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    with pytest.raises(AuditError, match=r"jsonl cannot be written"):
        log.require_writable()


def test_a_damaged_last_line_does_not_stop_a_roll_back_from_being_entered(log):
    log.append(Entry("push", "agnews", 1))
    log.path.write_bytes(b'{"action": 1}\n')
    log.append(Entry("rollback", "agnews", 1))
    assert [line.entry and line.entry.action for line in log.lines()] == [None, "rollback"]


def test_the_last_push_of_a_version_is_found(log):
    for digest in ("old", "new"):
        log.append(Entry("push", "agnews", 1, digest))
    log.append(Entry("promote", "agnews", 1, "other"))
    assert log.last_push("agnews", 1).fingerprint == "new"
    assert log.last_push("agnews", 2) is log.last_push("other", 1) is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": "7"},
        {"details": []},
        {"why": None},
        {"surplus": 1},
        {"when": "now"},
        {"when": "2026-01-02T03:04:05"},
    ],
    ids=str,
)
def test_a_line_of_another_form_is_no_entry(log, change):
    log.append(Entry("push", "agnews", 7))
    log.path.write_text(json.dumps(json.loads(log.path.read_text()) | change) + "\n")
    assert log.lines()[0].entry is None
