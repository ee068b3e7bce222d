"""Finds what was decided on the model of a run, in every run anew: decisions are made outside of runs."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact


class DecisionsOnModel(ResolverStrategy):
    """The decisions on the model with the request's fingerprint, oldest first.

    Inputs: `request`, that of this run; `decisions`, all there are.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        [request] = input_dict["request"]
        fingerprint = request.get_string_custom_property("fingerprint")
        made = [
            decision
            for decision in input_dict["decisions"]
            if decision.get_string_custom_property("fingerprint") == fingerprint
        ]
        return {**input_dict, "decisions": sorted(made, key=lambda artifact: artifact.id)}
