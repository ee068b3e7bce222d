import gzip
import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler

import numpy as np
import pytest

from components.download import BrokenDownload, PublicFiles
from components.trainer import glove
from components.trainer.vector_files import read_vectors
from schema.errors import SettingsError
from tests.support.http_server import QuietHandler, serve_http

NAME = "glove-wiki-gigaword-50.gz"
CONTENT = gzip.compress(b"2 50\noil" + b" 0.5" * 50 + b"\ngoal" + b" -1" * 50 + b"\n")
CHECKSUM = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Sets the user's cache; returns a function that sets where the vectors are downloaded from."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def set_place(url, checksum=CHECKSUM):
        monkeypatch.setitem(glove.FILES, 50, PublicFiles(url, {NAME: checksum}, ""))

    return set_place


@pytest.fixture
def url(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(CONTENT)

    class Handler(QuietHandler, SimpleHTTPRequestHandler):
        pass

    with serve_http(partial(Handler, directory=str(tmp_path / "served"))) as url:
        yield url


def test_the_vectors_are_downloaded_once_and_can_be_read(place, url, tmp_path):
    place(url)
    seen = []
    path = glove.fetch(50, lambda *report: seen.append(report))
    assert path == tmp_path / "cache" / "agnews" / NAME
    assert seen[-1] == (NAME, len(CONTENT), len(CONTENT))
    vectors, count = read_vectors(path, ["oil", "vote"], 50)
    assert count == 2
    np.testing.assert_array_equal(vectors["oil"], np.full(50, 0.5, np.float32))
    place("http://127.0.0.1:9/")
    assert glove.fetch(50) == path


def test_a_file_with_another_checksum_is_refused(place, url, tmp_path):
    place(url, checksum="0" * 32)
    with pytest.raises(BrokenDownload, match=f"{NAME}: the download has MD5 .*, expected 0000"):
        glove.fetch(50)
    assert list((tmp_path / "cache" / "agnews").iterdir()) == []


def test_without_a_network_the_remedy_is_named(place, tmp_path):
    place("http://127.0.0.1:9/")
    with pytest.raises(SettingsError, match=f"{NAME}: no connection.* copy the file into {tmp_path}/cache/agnews from"):
        glove.fetch(50)


def test_a_cache_that_cannot_be_written_is_reported(place, url, tmp_path):
    place(url)
    (tmp_path / "cache").write_text("no directory")
    with pytest.raises(SettingsError, match="cache/agnews: Not a directory; set XDG_CACHE_HOME"):
        glove.fetch(50)


def test_each_width_has_its_file():
    assert {width: [*files.md5] for width, files in glove.FILES.items()} == {
        width: [f"glove-wiki-gigaword-{width}.gz"] for width in (50, 100, 200, 300)
    }
