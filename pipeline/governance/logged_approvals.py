"""Requests for approval and the decisions on them, in the audit log: where runs have no metadata store."""

from datetime import datetime

from tfx.dsl.io import fileio

from components.approval import Decision, judge
from components.approval.entries import decisions_in, requests_in
from pipeline.governance.approvals import Approvals, Request
from schema.errors import AuditError


class LoggedApprovals(Approvals):
    """The requests that gates entered in the audit log, by the fingerprint of their models."""

    next_step = "the same run again, which pushes it: agnews kubeflow submit, or Clone run on Kubeflow's page"

    def requests(self, now: datetime) -> list[Request]:
        """See `Approvals`.

        Raises:
            AuditError: the log is not there, as where the volume is not mounted, or cannot be read.
        """
        if not self._log.path.exists():
            kubeflow = self._settings.kubeflow
            raise AuditError(
                f"{self._log.path}: no audit log there; repeat where the volume {kubeflow.volume_claim} is mounted at "
                f"{kubeflow.mount_path}, when a run has asked"
            )
        lines = self._log.lines()
        found = []
        for digest, entry in requests_in(lines).items():
            if entry.model != self._settings.pusher.model_name:
                continue
            made = tuple(decisions_in(lines, digest))
            uri, card = (str(entry.details.get(key, "")) for key in ("model", "card"))
            requested = datetime.fromisoformat(entry.when).timestamp()
            status = judge(made, entry.by, self.rules, now)
            found.append(Request(None, uri, digest, entry.by, requested, made, status, card))
        return found

    def _require_unchanged(self, request: Request) -> None:
        """Of an artifact that only pods can read nothing is known here; there Pusher compares it."""
        if fileio.exists(request.uri):
            super()._require_unchanged(request)

    def _record(self, decision: Decision, request: Request, receipt: str) -> None:
        """The entry is all there is."""
