"""Reads the records of a training: settings, code, package versions, and the facts in the export."""

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tfx.utils import path_utils

import components
from components.artifact_files import FileUnavailable, first_missing
from components.model_card.environment import Revision, code_revision
from components.model_card.render import read_evidence
from pipeline.code_version import code_version
from pipeline.metadata.graph import removed_on
from pipeline.metadata.lineage import ModelLineage
from schema.errors import ReproductionError
from schema.model_contract import SAVED_MODEL_FILES, TRAINING_FACTS

INGESTION, TRANSFORM, TRAINER = "example_gen", "transform", "trainer"
_PREPARING = (INGESTION, TRANSFORM)


@dataclass(frozen=True)
class RecordedTraining:
    """The records of a training.

    Attributes:
        lineage: the executions and artifacts.
        export: the SavedModel, in the Trainer's artifact or in the pushed version.
        facts: the facts that the Trainer wrote into the export.
        config: the Trainer's settings.
        revision: the commit of the code when the model card was written; None without a card or outside of git.
        versions: package versions by name at that time; empty without a card.
    """

    lineage: ModelLineage
    export: Path
    facts: dict[str, Any]
    config: dict[str, Any]
    revision: Revision | None
    versions: dict[str, str]

    @property
    def code(self) -> dict[str, str]:
        """Fingerprint of the code of each stage."""
        transform = json.loads(str(self.lineage.transform.parameters["custom_config"]))
        return {
            INGESTION: str(ingestion_options(self.lineage)["code"]),
            TRANSFORM: transform["code"],
            TRAINER: self.config["code"],
        }

    def changed_versions(self) -> dict[str, tuple[str, str]]:
        """Returns the packages whose versions differ now: recorded version and current version."""
        now = {name: _version(name) for name in self.versions if name not in ("python", "agnews-pipeline")}
        return {name: (self.versions[name], here) for name, here in now.items() if here != self.versions[name]}


def read_training(lineage: ModelLineage, pushed: Path | None) -> RecordedTraining:
    """Reads the records of a training.

    Args:
        lineage: lineage of the model.
        pushed: directory of the pushed version, if the user named one.

    Raises:
        ReproductionError: neither the Trainer's export nor the pushed version exists, or it has no facts.
    """
    places = [Path(path_utils.serving_model_path(lineage.model.uri)), *([pushed] if pushed else [])]
    export = next((place for place in places if first_missing(str(place), SAVED_MODEL_FILES) is None), None)
    if export is None:
        raise ReproductionError(
            f"the export of model {lineage.model.id} is no longer at {places[0]}{removed_on(lineage.model)}, so there "
            "is nothing to compare with. Name a pushed version of the model instead"
        )
    try:
        facts = json.loads((export / TRAINING_FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReproductionError(
            f"cannot read {export / TRAINING_FACTS} ({error}): not an export of the Trainer"
        ) from error
    revision, versions = _environment(lineage)
    config = json.loads(str(lineage.training.parameters["custom_config"]))
    return RecordedTraining(lineage, export, facts, config, revision, versions)


def require_code(training: RecordedTraining, *, preparing: bool) -> None:
    """Checks that the code is the same as for the recorded training.

    Args:
        training: the recorded training.
        preparing: whether the rows are ingested again, so that the code of the stages before the Trainer counts too.

    Raises:
        ReproductionError: the code differs. The message names the commit to check out.
    """
    stages = [*(_PREPARING if preparing else ()), TRAINER]
    then = training.code
    if changed := [stage for stage in stages if then[stage] != code_version(stage)]:
        raise ReproductionError(
            f"the code of {', '.join(changed)} has changed since model {training.lineage.model.id} was trained "
            f"(then: {', '.join(then[stage] for stage in changed)}). {_advice(training.revision)}. --any-code uses the "
            "current code"
        )


def ingestion_options(lineage: ModelLineage) -> dict[str, Any]:
    """Returns the options of ExampleGen."""
    return json.loads(str(lineage.ingestion.parameters["custom_config"]))["custom_config"]["value"]


def _advice(then: Revision | None) -> str:
    if then is None:
        return "The revision was not recorded"
    changes = ", which had uncommitted changes" if then.dirty else ""
    now = code_revision(Path(components.__file__).parent)
    current = f" (the current commit is {now.commit[:12]})" if isinstance(now, Revision) else ""
    return f"Check out {then.commit}{changes}{current}"


def _environment(lineage: ModelLineage) -> tuple[Revision | None, dict[str, str]]:
    if lineage.card is None:
        return None, {}
    try:
        environment = read_evidence(lineage.card.uri)["environment"]
    except (FileUnavailable, KeyError):
        return None, {}
    revision = environment["revision"]
    known = Revision(revision["commit"], revision["dirty"]) if "commit" in revision else None
    return known, environment["versions"]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
