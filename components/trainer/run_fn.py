"""What the Trainer component runs: transformed examples in, a blessed-to-be SavedModel out."""

import logging
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from components.trainer import export, input_pipeline, recipe
from components.trainer.architectures import stacked_bilstm
from components.transform import RESERVED_IDS, VOCABULARY
from schema.features import CLASS_NAMES

logger = logging.getLogger(__name__)


def run_fn(fn_args: FnArgs) -> None:
    """Trains on `fn_args.train_files`, stops on `fn_args.eval_files`, exports to `fn_args.serving_model_dir`.

    `fn_args.custom_config` holds the trainer's settings by name, and `model_name`.
    """
    config: dict[str, Any] = fn_args.custom_config
    keras.utils.set_random_seed(config["seed"])
    tf.config.experimental.enable_op_determinism()
    recipe.grow_gpu_memory()

    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    words = [word.decode() for word in transform_output.vocabulary_by_name(VOCABULARY)]
    sizes = dict(
        vocabulary_size=len(words) + RESERVED_IDS,
        classes=len(CLASS_NAMES),
        **{name: config[name] for name in ("embedding_dim", "lstm_units", "dropout", "word_dropout", "seed")},
    )
    network = stacked_bilstm(**sizes)
    _train(network, fn_args)

    # Traced beside a GPU the layers become cuDNN operations, which a CPU server cannot load (keras#18504).
    portable = stacked_bilstm(**sizes, use_cudnn=False)
    portable.set_weights(network.get_weights())
    export.export_saved_model(portable, transform_output, fn_args.serving_model_dir)
    export.write_warmup_requests(words, fn_args.serving_model_dir, config["model_name"], config["warmup_requests"])


def _train(network: keras.Model, fn_args: FnArgs) -> None:
    config = fn_args.custom_config
    buckets = {"batch_size": config["batch_size"], "boundaries": config["bucket_boundaries"]}
    train = input_pipeline.read_rows(fn_args.train_files)
    val = input_pipeline.read_rows(fn_args.eval_files)
    steps = input_pipeline.count_batches(train, **buckets)
    epochs = config["epochs"]
    size = {"rows": len(train), "steps": steps, "parameters": network.count_params()}
    logger.info("training begins", extra={"fields": {**size, "tokens_per_row": round(train.token_counts.mean(), 1)}})
    recipe.compile_model(
        network,
        steps=steps * epochs,
        **{name: config[name] for name in ("learning_rate", "weight_decay", "ema_momentum")},
    )
    network.fit(
        input_pipeline.bucketed_batches(train, seed=config["seed"], **buckets),
        validation_data=input_pipeline.bucketed_batches(val, **buckets),
        epochs=epochs,
        callbacks=recipe.callbacks(
            network,
            patience=config["patience"],
            log_dir=fn_args.model_run_dir,
            rows=len(train),
            steps=steps,
            epochs=epochs,
        ),
        verbose=0,
    )
