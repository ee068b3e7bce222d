"""What earlier runs left, and what people decided: which nodes of the DAG find it."""

from collections.abc import Mapping
from typing import Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import Channel, standard_artifacts

from components.approval import ApprovalDecision, ApprovalGate, DecisionsOnModel, RequestApproval, Rules
from components.resolvers import LatestBlessedModelBefore, LatestOtherBlessedModel, LatestSpans, PreviousStatistics
from components.validation_gate.component import ValidationBlessing
from pipeline.metadata.connection import connection_config
from pipeline.settings import Settings


class History(Protocol):
    """Where the outcome of runs is kept for the next ones."""

    def connection(self) -> metadata_store_pb2.ConnectionConfig | None:
        """The metadata store of the run, where there is one."""

    def previous_statistics(self, examples: Channel, current: Channel) -> BaseNode:
        """A node whose output `statistics` is what the current ones are compared with."""

    def keep(self, examples: Channel, statistics: Channel, accepted: Channel) -> list[BaseNode]:
        """The nodes that keep accepted statistics, where that does not happen by itself."""

    def window(self, examples: Channel, statistics: Channel) -> list[BaseNode]:
        """Where rows come in spans: the node whose outputs `examples`, `statistics` and `newest` are what is trained on
        and judged by; without one, this run's rows are.
        """

    def base_model(self, graph: Channel) -> BaseNode:
        """A node whose output `model` is what a warm start begins with."""

    def baseline(self, candidate: Channel) -> BaseNode:
        """A node whose output `model` is what the candidate is compared with."""

    def approval(self, model: Channel, blessings: Mapping[str, Channel], card: Channel, rules: Rules) -> list[BaseNode]:
        """The nodes that ask people about a blessed model, find what they decided and judge it.

        The last one's output `approval` is the verdict.
        """


class MetadataHistory:
    """The metadata store: it keeps all there was, and resolvers look it up."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def connection(self) -> metadata_store_pb2.ConnectionConfig:
        return connection_config(self._settings)

    def previous_statistics(self, examples: Channel, current: Channel) -> BaseNode:
        return Resolver(
            strategy_class=PreviousStatistics,
            current=current,
            statistics=Channel(type=standard_artifacts.ExampleStatistics),
            blessing=Channel(type=ValidationBlessing),
            config={"spans": self._settings.data.window},
        ).with_id("PreviousStatisticsResolver")

    def keep(self, examples: Channel, statistics: Channel, accepted: Channel) -> list[BaseNode]:
        return []

    def window(self, examples: Channel, statistics: Channel) -> list[BaseNode]:
        return [
            Resolver(
                strategy_class=LatestSpans,
                newest=examples,
                newest_statistics=statistics,
                examples=Channel(type=standard_artifacts.Examples),
                statistics=Channel(type=standard_artifacts.ExampleStatistics),
                blessing=Channel(type=ValidationBlessing),
                config={"spans": self._settings.data.window},
            ).with_id("WindowResolver")
        ]

    def base_model(self, graph: Channel) -> BaseNode:
        return Resolver(
            strategy_class=LatestBlessedModelBefore,
            graph=graph,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id("BaseModelResolver")

    def baseline(self, candidate: Channel) -> BaseNode:
        return Resolver(
            strategy_class=LatestOtherBlessedModel,
            candidate=candidate,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id("BaselineResolver")

    def approval(self, model: Channel, blessings: Mapping[str, Channel], card: Channel, rules: Rules) -> list[BaseNode]:
        asking = RequestApproval(model=model, **blessings)
        request = asking.outputs["request"]
        decisions = Resolver(
            strategy_class=DecisionsOnModel, request=request, decisions=Channel(type=ApprovalDecision)
        ).with_id("DecisionResolver")
        gate = ApprovalGate(request=request, decisions=decisions.outputs["decisions"], rules=rules.to_json())
        return [asking, decisions, gate]
