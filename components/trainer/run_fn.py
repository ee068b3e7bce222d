"""The user function of the Trainer component: trains on transformed examples and exports a SavedModel."""

from typing import TYPE_CHECKING, Any

import keras_tuner
import tensorflow_transform as tft

from components.trainer import devices, export, input_pipeline
from components.trainer.settings import Recipe
from components.trainer.training import Trained, build, train
from components.trainer.warm_start import read_base_model
from schema.data_set import DataSet
from schema.model_contract import RESERVED_IDS, VOCABULARY

if TYPE_CHECKING:  # Each worker of a distributed training would spend ten seconds on the import.
    from tfx.components.trainer.fn_args_utils import FnArgs


def run_fn(fn_args: "FnArgs") -> None:
    """Trains a model and exports it. With several workers in TF_CONFIG, each runs this and only the chief exports.

    Args:
        fn_args: uses these attributes: `train_files` and `eval_files`, the rows of train and val;
            `serving_model_dir`, the directory of the export; `custom_config`, the trainer's settings by name,
            `model_name`, `checkpoint_root` and `code`; `hyperparameters`, the Tuner's result, which overrides the
            settings; `base_model`, the export to start from, if any.
    """
    if devices.worker_count() > 1:
        devices.join_workers()
    config: dict[str, Any] = dict(fn_args.custom_config)
    if fn_args.hyperparameters:
        config |= keras_tuner.HyperParameters.from_config(fn_args.hyperparameters).values
    recipe = Recipe.from_config(config)
    class_names = DataSet.decode(config.get("data_set")).class_names
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    words = [word.decode() for word in transform_output.vocabulary_by_name(VOCABULARY)]
    trained = train(
        input_pipeline.open_rows(fn_args.train_files, max_memory_rows=config["max_memory_rows"]),
        input_pipeline.read_rows(fn_args.eval_files),
        words,
        recipe,
        checkpoint_root=config["checkpoint_root"],
        code=config["code"],
        log_dir=fn_args.model_run_dir,
        base=read_base_model(fn_args.base_model) if fn_args.base_model else None,
        classes=len(class_names),
    )
    if devices.worker_index() == 0:
        _export(trained, recipe, words, transform_output, fn_args.serving_model_dir, config)
        curves = export.training_folder(fn_args.serving_model_dir)
        export.write_curves(trained.facts["history"], trained.facts["best_epoch"], curves)
    if devices.worker_count() > 1:
        devices.wait_for_workers()
    trained.checkpoint.remove()


def _export(
    trained: Trained,
    recipe: Recipe,
    words: list[str],
    transform_output: tft.TFTransformOutput,
    export_dir: str,
    config: dict[str, Any],
) -> None:
    # On a machine with a GPU, layers are traced as cuDNN operations, which a CPU server cannot load (keras#18504).
    data_set = DataSet.decode(config.get("data_set"))
    classes = len(data_set.class_names)
    portable = build(recipe, vocabulary_size=len(words) + RESERVED_IDS, classes=classes, use_cudnn=False)
    portable.set_weights(trained.network.get_weights())
    export.export_saved_model(
        portable,
        transform_output,
        export_dir,
        temperature=trained.facts["calibration"]["temperature"],
        titles_only=recipe.network.titles_only,
        data_set=data_set,
    )
    export.write_warmup_requests(words, export_dir, config["model_name"], config["warmup_requests"])
    described = {
        "architecture": recipe.architecture,
        "class_names": data_set.class_names,
        "layers": export.layer_facts(portable),
        "recipe": recipe.model_dump(),
    }
    export.write_facts(described | trained.facts, export_dir)
