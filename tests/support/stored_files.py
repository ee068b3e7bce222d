"""Writes the files of artifacts, empty, as the components of a run would."""

from pathlib import Path

from tfx.types import artifact_utils, standard_artifacts

from components.manifest import judging, record_files
from components.model_card.component import ModelCard
from components.validation_gate.component import ValidationBlessing

SAVED_MODEL = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets/vocabulary",
)
SPLITS = ("train", "val")
FILES = {
    standard_artifacts.Examples: [
        f"Split-{split}/data_tfrecord-0000{shard}-of-00002.gz" for split in SPLITS for shard in range(2)
    ],
    standard_artifacts.ExampleStatistics: [f"Split-{split}/FeatureStats.pb" for split in SPLITS],
    standard_artifacts.ExampleAnomalies: [f"Split-{split}/SchemaDiff.pb" for split in SPLITS],
    standard_artifacts.Schema: ["schema.pbtxt"],
    standard_artifacts.TransformGraph: [
        "transformed_metadata/schema.pbtxt",
        *(f"transform_fn/{name}" for name in SAVED_MODEL),
    ],
    standard_artifacts.HyperParameters: ["best_hyperparameters.txt"],
    standard_artifacts.Model: [f"Format-Serving/{name}" for name in SAVED_MODEL],
    standard_artifacts.ModelEvaluation: [
        "eval_config.json",
        "metrics-00000-of-00001.tfrecord",
        "plots-00000-of-00001.tfrecord",
        "validations.tfrecord",
    ],
    ValidationBlessing: ["drift.json"],
    ModelCard: ["evidence.json", "model_card.html", "model_card.json", "predictions.parquet"],
}


def write_files(artifact, directory: Path):
    """Gives the artifact a directory with the files of its type."""
    artifact.uri = str(directory)
    if type(artifact) in (
        standard_artifacts.Examples,
        standard_artifacts.ExampleStatistics,
        standard_artifacts.ExampleAnomalies,
    ):
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    directory.mkdir(parents=True, exist_ok=True)
    for name in FILES.get(type(artifact), ()):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    return artifact


def judge(model, *verdicts, author="ann@here"):
    """Records the files of a model as the Trainer does, and notes them in verdicts as its judges do."""
    record_files(model, author)
    for verdict in verdicts:
        with judging(model, verdict):
            pass
