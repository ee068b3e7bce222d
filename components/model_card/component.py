"""The component that writes a model's card, whether or not the model was blessed."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import Artifact, Channel, artifact_utils, component_spec, standard_artifacts

from components.manifest import judging
from components.model_card.card import headlines, make_card
from components.model_card.lineage import trace
from components.model_card.owner import OWNER_FILE, read_owner_statements
from components.model_card.predictions import write_predictions
from components.model_card.render import write_card
from schema.data_set import DataSet
from schema.metadata import MODEL_CARD

logger = logging.getLogger(__name__)

_SEED = 1


class ModelCard(Artifact):
    """A model's card: `model_card.json`, `.html`, `.md`, `evidence.json` and `predictions.parquet`."""

    TYPE_NAME = MODEL_CARD


class _ModelCardSpec(component_spec.ComponentSpec):
    PARAMETERS = {  # noqa: RUF012
        "preparation": component_spec.ExecutionParameter(type=str),
        "robustness_rows": component_spec.ExecutionParameter(type=int),
        "errors_shown": component_spec.ExecutionParameter(type=int),
        "owner_file": component_spec.ExecutionParameter(type=str),
        "owner_fingerprint": component_spec.ExecutionParameter(type=str),
        "data_set": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "transformed_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
    }
    OUTPUTS = {"model_card": component_spec.ChannelParameter(type=ModelCard)}  # noqa: RUF012


class ModelCardExecutor(base_executor.BaseExecutor):
    """Makes the card and writes it in all its formats."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Writes into the artifact `model_card`.

        Raises:
            RunError: the model's files are not those that were trained.
        """
        began = time.monotonic()
        context = self._context
        output = artifact_utils.get_single_instance(output_dict["model_card"])
        with judging(artifact_utils.get_single_instance(input_dict["model"]), output):
            card, predictions = make_card(
                input_dict,
                DataSet.decode(exec_properties["data_set"]),
                read_owner_statements(_existing(exec_properties["owner_file"])),
                trace(
                    context.pipeline_info.id if context and context.pipeline_info else "unknown",
                    context.pipeline_run_id if context and context.pipeline_run_id else "unknown",
                    input_dict,
                    json.loads(exec_properties["code"]),
                ),
                preparation=json.loads(exec_properties["preparation"]),
                robustness_rows=exec_properties["robustness_rows"],
                robustness_seed=_SEED,
                errors_shown=exec_properties["errors_shown"],
                written=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        fileio.makedirs(output.uri)
        write_card(card, output.uri)
        write_predictions(predictions, output.uri)
        output.set_int_custom_property("model_id", card.model)
        output.set_string_custom_property("model_sha256", card.export.sha256)
        # Lists of models show these properties, so that they need not open one file per model.
        for name, value in headlines(card).items():
            output.set_float_custom_property(name, value)
        path = os.path.join(output.uri, "model_card.html")
        logger.info("card written", extra={"fields": {"seconds": round(time.monotonic() - began, 1), "card": path}})


def _existing(owner_file: str) -> Path:
    """Returns the path, or that of this installation if the pipeline was compiled on another machine."""
    return path if (path := Path(owner_file)).exists() else OWNER_FILE


class ModelCardGen(base_component.BaseComponent):
    """Writes the card of a model from the artifacts of its run.

    The output `model_card` has the properties `model_id`, the model's id, `model_sha256`, the SHA-256 of its export,
    and those of `headlines`.
    """

    SPEC_CLASS = _ModelCardSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ModelCardExecutor)

    def __init__(
        self,
        *,
        data_set: DataSet,
        owner_file: Path,
        preparation: Mapping[str, float],
        robustness_rows: int,
        errors_shown: int,
        code: Mapping[str, str],
        **inputs: Channel,
    ):
        """
        Args:
            data_set: classes and length buckets.
            owner_file: file with the owner's statements.
            preparation: settings that affect rows and tokens, by name.
            robustness_rows: maximum number of rows per robustness check.
            errors_shown: maximum number of wrong answers shown with their text.
            code: fingerprint of the source of each stage.
            **inputs: channels, named as in `components.model_card.card.Inputs`.

        Raises:
            SettingsError: `owner_file` is invalid. It is checked here, before the training.
        """
        read_owner_statements(owner_file)
        super().__init__(
            _ModelCardSpec(
                preparation=json.dumps(dict(preparation), sort_keys=True),
                robustness_rows=robustness_rows,
                errors_shown=errors_shown,
                # The file is read when the card is written; its content is part of the cache key.
                owner_file=str(owner_file.absolute()),
                owner_fingerprint=hashlib.sha256(owner_file.read_bytes()).hexdigest(),
                data_set=data_set.encode(),
                code=json.dumps(dict(code), sort_keys=True),
                model_card=Channel(type=ModelCard),
                **inputs,
            )
        )
