"""MLflow tracking servers: the real one, and a stand-in with the few calls that the export makes.

The stand-in has the rules on which the export relies: a parameter cannot change, equal metrics are kept once, names are
unique, and a version's source is not a local path. The tests run the same checks on both.
"""

import contextlib
import itertools
import json
import os
import socket
import subprocess
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.support import ROOT
from tests.support.http_server import QuietHandler, serve_http
from tests.support.waiting import wait_until

MLFLOW = ROOT / ".venv-mlflow/bin/mlflow"


# The account with which MLflow's log-in begins.
MLFLOW_ACCOUNT = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "of these tests"}


@contextlib.contextmanager
def mlflow_server(directory, *options):
    """Runs MLflow's own server on SQLite, with further options of `mlflow server`; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [MLFLOW, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options]
    places = ["--backend-store-uri", f"sqlite:///{directory}/mlflow.sqlite", "--artifacts-destination", directory]
    quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    # The log-in does not start without these.
    quiet["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "of these tests"
    quiet["MLFLOW_AUTH_ADMIN_PASSWORD"] = MLFLOW_ACCOUNT["MLFLOW_TRACKING_PASSWORD"]
    address = f"http://127.0.0.1:{port}"

    def answers():
        assert process.poll() is None, (directory / "server.log").read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{address}/health", timeout=5).is_success

    with open(directory / "server.log", "wb") as log:
        process = subprocess.Popen(
            [*command, *places], env=quiet, stdout=log, stderr=log, cwd=directory, process_group=0
        )
        try:
            wait_until(answers, seconds=300)
            yield address
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


class _Refusal(Exception):
    pass


class _State:
    def __init__(self):
        self.experiments, self.runs, self.versions, self.models = {}, {}, [], set()
        self.requests, self.numbers = [], itertools.count(1)

    def answer(self, path, given):
        match path:
            case "experiments/get-by-name":
                if given["experiment_name"] not in self.experiments:
                    raise _Refusal("RESOURCE_DOES_NOT_EXIST")
                return {"experiment": {"experiment_id": self.experiments[given["experiment_name"]]}}
            case "experiments/create":
                self.experiments[given["name"]] = number = str(next(self.numbers))
                return {"experiment_id": number}
            case "runs/search":
                runs = [run for run in self.runs.values() if run["info"]["experiment_id"] in given["experiment_ids"]]
                # Small pages, so that there are several.
                start = int(given.get("page_token", 0))
                more = {"next_page_token": str(start + 4)} if start + 4 < len(runs) else {}
                return {"runs": runs[start : start + 4]} | more
            case "runs/create":
                run_id = f"run{next(self.numbers)}"
                info = {"run_id": run_id, "status": "RUNNING"} | {k: v for k, v in given.items() if k != "tags"}
                self.runs[run_id] = {"info": info, "data": {"tags": given["tags"], "params": [], "metrics": []}}
                return {"run": self.runs[run_id]}
            case "runs/log-batch":
                self.log(self.runs[given["run_id"]]["data"], given)
            case "runs/set-tag":
                self.log(self.runs[given["run_id"]]["data"], {"tags": [{k: given[k] for k in ("key", "value")}]})
            case "runs/update":
                self.runs[given["run_id"]]["info"] |= {k: v for k, v in given.items() if k != "run_id"}
            case "registered-models/create":
                if given["name"] in self.models:
                    raise _Refusal("RESOURCE_ALREADY_EXISTS")
                self.models.add(given["name"])
            case "model-versions/search":
                return {"model_versions": self.versions}
            case "model-versions/create":
                if given["source"].startswith("/"):
                    raise _Refusal("INVALID_PARAMETER_VALUE")
                self.versions.append(given)
        return {}

    def log(self, data, given):
        data["metrics"] += [one for one in given.get("metrics", ()) if one not in data["metrics"]]
        for kind in ("params", "tags"):
            values = {one["key"]: one["value"] for one in data[kind]}
            for one in given.get(kind, ()):
                if kind == "params" and values.get(one["key"], one["value"]) != one["value"]:
                    raise _Refusal("INVALID_PARAMETER_VALUE")
                values[one["key"]] = one["value"]
            data[kind] = [{"key": key, "value": value} for key, value in values.items()]


@contextlib.contextmanager
def stand_in():
    """Serves the stand-in; yields its `address`, the `requests` so far, and `fail`, a set of paths that it refuses."""
    state, fail = _State(), set()

    class Handler(QuietHandler):
        def do_GET(self):
            self.respond({key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()})

        def do_POST(self):
            self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def respond(self, given):
            path = urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/")
            state.requests.append((path, given, self.headers["Authorization"]))
            status, answer = 200, {}
            try:
                if path in fail:
                    raise _Refusal("PERMISSION_DENIED")
                answer = state.answer(path, given)
            except _Refusal as refusal:
                status, answer = 400, {"error_code": str(refusal), "message": "refused\nby a stack trace"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serve_http(Handler) as url:
        yield SimpleNamespace(address=url.removesuffix("/"), requests=state.requests, fail=fail)
