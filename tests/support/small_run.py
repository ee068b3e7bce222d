"""Settings of runs on few rows. They teach little, so these runs are not about accuracy."""

SMALL_RUN = {
    "trainer.epochs": "1",
    "trainer.embedding_dim": "16",
    "trainer.units": "8",
    "trainer.batch_tokens": "1000",
    "evaluator.min_accuracy": "0.1",
    "evaluator.min_label_recall": "0.0",
    "model_card.robustness_rows": "20",
}
# Several runs, each with a model that may be worse than the one before.
SMALL_RUNS = SMALL_RUN | {"evaluator.max_accuracy_drop": "1.0", "evaluator.max_label_recall_drop": "1.0"}


def set_options(settings):
    """Returns the options of a command that set these settings."""
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
