"""Promotes, rolls back and prunes versions: moves labels, updates the versions to load, and deletes old ones."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schema.files import flush_directory
from schema.interruption import uninterruptible
from serving.audit import PROMOTE, PRUNE, ROLLBACK, Proof
from serving.promotion import config, plan
from serving.promotion.config import CANARY, CONFIG_FILE, STABLE, Served
from serving.promotion.deployment import PRUNED, Deployment
from serving.promotion.errors import PromotionError
from serving.promotion.record import CANCELED, COMPLETE, FAILED, Record
from serving.versions import PushedVersion, loadable


@dataclass(frozen=True)
class Signature:
    """The user who makes a change, the reason, and how the user proved the name."""

    who: str
    why: str = ""
    proof: Proof = Proof.NONE


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
        PromotionError: the version cannot be served or is not as it was pushed, there is no `stable` next to `canary`,
            or the server refused.
    """
    with deployment.locked():
        versions, before = deployment.versions(), deployment.loaded()
        _require_loadable(deployment, version, versions)
        if before.labels.get(label) == version:
            return None
        production = before.production_version
        if label == CANARY and STABLE not in before.labels:
            raise PromotionError(
                f"no version is labelled {STABLE} yet, with which a {CANARY} is compared; first: "
                f"agnews versions promote {production or version} --label {STABLE}"
            )
        fallback = production
        if label != STABLE:
            fallback = plan.production_version_before(deployment.records.all(), production)
        after = plan.after_promotion(before, version, label, _if_loadable(fallback, versions))
        for other, labelled in after.labels.items():
            if labelled not in loadable(versions):
                raise PromotionError(
                    f"{other} is version {labelled}, which does not exist or is incomplete, so the label would have no "
                    f"version; first: agnews versions promote VERSION --label {other}"
                )
        current = before.labels.get(label, production if label == STABLE else None)
        record = new_record(PROMOTE, signature, label, current, version)
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
        stable = before.labels.get(STABLE)
        if stable is None:
            raise PromotionError(
                f"no version is labelled {STABLE}, so nothing would be served; first: agnews versions promote VERSION "
                f"--label {STABLE}"
            )
        _require_loadable(deployment, stable, versions)
        fallback = plan.production_version_before(deployment.records.all(), stable)
        after = plan.after_unlabelling(before, CANARY, _if_loadable(fallback, versions))
        record = new_record(PROMOTE, signature, CANARY, version, None)
        return _change(deployment, record, versions[stable], before, after)


def roll_back(deployment: Deployment, version: int | None, signature: Signature) -> Record:
    """Moves `stable` back to a given version or to the previous production version.

    The other labels of the abandoned version move too, and that version is unloaded. The previous production version is
    taken from the records. If they do not contain it, it is the next lower loadable version that was not rolled back.

    Raises:
        PromotionError: there is no version to roll back to, it is not as it was pushed, or the server refused.
    """
    with deployment.locked():
        versions, before = deployment.versions(), deployment.loaded()
        production = before.production_version
        if production is None:
            raise PromotionError(
                f"{deployment.config_path} is not there or names no version, so nothing is served that could be rolled "
                f"back; agnews versions promote VERSION --label {STABLE} makes it"
            )
        target = _previous_version(deployment, production, versions) if version is None else version
        _require_loadable(deployment, target, versions)
        if target == production:
            raise PromotionError(f"version {target} is in production already; name another one: agnews versions list")
        record = new_record(ROLLBACK, signature, STABLE, production, target)
        fallback = plan.production_version_before([*deployment.records.all(), replace(record, state=COMPLETE)], target)
        # A label whose version was deleted must not prevent the roll-back: it moves too.
        labels = {label: v if v in loadable(versions) else production for label, v in before.labels.items()}
        after = plan.after_rollback(replace(before, labels=labels), target, _if_loadable(fallback, versions))
        return _change(deployment, record, versions[target], before, after)


def new_record(
    action: str, signature: Signature, label: str, from_version: int | None, to_version: int | None
) -> Record:
    """Returns a record of an action that is about to start, with the current time."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(
        action, label, from_version, to_version, signature.who, when, signature.why, proof=str(signature.proof)
    )


def _change(deployment: Deployment, record: Record, version: PushedVersion, before: Served, after: Served) -> Record:
    path = deployment.config_path
    former_text = config.read_text(path)
    steps = plan.steps(before, after)
    if not former_text and deployment.server is None:
        steps = steps[-1:]  # No server polls a file that does not exist.
    texts = [config.replace_served(former_text, path, deployment.model_name, step) for step in steps]
    record = deployment.records.begin(replace(record, texts=(former_text, *texts)), version)
    try:
        for text in texts:
            deployment.apply(text, version.number)
            if deployment.server is None and text is not texts[-1]:
                deployment.pause(deployment.poll_seconds)
    except BaseException as error:
        with uninterruptible(also_after_signal=True):
            deployment.restore(former_text)
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


def _previous_version(deployment: Deployment, current: int, versions: Mapping[int, PushedVersion]) -> int:
    records = deployment.records.all()
    previous = plan.production_version_before(records, current)
    others = [number for number in loadable(versions) if number != current]
    lower = [number for number in others if number < current and number not in plan.rolled_back_from(records)]
    if previous is None and not lower:
        raise PromotionError(
            f"no version is known to have served well before {current}; name one with --to, see agnews versions list"
        )
    if previous is not None and previous not in others:
        hint = f"choose another: agnews versions rollback --to {others[-1]}" if others else "push another: agnews run"
        raise PromotionError(f"version {previous}, in production before {current}, is not there any more; {hint}")
    return lower[-1] if previous is None else previous


def _require_loadable(deployment: Deployment, number: int, versions: Mapping[int, PushedVersion]) -> None:
    if number not in versions:
        there = ", ".join(map(str, versions)) or "none"
        raise PromotionError(f"{deployment.directory} has no version {number}; there are: {there}")
    if problem := versions[number].problem:
        raise PromotionError(f"{versions[number].path} cannot be served: {problem}; push the model again")
    deployment.require_as_pushed(versions[number])


def _if_loadable(number: int | None, versions: Mapping[int, PushedVersion]) -> int | None:
    return number if number in loadable(versions) else None


@dataclass(frozen=True)
class Pruned:
    """The versions that a pruning removed, or would remove, and the reasons for keeping the others.

    Attributes:
        removed: size in bytes, by version.
        kept: reason, by version.
    """

    removed: Mapping[int, int]
    kept: Mapping[int, str]


def prune(deployment: Deployment, keep: int, signature: Signature, *, dry_run: bool = False) -> Pruned:
    """Deletes all versions except the `keep` highest loadable ones, the served ones, and the roll-back target.

    Each version is recorded, renamed to a name that servers ignore, and then deleted.

    Args:
        deployment: the serving directory.
        keep: minimum number of loadable versions to keep, at least 1.
        signature: user and reason for the records.
        dry_run: delete nothing.

    Raises:
        PromotionError: a version cannot be deleted.
    """
    with deployment.locked():
        versions = deployment.versions()
        kept = _reasons_to_keep(deployment, keep, versions)
        removed = {number: version.size for number, version in versions.items() if number not in kept}
        if not dry_run:
            for number in removed:
                _delete(deployment, versions[number], signature)
        return Pruned(removed, kept)


def _reasons_to_keep(deployment: Deployment, keep: int, versions: Mapping[int, PushedVersion]) -> dict[int, str]:
    served = deployment.served()
    # Later reasons replace earlier ones, so the strongest comes last.
    reasons = dict.fromkeys(loadable(versions)[-keep:], f"one of the {keep} highest")
    highest = max(loadable(versions), default=-1)
    reasons |= {number: "incomplete, maybe being pushed" for number in versions if number > highest}
    previous = plan.production_version_before(deployment.records.all(), served.production_version)
    if previous is not None:
        reasons[previous] = "agnews versions rollback leads to it"
    reasons |= dict.fromkeys(served.versions, f"served, by {CONFIG_FILE}")
    if deployment.server:
        states = deployment.server.states(deployment.model_name)
        reasons |= {number: "loaded by the server" for number, state in states.items() if state.name != "END"}
    reasons |= {version: f"labelled {label}" for label, version in served.labels.items()}
    return {number: reasons[number] for number in versions if number in reasons}


def _delete(deployment: Deployment, version: PushedVersion, signature: Signature) -> None:
    record = deployment.records.begin(new_record(PRUNE, signature, "", version.number, None), version)
    aside = deployment.directory / f"{PRUNED}{version.path.name}"
    try:
        version.path.rename(aside)
        flush_directory(deployment.directory)
        shutil.rmtree(aside)
    except OSError as error:
        deployment.close(record, FAILED, str(error))
        raise PromotionError(
            f"version {version.number} cannot be deleted: {error}; fix that and repeat the command"
        ) from error
    deployment.close(record, COMPLETE)
