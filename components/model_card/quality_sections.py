"""Formats the sections about the quality of the model."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.evaluator.report import OVERALL
from components.model_card import plots
from components.model_card.baseline import BaselineComparison
from components.model_card.card import Card
from components.model_card.document import (
    Block,
    CardSection,
    Items,
    Paragraph,
    Table,
    change,
    facts,
    interval,
    number,
    unavailable,
    value_or_reason,
)
from components.model_card.evidence import NotAvailable, Share
from components.model_card.robustness import Robustness
from schema.data_set import describe_metric, describe_slice

_LEVEL = "Intervals contain the true value in 95 of 100 cases"


@dataclass(frozen=True)
class Headline:
    """A figure at the top of the card: its title, its value, and what it refers to."""

    title: str
    value: str
    detail: str


def headline_figures(card: Card) -> list[Headline]:
    """Returns the figures that a reader of the card looks for first."""
    quality = card.quality
    accuracy = quality.slices[OVERALL].accuracy
    weakest, recall = min(((name, part.recall) for name, part in quality.classes.items()), key=lambda one: one[1].value)
    baseline = card.baseline
    figures = [
        Headline("Accuracy", f"{100 * accuracy.value:.2f} %", f"95 % interval {_percentages(accuracy)}"),
        Headline(
            f"Recall of {weakest}", f"{100 * recall.value:.2f} %", f"the lowest; 95 % interval {_percentages(recall)}"
        ),
        Headline("Calibration error", f"{card.calibration.error:.3f}", "expected, on the test rows"),
        Headline("Latency", f"{card.serving.milliseconds['p50']:.1f} ms", "median of one text, without a network"),
    ]
    if not isinstance(baseline, NotAvailable):
        bounds = f"95 % interval {100 * baseline.low:+.2f} to {100 * baseline.high:+.2f}"
        detail = f"points against model {baseline.model}; {bounds}"
        figures.insert(1, Headline("Change of accuracy", f"{100 * baseline.change:+.2f}", detail))
    return figures


def _percentages(share: Share) -> str:
    return f"{100 * share.low:.2f} to {100 * share.high:.2f}"


def quality_sections(card: Card) -> list[CardSection]:
    """Returns the sections verdict, use, quality, calibration, baseline, errors and robustness."""
    return [
        CardSection("verdict", "Verdict", list(_verdict(card))),
        CardSection("use", "Intended use and limits", list(_use(card))),
        CardSection("quality", "Quality on the test rows", list(_quality(card))),
        CardSection("calibration", "Calibration", list(_calibration(card))),
        CardSection("baseline", "Comparison with the baseline", list(_baseline(card))),
        CardSection("errors", "Worst errors", list(_errors(card))),
        CardSection("robustness", "Robustness", list(_robustness(card))),
    ]


def _verdict(card: Card) -> Iterator[Block]:
    verdicts = card.verdicts
    if card.data.synthetic:
        yield Paragraph(
            "The rows are synthetic: the figures do not show the model's quality on real texts.", warning=True
        )
    blessed = "The Evaluator blessed the model" if verdicts.blessed else "The Evaluator did not bless the model"
    servable = (
        "It was served and gave the expected answers"
        if verdicts.infra_blessed
        else f"It could not be served: {verdicts.infra_reason or 'the validator gave no reason'}"
    )
    yield Paragraph(f"{blessed}. {servable}.", warning=not (verdicts.blessed and verdicts.infra_blessed))
    if verdicts.reasons:
        yield Items("Why it was not blessed", verdicts.reasons)
    rows = [
        [
            describe_metric(threshold.metric, threshold.slice, threshold.against_baseline),
            "passed" if threshold.passed else "MISSED",
            (change if threshold.against_baseline else number)(threshold.value),
            f"≥ {threshold.bound:+g}" if threshold.against_baseline else f"≥ {threshold.bound:g}",
        ]
        for threshold in verdicts.thresholds
    ]
    yield Table("Thresholds of the Evaluator", ("figure", "verdict", "reached", "required"), rows, texts=2)
    if not any(threshold.against_baseline for threshold in verdicts.thresholds):
        yield Paragraph("Without a baseline, the thresholds against it were not checked.")
    if verdicts.must_pass:
        yield Table(
            "Texts that must be classified correctly",
            ("text", "required", "answer", "probability", "verdict"),
            [
                [one.text, one.expected, one.answer, number(one.probability), "passed" if one.passed else "MISSED"]
                for one in verdicts.must_pass
            ],
            texts=3,
        )


def _use(card: Card) -> Iterator[Block]:
    owner = card.owner
    yield Paragraph("The owners wrote this section (model_card.owner_file); all others come from the run.")
    yield facts("Owners", {entry.name: entry.contact for entry in owner.owners})
    yield Items("Users", owner.users)
    yield Items("Use cases", owner.use_cases)
    yield Items("Out of scope", owner.out_of_scope)
    yield Items("Limitations", owner.limitations)
    yield Items("Trade-offs", owner.tradeoffs)
    rows = [[entry.risk, entry.mitigation] for entry in owner.ethical_considerations]
    yield Table("Ethical considerations", ("risk", "mitigation"), rows, texts=None)
    yield Items("License of the data", [owner.data.license])
    yield Items("Sensitive data", owner.data.sensitive)


def _quality(card: Card) -> Iterator[Block]:
    quality = card.quality
    accuracies = [(describe_slice(name), part.accuracy) for name, part in quality.slices.items()]
    yield plots.intervals(
        "accuracy",
        "Accuracy by slice",
        [(name, share.value, share.low, share.high) for name, share in accuracies],
        quality.slices[OVERALL].accuracy.value,
    )
    rows = [
        [
            describe_slice(name),
            f"{part.rows:,}",
            number(part.accuracy.value),
            interval(part.accuracy),
            number(part.baseline),
        ]
        for name, part in quality.slices.items()
    ]
    yield Table("Accuracy by slice", ("slice", "rows", "accuracy", "95 % interval", "baseline"), rows)
    yield Table(
        "By class, over all rows",
        ("class", "precision", "95 % interval", "recall", "95 % interval", "F1", "AUC"),
        [
            [
                name,
                *(number(part.precision.value), interval(part.precision)),
                *(number(part.recall.value), interval(part.recall)),
                *(number(part.f1), number(part.auc)),
            ]
            for name, part in quality.classes.items()
        ],
    )
    yield Table(
        "Confusion matrix: share of each true class's rows by answer, with their number",
        ("true class", *quality.classes),
        [
            [name, *(f"{100 * count / max(1, sum(counts)):.1f} % ({count:,})" for count in counts)]
            for name, counts in zip(quality.classes, quality.confusion, strict=True)
        ],
        heat=[[count / max(1, sum(counts)) for count in counts] for counts in quality.confusion],
    )
    yield facts("Other metrics over all rows", {name: number(value) for name, value in quality.overall.items()})
    yield Paragraph(
        f"{_LEVEL}; they are Wilson's. The metrics are the Evaluator's. Calibration, errors, comparison and robustness "
        f"use the card's own predictions, which have an accuracy of {quality.repeated_accuracy:.4f}."
    )


def _calibration(card: Card) -> Iterator[Block]:
    calibration = card.calibration
    yield plots.reliability(
        "reliability",
        "Reliability diagram of the test rows",
        [(f"{b.confidence:.4f}", b.accuracy.value, b.accuracy.low, b.accuracy.high) for b in calibration.bins],
    )
    before, temperature = calibration.error_before, calibration.temperature
    if calibration.not_calibrated:
        yield Paragraph(f"Not calibrated, the temperature is 1: {calibration.not_calibrated}.")
    yield facts(
        "Expected calibration error on test, 15 bins",
        {
            "as served": number(calibration.error),
            "without temperature": value_or_reason(before, number),
            "temperature" if calibration.not_calibrated else "temperature, learned on val": value_or_reason(
                temperature, number
            ),
        },
    )
    yield Table(
        "Bins",
        ("mean confidence", "rows", "accuracy", "95 % interval"),
        [
            [number(b.confidence), f"{b.rows:,}", number(b.accuracy.value), interval(b.accuracy)]
            for b in calibration.bins
        ],
    )


def _baseline(card: Card) -> Iterator[Block]:
    baseline = card.baseline
    if isinstance(baseline, NotAvailable):
        yield unavailable(baseline)
        return
    test = baseline.test
    yield facts(
        "Both models on the same test rows",
        {
            "baseline": f"model {baseline.model}",
            "accuracy of the baseline": number(baseline.accuracy),
            "change of accuracy": f"{change(baseline.change)}, 95 % interval {_bounds(baseline)}",
            "rows that only the new model has right": f"{test.only_first:,}",
            "rows that only the baseline has right": f"{test.only_second:,}",
            "rows with different answers": f"{baseline.other_answers:,}",
            "McNemar's exact test": f"p = {test.p_value:.3g}",
        },
    )
    significant = "differ by more than chance explains" if test.p_value < 0.05 else "do not differ significantly"
    yield Paragraph(f"At the level of 5 % the two {significant}.")


def _bounds(measured: BaselineComparison | Robustness) -> str:
    return f"{measured.low:+.4f} to {measured.high:+.4f}"


def _errors(card: Card) -> Iterator[Block]:
    if not card.errors:
        yield Paragraph("The model made no error on the test rows.")
        return
    yield Table(
        "Wrong answers with the highest probability",
        ("true class", "answer", "probability", "title and description", "row"),
        [
            [error.true_class, error.answer, number(error.probability), f"{error.title}: {error.description}", error.id]
            for error in card.errors
        ],
        texts=None,
    )


def _robustness(card: Card) -> Iterator[Block]:
    found = {name: check for name, check in card.robustness.items() if not isinstance(check, NotAvailable)}
    if found:
        changes = [(name, check.change, check.low, check.high) for name, check in found.items()]
        yield plots.intervals("robustness-changes", "Change of accuracy on changed texts", changes, 0.0)
    yield Table(
        "Accuracy on changed texts",
        ("check", "rows", "as they are", "changed", "change", "95 % interval", "other answers"),
        [
            [
                f"{name}: {check.meaning}",
                f"{check.rows:,}",
                *(number(check.before), number(check.after), change(check.change)),
                *(_bounds(check), f"{check.other_answers:,}"),
            ]
            for name, check in found.items()
        ],
    )
    for name, check in card.robustness.items():
        if isinstance(check, NotAvailable):
            yield unavailable(check, name.capitalize())
    yield Paragraph(
        "Each check uses rows that it changes, drawn at random from the test rows with the seed "
        f"{card.robustness_seed}. {_LEVEL}; they are for a paired change (Agresti and Min 2005)."
    )
