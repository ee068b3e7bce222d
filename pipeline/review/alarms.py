"""Finds what is wrong with a model that servers load now."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.approval import Status
from pipeline.monitoring.archive import StoredReport
from pipeline.review.review_index import ReviewedModel
from pipeline.review.serving_state import ServedVersion

_ROLL_BACK = "agnews versions rollback --reason …"
_VERIFY = "agnews versions verify SERVING_DIR"


@dataclass(frozen=True)
class Alarm:
    """Something that is wrong with a live model.

    Attributes:
        text: what is wrong, one sentence.
        command: the command that helps.
    """

    text: str
    command: str


def find_alarms(
    version: ServedVersion | None,
    model: ReviewedModel | None,
    file_differences: Sequence[str],
    stored: StoredReport | None,
) -> list[Alarm]:
    """Returns the alarms of a live version, the most urgent first; none for a version that servers do not load.

    Args:
        version: the version; None if there is none.
        model: model that was pushed as this version.
        file_differences: differences from the pushed files, see `served_differences`.
        stored: latest monitoring report on the version.
    """
    if version is None or not (version.in_production or version.loaded):
        return []
    alarms = []
    if model and model.approval and model.approval.status is Status.REJECTED:
        rejections = "; ".join(f"{one.shown_who}: {one.why}" for one in model.approval.current if not one.approved)
        alarms.append(
            Alarm(f"Model {model.id} was rejected after its push, and it is still live ({rejections}).", _ROLL_BACK)
        )
    if file_differences:
        alarms.append(Alarm(f"Its files could not be verified: {'; '.join(file_differences)}.", _VERIFY))
    if version.problem:
        alarms.append(Alarm(f"Servers cannot load it: {version.problem}.", _ROLL_BACK))
    report = stored.read() if stored else None
    if report and report.alerts:
        alarms.append(Alarm(f"Monitoring found {'; '.join(map(str, report.alerts))}.", _ROLL_BACK))
    return alarms
