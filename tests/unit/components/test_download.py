import hashlib
from typing import ClassVar

import pytest

from components import download as module
from components.download import BrokenDownload, Offline, PublicFiles, download
from schema.errors import DataError
from tests.support.http_server import QuietHandler, serve_http

CONTENT = b"".join(b'"1","title %d","text"\n' % index for index in range(20_000))
MD5 = {"train.csv": hashlib.md5(CONTENT).hexdigest()}


class Handler(QuietHandler):
    """Serves CONTENT with byte ranges; interrupts its first `breaks` responses, or returns errors."""

    breaks = 0
    trouble = None
    ranges_seen: ClassVar[list] = []

    def do_GET(self):
        if Handler.trouble:
            self.send_error(Handler.trouble)
            return
        if self.path != "/train.csv":
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        Handler.ranges_seen.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if Handler.breaks > 0:
            Handler.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)


@pytest.fixture
def url(monkeypatch):
    Handler.breaks, Handler.trouble, Handler.ranges_seen = 0, None, []
    monkeypatch.setattr(module._fetch.retry, "sleep", lambda seconds: None)
    with serve_http(Handler) as url:
        yield url


def test_a_download_is_verified_and_complete(url, tmp_path):
    seen = []
    download(PublicFiles(url, MD5, ""), tmp_path / "data", lambda *report: seen.append(report))
    assert (tmp_path / "data/train.csv").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["train.csv"]
    assert seen[0] == ("train.csv", 0, len(CONTENT))
    assert seen[-1] == ("train.csv", len(CONTENT), len(CONTENT))


def test_a_broken_transfer_is_resumed(url, tmp_path):
    Handler.breaks = 2
    download(PublicFiles(url, MD5, ""), tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == CONTENT
    assert Handler.ranges_seen[0] is None
    assert all(Handler.ranges_seen[1:])


def test_a_partial_file_is_not_downloaded_again(url, tmp_path):
    (tmp_path / "train.csv.part").write_bytes(CONTENT[:1000])
    download(PublicFiles(url, MD5, ""), tmp_path)
    assert Handler.ranges_seen == ["bytes=1000-"]
    assert (tmp_path / "train.csv").read_bytes() == CONTENT


def test_a_complete_partial_file_is_only_verified(url, tmp_path):
    (tmp_path / "train.csv.part").write_bytes(CONTENT)
    download(PublicFiles(url, MD5, ""), tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == CONTENT


def test_a_file_with_another_checksum_is_removed_and_reported(url, tmp_path):
    (tmp_path / "train.csv.part").write_bytes(b"x" * 1000)
    with pytest.raises(BrokenDownload, match="expected"):
        download(PublicFiles(url, MD5, ""), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_complete_files_are_not_requested(url, tmp_path):
    (tmp_path / "train.csv").write_bytes(CONTENT)
    download(PublicFiles(url, MD5, ""), tmp_path)
    assert Handler.ranges_seen == []


def test_a_file_missing_on_the_server_is_reported_with_its_url(url, tmp_path):
    with pytest.raises(DataError, match=r"other\.csv: the server answered 404") as refused:
        download(PublicFiles(url, {"other.csv": "0"}, ""), tmp_path)
    assert not refused.value.may_pass


def test_a_repeatedly_broken_transfer_is_a_temporary_error(url, tmp_path):
    Handler.breaks = 5
    with pytest.raises(BrokenDownload, match="run again to resume the download") as broken:
        download(PublicFiles(url, MD5, ""), tmp_path)
    assert broken.value.may_pass


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_error_is_a_temporary_error(url, tmp_path, status):
    Handler.trouble = status
    with pytest.raises(BrokenDownload, match=f"the server answered {status}"):
        download(PublicFiles(url, MD5, ""), tmp_path)


def test_an_unreachable_server_means_offline(tmp_path):
    with pytest.raises(Offline, match="no connection"):
        download(PublicFiles("http://127.0.0.1:9/", MD5, ""), tmp_path)
