"""Writes runs and pushed versions to an MLflow tracking server over its REST API.

MLflow's package does not share an environment with TFX, so this module needs none of it. Runs are found again by a tag
with their name, and versions by a tag with their number: a second export changes only what is new.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipeline.exports.outcomes import RunOutcome
from pipeline.exports.tracked_runs import TrackedRun
from schema.errors import RunError
from schema.paths import is_remote
from serving.this_machine import proxy_mounts

_USER, _PASSWORD, _TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
_RUN, _VERSION, _DIGEST = "agnews.run", "agnews.version", "agnews.exported"
_STATES = {RunOutcome.COMPLETE: "FINISHED", RunOutcome.FAIL: "FAILED", RunOutcome.ABORT: "KILLED", None: "RUNNING"}
_NOT_FOUND, _EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
_PAGE = 1000
# Limits of one call of log-batch.
_METRICS_PER_CALL, _PARAMETERS_PER_CALL = 1000, 100
_LONGEST_VALUE = 5000
_SECONDS = 30.0


@dataclass(frozen=True)
class Exported:
    """What an export changed.

    Attributes:
        written: number of runs that were new or had changed.
        unchanged: number of runs that the server knew already.
        registered: number of versions that were registered.
    """

    written: int
    unchanged: int
    registered: int


class TrackingServer:
    """An MLflow tracking server. Use it as a context manager.

    Name and password, or a token, are read from the variables of MLflow's own client.

    Args:
        address: `http://HOST:PORT`, with a path if the server has one.
    """

    def __init__(self, address: str):
        user, token = os.environ.get(_USER), os.environ.get(_TOKEN)
        self._host = urlsplit(address).hostname
        self._http = httpx.Client(
            base_url=f"{address.rstrip('/')}/api/2.0/mlflow/",
            auth=(user, os.environ.get(_PASSWORD, "")) if user else None,
            headers={"Authorization": f"Bearer {token}"} if token and not user else None,
            timeout=_SECONDS,
            mounts=proxy_mounts(address),
        )

    def __enter__(self) -> "TrackingServer":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.close()

    def export(self, runs: Iterable[TrackedRun], experiment: str, model: str) -> Exported:
        """Writes runs to an experiment, and their pushed versions to a registered model; creates both if needed.

        Args:
            runs: the runs.
            experiment: name of the experiment.
            model: name of the registered model.

        Raises:
            RunError: the server cannot be reached, or refuses a request. What was written before stays.
        """
        experiment_id = self._experiment(experiment)
        known_runs = {_tags(one["data"])[_RUN]: one for one in self._runs(experiment_id) if _RUN in _tags(one["data"])}
        known_versions = {_tags(one).get(_VERSION) for one in self._versions(model)}
        written = unchanged = registered = 0
        for run in runs:
            known = known_runs.get(run.name)
            digest = hashlib.sha256(json.dumps(asdict(run), sort_keys=True).encode()).hexdigest()
            if known and _tags(known["data"]).get(_DIGEST) == digest:
                unchanged += 1
            else:
                known = self._write(run, known or self._create(run, experiment_id), digest)
                written += 1
            if run.version and run.version not in known_versions:
                self._register(run, known["info"]["run_id"], model)
                known_versions.add(run.version)
                registered += 1
        return Exported(written, unchanged, registered)

    def _experiment(self, name: str) -> str:
        found = self._call("GET", "experiments/get-by-name", {"experiment_name": name}, accept=_NOT_FOUND)
        if found:
            return found["experiment"]["experiment_id"]
        return self._call("POST", "experiments/create", {"name": name})["experiment_id"]

    def _runs(self, experiment_id: str) -> Iterator[dict[str, Any]]:
        return self._pages("POST", "runs/search", "runs", {"experiment_ids": [experiment_id], "max_results": _PAGE})

    def _versions(self, model: str) -> Iterator[dict[str, Any]]:
        self._call("POST", "registered-models/create", {"name": model}, accept=_EXISTS)
        quoted = model.replace("'", "\\'")
        query = {"filter": f"name = '{quoted}'", "max_results": _PAGE}
        return self._pages("GET", "model-versions/search", "model_versions", query)

    def _pages(self, method: str, path: str, key: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = self._call(method, path, {**query, **({"page_token": token} if token else {})})
            yield from page.get(key, ())
            token = page.get("next_page_token", "")
            if not token:
                return

    def _create(self, run: TrackedRun, experiment_id: str) -> dict[str, Any]:
        new = {
            "experiment_id": experiment_id,
            "run_name": run.name,
            "start_time": _milliseconds(run.began),
            "tags": [{"key": _RUN, "value": run.name}],
        }
        return self._call("POST", "runs/create", new)["run"]

    def _write(self, run: TrackedRun, known: dict[str, Any], digest: str) -> dict[str, Any]:
        """Writes values and state of a run; the tag that says so comes last, so that a broken export is repeated."""
        run_id = known["info"]["run_id"]
        at = _milliseconds(run.ended)
        # The server keeps equal values of a metric once. Parameters cannot change, so known ones are left alone.
        metrics = [{"key": one.name, "value": one.value, "step": one.step, "timestamp": at} for one in run.metrics]
        set_before = {one["key"] for one in known["data"].get("params", ())}
        parameters = [pair for pair in _pairs(run.parameters) if pair["key"] not in set_before]
        for name, values, limit in (
            ("metrics", metrics, _METRICS_PER_CALL),
            ("params", parameters, _PARAMETERS_PER_CALL),
            ("tags", _pairs(run.tags), _PARAMETERS_PER_CALL),
        ):
            for start in range(0, len(values), limit):
                self._call("POST", "runs/log-batch", {"run_id": run_id, name: values[start : start + limit]})
        end = {"end_time": at} if run.outcome else {}
        self._call("POST", "runs/update", {"run_id": run_id, "status": _STATES[run.outcome], **end})
        self._call("POST", "runs/set-tag", {"run_id": run_id, "key": _DIGEST, "value": digest})
        return known

    def _register(self, run: TrackedRun, run_id: str, model: str) -> None:
        # MLflow accepts local paths only below the run's own artifacts.
        place = run.place if is_remote(run.place) else f"agnews:{run.place}"
        names = ("agnews.model_id", "agnews.model_sha256")
        tags = {_VERSION: run.version} | {name: run.tags[name] for name in names if name in run.tags}
        version = {"name": model, "source": place, "run_id": run_id, "tags": _pairs(tags)}
        self._call("POST", "model-versions/create", version | {"description": f"Pushed as version {run.version}."})

    def _call(self, method: str, path: str, content: Mapping[str, Any], accept: str = "") -> dict[str, Any]:
        """Returns the response to a call; empty if the server answers with the error code `accept`."""
        arguments: dict[str, Any] = {"params": content} if method == "GET" else {"json": content}
        try:
            response = self._http.request(method, path, **arguments)
            answer = _content(response)
        except (httpx.HTTPError, ValueError) as error:
            # The text of an error may contain the address, and that may contain a password.
            raise RunError(
                f"MLflow: {self._host} cannot be reached, or is no tracking server ({type(error).__name__}); "
                "fix --to or $MLFLOW_TRACKING_URI, and repeat: what was written stays"
            ) from error
        if response.is_success:
            return answer
        code, message = answer.get("error_code", ""), str(answer.get("message", "")).partition("\n")[0]
        if accept and code == accept:
            return {}
        why = f"{code}: {message}" if code else HTTPStatus(response.status_code).phrase
        raise RunError(
            f"MLflow: {self._host} refused {path} with status {response.status_code} ({why}); fix that, "
            f"or the log-in in ${_USER} and ${_PASSWORD} or ${_TOKEN}, and repeat: what was written stays"
        )


def _content(response: httpx.Response) -> dict[str, Any]:
    """Returns what a response says; empty if it refuses a log-in in plain text or HTML, as MLflow and proxies do."""
    try:
        return response.json() if response.content else {}
    except ValueError:
        if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return {}
        raise


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value[:_LONGEST_VALUE]} for key, value in values.items()]


def _tags(record: Mapping[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in record.get("tags", ())}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
