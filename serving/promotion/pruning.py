"""Deletes old versions, except those that are served or that a roll-back would need."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from schema.files import flush_directory
from serving.promotion import plan
from serving.promotion.changes import Signature, new_record
from serving.promotion.config import CONFIG_FILE
from serving.promotion.deployment import PRUNED, Deployment
from serving.promotion.errors import PromotionError
from serving.promotion.record import COMPLETE, FAILED, PRUNE
from serving.versions import PushedVersion, loadable


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
    reasons |= {number: "not whole, maybe being pushed" for number in versions if number > highest}
    former = plan.live_before(deployment.records.all(), served.live)
    if former is not None:
        reasons[former] = "agnews versions rollback leads to it"
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
