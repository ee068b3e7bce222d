"""Reads the metadata store into a snapshot: completely once, then only the changes."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ml_metadata import errors
from ml_metadata.metadata_store import ListOptions, MetadataStore, OrderByField
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.connection import open_store
from pipeline.metadata.graph import component_id, find_run
from pipeline.metadata.snapshot import Snapshot
from schema.errors import RunError, StoreError
from schema.metadata import DECISION_EXECUTION, PROMOTION_EXECUTION, RUN_CONTEXT

logger = logging.getLogger(__name__)

_OUTSIDE_RUNS = (DECISION_EXECUTION, PROMOTION_EXECUTION)
_IDS_PER_CALL = 500
_FIRST_PAGE = 100

Result = TypeVar("Result")


class StoreReader:
    """Keeps a snapshot of a metadata store and refreshes it when it is older than `max_age`.

    Args:
        connection: the store. A file is opened read-only and does not need to exist yet.
        max_age: maximum age of the snapshot in seconds.
        clock: monotonic clock in seconds.
    """

    def __init__(
        self,
        connection: mlmd.ConnectionConfig,
        *,
        max_age: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._connection = mlmd.ConnectionConfig()
        self._connection.CopyFrom(connection)
        if connection.HasField("sqlite"):
            self._connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
        self._max_age, self._clock = max_age, clock
        self._lock = threading.Lock()
        self._store: MetadataStore | None = None
        self._snapshot = Snapshot()
        self._read_at: float | None = None
        self._stale = False

    def snapshot(self) -> Snapshot:
        """Returns the store's content; the last snapshot if the store cannot be read now.

        Raises:
            RunError: the store cannot be read and there is no snapshot yet.
        """
        with self._lock:
            if self._read_at is None or self._stale or self._clock() - self._read_at > self._max_age:
                try:
                    self._refresh()
                except (errors.StatusError, StoreError) as error:
                    # For instance, a run's transaction locks the file.
                    if self._read_at is None:
                        raise RunError(
                            f"the metadata store cannot be read: {error}; check the settings metadata.… and try again"
                        ) from error
                    logger.warning("the metadata store cannot be read now", extra={"fields": {"error": str(error)}})
                self._read_at, self._stale = self._clock(), False
            return self._snapshot

    def invalidate(self) -> None:
        """Makes the next call of `snapshot` read the store, because something was just written."""
        with self._lock:
            self._stale = True

    def query(self, function: Callable[[MetadataStore | None], Result]) -> Result:
        """Calls a function with the store, or with None if it does not exist yet.

        Only one call runs at a time, because the store is not thread-safe.
        """
        with self._lock:
            return function(self._open())

    def node_names(self, executions: Sequence[int]) -> dict[int, str]:
        """Returns the component id in the pipeline of each execution, by the execution's id."""

        def names(store: MetadataStore | None) -> dict[int, str]:
            return {execution: component_id(store, execution) for execution in executions} if store else {}

        return self.query(names)

    def _open(self) -> MetadataStore | None:
        if self._store is None:
            if self._connection.HasField("sqlite") and not Path(self._connection.sqlite.filename_uri).is_file():
                return None
            self._store = open_store(self._connection)
        return self._store

    def _refresh(self) -> None:
        store = self._open()
        if store is None:
            return
        known = self._snapshot
        runs, executions = _read_all(store) if not known.executions else _read_changes(store, known)
        if not executions:
            return
        events = [
            event
            for ids in _batches([execution.id for execution, _ in executions])
            for event in store.get_events_by_execution_ids(ids)
        ]
        artifacts = [
            artifact
            for ids in _batches(sorted({event.artifact_id for event in events}))
            for artifact in store.get_artifacts_by_id(ids)
        ]
        self._snapshot = known.updated(runs, executions, artifacts, events)


Executions = list[tuple[mlmd.Execution, int | None]]


def _read_all(store: MetadataStore) -> tuple[list[mlmd.Context], Executions]:
    runs = store.get_contexts_by_type(RUN_CONTEXT)
    of_runs: Executions = [(execution, run.id) for run in runs for execution in store.get_executions_by_context(run.id)]
    others = [execution for kind in _OUTSIDE_RUNS for execution in store.get_executions_by_type(kind)]
    return runs, of_runs + [(execution, None) for execution in others]


def _read_changes(store: MetadataStore, known: Snapshot) -> tuple[list[mlmd.Context], Executions]:
    runs: dict[int, mlmd.Context] = {}
    found: Executions = []
    for execution in _find_unknown(store, known):
        before = known.executions.get(execution.id)
        if before is not None:
            found.append((execution, before.run))
            continue
        run = find_run(store, execution.id)
        if run is not None:
            runs[run.id] = run
        found.append((execution, run.id if run is not None else None))
    return list(runs.values()), found


def _find_unknown(store: MetadataStore, known: Snapshot) -> list[mlmd.Execution]:
    """Returns new and changed executions.

    New executions are found by their ids, so a host's wrong clock cannot hide them.
    """
    found: dict[int, mlmd.Execution] = {}
    for order in (OrderByField.ID, OrderByField.UPDATE_TIME):
        limit = _FIRST_PAGE
        while True:
            latest = store.get_executions(ListOptions(limit=limit, order_by=order, is_asc=False))
            unknown = {execution.id: execution for execution in latest if not _is_known(execution, known)}
            found |= unknown
            # The client cannot request a second page, so the limit grows until the oldest returned execution is known.
            if len(latest) < limit or latest[-1].id not in unknown:
                break
            limit *= 4
    return list(found.values())


def _is_known(execution: mlmd.Execution, known: Snapshot) -> bool:
    before = known.executions.get(execution.id)
    return before is not None and before.changed == execution.last_update_time_since_epoch / 1000


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _IDS_PER_CALL):
        yield ids[start : start + _IDS_PER_CALL]
