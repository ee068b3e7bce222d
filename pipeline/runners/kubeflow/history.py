"""Gives pods access to earlier runs, through directories next to the versions, and to decisions in the audit log."""

from collections.abc import Mapping

from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import Channel

from components.approval import Rules
from components.approval.logged import LoggedApprovalGate
from components.earlier_runs import KeepStatistics, KeptStatistics, PushedBaseline
from pipeline.runners.kubeflow.tasks import BASELINE, GATE, KEEPER, PREVIOUS_STATISTICS
from schema.errors import SettingsError


class DirectoryHistory:
    """Implements `pipeline.history.History` with directories and the audit log instead of the metadata store.

    Args:
        versions: directory of the pushed versions.
        statistics: directory for statistics of accepted data.
        audit_log: path of the audit log.
        model_name: name of the model in TensorFlow Serving.
    """

    def __init__(self, versions: str, statistics: str, audit_log: str, model_name: str):
        self._versions = versions
        self._statistics = statistics
        self._audit_log = audit_log
        self._model_name = model_name

    def connection(self) -> None:
        return None

    def previous_statistics(self, examples: Channel, current: Channel) -> BaseNode:
        return KeptStatistics(examples=examples, current=current, directory=self._statistics).with_id(
            PREVIOUS_STATISTICS
        )

    def keep(self, examples: Channel, statistics: Channel, accepted: Channel) -> list[BaseNode]:
        return [
            KeepStatistics(
                examples=examples, statistics=statistics, accepted=accepted, directory=self._statistics
            ).with_id(KEEPER)
        ]

    def window(self, examples: Channel, statistics: Channel) -> list[BaseNode]:
        return []

    def base_model(self, graph: Channel) -> BaseNode:
        raise SettingsError("trainer.warm_start needs the metadata store, which pods cannot ask: leave it off")

    def baseline(self, candidate: Channel) -> BaseNode:
        return PushedBaseline(candidate=candidate, versions=self._versions).with_id(BASELINE)

    def approval(self, model: Channel, blessings: Mapping[str, Channel], card: Channel, rules: Rules) -> list[BaseNode]:
        gate = LoggedApprovalGate(
            model=model,
            **blessings,
            model_card=card,
            rules=rules.to_json(),
            log=self._audit_log,
            model_name=self._model_name,
            trained_by="",  # A parameter of the run.
        )
        return [gate.with_id(GATE)]
