"""Describes runs as OpenLineage events, and sends the events to a file, a server or the client's own configuration.

Run ids follow from the names of run and component, and times from the metadata store: exporting a run twice sends the
same events.
"""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from openlineage.client import OpenLineageClient, set_producer
from openlineage.client.event_v2 import Job, RunEvent, RunState
from openlineage.client.event_v2 import Run as LineageRun
from openlineage.client.facet_v2 import (
    RunFacet,
    error_message_run,
    job_type_job,
    parent_run,
    tags_run,
)
from openlineage.client.serde import Serde
from openlineage.client.transport.console import ConsoleTransport
from openlineage.client.transport.http import HttpConfig, HttpTransport
from openlineage.client.transport.noop import NoopTransport

from pipeline.exports.data_sets import DataSets
from pipeline.exports.outcomes import RunOutcome, execution_outcome, run_outcome
from pipeline.metadata.graph import properties
from pipeline.metadata.snapshot import Execution, Run, Snapshot
from pipeline.metadata.store_reader import StoreReader
from schema.errors import RunError, SettingsError
from schema.files import replace_file
from schema.paths import is_address

set_producer(f"pkg:pypi/agnews-pipeline@{version('agnews-pipeline')}")

_INGESTION = "ExampleGen"
_TAG_SOURCE = "AGNEWS"


def run_events(reader: StoreReader, pipeline: str, namespace: str, names: Sequence[str] = ()) -> Iterator[RunEvent]:
    """Yields the events of runs, oldest run first: START, and COMPLETE, FAIL or ABORT if it has ended.

    Args:
        reader: the metadata store.
        pipeline: name of the pipeline, which is the name of a run's job; a component's job is `pipeline.component`.
        namespace: namespace of the jobs.
        names: names of the runs; empty means all.
    """
    snapshot = reader.snapshot()
    runs = sorted(snapshot.runs.values(), key=lambda run: run.id)
    executions = {run: snapshot.executions_of(run.id) for run in runs if not names or run.name in names}
    numbers = [execution.id for of_run in executions.values() for execution in of_run]
    components = reader.node_names(numbers)
    data_sets = DataSets(snapshot, _read_sources(reader, snapshot, numbers))
    for run, of_run in executions.items():
        yield from _Events(pipeline, namespace, run, data_sets).all(of_run, components)


def _read_sources(reader: StoreReader, snapshot: Snapshot, executions: Iterable[int]) -> dict[int, str]:
    """Returns the directory that each execution of ExampleGen read."""
    ingestions = [one for one in executions if snapshot.executions[one].type.endswith(_INGESTION)]
    stored = reader.query(lambda store: store.get_executions_by_id(ingestions) if store and ingestions else [])
    return {one.id: source for one in stored if (source := properties(one).get("input_base"))}


class _Events:
    """Makes the events of one run."""

    def __init__(self, pipeline: str, namespace: str, run: Run, data_sets: DataSets):
        self._pipeline, self._namespace, self._run, self._data_sets = pipeline, namespace, run, data_sets

    def all(self, executions: Sequence[Execution], components: Mapping[int, str]) -> Iterator[RunEvent]:
        run_id, job = self._id(), self._job(self._pipeline, "PIPELINE")
        facets = self._tags(run=self._run.name)
        yield _event(RunState.START, self._run.began, run_id, job, facets)
        tries: dict[str, list[Execution]] = {}
        parent = parent_run.ParentRunFacet(parent_run.Run(run_id), parent_run.Job(self._namespace, self._pipeline))
        for execution in executions:
            component = components[execution.id] or execution.type
            tries.setdefault(component, []).append(execution)
            yield from self._component_events(execution, component, len(tries[component]), {"parent": parent})
        last = [of_component[-1] for of_component in tries.values()]
        if outcome := run_outcome(last):
            ended = max(execution.changed for execution in executions)
            failure = next((one for one in last if execution_outcome(one) is RunOutcome.FAIL), None)
            yield _event(RunState[outcome.name], ended, run_id, job, facets | (_error(failure) if failure else {}))

    def _component_events(
        self, execution: Execution, component: str, attempt: int, parent: dict[str, RunFacet]
    ) -> Iterator[RunEvent]:
        run_id = self._id(component, *([str(attempt)] if attempt > 1 else []))
        job = self._job(f"{self._pipeline}.{component}", "COMPONENT")
        inputs = self._data_sets.inputs(execution.id)
        facets = parent | self._tags(run=self._run.name, cached=str(execution.state == "CACHED").lower())
        yield _event(RunState.START, execution.began, run_id, job, facets, inputs=inputs)
        if outcome := execution_outcome(execution):
            error = _error(execution) if outcome is RunOutcome.FAIL else {}
            outputs = self._data_sets.outputs(execution.id) if outcome is RunOutcome.COMPLETE else []
            yield _event(
                RunState[outcome.name], execution.changed, run_id, job, facets | error, inputs=inputs, outputs=outputs
            )

    def _id(self, *parts: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join([self._namespace, self._pipeline, self._run.name, *parts])))

    def _job(self, name: str, kind: str) -> Job:
        return Job(self._namespace, name, {"jobType": job_type_job.JobTypeJobFacet("BATCH", "TFX", kind)})

    def _tags(self, **tags: str) -> dict[str, RunFacet]:
        fields = [tags_run.TagsRunFacetFields(key, value, _TAG_SOURCE) for key, value in tags.items()]
        return {"tags": tags_run.TagsRunFacet(fields)}


def _event(state: RunState, at: float, run_id: str, job: Job, facets: dict[str, RunFacet], **data: Any) -> RunEvent:
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return RunEvent(eventTime=time, eventType=state, run=LineageRun(run_id, dict(facets)), job=job, **data)


def _error(execution: Execution) -> dict[str, RunFacet]:
    message = f"{execution.type}: {execution.error or 'it failed; the metadata store does not know why'}"
    return {"errorMessage": error_message_run.ErrorMessageRunFacet(message, "PYTHON")}


def send(events: Iterable[RunEvent], target: str | None) -> int:
    """Sends events with OpenLineage's client, and returns their number.

    Args:
        events: the events.
        target: file of JSON lines, which is replaced; address of a server; or None for the client's own configuration
            (`openlineage.yml` or variables `OPENLINEAGE_…`).

    Raises:
        SettingsError: there is no such configuration, or the client is switched off.
        OSError: the file cannot be written.
        RunError: the server cannot be reached, or refuses an event. Its key is not part of the message.
    """
    if target and not is_address(target):
        lines = [Serde.to_json(event) for event in events]
        replace_file(Path(target), "".join(f"{line}\n" for line in lines).encode(), follow_links=True)
        return len(lines)
    client = OpenLineageClient(transport=_http_transport(target)) if target else OpenLineageClient()
    if client.transport.kind == NoopTransport.kind:
        raise SettingsError("OPENLINEAGE_DISABLED is true, so nothing was sent; unset it, or use --to FILE")
    if client.transport.kind == ConsoleTransport.kind:
        raise SettingsError("nothing says where to send events: use --to FILE, --to URL, or set OPENLINEAGE_URL")
    count = 0
    try:
        for event in events:
            client.emit(event)
            count += 1
        client.close()
    except requests.RequestException as error:
        where = urlsplit(target or "").hostname or "the configured server"
        raise RunError(
            f"OpenLineage: {where} did not accept event {count + 1} ({_reason(error)}); fix the address, the key in "
            "OPENLINEAGE_API_KEY or the server, and repeat: the same events are sent again"
        ) from error
    return count


def _http_transport(target: str) -> HttpTransport:
    address = urlsplit(target)
    config: dict[str, Any] = {"url": f"{address.scheme}://{address.netloc}"}
    if endpoint := address.path.strip("/") or os.environ.get("OPENLINEAGE_ENDPOINT"):
        config["endpoint"] = endpoint
    if key := os.environ.get("OPENLINEAGE_API_KEY"):
        config["auth"] = {"type": "api_key", "apiKey": key}
    return HttpTransport(HttpConfig.from_dict(config))


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:  # The text of the error contains the address, and that may contain a password.
        return f"status {error.response.status_code} {error.response.reason}"
    return type(error).__name__
