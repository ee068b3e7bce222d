"""The InfraValidator component, which emits the standard InfraBlessing."""

import itertools
import logging
import os

import tensorflow as tf
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.infra_validator.validate import Limits, Refused, validate
from components.manifest import judging
from schema.features import TEST
from schema.paths import list_files

logger = logging.getLogger(__name__)


@component
def AgNewsInfraValidator(
    model: InputArtifact[standard_artifacts.Model],
    examples: InputArtifact[standard_artifacts.Examples],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    rows: Parameter[int],
    timeout_seconds: Parameter[float],
    max_memory_mb: Parameter[int],
    tolerance: Parameter[float],
) -> None:
    """Blesses an export that a separate process can load and serve; otherwise sets the property `reason`.

    Args:
        model: the export.
        examples: Examples whose test split provides the rows to send.
        blessing: the verdict, in the format of TFX's own InfraValidator.
        rows: number of rows to send.
        timeout_seconds: limit for loading and for all requests together.
        max_memory_mb: limit of the process's resident memory, MiB.
        tolerance: allowed difference of any probability from the model loaded in this process.

    Raises:
        NotMeasuredError: the machine did not allow a verdict. A failed component is not cached.
        RunError: the model's files are not those that were trained.
    """
    saved_model = path_utils.serving_model_path(model.uri)
    limits = Limits(timeout_seconds, max_memory_mb, tolerance)
    with judging(model, blessing):
        try:
            validate(saved_model, _read(examples, rows), limits)
        except Refused as refusal:
            logger.warning("refused", extra={"fields": {"reason": str(refusal)}})
            blessing.set_string_custom_property("reason", str(refusal))
            _mark(blessing, blessed=False)
        else:
            logger.info("served and queried", extra={"fields": {"rows": rows}})
            _mark(blessing, blessed=True)


def _read(examples: Artifact, rows: int) -> list[bytes]:
    files = list_files(artifact_utils.get_split_uri([examples], TEST), "*")
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return list(itertools.islice(records.as_numpy_iterator(), rows))


def _mark(blessing: Artifact, *, blessed: bool) -> None:
    # TFX's Pusher looks for the file and the property of tfx/components/infra_validator/executor.py.
    with fileio.open(os.path.join(blessing.uri, "INFRA_BLESSED" if blessed else "INFRA_NOT_BLESSED"), "w") as file:
        file.write("")
    blessing.set_int_custom_property("blessed", int(blessed))
