"""Checks the requirements of Flink, Spark and Docker before a run starts.

Without these checks, Beam would wait for minutes or print a stack trace, and TFX's InfraValidator would reject the
model if Docker is missing.
"""

import re
import shutil
import socket

from pipeline.beam.options import beam_arguments
from pipeline.settings import BeamSettings, InfraValidatorSettings
from schema.errors import RunError, SettingsError

# Other values of master, such as local[2] or a list of hosts, are not a single address.
_ADDRESS = re.compile(r"(?:[a-z]+://)?([^:/,\[\]]+):(\d+)")
_JAVA = "--job_server_java_launcher="
_TIMEOUT_SECONDS = 5.0


def check_engine(settings: BeamSettings) -> None:
    """Checks that the engine can be reached or started.

    Raises:
        SettingsError: the job server has not been built.
        RunError: Java is missing, or the cluster or the job server does not respond.
    """
    beam_arguments(settings)
    if settings.runner not in ("flink", "spark"):
        return
    if settings.job_endpoint:
        # Only the job server connects to the master, which may be in another network.
        _connect("job_endpoint", settings.job_endpoint, "a job server")
        return
    launcher = next((arg.removeprefix(_JAVA) for arg in settings.args if arg.startswith(_JAVA)), "java")
    if shutil.which(launcher) is None:
        raise RunError(
            f"beam.runner {settings.runner} needs Java 17, and there is no command {launcher}: install it (Debian and "
            "Ubuntu: apt install openjdk-17-jre-headless)"
        )
    if settings.master:
        _connect("master", settings.master, f"the {settings.runner} cluster")


def check_docker(settings: InfraValidatorSettings) -> None:
    """Checks that Docker responds, if the InfraValidator uses it.

    Raises:
        SettingsError: Docker does not respond.
    """
    if settings.platform != "docker":
        return
    import docker

    try:
        # Connect to the default socket and ignore DOCKER_HOST, as TFX does.
        client = docker.DockerClient(timeout=_TIMEOUT_SECONDS)
        client.close()
    except docker.errors.DockerException as error:
        raise SettingsError(
            f"infra_validator.platform docker: Docker does not answer at its default socket ({error}): start Docker, "
            "or set infra_validator.platform=process"
        ) from error


def _connect(setting: str, address: str, what: str) -> None:
    found = _ADDRESS.fullmatch(address)
    if not found:
        return
    host, port = found.groups()
    try:
        socket.create_connection((host, int(port)), _TIMEOUT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"beam.{setting} {address}: {what} does not answer there ({error}): start it, or correct the setting"
        ) from error
