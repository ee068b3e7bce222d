import pytest

from components.model_card.lineage import fingerprint


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"22")
    return tmp_path


def test_files_and_bytes_are_counted(directory):
    found = fingerprint(str(directory))
    assert (found.files, found.bytes) == (2, 3)


@pytest.mark.parametrize("change", ["content", "name", "moved", "added"])
def test_any_change_changes_it(directory, change):
    before = fingerprint(str(directory)).sha256
    assert fingerprint(str(directory)).sha256 == before
    if change == "content":
        (directory / "two").write_bytes(b"23")
    elif change == "name":
        (directory / "two").rename(directory / "three")
    elif change == "moved":
        (directory / "two").rename(directory / "a/two")
    else:
        (directory / "empty").write_bytes(b"")
    assert fingerprint(str(directory)).sha256 != before


def test_the_place_does_not_count(directory, tmp_path_factory):
    import shutil

    elsewhere = tmp_path_factory.mktemp("other") / "copy"
    shutil.copytree(directory, elsewhere)
    assert fingerprint(str(elsewhere)) == fingerprint(str(directory))
