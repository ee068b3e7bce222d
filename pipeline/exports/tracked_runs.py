"""Describes runs as an experiment tracker knows them: parameters, metrics, tags and a registered version."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfx.dsl.io import fileio

from components.model_card.render import EVIDENCE, read_evidence
from pipeline.exports.outcomes import RunOutcome, run_outcome
from pipeline.metadata.snapshot import Artifact, Execution, Run, Snapshot
from schema.metadata import EXAMPLES, MODEL, MODEL_BLESSING, MODEL_CARD, PUSHED_MODEL

# Characters that MLflow refuses in names, and its separator of folders.
_REFUSED = re.compile(r"[^\w. -]")


@dataclass(frozen=True)
class Metric:
    """A measured value.

    Attributes:
        name: name of the metric.
        value: a finite number.
        step: the epoch, from 1; 0 for values of the finished model.
    """

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class TrackedRun:
    """A run of the pipeline.

    Attributes:
        name: name of the run.
        began: UTC, seconds since the epoch.
        ended: time of the last change, in the same unit.
        outcome: how the run ended; None if it has not ended.
        tags: texts by name.
        parameters: settings of the training and the data, if this run trained a model.
        metrics: values of that model, by epoch and on the test rows.
        version: number of the version that this run pushed; empty if it pushed none.
        place: directory or URI of that version.
    """

    name: str
    began: float
    ended: float
    outcome: RunOutcome | None
    tags: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    version: str = ""
    place: str = ""


def tracked_runs(snapshot: Snapshot, names: Sequence[str] = ()) -> Iterator[TrackedRun]:
    """Yields runs, oldest first; only those with the given names unless there are none.

    A run whose model card was deleted has no parameters and metrics.

    Raises:
        DataError: a model card is damaged.
    """
    for run in sorted(snapshot.runs.values(), key=lambda one: one.id):
        if not names or run.name in names:
            yield _tracked_run(snapshot, run)


def _tracked_run(snapshot: Snapshot, run: Run) -> TrackedRun:
    executions = snapshot.executions_of(run.id)
    outputs = [snapshot.artifacts[link.artifact] for one in executions for link in snapshot.outputs(one.id)]
    # The first artifact of a type: Transform writes Examples as well.
    by_type = {artifact.type: artifact for artifact in reversed(outputs)}
    rows, model, pushed = by_type.get(EXAMPLES), by_type.get(MODEL), by_type.get(PUSHED_MODEL)
    tags = {"agnews.run": run.name}
    if rows:
        named = {"span": "span", "source": "source", "rows": "rows_read"}
        tags |= {f"agnews.{tag}": str(rows.properties[key]) for tag, key in named.items() if key in rows.properties}
    if model:
        tags["agnews.model_id"] = str(model.id)
    if blessing := by_type.get(MODEL_BLESSING):
        tags["agnews.blessed"] = str(blessing.properties.get("blessed") == 1).lower()
    trained_in = _run_that_made(snapshot, model)
    if trained_in is None or trained_in.id != run.id:
        evidence: Mapping[str, Any] = {}
        tags |= {"agnews.trained_in": trained_in.name} if trained_in else {}
    else:
        evidence = _read_evidence(by_type.get(MODEL_CARD))
    version = place = ""
    if pushed and pushed.is_pushed and _run_that_made(snapshot, pushed) == run:
        version = str(pushed.properties["pushed_version"])
        place = str(pushed.properties.get("pushed_destination", pushed.uri))
    return TrackedRun(
        run.name,
        run.began,
        max((one.changed for one in executions), default=run.began),
        run_outcome(_last_tries(executions)),
        tags | _evidence_tags(evidence),
        _parameters(evidence),
        tuple(_metrics(evidence)),
        version,
        place,
    )


def _last_tries(executions: Iterable[Execution]) -> list[Execution]:
    # Resolvers share a type. They do not fail for reasons of their own, so the last of them is enough.
    return list({execution.type: execution for execution in executions}.values())


def _run_that_made(snapshot: Snapshot, artifact: Artifact | None) -> Run | None:
    maker = snapshot.maker(artifact.id) if artifact else None
    return snapshot.runs[maker.run] if maker and maker.run is not None else None


def _read_evidence(card: Artifact | None) -> Mapping[str, Any]:
    if card is None or not fileio.exists(os.path.join(card.uri, EVIDENCE)):
        return {}
    return read_evidence(card.uri)


def _evidence_tags(evidence: Mapping[str, Any]) -> dict[str, str]:
    if not evidence:
        return {}
    revision = evidence.get("environment", {}).get("revision") or {}
    commit = {"mlflow.source.git.commit": revision["commit"]} if revision.get("commit") else {}
    return {"agnews.model_sha256": evidence["export"]["sha256"], **commit}


def _parameters(evidence: Mapping[str, Any]) -> dict[str, str]:
    groups = {
        "trainer": evidence.get("training", {}).get("hyperparameters", {}),
        "data": evidence.get("data", {}).get("preparation", {}),
    }
    return {f"{group}.{name}": _text(value) for group, values in groups.items() for name, value in values.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _metrics(evidence: Mapping[str, Any]) -> Iterator[Metric]:
    for name, by_epoch in evidence.get("training", {}).get("history", {}).items():
        yield from _finite(Metric(name, value, epoch) for epoch, value in enumerate(by_epoch, 1))
    quality = evidence.get("quality", {})
    values = {f"test_{name}": value for name, value in quality.get("overall", {}).items()}
    if "all" in quality.get("slices", {}):
        values["test_accuracy"] = quality["slices"]["all"]["accuracy"]["value"]
    for label, of_class in quality.get("classes", {}).items():
        for measure in ("precision", "recall"):
            if measure in of_class:
                values[f"test_{measure}_{_REFUSED.sub('_', label)}"] = of_class[measure]["value"]
    if (error := evidence.get("calibration", {}).get("error")) is not None:
        values["test_calibration_error"] = error
    yield from _finite(Metric(name, value) for name, value in values.items())


def _finite(metrics: Iterable[Metric]) -> Iterator[Metric]:
    return (one for one in metrics if isinstance(one.value, int | float) and math.isfinite(one.value))
