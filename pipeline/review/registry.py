"""Runs and models as a reviewer sees them: what became of each, how good it is, who let it through."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from urllib.parse import unquote

from components.approval import Decision, Rules, Status, judge
from pipeline.review.snapshot import Artifact, Execution, Run, Snapshot
from schema.features import CLASS_NAMES

ACCURACY = "accuracy"
RECALLS = tuple(f"recall_{name}" for name in CLASS_NAMES)
"""The figures that a card's artifact carries, see `components.model_card.card.headlines`."""

# The Trainer's input with which a warm start begins.
_BASE_MODEL = "base_model"
_GATE, _PUSHER = "ApprovalGate", "Pusher"
_ENDED = ("COMPLETE", "CACHED")


class RunStatus(StrEnum):
    """What became of a run."""

    RUNNING = "running"
    COMPLETE = "complete"
    WAITING = "waiting for approval"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Approval:
    """Where a model stands that asks to be pushed: its author, the decisions on it, and what follows from them."""

    author: str
    decisions: tuple[Decision, ...]
    status: Status

    @property
    def approvers(self) -> str:
        """Who approved it."""
        return ", ".join(dict.fromkeys(one.who for one in self.decisions if one.approved))


@dataclass(frozen=True)
class Model:
    """A trained model and what was found of it; what was not found is None.

    Attributes:
        artifact: the Model.
        run: that trained it.
        ingested: the rows that it was trained on, an artifact a span, the newest last.
        inherited: those that the model was trained on from which its training started, and that one's in turn.
        card: its ModelCard.
        evaluation: its ModelEvaluation.
        figures: accuracy and recalls on the test rows.
        blessed: the Evaluator's verdict.
        servable: the InfraValidator's verdict.
        fingerprint: SHA-256 of the export, empty where nothing holds it.
        approval: None where nobody was asked.
        versions: numbers that it was pushed as, oldest first.
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
    approval: Approval | None
    versions: tuple[int, ...]

    @property
    def id(self) -> int:
        return self.artifact.id

    @property
    def examples(self) -> Artifact | None:
        """The newest rows that it was trained on, whose test rows judged it."""
        return self.ingested[-1] if self.ingested else None

    def rows(self, name: str) -> int:
        """A count of rows over all that it was trained on, for instance `rows_read`."""
        return sum(int(one.properties.get(name, 0)) for one in self.ingested)


@dataclass(frozen=True)
class RunRow:
    """A run in the list: its status, the component that it failed or waits at, its model, and the pushed version."""

    run: Run
    status: RunStatus
    at: str
    ended: float
    model: Model | None
    trained: bool
    version: int | None


class Registry:
    """Runs and models of a snapshot.

    Args:
        snapshot: the store's content.
        rules: of the approval gate.
        now: with a time zone; approvals expire.
    """

    def __init__(self, snapshot: Snapshot, rules: Rules, now: datetime):
        self.snapshot = snapshot
        self._rules, self._now = rules, now

    @cached_property
    def models(self) -> dict[int, Model]:
        """All models by id, oldest first."""
        return {artifact.id: self._model(artifact) for artifact in self.snapshot.of_type("Model")}

    @cached_property
    def runs(self) -> dict[int, RunRow]:
        """All runs by id, oldest first."""
        return {run.id: self._run(run) for run in sorted(self.snapshot.runs.values(), key=lambda one: one.id)}

    @cached_property
    def by_version(self) -> dict[int, Model]:
        """The models that were pushed, by version."""
        return {version: model for model in self.models.values() for version in model.versions}

    @cached_property
    def spans(self) -> dict[int, list[Artifact]]:
        """Ingested rows by span, the lowest first."""
        found: dict[int, list[Artifact]] = {}
        # Transform writes Examples as well, which have no source.
        for artifact in self.snapshot.of_type("Examples"):
            if "source" in artifact.properties:
                found.setdefault(int(artifact.properties.get("span", 0)), []).append(artifact)
        return dict(sorted(found.items()))

    def trained_on(self, examples: int) -> list[Model]:
        """The models that saw ingested rows, themselves or the model that they started from; oldest first."""
        return self._by_examples.get(examples, [])

    @cached_property
    def _by_examples(self) -> dict[int, list[Model]]:
        found: dict[int, list[Model]] = {}
        for model in self.models.values():
            for examples in (*model.ingested, *model.inherited):
                found.setdefault(examples.id, []).append(model)
        return found

    def _model(self, artifact: Artifact) -> Model:
        found = self._made_of_model(artifact.id)
        card, request = found.get("agnews.ModelCard"), found.get("AgNewsApprovalRequest")
        trainer = self.snapshot.maker(artifact.id)
        ingested, inherited = self._ingested(trainer, ()), self._ingested(trainer, (_BASE_MODEL,))
        digest = (card.properties.get("model_sha256") if card else None) or (
            request.properties.get("fingerprint") if request else ""
        )
        return Model(
            artifact=artifact,
            run=self.snapshot.runs.get(trainer.run or 0) if trainer else None,
            ingested=ingested,
            inherited=tuple(one for one in inherited if one not in ingested),
            card=card,
            evaluation=found.get("ModelEvaluation"),
            figures={name: card.properties[name] for name in (ACCURACY, *RECALLS) if name in card.properties}
            if card
            else {},
            blessed=_flag(found.get("ModelBlessing"), "blessed"),
            servable=_flag(found.get("InfraBlessing"), "blessed"),
            fingerprint=str(digest),
            approval=self._approval(request) if request and not request.removed else None,
            versions=self._versions(artifact.id),
        )

    def _made_of_model(self, model: int) -> dict[str, Artifact]:
        """What components made of the model itself, not as a baseline: the latest of each type."""
        found = {}
        for link in self.snapshot.readers(model):
            if link.role == "model":
                for made in self.snapshot.outputs(link.execution):
                    artifact = self.snapshot.artifacts[made.artifact]
                    found[artifact.type] = artifact
        return found

    def _versions(self, model: int) -> tuple[int, ...]:
        pushed = [
            self.snapshot.artifacts[made.artifact].properties
            for link in self.snapshot.readers(model)
            if link.role == "model"
            for made in self.snapshot.outputs(link.execution)
            if self.snapshot.artifacts[made.artifact].type == "PushedModel"
        ]
        numbers = [str(one.get("pushed_version", "")) for one in pushed if one.get("pushed") == 1]
        return tuple(dict.fromkeys(int(number) for number in numbers if number.isdecimal()))

    def _ingested(self, trainer: Execution | None, through: Collection[str]) -> tuple[Artifact, ...]:
        """Up from the Trainer to the rows that came in, in the order of their spans.

        Args:
            trainer: that made a model.
            through: roles of models whose own rows are meant as well; the other ways lead to this training's.
        """
        waiting, seen, found = [trainer] if trainer else [], set(), {}
        while waiting:
            for link in self.snapshot.inputs(waiting.pop().id):
                artifact = self.snapshot.artifacts[link.artifact]
                maker = self.snapshot.maker(artifact.id)
                if "source" in artifact.properties:
                    found[artifact.id] = artifact
                elif maker and maker.id not in seen and (artifact.type != "Model" or link.role in through):
                    seen.add(maker.id)
                    waiting.append(maker)
        return tuple(sorted(found.values(), key=lambda one: (one.properties.get("span", 0), one.id)))

    def _approval(self, request: Artifact) -> Approval | None:
        if not request.properties.get("wanted"):
            return None
        author = unquote(str(request.properties.get("author", "")))
        made = tuple(self._decisions.get(str(request.properties["fingerprint"]), ()))
        status = judge(made, author, self._rules, self._now, was_used=self._passed(request.id))
        return Approval(author, made, status)

    def _passed(self, request: int) -> bool:
        """An approval that was used stays good."""
        return any(
            self.snapshot.artifacts[made.artifact].properties.get("approved") == 1
            for link in self.snapshot.readers(request)
            for made in self.snapshot.outputs(link.execution)
        )

    @cached_property
    def _decisions(self) -> dict[str, list[Decision]]:
        found: dict[str, list[Decision]] = {}
        for artifact in self.snapshot.of_type("AgNewsApprovalDecision"):
            if artifact.removed:
                continue
            noted = artifact.properties
            decision = Decision(
                fingerprint=noted["fingerprint"],
                approved=noted["approved"] == 1,
                who=unquote(noted["who"]),
                when=noted["when"],
                why=unquote(noted["why"]),
            )
            found.setdefault(decision.fingerprint, []).append(decision)
        return found

    def _run(self, run: Run) -> RunRow:
        executions = self.snapshot.executions_of(run.id)
        made = {
            self.snapshot.artifacts[link.artifact].type: (execution, self.snapshot.artifacts[link.artifact])
            for execution in executions
            for link in self.snapshot.outputs(execution.id)
        }
        status, at = _status(executions)
        trainer, model = made.get("Model", (None, None))
        pushed = made["PushedModel"][1].properties if "PushedModel" in made else {}
        version = str(pushed.get("pushed_version", "")) if pushed.get("pushed") == 1 else ""
        return RunRow(
            run,
            status,
            at,
            max((execution.changed for execution in executions), default=run.began),
            self.models.get(model.id) if model else None,
            trainer is not None and trainer.state == "COMPLETE",
            int(version) if version.isdecimal() else None,
        )


def _status(executions: Sequence[Execution]) -> tuple[RunStatus, str]:
    """Each component's last attempt counts: an orchestrator may have tried again."""
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
