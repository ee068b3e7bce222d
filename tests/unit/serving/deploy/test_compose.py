import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.http_server import QuietHandler, serve_http


def validate(path):
    """Checks a file against the schema of the Compose specification, which check-jsonschema contains."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_file_is_valid(deploy):
    ended = validate(deploy / "compose.yaml")
    assert ended.returncode == 0, ended.stdout


def test_the_schema_finds_a_misspelt_key(deploy, tmp_path):
    text = (deploy / "compose.yaml").read_text()
    (tmp_path / "compose.yaml").write_text(text.replace("    restart:", "    restrat:"))
    assert "restrat" in validate(tmp_path / "compose.yaml").stdout


def test_every_image_has_a_version(compose):
    for service in compose["services"].values():
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])


def test_mounted_files_exist(deploy, compose):
    sources = [volume["source"] for service in compose["services"].values() for volume in service["volumes"]]
    files = [source for source in sources if source.startswith("./")]
    assert len(files) == 4
    assert [source for source in files if not (deploy / source).is_dir()] == []


def test_the_models_are_mounted_read_only_at_the_same_path(compose):
    [models] = [v for v in compose["services"]["tf-serving"]["volumes"] if "AGNEWS_SERVING" in v["source"]]
    assert models["read_only"]
    assert models["source"] == models["target"]


def test_ports_are_open_only_to_this_machine(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def answering(status):
    class Handler(QuietHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/v1/models/agnews/metadata" else 404)
            self.end_headers()

    return serve_http(Handler)


def health_check(compose, url):
    """Runs the health check of the container with another port."""
    kind, *command = compose["services"]["tf-serving"]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [word.replace("$$", "$").replace("8501", str(urlsplit(url).port)) for word in command]
    return subprocess.run(command, capture_output=True, timeout=20).returncode


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (404, False), (503, False)])
def test_a_server_that_answers_metadata_is_healthy(compose, status, healthy):
    with answering(status) as url:
        assert (health_check(compose, url) == 0) == healthy


def test_a_missing_server_is_unhealthy(compose):
    with answering(200) as url:
        pass
    assert health_check(compose, url) != 0


def test_grafana_finds_its_files_where_compose_mounts_them(deploy, compose):
    mounts = {volume["target"]: volume["source"] for volume in compose["services"]["grafana"]["volumes"]}
    [provider] = yaml.safe_load((deploy / "grafana/provisioning/dashboards/agnews.yaml").read_text())["providers"]
    dashboards = deploy / mounts[provider["options"]["path"]]
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (dashboards / home.rpartition("/")[2]).is_file()
