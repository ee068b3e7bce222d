import asyncio
import subprocess

import grpc
import pytest

from serving.client import AsyncClient, Client, ClientError, Tls, UnavailableError
from serving.client.connection import channel_options


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Returns files of two authorities, `ours` and `other`, each with a server and a client certificate."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    for name in ("ours", "other"):
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        authority = ["req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2"]
        openssl(*authority, "-subj", f"/CN={name}")
        for role in ("server", "client"):
            stem = f"{name}-{role}"
            openssl("req", *new_key, "-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj", "/CN=localhost")
            (directory / "san").write_text("subjectAltName=DNS:localhost")
            sign = ["-CA", f"{name}.pem", "-CAkey", f"{name}.key", "-CAcreateserial", "-extfile", "san"]
            openssl("x509", "-req", "-in", f"{stem}.csr", *sign, "-out", f"{stem}.pem", "-days", "2")
    return directory


def credentials(certificates, *, mutual):
    key, chain = ((certificates / f"ours-server.{suffix}").read_bytes() for suffix in ("key", "pem"))
    roots = (certificates / "ours.pem").read_bytes() if mutual else None
    return grpc.ssl_server_credentials([(key, chain)], roots, require_client_auth=mutual)


def test_an_authority_that_is_trusted_is_enough_for_tls(scripted_server, certificates):
    with (
        scripted_server.serving(credentials(certificates, mutual=False)) as server,
        Client(server.address, tls=Tls(certificates / "ours.pem")) as client,
    ):
        assert client.classify(["oil"])[0].label == "Business"


def test_another_authority_is_refused(scripted_server, certificates):
    with (
        scripted_server.serving(credentials(certificates, mutual=False)) as server,
        Client(server.address, tls=Tls(certificates / "other.pem"), timeout=5) as client,
        pytest.raises(UnavailableError, match="TLS on both sides"),
    ):
        client.classify(["oil"])
    assert server.requests == []


@pytest.mark.parametrize(("own", "accepted"), [("ours-client", True), ("other-client", False), (None, False)])
def test_mutual_tls_takes_the_right_certificate_alone(scripted_server, certificates, own, accepted):
    files = (certificates / f"{own}.pem", certificates / f"{own}.key") if own else ()
    with (
        scripted_server.serving(credentials(certificates, mutual=True)) as server,
        Client(server.address, tls=Tls(certificates / "ours.pem", *files), timeout=5) as client,
    ):
        if accepted:
            assert client.classify(["oil"])[0].label == "Business"
        else:
            with pytest.raises(UnavailableError):
                client.classify(["oil"])
            assert server.requests == []


def test_the_asyncio_client_encrypts_too(scripted_server, certificates):
    async def ask(address):
        async with AsyncClient(address, tls=Tls(certificates / "ours.pem")) as client:
            return await client.classify(["oil"])

    with scripted_server.serving(credentials(certificates, mutual=False)) as server:
        assert asyncio.run(ask(server.address))[0].label == "Business"


def test_plain_text_to_a_server_with_tls_is_said(scripted_server, certificates):
    with (
        scripted_server.serving(credentials(certificates, mutual=False)) as server,
        Client(server.address, timeout=5) as client,
        pytest.raises(UnavailableError, match="TLS on both sides"),
    ):
        client.classify(["oil"])


def test_a_certificate_without_its_key_is_an_error(certificates):
    with pytest.raises(ClientError, match="both"):
        Client(tls=Tls(certificate=certificates / "ours-client.pem"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ClientError, match=r"gone\.pem"):
        Client(tls=Tls(tmp_path / "gone.pem"))


def test_keep_alive_pings_an_idle_connection():
    options = dict(channel_options(300.0))
    assert options["grpc.keepalive_time_ms"] == 300_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert "grpc.keepalive_time_ms" not in dict(channel_options(None))


@pytest.mark.parametrize("option", ["max_batch", "max_in_flight"])
def test_batches_and_requests_are_one_at_least(option):
    with pytest.raises(ValueError, match="1 or more"):
        Client(**{option: 0})


def test_a_proxy_for_the_internet_does_not_stand_before_this_machine(dead_proxy, server):
    async def ask():
        async with AsyncClient(server.address, timeout=5) as client:
            return await client.classify(["oil"])

    with Client(server.address, timeout=5) as client:
        assert client.classify(["oil"])[0].label == "Business"
    assert asyncio.run(ask())[0].label == "Business"


def test_tls_to_this_machine_avoids_the_proxy_too(dead_proxy, scripted_server, certificates):
    with (
        scripted_server.serving(credentials(certificates, mutual=False)) as server,
        Client(server.address, tls=Tls(certificates / "ours.pem"), timeout=5) as client,
    ):
        assert client.classify(["oil"])[0].label == "Business"


def test_another_machine_is_asked_through_the_proxy(dead_proxy):
    with Client("models.example.com:8500", timeout=5) as client, pytest.raises(UnavailableError, match=dead_proxy):
        client.classify(["oil"])
