"""Promotes and rolls back: moves a label and updates the versions to load."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schema.interruption import uninterruptible
from serving.promotion import config, plan
from serving.promotion.config import CANARY, CONFIG_FILE, STABLE, Served
from serving.promotion.deployment import Deployment
from serving.promotion.errors import PromotionError
from serving.promotion.record import CANCELED, COMPLETE, FAILED, PROMOTE, ROLLBACK, Record
from serving.versions import PushedVersion, loadable


@dataclass(frozen=True)
class Signature:
    """The user who makes a change, and the reason."""

    who: str
    why: str = ""


def promote(deployment: Deployment, version: int, label: str, signature: Signature) -> Record | None:
    """Moves a label to a version and has the version loaded.

    Args:
        deployment: the serving directory.
        version: a loadable version in the directory.
        label: `stable` or `canary`.
        signature: user and reason for the record.

    Returns:
        The closed record, or None if the version already has the label.

    Raises:
        PromotionError: the version cannot be served, there is no `stable` next to `canary`, or the server refused.
    """
    with deployment.locked():
        versions, before = deployment.versions(), deployment.loaded()
        _require_whole(deployment, version, versions)
        if before.labels.get(label) == version:
            return None
        if label == CANARY and STABLE not in before.labels:
            raise PromotionError(
                f"no version is labelled {STABLE} yet, with which a {CANARY} is compared; first: "
                f"agnews promote {before.live or version} --label {STABLE}"
            )
        fallback = before.live if label == STABLE else plan.live_before(deployment.records.all(), before.live)
        after = plan.promoted(before, version, label, _if_whole(fallback, versions))
        for other, labelled in after.labels.items():
            if labelled not in loadable(versions):
                raise PromotionError(
                    f"{other} is version {labelled}, which is not there or not whole: nothing would be left to serve "
                    f"for it; first: agnews promote VERSION --label {other}"
                )
        left = before.labels.get(label, before.live if label == STABLE else None)
        record = new_record(PROMOTE, signature, label, left, version)
        return _change(deployment, record, versions[version], before, after)


def end_canary(deployment: Deployment, signature: Signature) -> Record | None:
    """Removes the label `canary`, and unloads its version unless it is in use otherwise.

    Returns:
        The closed record, or None if no version is the canary.

    Raises:
        PromotionError: `stable` has no version that could be loaded, or the server refused.
    """
    with deployment.locked():
        versions, before = deployment.versions(), deployment.loaded()
        version = before.labels.get(CANARY)
        if version is None:
            return None
        labels = {label: labelled for label, labelled in before.labels.items() if label != CANARY}
        if STABLE not in labels:
            raise PromotionError(
                f"no version is labelled {STABLE}, so nothing would be served; first: agnews promote VERSION --label "
                f"{STABLE}"
            )
        _require_whole(deployment, labels[STABLE], versions)
        fallback = plan.live_before(deployment.records.all(), before.live)
        after = plan.unlabelled(before, CANARY, _if_whole(fallback, versions))
        record = new_record(PROMOTE, signature, CANARY, version, None)
        return _change(deployment, record, versions[labels[STABLE]], before, after)


def roll_back(deployment: Deployment, version: int | None, signature: Signature) -> Record:
    """Moves `stable` back to a given version or to the previous production version.

    The other labels of the abandoned version move too, and that version is unloaded. The previous production version is
    taken from the records. If they do not contain it, it is the next lower loadable version that was not rolled back.

    Raises:
        PromotionError: there is no version to roll back to, or the server refused.
    """
    with deployment.locked():
        versions, before = deployment.versions(), deployment.loaded()
        if before.live is None:
            raise PromotionError(
                f"{deployment.config_path} is not there or names no version, so nothing is served that could be rolled "
                f"back; agnews promote VERSION --label {STABLE} makes it"
            )
        target = _previous_version(deployment, before.live, versions) if version is None else version
        _require_whole(deployment, target, versions)
        if target == before.live:
            raise PromotionError(f"version {target} is in production already; name another one: agnews versions")
        record = new_record(ROLLBACK, signature, STABLE, before.live, target)
        fallback = plan.live_before([*deployment.records.all(), replace(record, state=COMPLETE)], target)
        # A label whose version was deleted must not prevent the roll-back: it moves too.
        labels = {label: v if v in loadable(versions) else before.live for label, v in before.labels.items()}
        after = plan.rolled_back(replace(before, labels=labels), target, _if_whole(fallback, versions))
        return _change(deployment, record, versions[target], before, after)


def new_record(
    action: str, signature: Signature, label: str, from_version: int | None, to_version: int | None
) -> Record:
    """Returns a record of an action that is about to start, with the current time."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(action, label, from_version, to_version, signature.who, when, signature.why)


def _change(deployment: Deployment, record: Record, version: PushedVersion, before: Served, after: Served) -> Record:
    path = deployment.config_path
    former = config.read_text(path)
    steps = plan.steps(before, after)
    if not former and deployment.server is None:
        steps = steps[-1:]  # No server polls a file that does not exist.
    texts = [config.with_served(former, path, deployment.model_name, step) for step in steps]
    record = deployment.records.begin(replace(record, texts=(former, *texts)), version)
    try:
        for text in texts:
            deployment.apply(text, version.number)
            if deployment.server is None and text is not texts[-1]:
                deployment.pause(deployment.poll_seconds)
    except BaseException as error:
        with uninterruptible(also_after_signal=True):
            deployment.restore(former)
            deployment.close(record, FAILED if isinstance(error, Exception) else CANCELED, str(error))
        if isinstance(error, PromotionError | OSError):
            raise PromotionError(f"{error}\n{CONFIG_FILE} is as it was, and so is what is served") from error
        raise
    deployment.close(record, COMPLETE)
    if deployment.server:
        # Wait until no requests reach the abandoned version, as the user of a roll-back expects.
        with suppress(PromotionError):
            deployment.server.wait_until_gone(deployment.model_name, before.versions - after.versions)
    return replace(record, state=COMPLETE)


def _previous_version(deployment: Deployment, live: int, versions: Mapping[int, PushedVersion]) -> int:
    records = deployment.records.all()
    former = plan.live_before(records, live)
    others = [number for number in loadable(versions) if number != live]
    lower = [number for number in others if number < live and number not in plan.rolled_back_from(records)]
    if former is None and not lower:
        raise PromotionError(
            f"no version is known to have served well before {live}; name one with --to, see agnews versions"
        )
    if former is not None and former not in others:
        hint = f"choose another: agnews rollback --to {others[-1]}" if others else "push another: agnews run"
        raise PromotionError(f"version {former}, in production before {live}, is not there any more; {hint}")
    return lower[-1] if former is None else former


def _require_whole(deployment: Deployment, number: int, versions: Mapping[int, PushedVersion]) -> None:
    if number not in versions:
        there = ", ".join(map(str, versions)) or "none"
        raise PromotionError(f"{deployment.directory} has no version {number}; there are: {there}")
    if flaw := versions[number].problem:
        raise PromotionError(f"{versions[number].path} cannot be served: {flaw}; push the model again")


def _if_whole(number: int | None, versions: Mapping[int, PushedVersion]) -> int | None:
    return number if number in loadable(versions) else None
