"""Records promotions in the ML Metadata store: who changed the served versions, when, why, and from what to what.

A record is stored as RUNNING before the change and closed after it, so that the next command finds a change that was
killed midway, and completes or undoes it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from schema.metadata import PROMOTION_EXECUTION, PUSHED_MODEL, decode_text, encode_text
from serving.audit import proof_of
from serving.versions import PushedVersion

RUNNING, COMPLETE, FAILED, CANCELED = "RUNNING", "COMPLETE", "FAILED", "CANCELED"
_CONTEXT_TYPE = "agnews.ServingDirectory"


@dataclass(frozen=True)
class Record:
    """A change of the served versions, or an attempt at one.

    Attributes:
        id: id of the execution; None before the record is stored.
        proof: how the user proved the name, see `serving.audit.Proof`.
        action: promote, rollback or prune.
        label: the label that moved; empty for prune.
        from_version: the version that had the label, or that was pruned; None if there was none.
        to_version: the version that has the label now; None for prune.
        who: user@host, or a given name.
        when: time of the change, UTC, ISO 8601.
        why: the given reason; may be empty.
        state: RUNNING, COMPLETE, FAILED or CANCELED.
        detail: why the change failed or was undone.
        texts: models.config before the change and after each of its steps; empty for prune.
    """

    action: str
    label: str
    from_version: int | None
    to_version: int | None
    who: str
    when: str
    why: str = ""
    state: str = RUNNING
    detail: str = ""
    texts: tuple[str, ...] = ()
    id: int | None = None
    proof: str = ""

    @property
    def shown_who(self) -> str:
        """The name for people to read, marked as a claim unless it was proved."""
        return proof_of(self.proof).mark(self.who)


class Records:
    """The records of one model's directory.

    Args:
        store: the metadata store.
        directory: `<destination>/<model name>`, which names the records' context.
    """

    def __init__(self, store: MetadataStore, directory: Path):
        self._store = store
        self._name = encode_text(str(directory.absolute()))

    def begin(self, record: Record, version: PushedVersion | None) -> Record:
        """Stores a record with the version's Model and PushedModel artifacts as inputs, in one transaction."""
        execution = mlmd.Execution(
            type_id=self._store.put_execution_type(mlmd.ExecutionType(name=PROMOTION_EXECUTION)),
            last_known_state=mlmd.Execution.State.Value(record.state),
        )
        _write(execution, record)
        inputs = [(artifact, _input_event(key)) for key, artifact in self.lineage(version)] if version else []
        context = mlmd.Context(
            type_id=self._store.put_context_type(mlmd.ContextType(name=_CONTEXT_TYPE)), name=self._name
        )
        execution_id, _, _ = self._store.put_execution(
            execution, inputs, [context], reuse_context_if_already_exist=True
        )
        return replace(record, id=execution_id)

    def close(self, record: Record, state: str, detail: str, receipt: str) -> None:
        """Closes a record as COMPLETE, FAILED or CANCELED, with the receipt of its entry in the audit log."""
        [execution] = self._store.get_executions_by_id([record.id])
        execution.last_known_state = mlmd.Execution.State.Value(state)
        execution.custom_properties["detail"].string_value = encode_text(detail)
        execution.custom_properties["audit"].string_value = receipt
        self._store.put_executions([execution])

    def all(self) -> list[Record]:
        """Returns all records, oldest first."""
        context = self._store.get_context_by_type_and_name(_CONTEXT_TYPE, self._name)
        if context is None:
            return []
        executions = self._store.get_executions_by_context(context.id)
        return [_read(execution) for execution in sorted(executions, key=lambda execution: execution.id)]

    def lineage(self, version: PushedVersion) -> list[tuple[str, mlmd.Artifact]]:
        """Returns the artifacts `model` and `pushed_model` of a version.

        The id in the version's directory may come from another store. It is used only if a Pusher of this store pushed
        that model as that version; otherwise the list is empty.
        """
        if version.model_id is None:
            return []
        consumers = [event.execution_id for event in self._store.get_events_by_artifact_ids([version.model_id])]
        events = self._store.get_events_by_execution_ids(consumers) if consumers else []
        outputs = sorted({event.artifact_id for event in events if event.type == mlmd.Event.OUTPUT})
        for artifact in self._store.get_artifacts_by_id(outputs) if outputs else []:
            pushed_as = artifact.custom_properties["pushed_version"].string_value
            if artifact.type == PUSHED_MODEL and pushed_as == str(version.number):
                [model] = self._store.get_artifacts_by_id([version.model_id])
                return [("model", model), ("pushed_model", artifact)]
        return []


def _input_event(key: str) -> mlmd.Event:
    return mlmd.Event(type=mlmd.Event.INPUT, path=mlmd.Event.Path(steps=[{"key": key}]))


def _write(execution: mlmd.Execution, record: Record) -> None:
    properties = execution.custom_properties
    for name in ("action", "label", "who", "when", "why", "detail", "proof"):
        properties[name].string_value = encode_text(getattr(record, name))
    for name, number in (("from", record.from_version), ("to", record.to_version)):
        if number is not None:
            properties[name].int_value = number
    for index, text in enumerate(record.texts):
        properties[f"config_{index}"].string_value = encode_text(text)


def _read(execution: mlmd.Execution) -> Record:
    properties = execution.custom_properties

    def text(name: str) -> str:
        return decode_text(properties[name].string_value)

    def number(name: str) -> int | None:
        return properties[name].int_value if name in properties else None

    return Record(
        action=text("action"),
        label=text("label"),
        from_version=number("from"),
        to_version=number("to"),
        who=text("who"),
        when=text("when"),
        why=text("why"),
        state=mlmd.Execution.State.Name(execution.last_known_state),
        detail=text("detail"),
        texts=tuple(text(name) for name in sorted(properties) if name.startswith("config_")),
        id=execution.id,
        proof=text("proof"),
    )
