"""Formats the sections about the origin and the cost of the model."""

from collections.abc import Iterator

from components.model_card import plots
from components.model_card.card import Card
from components.model_card.document import (
    Block,
    CardSection,
    Paragraph,
    Table,
    facts,
    number,
    unavailable,
    value_or_reason,
)
from components.model_card.environment import Environment, Revision
from components.model_card.evidence import NotAvailable
from components.model_card.training import Training
from schema.features import TRAIN
from schema.wording import amount

_SHARED = ("loss", "accuracy")


def provenance_sections(card: Card) -> list[CardSection]:
    """Returns the sections data, vocabulary, training, serving, cost, environment and lineage."""
    return [
        CardSection("data", "Data", list(_data(card))),
        CardSection("vocabulary", "Vocabulary", list(_vocabulary(card))),
        CardSection("training", "Network and training", list(_training(card))),
        CardSection("cost", "Time, size and energy", list(_cost(card))),
        CardSection("environment", "Environment", list(_environment(card.environment))),
        CardSection("lineage", "Lineage", list(_lineage(card))),
    ]


def _data(card: Card) -> Iterator[Block]:
    data = card.data
    quarantined = ", ".join(f"{reason} {count:,}" for reason, count in data.quarantined.items())
    yield facts(
        card.owner.data.name,
        {
            "source": data.source,
            "link": card.owner.data.link,
            "spans" if len(data.spans) > 1 else "span": ", ".join(map(str, data.spans)),
            "rows read": f"{data.rows_read:,}",
            "rows quarantined": f"{data.rows_quarantined:,}" + (f": {quarantined}" if quarantined else ""),
            "duplicates": f"{data.duplicates:,}",
            "in both train and test": f"{data.train_test_overlap:,}",
            "SHA-256 of the written rows": data.examples.sha256,
            **{
                name.replace("_", " "): value if isinstance(value, str) else f"{value:,}"
                for name, value in data.preparation.items()
            },
        },
    )
    yield Table(
        "Class balance and text lengths, rows",
        ("split", "all", *data.splits[TRAIN].by_class, *data.splits[TRAIN].by_length),
        [
            [name, *(f"{count:,}" for count in (split.rows, *split.by_class.values(), *split.by_length.values()))]
            for name, split in data.splits.items()
        ],
    )


def _vocabulary(card: Card) -> Iterator[Block]:
    vocabulary = card.vocabulary
    yield facts(
        "Words",
        {"words": f"{vocabulary.words:,}", "coverage of the training tokens": f"{vocabulary.coverage:.4%}"},
    )
    yield Table(
        "Tokens that are not in the vocabulary",
        ("slice", "tokens", "unknown", "share"),
        [
            [name, f"{words.tokens:,}", f"{words.unknown:,}", number(words.share)]
            for name, words in vocabulary.by_slice.items()
        ],
    )


def _training(card: Card) -> Iterator[Block]:
    training = card.training
    if isinstance(training, NotAvailable):
        yield unavailable(training)
        return
    history = training.history
    for metric in _SHARED:
        series = {"train": history[metric], "val": history[f"val_{metric}"]}
        yield plots.curves(f"curve-{metric}", f"{metric.capitalize()} by epoch", series, training.best_epoch)
    yield _curves_table(training)
    yield Table(
        f"Layers of {training.architecture}",
        ("layer", "kind", "output", "parameters"),
        [
            *(
                [layer["name"], layer["kind"], " × ".join(map(str, layer["shape"])), f"{layer['parameters']:,}"]
                for layer in training.layers
            ),
            ["total", "", "", f"{training.parameters:,}"],
        ],
        texts=3,
    )
    yield facts("Hyperparameters", {name.replace("_", " "): _value(v) for name, v in training.hyperparameters.items()})


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _curves_table(training: Training) -> Table:
    names = list(training.history)
    rows = [
        [f"{epoch}{' (kept)' if epoch == training.best_epoch else ''}", *(f"{value:.5g}" for value in values)]
        for epoch, values in enumerate(zip(*training.history.values(), strict=True), 1)
    ]
    return Table("Training, epoch by epoch", ("epoch", *(name.replace("_", " ") for name in names)), rows)


def _cost(card: Card) -> Iterator[Block]:
    serving, training = card.serving, card.training
    if isinstance(training, NotAvailable):
        yield unavailable(training, "Training time")
    else:
        before, after = training.validation_error
        yield facts(
            "Training",
            {
                "seconds": f"{training.seconds:,.1f}",
                "rows": f"{training.rows:,}, of {amount(training.tokens_per_row, 'token')} in the mean",
                "steps": f"{training.steps:,}",
                "device": training.device,
                "TensorFlow that wrote the export": training.tensorflow,
                "seed": training.hyperparameters["seed"],
                "calibration error on val": f"{before:.4f}, not calibrated"
                if training.not_calibrated
                else f"{before:.4f} before the temperature, {after:.4f} after",
            },
        )
    quantiles = ", ".join(f"{name} {milliseconds:.2f}" for name, milliseconds in serving.milliseconds.items())
    yield facts(
        "Serving, in the process that wrote the card, without a network",
        {
            "milliseconds for one text": f"{quantiles} (of {amount(serving.timed_answers, 'answer')})",
            "texts a second, in batches": f"{serving.rows_per_second:,.0f}",
            "seconds to load": f"{serving.load_seconds:.2f}",
            "size": f"{card.export.bytes / 2**20:.2f} MiB in {amount(card.export.files, 'file')}",
        },
    )
    yield Paragraph("Energy was not measured. Time depends on the machine, which the next section names.")


def _environment(environment: Environment) -> Iterator[Block]:
    yield Paragraph(
        "This section describes the process that wrote the card; the training may have run earlier or elsewhere."
    )
    yield facts(
        "Machine and code",
        {
            "code revision": value_or_reason(environment.revision, _revision),
            "system": environment.system,
            "processor": f"{environment.processor}, {amount(environment.cores, 'core')}",
            "memory": f"{environment.memory_gib:.1f} GiB",
            "GPU": ", ".join(environment.gpus) or "none",
        },
    )
    yield facts("Versions", dict(environment.versions))


def _revision(revision: Revision) -> str:
    return f"{revision.commit}, {'with changes that are not committed' if revision.dirty else 'unchanged'}"


def _lineage(card: Card) -> Iterator[Block]:
    lineage = card.lineage
    yield facts(
        "This card",
        {
            "pipeline": lineage.pipeline,
            "written in run": lineage.run,
            "written at": card.written,
            "model": card.model,
            "SHA-256 of the export": card.export.sha256,
        },
    )
    yield Table(
        "Artifacts in the metadata store",
        ("role", "type", "id", "place"),
        [[source.role, source.type, str(source.id), source.uri] for source in lineage.sources],
        texts=None,
    )
    yield facts("Source code of the stages, fingerprints", dict(lineage.code))
