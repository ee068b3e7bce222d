"""What Flink, Spark and Docker need, looked for before a run begins.

Beam would wait for minutes, or say it with a trace; TFX's InfraValidator takes a missing Docker for the model's fault.
"""

import re
import shutil
import socket

from pipeline.beam.options import beam_arguments
from pipeline.settings import BeamSettings, InfraValidatorSettings
from schema.errors import RunError, SettingsError

# Other masters, like local[2] or several hosts, are not one address.
_ADDRESS = re.compile(r"(?:[a-z]+://)?([^:/,\[\]]+):(\d+)")
_JAVA = "--job_server_java_launcher="
_TIMEOUT_SECONDS = 5.0


def check_engine(settings: BeamSettings) -> None:
    """Looks whether the engine can be reached, or started.

    Raises:
        SettingsError: the job server has not been built.
        RunError: there is no Java, or nothing answers at the address of the cluster or of the job server.
    """
    beam_arguments(settings)
    if settings.runner not in ("flink", "spark"):
        return
    if settings.job_endpoint:
        # The master's address is the job server's matter, which may be in another network.
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
    """Looks whether Docker answers where the InfraValidator is to use it.

    Raises:
        SettingsError: it does not.
    """
    if settings.platform != "docker":
        return
    import docker

    try:
        # As TFX makes its own: at the default socket, whatever DOCKER_HOST says.
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
