"""Finds the results of earlier runs in directories, without a metadata store.

The resolvers of `components.resolvers` query ML Metadata, which the pods of Kubeflow Pipelines cannot do. These
components replace them: the baseline is the version that was pushed last, and the statistics of accepted data are kept
next to the pushed versions. A missing input becomes an artifact with the property `absent`; the pod that would read it
leaves it out, like an optional input.
"""

import hashlib
import logging
import os
import uuid

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.artifact_files import first_missing
from components.exports import pushed_versions, same_export
from components.validation_gate.component import ValidationBlessing

logger = logging.getLogger(__name__)

ABSENT = "absent"


@component
def PushedBaseline(
    candidate: InputArtifact[standard_artifacts.Model],
    model: OutputArtifact[standard_artifacts.Model],
    versions: Parameter[str],
) -> None:
    """Copies the version that was pushed last, unless it is the candidate itself.

    Args:
        candidate: the model of this run.
        model: the baseline.
        versions: directory of the pushed versions.
    """
    export = path_utils.serving_model_path(candidate.uri)
    pushed = next((version for version in pushed_versions(versions) if not same_export(export, version)), None)
    if pushed is None:
        _absent(model, f"nothing but the candidate was pushed to {versions} before")
        return
    io_utils.copy_dir(pushed, path_utils.serving_model_dir(model.uri))
    model.set_string_custom_property("pushed_version", os.path.basename(pushed))
    logger.info("baseline", extra={"fields": {"version": pushed}})


@component
def KeptStatistics(
    examples: InputArtifact[standard_artifacts.Examples],
    current: InputArtifact[standard_artifacts.ExampleStatistics],
    statistics: OutputArtifact[standard_artifacts.ExampleStatistics],
    directory: Parameter[str],
) -> None:
    """Copies the kept statistics of the span before the current one, from the same source.

    Without spans in the input pattern, every run has span 0, and the statistics of the previous run are copied, as in
    `components.resolvers.PreviousStatistics`.

    Args:
        examples: the rows of this run.
        current: statistics of `examples`.
        statistics: statistics of the earlier span.
        directory: directory of the kept statistics.
    """
    kept, span = _place(directory, examples), _span(examples)
    names = [name.rstrip("/") for name in fileio.listdir(kept)] if fileio.exists(kept) else []
    wanted = [f"Split-{split}/FeatureStats.pb" for split in artifact_utils.decode_split_names(current.split_names)]
    spans = sorted(
        int(name)
        for name in names
        if name.isdecimal() and int(name) <= span and first_missing(os.path.join(kept, name), wanted) is None
    )
    earlier = [other for other in spans if other < span] or spans
    if not earlier:
        _absent(statistics, f"no statistics of this source are kept in {directory}")
        return
    io_utils.copy_dir(os.path.join(kept, str(earlier[-1])), statistics.uri)
    statistics.split_names = current.split_names
    statistics.span = earlier[-1]


@component
def KeepStatistics(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    accepted: InputArtifact[ValidationBlessing],
    directory: Parameter[str],
) -> None:
    """Keeps the statistics of accepted data for later runs; replaces those of the same span.

    Args:
        examples: the rows of this run.
        statistics: statistics of `examples`.
        accepted: the gate's blessing; without it nothing is kept.
        directory: directory of the kept statistics.
    """
    kept = _place(directory, examples)
    incoming = os.path.join(kept, f".incoming-{uuid.uuid4().hex}")
    io_utils.copy_dir(statistics.uri, incoming)
    final = os.path.join(kept, str(_span(examples)))
    if fileio.exists(final):
        fileio.rmtree(final)
    fileio.rename(incoming, final)


def _place(directory: str, examples: Artifact) -> str:
    source = examples.get_string_custom_property("source")
    return os.path.join(directory, hashlib.sha256(source.encode()).hexdigest()[:16])


def _span(examples: Artifact) -> int:
    return examples.get_int_custom_property("span")


def _absent(artifact: Artifact, why: str) -> None:
    artifact.set_int_custom_property(ABSENT, 1)
    with fileio.open(os.path.join(artifact.uri, "absent.txt"), "w") as file:
        file.write(why)
    logger.info("absent", extra={"fields": {"why": why}})
