"""Tests kfp's own client with a local server that responds like the API and records the requests."""

import json
import socket
from urllib.parse import urlsplit

import pytest
import yaml

from pipeline.runners.kubeflow import client
from pipeline.settings import KubeflowSettings
from schema.errors import RunError, SettingsError
from tests.support.http_server import QuietHandler, serve_http

pytestmark = pytest.mark.kubeflow

EXPERIMENTS, RUNS, SCHEDULES = (f"/apis/v2beta1/{name}" for name in ("experiments", "runs", "recurringruns"))
SPECIFICATION = {
    "pipelineInfo": {"name": "agnews"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.3",
    "deploymentSpec": {"executors": {}},
    "root": {
        "dag": {"tasks": {}},
        "inputDefinitions": {
            "parameters": {
                "author": {"parameterType": "STRING"},
                "epochs": {"parameterType": "STRING", "defaultValue": "", "isOptional": True},
            }
        },
    },
}
AUTHOR = client.Parameter("author", "--by=", "who", None)
EPOCHS = client.Parameter("epochs", "--set=trainer.epochs=", "epochs", "")


def compiled_of(*documents):
    return client.Compiled("agnews", "0.1.0-12345678", yaml.safe_dump_all(documents), (AUTHOR, EPOCHS))


COMPILED = compiled_of(SPECIFICATION)


class Api:
    """Holds the responses of the server by method and path, and the requests that it received."""

    def __init__(self):
        self.asked = []
        self.answers = {
            ("GET", "/apis/v2beta1/healthz"): (200, {"multi_user": False}),
            ("GET", EXPERIMENTS): (200, {"experiments": [{"experiment_id": "e1", "display_name": "agnews"}]}),
            ("POST", RUNS): (200, {"run_id": "r1"}),
            ("GET", SCHEDULES): (200, {}),
            ("POST", SCHEDULES): (200, {"recurring_run_id": "s2"}),
        }

    def bodies(self, method, path):
        return [body for asked, where, body in self.asked if (asked, where) == (method, path)]

    def answer(self, method, path, body, headers):
        self.asked.append((method, path, body))
        self.authorization = headers.get("Authorization")
        return self.answers.get((method, path), (200, {}))


@pytest.fixture
def api():
    api = Api()

    class Handler(QuietHandler):
        def _answer(self):
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = api.answer(self.command, urlsplit(self.path).path, body, self.headers)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_DELETE = _answer

    with serve_http(Handler) as url:
        api.host = url.removesuffix("/")
        yield api


@pytest.fixture
def settings(api):
    return KubeflowSettings(host=api.host, pipeline_root="gs://bucket/root")


def test_a_run_is_started_with_the_specification_and_its_parameters(api, settings):
    started = client.submit(settings, COMPILED, {"author": "ann@here", "epochs": "3"})
    [run] = api.bodies("POST", RUNS)
    assert run["runtime_config"] == {
        "parameters": {"author": "ann@here", "epochs": "3"},
        "pipeline_root": "gs://bucket/root",
    }
    assert run["pipeline_spec"]["pipelineInfo"] == {"name": "agnews"}
    assert (run["experiment_id"], run["display_name"]) == ("e1", "agnews 0.1.0-12345678")
    assert started == client.Started("r1", f"{api.host}/#/runs/details/r1")


def test_the_volume_of_the_pods_goes_with_the_specification(api, settings):
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"Trainer_executor": {}}}}}}
    compiled = compiled_of(SPECIFICATION, platform)
    client.submit(settings, compiled, {})
    [run] = api.bodies("POST", RUNS)
    assert run["pipeline_spec"]["platform_spec"] == platform


def test_a_schedule_runs_one_at_a_time_and_makes_nothing_up(api, settings):
    started = client.schedule(settings, COMPILED, "0 30 4 * * *", {}, "daily")
    [made] = api.bodies("POST", SCHEDULES)
    assert made["trigger"] == {"cron_schedule": {"cron": "0 30 4 * * *"}}
    assert (made["display_name"], made["max_concurrency"], made["no_catchup"]) == ("daily", 1, True)
    assert started.id == "s2"


def test_the_schedule_of_the_same_name_is_replaced_and_no_other(api, settings):
    listed = [{"recurring_run_id": "s1", "display_name": "daily"}, {"recurring_run_id": "s0", "display_name": "other"}]
    api.answers["GET", SCHEDULES] = (200, {"recurringRuns": listed})
    client.schedule(settings, COMPILED, "@daily", {}, "daily")
    changes = [(method, path) for method, path, _ in api.asked if method != "GET"]
    assert changes == [("POST", SCHEDULES), ("DELETE", f"{SCHEDULES}/s1")]


def test_the_token_is_read_from_its_file(api, settings, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    with_token = settings.model_copy(update={"token_file": tmp_path / "token"})
    client.submit(with_token, COMPILED, {})
    assert api.authorization == "Bearer secret"


@pytest.mark.parametrize(("given", "author"), [({}, "ann@here"), ({"author": "bob@here"}, "bob@here")])
def test_the_author_is_who_starts_the_run_unless_another_is_named(monkeypatch, given, author):
    monkeypatch.setenv("AGNEWS_IDENTITY", "ann@here")
    assert client.check_parameters(COMPILED, given) == {"author": author}


def test_an_unknown_parameter_is_refused_before_anything_is_sent(api, settings):
    with pytest.raises(SettingsError, match="did you mean 'epochs'"):
        client.submit(settings, COMPILED, {"epoch": "3"})
    assert api.asked == []


@pytest.mark.parametrize("cron", ["30 4 * * *", "daily"])
def test_a_schedule_without_seconds_is_refused(settings, cron):
    with pytest.raises(SettingsError, match="seconds first"):
        client.schedule(settings, COMPILED, cron, {}, "daily")


def test_without_a_host_nothing_is_tried():
    with pytest.raises(SettingsError, match=r"kubeflow\.host is not set"):
        client.submit(KubeflowSettings(), COMPILED, {})


def test_a_host_that_does_not_answer_is_named_with_what_to_do():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(client.KubeflowError, match="port-forward") as refused:
            client.submit(KubeflowSettings(host=host), COMPILED, {})
    assert host in str(refused.value)
    assert refused.value.exit_code == 6


def test_a_refusal_of_the_api_is_quoted(api, settings):
    api.answers["POST", RUNS] = (400, {"message": "the quota is used up"})
    with pytest.raises(client.KubeflowError, match="the quota is used up"):
        client.submit(settings, COMPILED, {})


def test_an_api_on_this_machine_is_reached_without_the_proxy(dead_proxy, api, settings):
    assert client.submit(settings, COMPILED, {}).id == "r1"


def test_a_python_without_kfp_is_named_with_what_to_do(settings, tmp_path):
    lacking = settings.model_copy(update={"python": tmp_path / "python"})
    with pytest.raises(RunError, match=r"scripts/setup\.sh kubeflow"):
        client.submit(lacking, COMPILED, {})
