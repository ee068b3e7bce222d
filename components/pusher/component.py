"""Promotes a blessed model to a directory that TensorFlow Serving watches; a new version appears in one step."""

import functools
import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from tfx.components.pusher import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import io_utils, proto_utils

from components.approval import Decision, Rules
from components.approval.component import Approval, require_approval
from components.manifest import files_of, require_judged, require_unchanged
from schema.errors import RunError
from schema.files import FOR_GROUP, file_lock, flush_directory, make_directory, make_readable
from schema.interruption import uninterruptible
from schema.model_contract import FINGERPRINT, MLMD_UUID, MODEL_SIGNATURE, SAVED_MODEL
from schema.paths import is_remote
from serving.audit import APPROVALS, PUSH, AuditLog, Entry, differences, fingerprint, identity
from serving.audit.openssf import SigningFiles, openssf_signer
from serving.audit.signature import signer
from serving.versions import names_by_version

APPROVAL, APPROVAL_RULES, AUDIT_LOG, SIGNING_KEY = "approval", "approval_rules", "audit_log", "signing_key"
AUDIT_LOG_MODE = "audit_log_mode"
OPENSSF = "openssf"
# Files that a push adds to those of the export.
_ADDED = (MLMD_UUID, MODEL_SIGNATURE)
_INCOMING = ".incoming-"
_LOCK = ".push.lock"


class PusherExecutor(executor.Executor):
    """Extends TFX's Pusher executor: copies in one step, checks the approval, and adds an entry to the audit log."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """Pushes the model if it is blessed and, where required, approved; records the destination.

        Raises:
            ApprovalPending: the model needs an approval and has no valid one.
            AuditError: the audit log cannot be written, or lacks an approval.
            SettingsError: the signing key cannot be used.
            RunError: the files differ from those that were trained, judged or approved, or from the copied ones.
            Interrupted: the process received a signal to end; no version appears after it.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed_model = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed_model)
            return
        destination = proto_utils.json_to_proto(
            exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], pusher_pb2.PushDestination()
        ).filesystem.base_directory
        model = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        saved_model = self.GetModelPath(input_dict)
        files = require_unchanged(model)
        blessings = {
            "Evaluator": standard_component_specs.MODEL_BLESSING_KEY,
            "InfraValidator": standard_component_specs.INFRA_BLESSING_KEY,
        }
        require_judged(fingerprint(files), {name: input_dict[key][0] for name, key in blessings.items()})
        log = AuditLog(Path(exec_properties[AUDIT_LOG]), exec_properties.get(AUDIT_LOG_MODE) or FOR_GROUP)
        decisions: list[Decision] = []
        if rules := exec_properties.get(APPROVAL_RULES):
            [approval] = input_dict.get(APPROVAL) or [None]
            decisions = require_approval(approval, Rules.from_json(rules), fingerprint(files), log.lines())
            if not decisions:
                self._MarkNotPushed(pushed_model)
                return
        log.require_writable()
        # The key is read before anything changes, so that no model is pushed without its signature.
        sign = signer(Path(file)) if (file := exec_properties.get(SIGNING_KEY)) else None
        signing = exec_properties.get(OPENSSF)
        openssf = openssf_signer(SigningFiles.from_json(signing), destination) if signing else None
        push = _push_remote if is_remote(destination) else functools.partial(push_local, sign=openssf)
        with ExitStack() as until_recorded:
            version_directory = push(
                saved_model, destination, mlmd_uuid=str(model.id), files=files, until_recorded=until_recorded
            )
            receipt = log.append(_entry(model, files, version_directory, decisions), sign)
        io_utils.copy_dir(saved_model, pushed_model.uri)
        self._MarkPushed(pushed_model, version_directory, os.path.basename(version_directory))
        pushed_model.set_string_custom_property("fingerprint", fingerprint(files))
        pushed_model.set_string_custom_property("audit", receipt)


def _entry(model: Artifact, files: dict[str, str], version_directory: str, decisions: list[Decision]) -> Entry:
    base, _, version = version_directory.rpartition("/")
    name = os.path.basename(base)
    arrived = _require_same(files, version_directory)
    approvals = [decision for decision in decisions if decision.approved]
    named = [{"by": one.who, "decided": one.when, "entry": one.entry} for one in approvals]
    return Entry(
        PUSH,
        model=name,
        version=int(version),
        fingerprint=fingerprint(files),
        by=identity(),
        why="; ".join(f"approved by {one.shown_who}: {one.why}" for one in approvals)
        or "blessed; no approval was asked for",
        details={"directory": version_directory, "model_id": model.id, "files": arrived}
        | ({APPROVALS: named} if named else {}),
    )


def _require_same(files: dict[str, str], directory: str) -> dict[str, str]:
    """Returns the manifest of a copy after checking that it adds only the stamp and a signature to the files."""
    arrived = files_of(directory)
    if different := differences(files, {name: digest for name, digest in arrived.items() if name not in _ADDED}):
        raise RunError(
            f"{directory} does not hold the files that are to be pushed ({', '.join(different)}): somebody changes "
            "the files there or at their source; remove it, see who did, and run again"
        )
    return arrived


class _PusherSpec(standard_component_specs.PusherSpec):
    PARAMETERS: ClassVar[dict] = {
        **standard_component_specs.PusherSpec.PARAMETERS,
        APPROVAL_RULES: ExecutionParameter(type=str, optional=True),
        AUDIT_LOG: ExecutionParameter(type=str),
        AUDIT_LOG_MODE: ExecutionParameter(type=int, optional=True),
        SIGNING_KEY: ExecutionParameter(type=str, optional=True),
        OPENSSF: ExecutionParameter(type=str, optional=True),
    }
    INPUTS: ClassVar[dict] = {
        **standard_component_specs.PusherSpec.INPUTS,
        APPROVAL: ChannelParameter(type=Approval, optional=True),
    }


class AgNewsPusher(base_component.BaseComponent):
    """TFX's Pusher component with the executor above."""

    SPEC_CLASS = _PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PusherExecutor)

    def __init__(
        self,
        *,
        model: Channel,
        model_blessing: Channel,
        infra_blessing: Channel,
        base_directory: str,
        audit_log: str,
        audit_log_mode: int = FOR_GROUP,
        approval: Channel | None = None,
        rules: Rules | None = None,
        signing_key: str | None = None,
        openssf: SigningFiles | None = None,
    ):
        """
        Args:
            model: the export.
            model_blessing: the Evaluator's verdict.
            infra_blessing: the InfraValidator's verdict.
            base_directory: directory of the model's versions.
            audit_log: local file of the audit log.
            audit_log_mode: mode of a new audit log.
            approval: verdict of the approval gate, if there is a gate.
            rules: rules of the gate; if given, nothing is pushed without an approval.
            signing_key: file of the private key that signs each push.
            openssf: files that sign each version in the OpenSSF model-signing format.
        """
        spec = _PusherSpec(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=pusher_pb2.PushDestination(filesystem={"base_directory": base_directory}),
            pushed_model=Channel(type=standard_artifacts.PushedModel),
            audit_log=audit_log,
            # Left out if it is the default, so that earlier pushes stay in the cache.
            audit_log_mode=None if audit_log_mode == FOR_GROUP else audit_log_mode,
            approval=approval,
            approval_rules=rules.to_json() if rules else None,
            signing_key=signing_key,
            openssf=openssf.to_json() if openssf else None,
        )
        super().__init__(spec=spec)


def push_local(
    saved_model: str,
    destination: str,
    *,
    mlmd_uuid: str,
    files: dict[str, str],
    now: float | None = None,
    until_recorded: ExitStack | None = None,
    sign: Callable[[Path], None] | None = None,
) -> str:
    """Copies an export to a new version directory, which appears in one step.

    A server that polls the destination ignores names that are not numbers. The copy is therefore written under another
    name and renamed when it is completely on disk and every user can read it, whatever the umask, since the server runs
    as another user. Pushes run one at a time; each removes the remains of killed pushes.

    Args:
        saved_model: directory of the export.
        destination: base directory of the model's versions.
        mlmd_uuid: metadata id of the model, written to assets.extra.
        files: SHA-256 of each file of the approved model, which the copy must match.
        now: seconds since the epoch, used as the version number unless an equal or higher version exists; None means
            the current time.
        until_recorded: delays a signal that arrives after the version has appeared until this stack is closed.
        sign: adds a signature to the directory before the version appears.

    Returns:
        The version directory. If the newest version is the same export, pushed by a run that was killed before it could
        record the push, that directory is returned unchanged.

    Raises:
        RunError: the copied files differ; no version appears.
        Interrupted: the process received a signal to end; no version appears after it.
    """
    base = Path(destination)
    make_directory(base)
    with file_lock(base / _LOCK):
        for stale in base.glob(f"{_INCOMING}*"):
            shutil.rmtree(stale)
        versions = _version_numbers(str(base))
        if pushed := _pushed_already(saved_model, destination, versions, mlmd_uuid):
            return pushed
        incoming = base / f"{_INCOMING}{uuid.uuid4().hex}"
        try:
            shutil.copytree(saved_model, incoming)
            _stamp(str(incoming), mlmd_uuid)
            _require_same(files, str(incoming))
            if sign:
                sign(incoming)
            make_readable(incoming)
        except BaseException:
            # On a full disk, the next push might never come.
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        final = base / str(_next_version(versions, now))
        with ExitStack() as appearing:
            (until_recorded or appearing).enter_context(uninterruptible())
            incoming.rename(final)
            flush_directory(base)
        return str(final)


def _push_remote(
    saved_model: str,
    destination: str,
    *,
    mlmd_uuid: str,
    files: dict[str, str],
    until_recorded: ExitStack | None = None,
) -> str:
    """Copies to an object store, which cannot rename; the file that makes a directory a SavedModel is copied last."""
    fileio.makedirs(destination)
    versions = _version_numbers(destination)
    if pushed := _pushed_already(saved_model, destination, versions, mlmd_uuid):
        return pushed
    final = f"{destination}/{_next_version(versions, None)}"
    io_utils.copy_dir(saved_model, final, deny_regex_patterns=[SAVED_MODEL.replace(".", r"\.")])
    _stamp(final, mlmd_uuid)
    _require_same({name: digest for name, digest in files.items() if name != SAVED_MODEL}, final)
    with ExitStack() as appearing:
        (until_recorded or appearing).enter_context(uninterruptible())
        io_utils.copy_file(f"{saved_model}/{SAVED_MODEL}", f"{final}/{SAVED_MODEL}")
    return final


def _version_numbers(directory: str) -> list[int]:
    """Returns the numbers of the versions in a model's directory, lowest first; none if it does not exist."""
    if not fileio.exists(directory):
        return []
    return sorted(names_by_version(name.rstrip("/") for name in fileio.listdir(directory)))


def _next_version(versions: list[int], now: float | None) -> int:
    return max([int(time.time() if now is None else now), *(version + 1 for version in versions[-1:])])


def _pushed_already(saved_model: str, destination: str, versions: list[int], mlmd_uuid: str) -> str | None:
    """Returns the newest version's directory if it holds the same export of the same model, otherwise None."""
    if not versions:
        return None
    version_directory = os.path.join(destination, str(versions[-1]))
    if not all(fileio.exists(os.path.join(version_directory, name)) for name in (SAVED_MODEL, MLMD_UUID)):
        return None
    same_model = io_utils.read_string_file(os.path.join(version_directory, MLMD_UUID)) == mlmd_uuid
    return version_directory if same_model and _is_same_export(saved_model, version_directory) else None


def _is_same_export(one: str, other: str) -> bool:
    """Returns whether the SavedModels in two directories have the same fingerprint, that of their graph and weights."""
    paths = [os.path.join(directory, FINGERPRINT) for directory in (one, other)]
    if not all(fileio.exists(path) for path in paths):
        return False
    ours, theirs = (io_utils.read_bytes_file(path) for path in paths)
    return ours == theirs


def _stamp(directory: str, mlmd_uuid: str) -> None:
    path = os.path.join(directory, MLMD_UUID)
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "w") as file:
        file.write(mlmd_uuid)
