"""What was recorded of a training: its settings, code, versions, and the facts that the export holds."""

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tfx.utils import path_utils

import components
from components.model_card.environment import Revision, code_revision
from components.model_card.render import EVIDENCE
from components.trainer.report import FACTS_FILE
from pipeline.code_version import code_version
from pipeline.metadata.lineage import ModelLineage
from schema.errors import ReproductionError

INGESTION, TRANSFORM, TRAINER = "example_gen", "transform", "trainer"
_PREPARING = (INGESTION, TRANSFORM)


@dataclass(frozen=True)
class Recorded:
    """A training as it was.

    Attributes:
        origin: the executions and artifacts.
        export: the SavedModel, in the Trainer's artifact or where it was pushed.
        facts: of the Trainer, in the export.
        config: the Trainer's settings.
        revision: the code's commit when the model's card was written; None without a card or outside of git.
        versions: of the packages, by name, likewise; empty without a card.
    """

    origin: ModelLineage
    export: Path
    facts: dict[str, Any]
    config: dict[str, Any]
    revision: Revision | None
    versions: dict[str, str]

    @property
    def code(self) -> dict[str, str]:
        """Fingerprint of each stage's code."""
        transform = json.loads(str(self.origin.transform.parameters["custom_config"]))
        return {
            INGESTION: str(ingestion_options(self.origin)["code"]),
            TRANSFORM: transform["code"],
            TRAINER: self.config["code"],
        }

    def changed_versions(self) -> dict[str, tuple[str, str]]:
        """Packages that are another version here: then and now."""
        now = {name: _version(name) for name in self.versions if name not in ("python", "agnews-pipeline")}
        return {name: (self.versions[name], here) for name, here in now.items() if here != self.versions[name]}


def recorded(origin: ModelLineage, pushed: Path | None) -> Recorded:
    """Reads what a training left.

    Args:
        origin: of the model.
        pushed: the version's directory, where one was named.

    Raises:
        ReproductionError: neither the Trainer's export nor the pushed one is there, or it has no facts.
    """
    places = [Path(path_utils.serving_model_path(origin.model.uri)), *([pushed] if pushed else [])]
    export = next((place for place in places if (place / "saved_model.pb").exists()), None)
    if export is None:
        raise ReproductionError(
            f"the export of model {origin.model.id} is no longer at {places[0]}, so there is nothing to compare with; "
            "name a pushed version of it instead"
        )
    try:
        facts = json.loads((export / FACTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReproductionError(
            f"{export / FACTS_FILE} cannot be read ({error}): not an export of the Trainer"
        ) from error
    revision, versions = _environment(origin)
    config = json.loads(str(origin.training.parameters["custom_config"]))
    return Recorded(origin, export, facts, config, revision, versions)


def require_code(training: Recorded, *, preparing: bool) -> None:
    """Checks that the code is what the model was made with.

    Args:
        training: what was recorded.
        preparing: whether the rows are prepared anew, so that the code for that counts as well.

    Raises:
        ReproductionError: it differs; the message says what to check out.
    """
    stages = [*(_PREPARING if preparing else ()), TRAINER]
    then = training.code
    if changed := [stage for stage in stages if then[stage] != code_version(stage)]:
        raise ReproductionError(
            f"the code of {', '.join(changed)} is not what model {training.origin.model.id} was made with "
            f"({', '.join(then[stage] for stage in changed)}): {_advice(training.revision)}; --any-code goes on with "
            "the code that is here"
        )


def ingestion_options(origin: ModelLineage) -> dict[str, Any]:
    """The options of our ExampleGen."""
    return json.loads(str(origin.ingestion.parameters["custom_config"]))["custom_config"]["value"]


def _advice(then: Revision | None) -> str:
    if then is None:
        return "its revision was not recorded"
    changes = ", which had changes that were not committed" if then.dirty else ""
    now = code_revision(Path(components.__file__).parent)
    here = f"; here is {now.commit[:12]}" if isinstance(now, Revision) else ""
    return f"check out {then.commit}{changes}{here}"


def _environment(origin: ModelLineage) -> tuple[Revision | None, dict[str, str]]:
    if origin.card is None:
        return None, {}
    try:
        text = (Path(origin.card.uri) / EVIDENCE).read_text(encoding="utf-8")
        environment = json.loads(text)["environment"]
    except (OSError, ValueError, KeyError):
        return None, {}
    revision = environment["revision"]
    known = Revision(revision["commit"], revision["dirty"]) if "commit" in revision else None
    return known, environment["versions"]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
