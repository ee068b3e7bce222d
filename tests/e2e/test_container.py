"""Builds the image with the Docker engine that the client reaches, and runs it without a network.

DOCKER names another client than `docker`; DOCKER_BUILD_ARGS holds options of the build, such as `--network host` for an
engine without a bridge, or `--build-arg BASE=…` for another base image.
"""

import io
import os
import shlex
import subprocess
import tarfile
import time
import uuid
from contextlib import contextmanager

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.container, pytest.mark.timeout(3600)]

IMAGE = "agnews-pipeline:tested"
CLIENT = os.environ.get("DOCKER", "docker")
# Imports all modules. The image does not have the packages of orchestrators and extras.
IMPORT_ALL = """
import importlib, pkgutil
for name in ("pipeline", "components", "schema", "serving"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        try:
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in ("airflow", "kfp", "openlineage"):
                raise
"""


def docker(*arguments, timeout=60, **options):
    """Runs the client; its output and errors come back as text."""
    command = [CLIENT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


def output_of(*arguments, **options):
    """The output of a command that must succeed."""
    ended = docker(*arguments, **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def image():
    """Builds the image."""
    try:
        reached = docker("version")
        reason = reached.stderr if reached.returncode else ""
    except OSError as error:
        reason = f"{CLIENT}: {error.strerror}"
    if reason:
        pytest.fail(f"no Docker engine: {reason.strip()}\nStart one, or set DOCKER_HOST, or DOCKER to another client.")
    build = [
        "build",
        "--target",
        "cpu",
        "--tag",
        IMAGE,
        *shlex.split(os.environ.get("DOCKER_BUILD_ARGS", "")),
        str(ROOT),
    ]
    began = time.monotonic()
    built = docker(*build, timeout=3000, env=os.environ | {"DOCKER_BUILDKIT": "1"})
    if built.returncode:
        # The end of it says why: a build without a network, or a client without BuildKit (its plugin buildx).
        pytest.fail(f"{CLIENT} {shlex.join(build)} failed:\n{(built.stdout + built.stderr)[-3000:]}")
    size = int(output_of("image", "inspect", "--format", "{{.Size}}", IMAGE))
    print(f"image: {size / 1e9:.2f} GB, built in {time.monotonic() - began:.0f} s")  # noqa: T201 - a figure to report
    return IMAGE


def run(image, *arguments, **options):
    """The output of a container that has no network and ends by itself."""
    return output_of("run", "--rm", "--network", "none", image, *arguments, **options)


@contextmanager
def started(*arguments):
    """A container in the background; it is removed at the end."""
    name = f"agnews-test-{uuid.uuid4().hex[:8]}"
    output_of("run", "--detach", "--network", "none", "--name", name, *arguments)
    try:
        yield name
    finally:
        docker("rm", "--force", name)


def logs(name):
    shown = docker("logs", name)
    return shown.stdout + shown.stderr


def test_the_entry_point_is_the_command(image):
    assert "Usage: agnews" in run(image)
    assert "rollback" in run(image, "versions", "--help")
    assert "pipeline.root" in run(image, "config", "show")


def test_it_runs_as_a_user_without_rights_and_holds_no_build_tools(image):
    assert output_of("image", "inspect", "--format", "{{.Config.User}}", image).strip() == "10001"
    code = "import os, shutil; print(os.getuid(), [shutil.which(name) for name in ('g++', 'gcc', 'cc', 'make', 'uv')])"
    shown = output_of("run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", code)
    assert shown.strip() == "10001 [None, None, None, None, None]"


def test_every_module_can_be_imported(image):
    """A wheel may need a system library that the slim base lacks."""
    output_of("run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", IMPORT_ALL, timeout=300)


def test_the_sample_runs_to_a_push_without_a_network(image):
    """Under a strict umask, which must not close a version to servers."""
    with started("--entrypoint", "sh", image, "-c", "umask 077; exec agnews run --profile sample") as name:
        assert output_of("wait", name, timeout=1200).strip() == "0", logs(name)
        command = [CLIENT, "cp", f"{name}:/home/agnews/serving_model", "-"]
        packed = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = {member.name: member for member in archive}
    [graph] = [path for path in files if path.endswith("/saved_model.pb")]
    version = graph.removesuffix("/saved_model.pb")
    assert version.removeprefix("serving_model/agnews/").isdecimal()
    assert {member.uid for member in files.values()} == {10001}
    assert {oct(member.mode & 0o777) for member in files.values() if member.isdir()} == {"0o755"}
    served = {member.mode & 0o777 for path, member in files.items() if member.isfile() and path.startswith(version)}
    assert served == {0o644}
    assert files["serving_model/audit.jsonl"].mode & 0o777 == 0o640


def test_docker_stop_ends_a_run_with_its_status(image):
    with started(image, "run", "--profile", "sample") as name:
        deadline = time.monotonic() + 300
        while "Transform" not in logs(name) and time.monotonic() < deadline:
            time.sleep(1)
        assert output_of("inspect", "--format", "{{.State.Running}}", name).strip() == "true", logs(name)
        began = time.monotonic()
        docker("stop", "--time", "60", name, timeout=120)
        print(f"docker stop: {time.monotonic() - began:.1f} s")  # noqa: T201 - a figure to report
        status = output_of("inspect", "--format", "{{.State.ExitCode}}", name).strip()
        assert status == "143", logs(name)  # 137 would be a kill after the 60 seconds.
        assert docker("cp", f"{name}:/home/agnews/serving_model/agnews", "-").returncode != 0
