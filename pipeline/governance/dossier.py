"""Collects what the technical documentation of an AI system has to contain, with the place of each figure.

The items follow Annex IV of Regulation (EU) 2024/1689 (the AI Act), and a second table follows the functions of NIST's
AI Risk Management Framework 1.0 (NIST AI 100-1). They are paraphrased. Whether an application falls under the
regulation, and whether the answers suffice, is for the provider to judge.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore

from components.model_card.document import template_environment
from components.model_card.render import read_evidence, to_json
from pipeline.governance.approvals import Approvals, Request
from pipeline.governance.audit_check import audit_log
from pipeline.governance.bom import to_bom
from pipeline.metadata.lineage import find_card, model_lineage
from pipeline.settings import Settings
from schema.data_set import LABEL, describe_metric, describe_slice
from schema.errors import DataError
from schema.files import replace_file
from schema.wording import amount
from serving.audit import Entry
from serving.versions import pushed_versions

HTML_FILE, JSON_FILE, BOM_FILE = "dossier.html", "dossier.json", "ml-bom.cdx.json"
_PROVIDER = "the provider"


@dataclass(frozen=True)
class DossierItem:
    """One item of the documentation.

    Attributes:
        reference: number of the item, for instance "2(g)".
        requirement: what has to be described, in our words.
        answers: what this project knows about it, one sentence or figure each.
        sources: where the answers come from.
        missing: what somebody has to write, and who; None if nothing is missing.
    """

    reference: str
    requirement: str
    answers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    missing: str | None = None


@dataclass(frozen=True)
class Dossier:
    """The documentation of one pushed version.

    Attributes:
        model: name of the served model.
        version: the pushed version.
        model_id: id of the model in the metadata store.
        made: time of writing, UTC, ISO 8601.
        items: by Annex IV of the AI Act, in its order.
        functions: by the functions of NIST's framework: for each, sentences with the place of the evidence.
    """

    model: str
    version: int
    model_id: int
    made: str
    items: tuple[DossierItem, ...]
    functions: dict[str, tuple[str, ...]]

    @property
    def missing(self) -> list[DossierItem]:
        """The items for which something has to be written."""
        return [item for item in self.items if item.missing]


@dataclass(frozen=True)
class _Evidence:
    """What is known about a version: its card, approval request, log entries, and the latest monitoring report."""

    card: Mapping[str, Any]
    card_path: str
    request: Request | None
    entries: Sequence[Entry]
    log: str
    monitoring: Mapping[str, Any] | None
    monitoring_path: str


def write_dossier(
    settings: Settings, store: MetadataStore, version: int, monitoring: Path | None, directory: Path, now: datetime
) -> Dossier:
    """Writes `dossier.html`, `dossier.json` and `ml-bom.cdx.json` of a pushed version.

    Args:
        settings: where versions, the audit log and the metadata store are.
        store: the metadata store.
        version: the pushed version.
        monitoring: `monitoring.json` of the latest report on the version; None if there is none.
        directory: an existing directory.
        now: time of writing, with a time zone.

    Raises:
        DataError: the version is not there, or has no model card.
    """
    name = settings.pusher.model_name
    pushed = pushed_versions(Path(settings.pusher.destination) / name).get(version)
    if pushed is None or pushed.model_id is None:
        raise DataError(
            f"{settings.pusher.destination} has no version {version} of {name} that names its model; "
            "agnews versions list shows the versions"
        )
    evidence = _evidence(settings, store, pushed.model_id, version, monitoring, now)
    items = tuple(_items(evidence))
    made = now.isoformat(timespec="seconds")
    dossier = Dossier(name, version, pushed.model_id, made, items, _functions(evidence))
    bom = to_bom(evidence.card, name, version, made)
    replace_file(directory / BOM_FILE, to_json(bom).encode())
    replace_file(directory / JSON_FILE, to_json(asdict(dossier)).encode())
    replace_file(directory / HTML_FILE, _page(dossier).encode())
    return dossier


def _evidence(
    settings: Settings, store: MetadataStore, model: int, version: int, monitoring: Path | None, now: datetime
) -> _Evidence:
    card = find_card(store, model_lineage(store, model).model)
    if card is None:
        raise DataError(f"model {model} has no model card to make the dossier from; name a version whose run wrote one")
    log = audit_log(settings)
    entries = [line.entry for line in log.lines() if line.entry]
    request = next((one for one in Approvals(store, settings, log).requests(now) if one.model_id == model), None)
    return _Evidence(
        card=read_evidence(card.uri),
        card_path=card.uri,
        request=request,
        entries=[entry for entry in entries if version in (entry.version, entry.details.get("from"))],
        log=str(log.path),
        monitoring=json.loads(monitoring.read_text(encoding="utf-8")) if monitoring else None,
        monitoring_path=str(monitoring.parent) if monitoring else "",
    )


def _items(of: _Evidence) -> Iterator[DossierItem]:
    yield from _general(of)
    yield from _development(of)
    yield from _operation(of)


def _general(of: _Evidence) -> Iterator[DossierItem]:
    card, owner = of.card, of.card["owner"]
    place = f"{of.card_path}/model_card.html"
    yield DossierItem(
        "1(a)",
        "intended purpose, name of the provider, version and its relation to earlier versions",
        (
            owner["overview"],
            *(f"Intended use: {use}" for use in owner["use_cases"]),
            f"Owner: {', '.join(one['name'] for one in owner['owners'])}",
            f"Model {card['model']}, SHA-256 of the export {card['export']['sha256']}",
            _comparison(card["baseline"]),
        ),
        (place,),
    )
    yield DossierItem(
        "1(b)",
        "interaction with other hardware, software and AI systems",
        ("Served by TensorFlow Serving's API over gRPC and REST.",),
        ("docs/reference/model-contract.md",),
        f"which systems call the model, and what they do with its answers: {_PROVIDER}",
    )
    versions = card["environment"]["versions"]
    yield DossierItem(
        "1(c)",
        "versions of relevant software",
        (", ".join(f"{name} {number}" for name, number in versions.items()),),
        (place, BOM_FILE),
    )
    yield DossierItem(
        "1(d)",
        "forms in which the system is put into service",
        ("A SavedModel directory, a container image, a model server.",),
        ("docs/guides/container.md", "docs/guides/tensorflow-serving.md"),
    )
    environment = card["environment"]
    yield DossierItem(
        "1(e)",
        "hardware on which the system is intended to run",
        (
            f"Trained on {environment['processor']}, {amount(environment['cores'], 'core')}, "
            f"{environment['memory_gib']:.0f} GiB, GPUs: {', '.join(environment['gpus']) or 'none'}",
        ),
        (place,),
        f"the hardware in production: {_PROVIDER}",
    )
    yield DossierItem(
        "1(f) to 1(h)",
        "product pictures, user interface, instructions for use",
        tuple(f"Not for: {use}" for use in owner["out_of_scope"]),
        (place,),
        f"the interface that people see, and their instructions: {_PROVIDER}",
    )


def _development(of: _Evidence) -> Iterator[DossierItem]:
    card = of.card
    place = f"{of.card_path}/model_card.html"
    training, data, revision = card["training"], card["data"], card["environment"]["revision"]
    commit = revision.get("commit")
    yield DossierItem(
        "2(a)",
        "methods and steps of development, and third parties' models and tools",
        (
            "Each step is a component of the pipeline; the metadata store records its inputs and settings.",
            f"Source code: commit {commit}{', with changes' if revision.get('dirty') else ''}"
            if commit
            else f"Source code: {revision.get('not_available', 'unknown')}",
        ),
        (place, "docs/explanation/architecture.md"),
    )
    yield DossierItem(
        "2(b)",
        "design: logic, key choices and assumptions, what is optimised, trade-offs",
        (*_training(training), *(f"Trade-off: {one}" for one in card["owner"]["tradeoffs"])),
        (place, "docs/explanation/training.md"),
    )
    yield DossierItem(
        "2(c)",
        "architecture and computing resources for development, testing and validation",
        (f"{training['seconds']:,.0f} s of training on {training['device']}",) if "seconds" in training else (),
        (place,),
    )
    splits = ", ".join(f"{split['rows']:,} {name}" for name, split in data["splits"].items())
    owner = card["owner"]["data"]
    yield DossierItem(
        "2(d)",
        "data: provenance, scope, selection, labelling, cleaning",
        (
            f"{owner['name']} ({owner['link']}), licence: {owner['license']}",
            f"{amount(data['rows_read'], 'row')} read, {data['rows_quarantined']:,} quarantined, "
            f"{amount(data['duplicates'], 'duplicate')}, {data['train_test_overlap']:,} in both train and test: "
            f"{splits} rows" + ("; the rows are synthetic" if data["synthetic"] else ""),
            f"SHA-256 of the written rows: {data['examples']['sha256']}",
            *(f"Sensitive: {one}" for one in owner["sensitive"]),
        ),
        (place, data["source"]),
        f"how the labels were given, and by whom, for data of your own: {_PROVIDER}",
    )
    yield _oversight(of)
    yield DossierItem(
        "2(f)",
        "changes that are planned in advance",
        ("A new version is pushed only if it passes the gates below; a promotion can be rolled back.",),
        ("docs/guides/promotion.md", "docs/guides/continuous-training.md"),
    )
    verdicts = card["verdicts"]
    yield DossierItem(
        "2(g)",
        "validation and testing: data, metrics, results, dated and signed reports",
        (
            *_accuracy(card),
            *(_threshold(one) for one in verdicts["thresholds"]),
            f"Blessed: {verdicts['blessed']}; served and queried on trial: {verdicts['infra_blessed']}",
            f"Report of {card['written'][:10]}",
        ),
        (place, of.log),
    )
    pushes = [entry for entry in of.entries if entry.action == "push"]
    signed = any("signature" in entry.details for entry in pushes)
    yield DossierItem(
        "2(h)",
        "cybersecurity",
        (
            "The files of a version are compared with the fingerprints of its push; the audit log is a hash chain.",
            f"This push is {'signed' if signed else 'not signed'}.",
        ),
        (of.log, "docs/explanation/trust-model.md"),
        f"the security of the environment around it: {_PROVIDER}",
    )


def _oversight(of: _Evidence) -> DossierItem:
    request = of.request
    decisions = (
        tuple(
            f"{'approved' if one.approved else 'rejected'} by {one.shown_who}, {_minute(one.when)} UTC: {one.why}"
            for one in request.decisions
        )
        if request
        else ()
    )
    missing = None if decisions else f"who decided that this model may go out, without a recorded approval: {_PROVIDER}"
    return DossierItem(
        "2(e)",
        "human oversight (Article 14)",
        ((f"Trained by {request.author or 'unknown'}",) if request else ()) + decisions,
        (of.log, "docs/guides/approvals.md"),
        missing,
    )


def _operation(of: _Evidence) -> Iterator[DossierItem]:
    card, owner = of.card, of.card["owner"]
    place = f"{of.card_path}/model_card.html"
    yield DossierItem(
        "3",
        "capabilities and limits, accuracy for groups, foreseeable unintended outcomes",
        (
            *(f"Limit: {one}" for one in owner["limitations"]),
            *_groups(card),
            *(f"Risk: {one['risk']} Mitigation: {one['mitigation']}" for one in owner["ethical_considerations"]),
            *_robustness(card),
        ),
        (place,),
    )
    yield DossierItem(
        "4",
        "why the metrics are appropriate",
        ("Accuracy and the recall of each class, since all errors cost the same unless the owner says otherwise.",),
        (place,),
        f"whether errors of one class cost more in your application: {_PROVIDER}",
    )
    yield DossierItem("5", "risk management system (Article 9)", (), (), f"its description: {_PROVIDER}")
    yield DossierItem(
        "6",
        "relevant changes through the life cycle",
        tuple(
            f"{_minute(entry.when)} UTC: {entry.action} {entry.version_change} by {entry.shown_by or entry.who}"
            + (f": {entry.why}" if entry.why else "")
            for entry in of.entries
        ),
        (of.log,),
    )
    yield DossierItem("7", "harmonised standards that are applied", (), (), f"their list: {_PROVIDER}")
    yield DossierItem("8", "EU declaration of conformity", (), (), f"a copy of it: {_PROVIDER}")
    yield _after_the_push(of)


def _after_the_push(of: _Evidence) -> DossierItem:
    report = of.monitoring
    if report is None:
        absent = f"no report of agnews monitor on this version: run it on the request log ({_PROVIDER})"
        return DossierItem("9", "evaluation after the push (Article 72)", (), ("docs/guides/monitoring.md",), absent)
    quality = report.get("quality")
    answers = [
        f"{amount(report['rows'], 'logged text')} up to {_minute(report['windows'][-1]['start'])} UTC, "
        f"{amount(len(report['alerts']), 'alert')}"
    ]
    if quality:
        accuracy = quality["accuracy"]
        answers.append(
            f"{amount(accuracy['rows'], 'item')} labelled later: accuracy {accuracy['correct'] / accuracy['rows']:.4f} "
            f"({accuracy['low']:.4f} to {accuracy['high']:.4f})"
        )
    missing = None if quality else f"labels of items in production (agnews labels): {_PROVIDER}"
    return DossierItem("9", "evaluation after the push (Article 72)", tuple(answers), (of.monitoring_path,), missing)


def _functions(of: _Evidence) -> dict[str, tuple[str, ...]]:
    decided = len(of.request.decisions) if of.request else 0
    return {
        "Govern": (
            f"{amount(decided, 'recorded decision')} on this model: 2(e)",
            f"{amount(len(of.entries), 'entry', 'entries')} of the audit log about this version: 6",
        ),
        "Map": ("Purpose, users and uses out of scope: 1(a), 1(f) to 1(h)", "Known limits and risks: 3"),
        "Measure": (
            "Accuracy, recall, calibration and robustness, with intervals: 2(g), 3",
            "Drift, skew and accuracy in production: 9",
        ),
        "Manage": (
            "Gates before the push, canary and roll-back after it: 2(f)",
            "Alerts of runs and monitoring: docs/guides/alerts.md",
        ),
    }


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _comparison(baseline: Mapping[str, Any]) -> str:
    if "not_available" in baseline:
        return f"Earlier version: {baseline['not_available']}"
    return (
        f"Compared with model {baseline['model']}: accuracy {baseline['change']:+.4f} "
        f"({baseline['low']:+.4f} to {baseline['high']:+.4f})"
    )


def _training(training: Mapping[str, Any]) -> tuple[str, ...]:
    if "not_available" in training:
        return (training["not_available"],)
    return (
        f"Network: {training['architecture']}, {amount(training['parameters'], 'parameter')}",
        f"Trained {amount(len(training['history']['loss']), 'epoch')} on {amount(training['rows'], 'row')}, epoch "
        f"{training['best_epoch']} kept",
    )


def _share(share: Mapping[str, float]) -> str:
    return f"{share['value']:.4f} ({share['low']:.4f} to {share['high']:.4f})"


def _accuracy(card: Mapping[str, Any]) -> Iterator[str]:
    whole = card["quality"]["slices"]["all"]
    yield f"Accuracy on {amount(whole['rows'], 'test row')}: {_share(whole['accuracy'])}"
    yield f"Expected calibration error: {card['calibration']['error']:.4f}"


def _groups(card: Mapping[str, Any]) -> Iterator[str]:
    for name, one in card["quality"]["classes"].items():
        yield f"Recall of {name}: {_share(one['recall'])}"
    for name, one in card["quality"]["slices"].items():
        if name != "all" and not name.startswith(f"{LABEL}="):
            yield f"Accuracy on {describe_slice(name)}: {_share(one['accuracy'])}, {amount(one['rows'], 'row')}"


def _robustness(card: Mapping[str, Any]) -> Iterator[str]:
    for name, one in card["robustness"].items():
        if "not_available" not in one:
            yield f"Robustness, {name} ({one['meaning']}): accuracy {one['before']:.4f} → {one['after']:.4f}"


def _threshold(one: Mapping[str, Any]) -> str:
    figure = describe_metric(one["metric"], one["slice"], one["against_baseline"])
    return f"{figure}: {one['value']:.4f}, required {one['bound']:g}, {'passed' if one['passed'] else 'missed'}"


def _page(dossier: Dossier) -> str:
    environment = template_environment("pipeline.governance")
    return environment.get_template("dossier.html.j2").render(dossier=dossier)
