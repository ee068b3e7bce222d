"""What earlier runs left, for pods, which cannot ask a metadata store: directories beside the pushed versions."""

from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import Channel

from components.earlier_runs import KeepStatistics, KeptStatistics, PushedBaseline
from pipeline.runners.kubeflow.tasks import BASELINE, KEEPER, PREVIOUS_STATISTICS
from schema.errors import SettingsError


class DirectoryHistory:
    """See `pipeline.history.History`.

    Args:
        versions: directory of the pushed versions.
        statistics: directory where statistics of accepted data are kept.
    """

    def __init__(self, versions: str, statistics: str):
        self._versions = versions
        self._statistics = statistics

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
