import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from components.example_gen import download as module
from components.example_gen.download import BrokenDownload, Offline, download
from schema.errors import DataError

CONTENT = b"".join(b'"1","title %d","text"\n' % index for index in range(20_000))
MD5 = {"train.csv": hashlib.md5(CONTENT).hexdigest()}


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT with byte ranges; breaks off in the middle of its first `breaks` answers, or has trouble."""

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

    def log_message(self, *args):
        pass


@pytest.fixture
def url(monkeypatch):
    Handler.breaks, Handler.trouble, Handler.ranges_seen = 0, None, []
    monkeypatch.setattr(module._fetch.retry, "sleep", lambda seconds: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def ignore(name, done, total):
    pass


def test_a_download_is_checked_and_complete(url, tmp_path):
    seen = []
    download(tmp_path / "data", lambda *report: seen.append(report), base_url=url, md5=MD5)
    assert (tmp_path / "data/train.csv").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["train.csv"]
    assert seen[0] == ("train.csv", 0, len(CONTENT))
    assert seen[-1] == ("train.csv", len(CONTENT), len(CONTENT))


def test_a_broken_transfer_goes_on_where_it_stopped(url, tmp_path):
    Handler.breaks = 2
    download(tmp_path, ignore, base_url=url, md5=MD5)
    assert (tmp_path / "train.csv").read_bytes() == CONTENT
    assert Handler.ranges_seen[0] is None
    assert all(Handler.ranges_seen[1:])


def test_an_earlier_part_is_not_downloaded_again(url, tmp_path):
    (tmp_path / "train.csv.part").write_bytes(CONTENT[:1000])
    download(tmp_path, ignore, base_url=url, md5=MD5)
    assert Handler.ranges_seen == ["bytes=1000-"]
    assert (tmp_path / "train.csv").read_bytes() == CONTENT


def test_a_whole_part_only_needs_its_checksum(url, tmp_path):
    (tmp_path / "train.csv.part").write_bytes(CONTENT)
    download(tmp_path, ignore, base_url=url, md5=MD5)
    assert (tmp_path / "train.csv").read_bytes() == CONTENT


def test_other_bytes_than_expected_are_removed_and_reported(url, tmp_path):
    (tmp_path / "train.csv.part").write_bytes(b"x" * 1000)
    with pytest.raises(BrokenDownload, match="expected"):
        download(tmp_path, ignore, base_url=url, md5=MD5)
    assert list(tmp_path.iterdir()) == []


def test_complete_files_are_not_asked_for(url, tmp_path):
    (tmp_path / "train.csv").write_bytes(CONTENT)
    download(tmp_path, ignore, base_url=url, md5=MD5)
    assert Handler.ranges_seen == []


def test_a_missing_file_on_the_server_is_an_error_with_its_address(url, tmp_path):
    with pytest.raises(DataError, match=r"other\.csv: the server answered 404") as refused:
        download(tmp_path, ignore, base_url=url, md5={"other.csv": "0"})
    assert not refused.value.may_pass


def test_a_transfer_that_keeps_breaking_off_may_succeed_later(url, tmp_path):
    Handler.breaks = 5
    with pytest.raises(BrokenDownload, match="run again to resume the download") as broken:
        download(tmp_path, ignore, base_url=url, md5=MD5)
    assert broken.value.may_pass


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_in_trouble_may_answer_later(url, tmp_path, status):
    Handler.trouble = status
    with pytest.raises(BrokenDownload, match=f"the server answered {status}"):
        download(tmp_path, ignore, base_url=url, md5=MD5)


def test_no_server_means_offline(tmp_path):
    with pytest.raises(Offline, match="no connection"):
        download(tmp_path, ignore, base_url="http://127.0.0.1:9/", md5=MD5)
