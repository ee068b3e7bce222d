"""Indexes a snapshot's runs and models: their status, metrics, verdicts, approvals and pushed versions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from urllib.parse import unquote

from components.approval import Decision, Rules, Status, describe_progress, judge
from components.approval.rules import last_decisions
from pipeline.metadata.snapshot import Artifact, Execution, Run, Snapshot
from pipeline.runners.run_id import COMPARISON
from schema.metadata import (
    APPROVAL_DECISION,
    APPROVAL_REQUEST,
    EVALUATION,
    EXAMPLES,
    INFRA_BLESSING,
    MODEL,
    MODEL_BLESSING,
    MODEL_CARD,
    PUSHED_MODEL,
)
from serving.audit import PROOF

ACCURACY = "accuracy"
RECALL = "recall_"
"""Prefix of a class's recall in the properties of a ModelCard artifact, see `components.model_card.card.headlines`."""

# The Trainer's input for a warm start.
_BASE_MODEL = "base_model"
_GATE, _PUSHER = "ApprovalGate", "Pusher"
_ENDED = ("COMPLETE", "CACHED")


class RunStatus(StrEnum):
    """Status of a run."""

    RUNNING = "running"
    COMPLETE = "complete"
    WAITING = "waiting for approval"
    FAILED = "failed"
    STOPPED = "stopped"
    PUSHED_LATER = "pushed by a later run"
    COMPARISON = "comparison"


@dataclass(frozen=True)
class ApprovalState:
    """The approval state of a model.

    Attributes:
        author: author of the model; empty if unknown.
        decisions: decisions on the model, oldest first.
        status: status that follows from the decisions.
        progress: how many approvals there are, and who can give those that are missing.
        requested: time of the request, UTC, seconds since the epoch.
    """

    author: str
    decisions: tuple[Decision, ...]
    status: Status
    progress: str
    requested: float

    @property
    def current(self) -> list[Decision]:
        """The last decision of each person."""
        return last_decisions(self.decisions)

    @property
    def replaced(self) -> list[Decision]:
        """Earlier decisions of people who decided again."""
        current = self.current
        return [one for one in self.decisions if not any(one is other for other in current)]

    @property
    def approvers(self) -> str:
        """Names of the approvers, separated by commas."""
        return ", ".join(one.shown_who for one in self.current if one.approved)


@dataclass(frozen=True)
class ReviewedModel:
    """A trained model with its evaluation, approval and versions; missing information is None.

    Attributes:
        artifact: the Model artifact.
        run: run that trained the model.
        ingested: ingested rows that it was trained on, one artifact per span, newest last.
        inherited: ingested rows that only its base models were trained on (warm start).
        card: ModelCard artifact.
        evaluation: ModelEvaluation artifact.
        figures: accuracy and recalls on the test rows.
        blessed: verdict of the Evaluator.
        servable: verdict of the InfraValidator.
        fingerprint: SHA-256 of the export; empty if unknown.
        needs_approval: whether its run required an approval; None if the run did not get that far.
        approval: approval state; None if no approval was requested.
        versions: version numbers that it was pushed as, oldest first.
        baseline: id of the model that it was compared with.
    """

    artifact: Artifact
    run: Run | None
    ingested: tuple[Artifact, ...]
    inherited: tuple[Artifact, ...]
    card: Artifact | None
    evaluation: Artifact | None
    figures: Mapping[str, float]
    blessed: bool | None
    servable: bool | None
    fingerprint: str
    needs_approval: bool | None
    approval: ApprovalState | None
    versions: tuple[int, ...]
    baseline: int | None = None

    @property
    def id(self) -> int:
        """Id of the Model artifact."""
        return self.artifact.id

    @property
    def examples(self) -> Artifact | None:
        """Newest ingested rows; their test split evaluated the model."""
        return self.ingested[-1] if self.ingested else None

    def rows(self, name: str) -> int:
        """Sums a row count, for instance `rows_read`, over all ingested artifacts."""
        return sum(int(one.properties.get(name, 0)) for one in self.ingested)


@dataclass(frozen=True)
class RunListItem:
    """A run with its status and outcome.

    Attributes:
        run: the run.
        status: status of the run.
        at: component that is running, waiting or failed; empty for a complete run.
        ended: time of the last change, UTC, seconds since the epoch.
        model: model of the run; None if there is none.
        trained: whether the run trained the model; false if it came from the cache.
        version: version that the run pushed; None if it pushed none.
        failure: the failed execution that says why; None if the run did not fail or the reason is unknown.
    """

    run: Run
    status: RunStatus
    at: str
    ended: float
    model: ReviewedModel | None
    trained: bool
    version: int | None
    failure: Execution | None = None


class ReviewIndex:
    """Indexes the runs and models of a snapshot.

    Args:
        snapshot: the store's content.
        rules: rules of the approval gate.
        now: current time with a time zone; it determines which approvals have expired.
    """

    def __init__(self, snapshot: Snapshot, rules: Rules, now: datetime):
        self.snapshot = snapshot
        self._rules, self._now = rules, now

    @cached_property
    def models(self) -> dict[int, ReviewedModel]:
        """Models by id, oldest first."""
        return {artifact.id: self._model(artifact) for artifact in self.snapshot.of_type(MODEL)}

    @cached_property
    def runs(self) -> dict[int, RunListItem]:
        """Runs by id, oldest first."""
        return {run.id: self._run(run) for run in sorted(self.snapshot.runs.values(), key=lambda one: one.id)}

    @cached_property
    def by_version(self) -> dict[int, ReviewedModel]:
        """Pushed models by version."""
        return {version: model for model in self.models.values() for version in model.versions}

    @cached_property
    def spans(self) -> dict[int, list[Artifact]]:
        """Ingested rows by span, in ascending order."""
        found: dict[int, list[Artifact]] = {}
        # Transform writes Examples too, but without the property source.
        for artifact in self.snapshot.of_type(EXAMPLES):
            if "source" in artifact.properties:
                found.setdefault(int(artifact.properties.get("span", 0)), []).append(artifact)
        return dict(sorted(found.items()))

    def trained_on(self, examples: int) -> list[ReviewedModel]:
        """Returns the models trained on ingested rows, directly or through a base model, oldest first."""
        return self._by_examples.get(examples, [])

    @cached_property
    def _by_examples(self) -> dict[int, list[ReviewedModel]]:
        found: dict[int, list[ReviewedModel]] = {}
        for model in self.models.values():
            for examples in (*model.ingested, *model.inherited):
                found.setdefault(examples.id, []).append(model)
        return found

    def _model(self, artifact: Artifact) -> ReviewedModel:
        found = self._latest_outputs(artifact.id)
        card, request, blessing = (found.get(kind) for kind in (MODEL_CARD, APPROVAL_REQUEST, MODEL_BLESSING))
        trainer = self.snapshot.maker(artifact.id)
        ingested, inherited = self._ingested_examples(trainer, ()), self._ingested_examples(trainer, (_BASE_MODEL,))
        digest = (card.properties.get("model_sha256") if card else None) or (
            request.properties.get("fingerprint") if request else ""
        )
        return ReviewedModel(
            artifact=artifact,
            run=self.snapshot.runs.get(trainer.run or 0) if trainer else None,
            ingested=ingested,
            inherited=tuple(one for one in inherited if one not in ingested),
            card=card,
            evaluation=found.get(EVALUATION),
            figures={
                name: card.properties[name] for name in card.properties if name == ACCURACY or name.startswith(RECALL)
            }
            if card
            else {},
            blessed=_flag(blessing, "blessed"),
            servable=_flag(found.get(INFRA_BLESSING), "blessed"),
            fingerprint=str(digest),
            needs_approval=True if request else False if PUSHED_MODEL in found else None,
            approval=self._approval(request) if request and not request.removed else None,
            versions=self._versions(artifact.id),
            baseline=blessing.properties.get("baseline_model_id") if blessing else None,
        )

    def change_of_accuracy(self, model: ReviewedModel) -> float | None:
        """Returns the change of a model's accuracy against its baseline; None if one of them is unknown."""
        baseline = self.models.get(model.baseline) if model.baseline is not None else None
        if baseline is None or ACCURACY not in model.figures or ACCURACY not in baseline.figures:
            return None
        return model.figures[ACCURACY] - baseline.figures[ACCURACY]

    def _latest_outputs(self, model: int) -> dict[str, Artifact]:
        """Returns the latest artifact of each type that components produced from the model (not as a baseline)."""
        found = {}
        for link in self.snapshot.readers(model, "model"):
            for made in self.snapshot.outputs(link.execution):
                artifact = self.snapshot.artifacts[made.artifact]
                found[artifact.type] = artifact
        return found

    def _versions(self, model: int) -> tuple[int, ...]:
        pushed = [
            self.snapshot.artifacts[made.artifact]
            for link in self.snapshot.readers(model, "model")
            for made in self.snapshot.outputs(link.execution)
        ]
        numbers = [str(one.properties.get("pushed_version", "")) for one in pushed if one.is_pushed]
        return tuple(dict.fromkeys(int(number) for number in numbers if number.isdecimal()))

    def _ingested_examples(self, trainer: Execution | None, through: Collection[str]) -> tuple[Artifact, ...]:
        """Returns the ingested rows that a training used, in the order of their spans.

        Args:
            trainer: execution that trained the model.
            through: roles of input models whose own training rows are included too.
        """
        waiting, seen, found = [trainer] if trainer else [], set(), {}
        while waiting:
            for link in self.snapshot.inputs(waiting.pop().id):
                artifact = self.snapshot.artifacts[link.artifact]
                maker = self.snapshot.maker(artifact.id)
                if "source" in artifact.properties:
                    found[artifact.id] = artifact
                elif maker and maker.id not in seen and (artifact.type != MODEL or link.role in through):
                    seen.add(maker.id)
                    waiting.append(maker)
        return tuple(sorted(found.values(), key=lambda one: (one.properties.get("span", 0), one.id)))

    def _approval(self, request: Artifact) -> ApprovalState | None:
        if not request.properties.get("wanted"):
            return None
        author = unquote(str(request.properties.get("author", "")))
        made = tuple(self._decisions.get(str(request.properties["fingerprint"]), ()))
        used = self._was_used(request.id)
        status = judge(made, author, self._rules, self._now, was_used=used)
        progress = describe_progress(made, author, self._rules, self._now, was_used=used)
        return ApprovalState(author, made, status, progress, request.made)

    def _was_used(self, request: int) -> bool:
        """Returns whether the approval gate has passed the model; a used approval does not expire."""
        return any(
            self.snapshot.artifacts[made.artifact].properties.get("approved") == 1
            for link in self.snapshot.readers(request)
            for made in self.snapshot.outputs(link.execution)
        )

    @cached_property
    def _decisions(self) -> dict[str, list[Decision]]:
        found: dict[str, list[Decision]] = {}
        for artifact in self.snapshot.of_type(APPROVAL_DECISION):
            if artifact.removed:
                continue
            noted = artifact.properties
            decision = Decision(
                fingerprint=noted["fingerprint"],
                approved=noted["approved"] == 1,
                who=unquote(noted["who"]),
                when=noted["when"],
                why=unquote(noted["why"]),
                proof=noted.get(PROOF, ""),
            )
            found.setdefault(decision.fingerprint, []).append(decision)
        return found

    def _run(self, run: Run) -> RunListItem:
        executions = self.snapshot.executions_of(run.id)
        made = {
            self.snapshot.artifacts[link.artifact].type: (execution, self.snapshot.artifacts[link.artifact])
            for execution in executions
            for link in self.snapshot.outputs(execution.id)
        }
        status, at = _status(executions)
        trainer, trained = made.get(MODEL, (None, None))
        model = self.models.get(trained.id) if trained else None
        if (
            status is RunStatus.STOPPED
            and run.name.endswith(COMPARISON)
            and {one.state for one in executions} <= set(_ENDED)
        ):
            status, at = RunStatus.COMPARISON, ""
        if status is RunStatus.WAITING and model and model.versions:
            status, at = RunStatus.PUSHED_LATER, f"version {model.versions[-1]}"
        pushed = made[PUSHED_MODEL][1] if PUSHED_MODEL in made else None
        version = str(pushed.properties.get("pushed_version", "")) if pushed and pushed.is_pushed else ""
        return RunListItem(
            run,
            status,
            at,
            max((execution.changed for execution in executions), default=run.began),
            model,
            trainer is not None and trainer.state == "COMPLETE",
            int(version) if version.isdecimal() else None,
            next((one for one in reversed(executions) if status is RunStatus.FAILED and one.error), None),
        )


def _status(executions: Sequence[Execution]) -> tuple[RunStatus, str]:
    """Uses the last attempt of each component, because an orchestrator may have retried it."""
    last = {execution.type: execution for execution in executions}.values()
    states = {execution.state: execution.type for execution in last}
    if at := states.get("RUNNING") or states.get("NEW"):
        return RunStatus.RUNNING, at
    if at := states.get("FAILED"):
        return (RunStatus.WAITING if at == _GATE else RunStatus.FAILED), at
    if any(execution.type.endswith(_PUSHER) and execution.state in _ENDED for execution in last):
        return RunStatus.COMPLETE, ""
    return RunStatus.STOPPED, states.get("CANCELED") or (executions[-1].type if executions else "")


def _flag(artifact: Artifact | None, name: str) -> bool | None:
    return artifact.properties.get(name) == 1 if artifact else None
