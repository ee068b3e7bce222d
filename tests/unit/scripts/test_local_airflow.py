import importlib.util
import subprocess

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support import ROOT
from tests.support.web_app import serve_app

HEALTHY = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "dag_processor")}


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    spec = importlib.util.spec_from_file_location("local_airflow", ROOT / "scripts/local_airflow.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def address():
    with serve_app(Starlette(routes=[Route("/api/v2/monitor/health", lambda _: JSONResponse(HEALTHY))])) as url:
        yield url


def test_a_part_counts_as_running_whatever_its_command_line_is(script, address):
    """The command line is empty until the kernel has started the program, and while a program changes its title."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as part:
        script._wait_until_healthy(address, {"api-server": part})
        part.stdin.close()


def test_a_part_that_ended_is_named_with_its_log(script, address, tmp_path):
    with subprocess.Popen(["true"]) as part:
        part.wait()
        with pytest.raises(SystemExit, match=f"the api-server ended; see {tmp_path}/api-server.log"):
            script._wait_until_healthy(address, {"api-server": part})
