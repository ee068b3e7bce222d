"""Tests that temporary directories of killed processes are removed, and no others."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from schema.temporary import temporary_directory
from tests.support import ROOT

HOLD = """
from pathlib import Path
from schema.temporary import temporary_directory
with temporary_directory() as directory:
    Path(directory, "file").touch()
    print(directory, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def other():
    """Another process with a temporary directory."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        process.directory = Path(process.stdout.readline().strip())
        yield process
        process.kill()


def test_the_directory_of_a_killed_process_is_removed_by_the_next(other, temporary):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert other.directory.exists()
    with temporary_directory() as directory:
        assert [str(path) for path in temporary.iterdir()] == [directory]
    assert not list(temporary.iterdir())


def test_the_directory_of_a_running_process_stays(other):
    with temporary_directory():
        pass
    assert (other.directory / "file").exists()
    other.communicate("\n")
    assert not other.directory.exists()


def test_files_links_and_other_names_stay(temporary):
    (temporary / "agnews-data").mkdir()
    (temporary / ".agnews-temporary-link").symlink_to("agnews-data")
    (temporary / ".agnews-temporary-file").touch()
    with temporary_directory():
        pass
    assert sorted(path.name for path in temporary.iterdir()) == [
        ".agnews-temporary-file",
        ".agnews-temporary-link",
        "agnews-data",
    ]
