"""The nodes of the pipeline that find the results of earlier runs and the decisions of people."""

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
    """Keeps the results of runs for later runs."""

    def connection(self) -> metadata_store_pb2.ConnectionConfig | None:
        """Returns the connection of the run's metadata store, or None without one."""

    def previous_statistics(self, examples: Channel, current: Channel) -> BaseNode:
        """Returns a node whose output `statistics` the current statistics are compared with."""

    def keep(self, examples: Channel, statistics: Channel, accepted: Channel) -> list[BaseNode]:
        """Returns the nodes that store accepted statistics; none if the metadata store has them anyway."""

    def window(self, examples: Channel, statistics: Channel) -> list[BaseNode]:
        """Returns the node that selects the training window of rows that come in spans.

        Its outputs are `examples` and `statistics` of the window, and `newest`, whose test rows evaluate the model. If
        the list is empty, the run uses its own rows.
        """

    def base_model(self, graph: Channel) -> BaseNode:
        """Returns a node whose output `model` a warm start begins with."""

    def baseline(self, candidate: Channel) -> BaseNode:
        """Returns a node whose output `model` the candidate is compared with."""

    def approval(self, model: Channel, blessings: Mapping[str, Channel], card: Channel, rules: Rules) -> list[BaseNode]:
        """Returns the nodes that request approval of a blessed model, find the decisions and apply the rules.

        The output `approval` of the last one is the result.
        """


class MetadataHistory:
    """Finds earlier results in the metadata store with resolvers."""

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
