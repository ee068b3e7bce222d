import json
import re
import shutil
import subprocess

import pytest
import yaml

from serving.server.metrics import Metrics
from tests.support import ROOT, skip_without_tool

# Metrics of TensorFlow itself, which the local server does not run: tensorflow/cc/saved_model/loader.cc.
_OF_TENSORFLOW = {":tensorflow:cc:saved_model:load_attempt_count"}
_NAME = re.compile(r":tensorflow:[\w:]+")


@pytest.fixture(scope="module")
def rules(deploy):
    groups = yaml.safe_load((deploy / "prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def dashboard(deploy):
    return json.loads((deploy / "grafana/dashboards/agnews.json").read_text())


@pytest.fixture(scope="module")
def known():
    """Names of the metrics. The local server has those of TensorFlow Serving."""
    exposed = Metrics().exposition().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", exposed, re.MULTILINE))
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return _OF_TENSORFLOW | {name + suffix for name, kind in kinds.items() for suffix in suffixes.get(kind, ("",))}


def texts(rules, dashboard):
    """Returns the expressions of the alerts and the dashboard."""
    return [rule["expr"] for rule in rules] + [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]


def test_the_metrics_in_alerts_and_dashboard_exist(rules, dashboard, known):
    used = {name for text in texts(rules, dashboard) for name in _NAME.findall(text)}
    assert len(used) >= 7
    assert used - known == set()


def test_agnews_monitor_writes_its_metrics_in_alerts_and_dashboard(rules, dashboard):
    used = {name for text in texts(rules, dashboard) for name in re.findall(r"\bagnews_monitoring_(\w+)", text)}
    assert len(used) >= 8
    written = set(re.findall(r'gauge\(\s*"(\w+)"', (ROOT / "pipeline/monitoring/prometheus.py").read_text()))
    assert used - written == set()


def test_each_alert_has_annotations_and_is_documented(rules, deploy):
    documented = (deploy.parents[1] / "docs/guides/tensorflow-serving.md").read_text()
    for rule in rules:
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"**{rule['alert']}**" in documented


def test_client_errors_raise_no_alert(rules):
    [errors] = [rule["expr"] for rule in rules if rule["alert"] == "ErrorRatioHigh"]
    [pattern] = re.findall(r'status!~"([^"]+)"', errors)
    assert [re.fullmatch(pattern, status) is None for status in ("INVALID_ARGUMENT", "UNAVAILABLE")] == [False, True]


def test_promtool_accepts_the_rules(deploy):
    if shutil.which("promtool") is None:
        skip_without_tool("promtool is not installed: apt install prometheus (Debian, Ubuntu), or put it on the PATH")
    command = ["promtool", "check", "rules", str(deploy / "prometheus/alerts.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_prometheus_scrapes_the_server_of_compose(deploy, compose):
    config = yaml.safe_load((deploy / "prometheus/prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    [target] = targets["tf-serving"]
    host, _, port = target.partition(":")
    assert f"--rest_api_port={port}" in compose["services"][host]["command"]
    [target] = targets["agnews-monitoring"]
    assert "--collector.textfile" in compose["services"][target.removesuffix(":9100")]["command"]
    assert [(deploy / "prometheus" / file).is_file() for file in config["rule_files"]] == [True]


def test_panels_do_not_overlap_and_use_the_provisioned_source(dashboard, deploy):
    [source] = yaml.safe_load((deploy / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    cells = set()
    for panel in dashboard["panels"]:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells
        cells |= own
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
