"""Downloads public files: resumes broken transfers, verifies checksums, and renames complete files."""

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import tenacity

from schema.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Function called with the file name, the bytes so far, and the total bytes if the server reports them."""


_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


@dataclass(frozen=True)
class PublicFiles:
    """Files that anyone may download.

    Attributes:
        base_url: URL to which file names are appended.
        md5: MD5 checksum of each file by name.
        licence: note on the licence, shown before a download.
    """

    base_url: str
    md5: Mapping[str, str]
    licence: str


class Offline(DataError):
    """The server could not be reached: the network or the route to the host is down."""


class BrokenDownload(DataError):
    """The transfer was interrupted, the server failed, or the file is damaged; the next attempt may succeed."""

    may_pass = True


def download(files: PublicFiles, directory: Path, progress: Progress = lambda *_: None) -> None:
    """Downloads the files that are missing.

    Args:
        files: the files.
        directory: directory for them, created if needed.
        progress: function called after each chunk.

    Raises:
        Offline: the host could not be reached.
        BrokenDownload: the transfer was interrupted, the server failed, or the checksum differs.
        DataError: the server refused the request.
    """
    directory.mkdir(parents=True, exist_ok=True)
    timeout = httpx.Timeout(30.0, connect=5.0)
    with httpx.Client(timeout=timeout, follow_redirects=True) as client:
        for name, checksum in files.md5.items():
            if (directory / name).exists():
                continue
            part = directory / f"{name}.part"
            url = files.base_url + name
            try:
                _fetch(client, url, part, functools.partial(progress, name))
            except _UNREACHABLE as error:
                raise Offline(f"{url}: no connection: {error}") from error
            except httpx.HTTPStatusError as error:
                response = error.response
                passes = response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS
                kind = BrokenDownload if passes else DataError
                raise kind(f"{url}: the server answered {response.status_code} {response.reason_phrase}") from error
            except httpx.TransportError as error:
                reason = f"{type(error).__name__} {error}"
                raise BrokenDownload(f"{url}: {reason}; run again to resume the download") from error
            _accept(part, directory / name, checksum)


# Resumes a broken transfer, but does not retry a host that cannot be reached.
@tenacity.retry(
    retry=tenacity.retry_if_exception_type(httpx.TransportError) & tenacity.retry_if_not_exception_type(_UNREACHABLE),
    wait=tenacity.wait_exponential_jitter(initial=0.5, max=8),
    stop=tenacity.stop_after_attempt(5),
    reraise=True,
)
def _fetch(client: httpx.Client, url: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
    # Byte ranges count the bytes as sent, so the transfer must not be compressed.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # The file is complete; the checksum decides.
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with open(part, "ab" if have else "wb") as file:
            progress(have, total)
            for piece in response.iter_bytes(1 << 16):
                file.write(piece)
                have += len(piece)
                progress(have, total)


def _accept(part: Path, final: Path, checksum: str) -> None:
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != checksum:
        part.unlink()
        raise BrokenDownload(
            f"{final.name}: the download has MD5 {found}, expected {checksum}, and was removed; run again"
        )
    os.replace(part, final)
