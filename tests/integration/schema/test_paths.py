import os
import tempfile
from pathlib import Path

import apache_beam.io.filesystems
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import DataError, SettingsError
from schema.paths import expand_home, list_files, refuse_wildcards
from tests.support.limits import only_permitted_files


def put(directory, *names):
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("")


def names(directory, pattern):
    return [os.path.relpath(path, directory) for path in list_files(str(directory), pattern)]


_NAMES = st.text(alphabet="a1.-_ *?[]!^{}\\~#%'\"é東\n", min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(_NAMES, min_size=1, max_size=4, unique=True), st.data())
def test_any_directory_name_is_taken_literally(directories, data):
    with tempfile.TemporaryDirectory() as root:
        for name in directories:
            put(Path(root, name), *data.draw(st.lists(_NAMES, min_size=1, max_size=5)))
        for name in directories:
            truth = [f"{root}/{name}/{file}" for file in os.listdir(f"{root}/{name}") if file[0] not in "._"]
            assert list_files(f"{root}/{name}", "*") == sorted(truth)


@given(_NAMES, _NAMES)
def test_a_pattern_without_wildcards_matches_one_file(directory, file):
    pattern = "".join(f"[{sign}]" if sign in "*?[" else sign for sign in file)
    with tempfile.TemporaryDirectory() as root:
        put(Path(root, directory), file, "other")
        assert list_files(f"{root}/{directory}", pattern) == [f"{root}/{directory}/{file}"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", ["a.csv", "b1.csv"]),
        ("b?.csv", ["b1.csv"]),
        ("[!b]*.csv", ["a.csv"]),
        ("b[0-9].csv", ["b1.csv"]),
        ("b[^1].csv", ["b1.csv"]),
        ("[z-a].csv", []),
        ("*", ["a.csv", "b1.csv"]),
        ("day/*.csv", ["day/c.csv"]),
        ("*/*.csv", ["day/c.csv"]),
        ("**/*.csv", ["a.csv", "b1.csv", "day/c.csv", "day/hour/d.csv"]),
        ("**/d.csv", ["day/hour/d.csv"]),
        ("day/../a.csv", ["a.csv"]),
        ("*//c*.csv", ["day/c.csv"]),
        ("day", []),
        (".h*", [".hidden.csv"]),
        ("_old/*.csv", ["_old/e.csv"]),
        ("?old/*.csv", []),
        ("[._]*", []),
        ("nothing.csv", []),
    ],
)
def test_patterns_match_the_expected_files(tmp_path, pattern, found):
    put(
        tmp_path,
        "a.csv",
        "b1.csv",
        ".hidden.csv",
        "_SUCCESS",
        "day/c.csv",
        "day/._c.csv",
        "day/hour/d.csv",
        "_old/e.csv",
    )
    assert [os.path.normpath(name) for name in names(tmp_path, pattern)] == found


def test_a_remote_directory_is_taken_literally_too(monkeypatch):
    """Beam matches the pattern on the local file system under an invented scheme."""
    from apache_beam.io.localfilesystem import LocalFileSystem

    class Store(LocalFileSystem):
        @classmethod
        def scheme(cls):
            return "store"

        def match(self, patterns, limits=None):
            found = super().match([pattern.removeprefix("store:/") for pattern in patterns])
            for result in found:
                for file in result.metadata_list:
                    file.path = f"store:/{file.path}"
            return found

    filesystem = staticmethod(lambda path: Store(None))
    monkeypatch.setattr(apache_beam.io.filesystems.FileSystems, "get_filesystem", filesystem)
    with tempfile.TemporaryDirectory() as root:
        put(Path(root), "plain/a.csv", "plain/._a.csv", "plain/_b.csv", "x [1]/a.csv", "x 1/a.csv")
        base = f"store:/{root}"
        assert list_files(f"{base}/plain", "*.csv") == [f"{base}/plain/a.csv"]
        # Beam cannot match this name: it must find nothing, in particular not the neighbour's file.
        assert list_files(f"{base}/x [1]", "a.csv") == []


@pytest.mark.parametrize("pattern", ["*/a.csv", "**/a.csv", "x*/*.csv", "x2/*.csv"])
def test_a_directory_that_this_user_may_not_read_is_not_skipped(tmp_path, pattern):
    put(tmp_path, "x1/a.csv", "x2/a.csv", "_hidden/a.csv")
    (tmp_path / "x2").chmod(0)
    (tmp_path / "_hidden").chmod(0)
    with only_permitted_files(), pytest.raises(DataError, match=f"^{tmp_path}/x2/: Permission denied; let this user"):
        list_files(str(tmp_path), pattern)
    with only_permitted_files():
        assert names(tmp_path, "x1/*.csv") == ["x1/a.csv"]


@pytest.mark.parametrize("place", ["~/x", "~"])
def test_the_home_directory_is_expanded(monkeypatch, place):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home(place) == place.replace("~", "/home/me")


@pytest.mark.parametrize("place", ["a/~/b", "~nobody-of-that-name/x", "gs://bucket/~", "x~", ""])
def test_paths_without_a_home_directory_stay_unchanged(place):
    assert expand_home(place) == place


def test_an_unknown_home_directory_is_an_error(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda place: place)
    with pytest.raises(ValueError, match="set HOME"):
        expand_home("~/x")


@pytest.mark.parametrize("place", ["/a/[1]", "/a/[", "/a*", "/a?/b", "/a\\b", "gs://bucket/[x]"])
def test_a_path_that_tensorflow_would_expand_is_refused(place):
    with pytest.raises(SettingsError, match=r"^pipeline\.root "):
        refuse_wildcards("pipeline.root", place)


@pytest.mark.parametrize("place", ["/a b/é東", "/{SPAN}/#%41", "/'a'\"", "/a]b", "/a\nb", "/~x", "gs://bucket/x"])
def test_other_paths_are_accepted(place):
    refuse_wildcards("pipeline.root", place)
