"""Runs the clients of docs/reference/model-contract.md against the local server."""

import base64
import os
import re
import shutil
import subprocess
import sys

import pytest

from serving.server import rest
from tests.support import ROOT

PAGE = (ROOT / "docs/reference/model-contract.md").read_text()


def example(language):
    """Returns the only code block of a language."""
    [code] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return code


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def test_the_python_client_with_official_stubs(served):
    address = f"127.0.0.1:{served.server.grpc_port}"
    assert run(sys.executable, "-c", example("python"), address) == "World 1\n"


@pytest.mark.skipif(not shutil.which("go"), reason="needs Go")
def test_the_go_client(served, tmp_path):
    (tmp_path / "main.go").write_text(example("go"))
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    assert run("go", "run", str(tmp_path / "main.go"), served.rest, env=environment) == "World\n"


@pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK")
def test_the_java_client(served, tmp_path):
    (tmp_path / "Classify.java").write_text(example("java"))
    run("javac", "-d", str(tmp_path), str(tmp_path / "Classify.java"))
    answer = run("java", "-cp", str(tmp_path), "Classify", served.rest)
    assert answer.startswith("200 ")
    assert '"label": "World"' in answer


def test_the_lines_for_curl(served):
    answer = run("bash", "-ec", example("bash"), env=os.environ | {"REST": served.rest})
    assert '"label": "World"' in answer
    assert '"serving_default"' in answer


@pytest.mark.skipif(not shutil.which("grpcurl"), reason="needs grpcurl")
def test_the_lines_for_grpcurl(served):
    answers = run("bash", "-ec", example("sh"), env=os.environ | {"GRPC": f"127.0.0.1:{served.server.grpc_port}"})
    assert '"AVAILABLE"' in answers
    assert base64.b64encode(b"World").decode() in answers


def test_the_status_codes_are_those_of_rest():
    import grpc

    listed = re.findall(r"^\| ([A-Z_]+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert len(listed) == 6
    assert {name: rest.http_status(grpc.StatusCode[name]) for name, _ in listed} == {n: int(s) for n, s in listed}
