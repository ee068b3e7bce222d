"""What every test gets: an environment without the developer's own settings, and a scripted server."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from pipeline.cli import save_time

save_time()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch, tmp_path, request):
    """A developer's variables and ./agnews.yaml must not change an outcome."""
    for name in list(os.environ):
        if name.startswith("AGNEWS_") or (name == "AG_NEWS_DIR" and "real" not in request.keywords):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=[0o000, 0o022, 0o027, 0o077], ids="umask {:03o}".format)
def umask(request):
    """Runs a test under each umask: that of Argo's pods, the usual one, and two strict ones."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def open_directory():
    """A directory that every user may enter; pytest's own is closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def read_as_another_user():
    """Returns a function that reads a file, or all files of a directory, as another user; an error if it cannot.

    Only root can become another user: for others the modes alone are compared.
    """

    def read(place):
        for path in [place, *place.rglob("*")]:
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
        if os.geteuid() == 0:
            command = ["find", str(place), "-type", "f", "-exec", "cat", "{}", "+"]
            subprocess.run(
                command, user=12345, group=12345, extra_groups=[], check=True, cwd="/", stdout=subprocess.DEVNULL
            )

    return read


@pytest.fixture(autouse=True, scope="module")
def _no_determinism_from_other_tests():
    """Training code makes TensorFlow deterministic for good, and then the op Timestamp of a test's model fails."""
    yield
    import sys

    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


@pytest.fixture(scope="session")
def scripted_server():
    """The module of that name: a model server that answers by rule and fails by script."""
    from tests.support import scripted_server

    return scripted_server


@pytest.fixture
def server(scripted_server):
    """A running scripted server."""
    with scripted_server.serving() as running:
        yield running


@pytest.fixture
def dead_proxy(monkeypatch):
    """An environment whose proxy variables name a port where nothing listens; gives the proxy's address."""
    import socket

    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{reserved.getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy}")
            monkeypatch.setenv(name.upper(), f"http://{proxy}")
        yield proxy


@pytest.fixture(scope="session")
def postgresql():
    """A running PostgreSQL server of our own; the module of that name."""
    from tests.support import postgresql, skip_without_tool

    if not postgresql.installed():
        skip_without_tool(postgresql.MISSING)
    with postgresql.serving() as running:
        yield running


@pytest.fixture(scope="session")
def http_sink():
    """A function that makes a local HTTP server, which answers by a script and records what it was sent."""
    import contextlib
    from types import SimpleNamespace

    from tests.support.http_server import QuietHandler, serve_http

    @contextlib.contextmanager
    def serving(*statuses):
        """Answers with these statuses in turn, then with 200; yields `url` and the `bodies` so far."""
        answers, bodies = list(statuses), []

        class Handler(QuietHandler):
            def do_POST(self):
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(answers.pop(0) if answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        with serve_http(Handler) as url:
            yield SimpleNamespace(url=f"{url}secret-part", bodies=bodies)

    return serving


@pytest.fixture
def key_files(tmp_path):
    """Writes a new Ed25519 key: key_files(name) -> its private and its public file, PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    def write(name="key"):
        key, private, public = Ed25519PrivateKey.generate(), tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
        private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
        public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
        return private, public

    return write


@pytest.fixture
def interrupt(monkeypatch):
    """A function that leaves this process as a signal to end does whose exception somebody has dropped."""
    import signal

    from schema import interruption

    monkeypatch.setattr(interruption, "_state", interruption._State())
    return lambda *_, **__: interruption.interrupt(signal.SIGTERM)
