import json
import socket
import socketserver

import pytest

from pipeline.beam.engine_check import check_docker, check_engine
from pipeline.settings import BeamSettings, InfraValidatorSettings
from schema.errors import RunError, SettingsError
from tests.support.http_server import QuietHandler, run_server


@pytest.fixture
def jar(tmp_path):
    jar = tmp_path / "job-server.jar"
    jar.touch()
    return jar


@pytest.fixture
def java(tmp_path, monkeypatch):
    """The only command there is."""
    command = tmp_path / "bin/java"
    command.parent.mkdir()
    command.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    return command


@pytest.fixture
def away():
    """A port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_direct_runner_needs_nothing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    check_engine(BeamSettings())


def test_a_job_server_that_was_not_built_is_an_error(tmp_path, java):
    with pytest.raises(SettingsError, match="make job-server-flink"):
        check_engine(BeamSettings(runner="flink", job_server=tmp_path / "none.jar"))


def test_without_java_the_error_says_how_to_get_it(jar, java):
    check_engine(BeamSettings(runner="spark", job_server=jar))
    java.unlink()
    with pytest.raises(RunError, match=r"spark needs Java 17, and there is no command java: .*apt install openjdk-17"):
        check_engine(BeamSettings(runner="spark", job_server=jar))


def test_another_java_can_be_named(jar, java):
    other = java.with_name("java17")
    java.rename(other)
    check_engine(BeamSettings(runner="flink", job_server=jar, args=(f"--job_server_java_launcher={other}",)))


@pytest.mark.parametrize(("runner", "scheme"), [("flink", ""), ("flink", "http://"), ("spark", "spark://")])
def test_a_cluster_that_is_away_is_an_error_with_its_address(jar, java, away, runner, scheme):
    master = f"{scheme}127.0.0.1:{away}"
    with pytest.raises(RunError, match=rf"beam\.master {master}: the {runner} cluster does not answer .*refused"):
        check_engine(BeamSettings(runner=runner, job_server=jar, master=master))


def test_a_cluster_that_is_there_is_none(jar, java, there):
    check_engine(BeamSettings(runner="flink", job_server=jar, master=f"127.0.0.1:{there}"))


@pytest.mark.parametrize("master", ["local[2]", "spark://one:7077,two:7077", "yarn"])
def test_a_master_that_is_no_single_address_is_sparks_matter(jar, java, master):
    check_engine(BeamSettings(runner="spark", job_server=jar, master=master))


def test_a_running_job_server_needs_neither_java_nor_a_cluster_in_reach(monkeypatch, there, away):
    monkeypatch.setenv("PATH", "")
    settings = {"runner": "flink", "master": f"127.0.0.1:{away}"}
    check_engine(BeamSettings(job_endpoint=f"127.0.0.1:{there}", **settings))
    with pytest.raises(RunError, match=r"beam\.job_endpoint 127\.0\.0\.1:\d+: a job server does not answer"):
        check_engine(BeamSettings(job_endpoint=f"127.0.0.1:{away}", **settings))


class _Docker(QuietHandler):
    """Says which version of Docker's API it is, which a client asks first."""

    def do_GET(self):
        body = json.dumps({"ApiVersion": "1.47"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_docker_is_asked_only_where_the_infra_validator_uses_it(tmp_path, monkeypatch):
    # The socket that Docker's own client, and with it TFX, takes.
    monkeypatch.setattr("docker.utils.utils.DEFAULT_UNIX_SOCKET", f"http+unix://{tmp_path}/docker.sock")
    check_docker(InfraValidatorSettings())
    with pytest.raises(SettingsError, match=r"start Docker, or set infra_validator\.platform=process"):
        check_docker(InfraValidatorSettings(platform="docker"))
    with socketserver.UnixStreamServer(f"{tmp_path}/docker.sock", _Docker) as server, run_server(server):
        check_docker(InfraValidatorSettings(platform="docker"))
