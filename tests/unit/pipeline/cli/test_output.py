import os
import re
from pathlib import Path

import pytest

from pipeline.alerts import Event, Kind
from pipeline.cli import output
from pipeline.cli.output import check_file, make_directory, send_alert, strip_control_characters, users_error
from pipeline.settings import Settings
from schema.errors import SettingsError
from schema.interruption import Interrupted
from tests.support.limits import only_permitted_files


@pytest.mark.parametrize("sign", ["\x1b", "\n", "\r", "\x7f", "\x9b", "\u202e", "\udcff"])
def test_what_could_steer_a_terminal_or_is_no_text_is_replaced(sign):
    assert strip_control_characters(f"a{sign}[2Jb") == "a\N{REPLACEMENT CHARACTER}[2Jb"
    assert strip_control_characters(f"a{sign}b", " ") == "a b"


def test_what_can_be_read_stays():
    assert strip_control_characters("Öl, 7 %: [gut] → 油") == "Öl, 7 %: [gut] → 油"


def test_a_file_that_can_be_written_is_neither_made_nor_changed(tmp_path):
    check_file("--output", tmp_path / "new.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.json").write_text("old")
    check_file("--output", tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "old"


def test_a_path_that_cannot_be_written_is_reported_with_the_option(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match=rf"^--output {tmp_path}/gone/x: No such file or directory; name a place"):
        check_file("--output", tmp_path / "gone/x")
    (tmp_path / "old.json").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # The root user can always write.
    with pytest.raises(SettingsError, match="json: Permission denied"):
        check_file("--output", tmp_path / "old.json")


def test_a_directory_is_made_and_left_empty(tmp_path):
    make_directory("--to", tmp_path / "a/b")
    make_directory("--to", tmp_path / "a/b")
    assert list((tmp_path / "a/b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="Not a directory"):
        make_directory("--to", tmp_path / "file/b")


def error_of(action):
    with only_permitted_files(), pytest.raises(OSError) as raised:
        action()
    return str(users_error(raised.value))


def test_a_file_that_cannot_be_used_is_named_with_a_remedy(tmp_path):
    (tmp_path / "logs").touch(mode=0)
    remedy = "; make it usable for this user, or name another place"
    assert error_of((tmp_path / "logs").read_bytes) == f"{tmp_path}/logs: Permission denied{remedy}"
    assert error_of((tmp_path / "logs/run").touch) == f"{tmp_path}/logs/run: Not a directory{remedy}"
    assert error_of((tmp_path / "logs").mkdir) == f"{tmp_path}/logs: File exists{remedy}"
    assert error_of((tmp_path / "gone").read_bytes) == "None"


def test_a_working_directory_that_was_deleted_is_a_users_mistake(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert error_of(os.getcwd).startswith("the working directory was deleted")


@pytest.mark.parametrize("module", sorted(Path(output.__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_no_command_can_leave_half_a_file(module):
    assert not re.findall(r"write_text|write_bytes|open\([^)]*\"w", module.read_text().replace("open(os.devnull", ""))


@pytest.fixture
def alert(http_sink, tmp_path):
    """Sends an alert about a failure; returns the requests that the webhook received."""
    with http_sink() as sink:

        def alert():
            send_alert(
                Settings(alerts={"webhook_url": sink.url}), Event(Kind.FAILED, "run", "why", "log"), tmp_path / "log"
            )

        alert.bodies = sink.bodies
        yield alert


def test_an_event_is_sent(alert):
    alert()
    assert len(alert.bodies) == 1


def test_after_a_signal_to_end_nobody_is_alerted(alert, interrupt):
    interrupt()
    with pytest.raises(Interrupted):
        alert()
    assert alert.bodies == []
