"""Tests the modes of new files and directories, which do not depend on the umask, and reading of small files."""

import os
import stat
from pathlib import Path

import pytest

from schema.files import (
    FOR_ALL,
    FOR_GROUP,
    MAX_SMALL_FILE,
    create_file,
    file_lock,
    make_directory,
    make_readable,
    read_small_file,
    replace_file,
)
from tests.support.limits import full_disk


def modes(directory):
    return {str(path.relative_to(directory)): f"{stat.S_IMODE(path.stat().st_mode):o}" for path in directory.rglob("*")}


@pytest.fixture
def team_directory(tmp_path):
    """Returns a directory that a group shares: members may write to it, and new files belong to the group."""
    directory = tmp_path / "team"
    directory.mkdir()
    directory.chmod(0o2775)
    return directory


def fill(directory):
    make_directory(directory / "a/b")
    create_file(directory / "log", FOR_GROUP)
    replace_file(directory / "config", b"new", FOR_ALL)
    with file_lock(directory / "lock"):
        pass
    (directory / "tree/folder").mkdir(parents=True)
    (directory / "tree/folder/file").touch()
    make_readable(directory / "tree")
    return modes(directory)


def test_modes_do_not_depend_on_the_umask(umask, tmp_path):
    tmp_path.chmod(0o755)
    assert fill(tmp_path) == {
        "a": "755",
        "a/b": "755",
        "log": "640",
        "config": "644",
        "lock": "640",
        "tree": "755",
        "tree/folder": "755",
        "tree/folder/file": "644",
    }


def test_a_group_that_shares_a_directory_may_write_new_files(umask, team_directory):
    assert fill(team_directory) == {
        "a": "2775",
        "a/b": "2775",
        "log": "660",
        "config": "664",
        "lock": "660",
        "tree": "2775",
        "tree/folder": "2775",
        "tree/folder/file": "664",
    }


def test_nothing_is_writable_by_all_even_in_a_writable_directory(umask, tmp_path):
    tmp_path.chmod(0o777)
    assert [name for name, mode in fill(tmp_path).items() if int(mode, 8) & stat.S_IWOTH] == []


def test_existing_files_and_directories_keep_their_modes(tmp_path):
    (tmp_path / "a").mkdir(mode=0o700)
    (tmp_path / "log").touch(mode=0o600)
    make_directory(tmp_path / "a/b")
    create_file(tmp_path / "log", FOR_GROUP)
    assert modes(tmp_path) == {"a": "700", "a/b": "755", "log": "600"}


def test_a_file_in_place_of_a_directory_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises((FileExistsError, NotADirectoryError)):
            make_directory(path)


def test_a_relative_directory_is_created_in_the_working_directory(tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    make_directory(Path("a/b"))
    assert (tmp_path / "a/b").is_dir()


def test_replacing_a_file_leaves_no_other_file_even_after_a_kill(tmp_path):
    (tmp_path / ".config.incoming").write_bytes(b"half of a longer text")
    replace_file(tmp_path / "config", b"new", FOR_ALL)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"config": b"new"}


def test_a_replaced_file_without_a_mode_follows_the_umask(umask, tmp_path):
    replace_file(tmp_path / "report", b"new")
    assert os.stat(tmp_path / "report").st_mode & 0o777 == 0o666 & ~umask


def test_a_small_file_or_pipe_is_read_and_an_endless_one_refused(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * MAX_SMALL_FILE)
    assert read_small_file(file) == file.read_bytes()
    reader, writer = os.pipe()
    os.write(writer, b"secret")
    os.close(writer)
    assert read_small_file(Path(f"/dev/fd/{reader}")) == b"secret"
    os.close(reader)
    with pytest.raises(OSError, match="it has more than 1048576 bytes"):
        read_small_file(Path("/dev/zero"))


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    """As root, a device such as /dev/null would be replaced by a file for everybody."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(tmp_path / "pipe", b"content", FOR_ALL)
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert list(tmp_path.iterdir()) == [tmp_path / "pipe"]


def test_a_link_is_replaced_unless_a_user_named_it(tmp_path):
    for name in ("file", "shared"):
        (tmp_path / name).write_text("old")
        (tmp_path / f"{name}.link").symlink_to(name)
    replace_file(tmp_path / "file.link", b"new", follow_links=True)
    replace_file(tmp_path / "shared.link", b"new")
    assert [(tmp_path / name).read_text() for name in ("file", "shared")] == ["new", "old"]
    assert [(tmp_path / f"{name}.link").is_symlink() for name in ("file", "shared")] == [True, False]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("old")
    with full_disk(free=5), pytest.raises(OSError, match="File too large"):
        replace_file(tmp_path / "file", b"the new content")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}
