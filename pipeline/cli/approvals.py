"""`agnews approvals`: lists and decides the requests to push a model."""

import functools
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import by_option, settings_options
from pipeline.cli.output import hide_library_output, make_console, make_table, strip_control_characters
from pipeline.settings.sources import Loaded
from schema.wording import amount
from serving.audit import Proof, readable

if TYPE_CHECKING:
    from pipeline.governance.approvals import Approvals, Request


def _decision_options(command: Callable) -> Callable:
    """Adds MODEL, `--by`, `--reason` and the settings options to a command.

    The command receives `opened`, the requests, `decide`, which records a decision on one of them, and `who`.
    """

    @click.argument("model")
    @by_option("Name to record with the decision")
    @click.option("--reason", required=True, help="Reason to record.")
    @settings_options
    @functools.wraps(command)
    def with_options(*, loaded: Loaded, model: str, by: str, reason: str):
        opened = _open(loaded)
        decide = functools.partial(opened.decide, model, who=by, why=readable(reason), now=datetime.now(UTC))
        return command(opened=opened, decide=decide, who=by)

    return with_options


@click.group(epilog="Example:  agnews approvals list")
def approvals() -> None:
    """List and decide the requests to push a model.

    A run makes a request if promotion.require_approval is true.
    """


@approvals.command("list", epilog="Example:  agnews approvals list --json")
@click.option("--json", "as_json", is_flag=True, help="Print all details as JSON.")
@settings_options
def list_requests(loaded: Loaded, as_json: bool) -> None:
    """List the requests for approval with their decisions, oldest first.

    A request is pending, approved, rejected or expired.
    """
    opened = _open(loaded)
    now = datetime.now(UTC)
    requests = opened.requests(now)
    if as_json:
        click.echo(json.dumps([asdict(request) for request in requests], indent=2, ensure_ascii=False))
    elif requests:
        _print(requests, opened, now)
    else:
        click.echo("No model is waiting for approval. Runs create requests when promotion.require_approval is true.")


@approvals.command(
    epilog="Example:  agnews approvals approve 12 --by ann@example.com --reason 'recall of Business up, rest equal'"
)
@_decision_options
def approve(opened: "Approvals", decide: "Callable[..., Request]", who: str) -> None:
    """Approve a model, so that the next run pushes it.

    MODEL is the id that `agnews run` and `agnews approvals list` print, at least eight leading digits of the
    fingerprint, or the name of the run that requests the approval. The approval is valid for the model's current files
    only. The next run must have the same settings.
    """
    request = decide(approved=True)
    click.echo(
        f"model {request.name} is {request.status}; approved by {Proof.NONE.mark(who)}, "
        f"fingerprint {request.fingerprint}"
    )
    click.echo(strip_control_characters(request.progress))
    if request.status == "approved":
        click.echo("next: the same agnews run pushes the model; a run of Airflow or Kubeflow that waits continues")


@approvals.command(epilog="Example:  agnews approvals reject 12 --reason 'trained on rows that must not be used'")
@_decision_options
def reject(opened: "Approvals", decide: "Callable[..., Request]", who: str) -> None:
    """Reject a model, so that no run pushes it.

    One rejection outweighs all approvals. The person who rejected a model can approve it later.
    """
    request = decide(approved=False)
    click.echo(
        f"model {request.name} is {request.status}; rejected by {Proof.NONE.mark(who)}, "
        f"fingerprint {request.fingerprint}"
    )
    for version in opened.live_versions(request.model_id):
        click.echo(
            f"Warning: the model is live. Servers load it as version {version} until another version replaces it:\n"
            "agnews versions rollback --reason …",
            err=True,
        )


def _open(loaded: Loaded) -> "Approvals":
    from pipeline.governance.audit_check import audit_log

    settings = loaded.settings
    log = audit_log(settings)
    with hide_library_output():
        from pipeline.governance.approvals import Approvals
        from pipeline.metadata.connection import connection_config, open_store

    return Approvals(open_store(connection_config(settings)), settings, log)


def _print(requests: "list[Request]", opened: "Approvals", now: datetime) -> None:
    from rich.markup import escape

    from components.approval.rules import postdated

    table = make_table("model", "requested", "trained by", "status")
    table.add_column("approvals and decisions", overflow="fold")
    table.add_column("fingerprint", no_wrap=True)
    for request in requests:
        early = postdated(request.decisions, now)
        decisions = "\n".join(
            strip_control_characters(
                f"{'approved' if one.approved else 'rejected'} by {one.shown_who}, {one.when[:16]}"
                f"{' (in the future: it does not count)' if one in early else ''}: {one.why}"
            )
            for one in request.decisions
        )
        decisions = "\n".join(filter(None, (strip_control_characters(request.progress), decisions)))
        requested = datetime.fromtimestamp(request.requested, UTC).strftime("%Y-%m-%d %H:%M")
        author = strip_control_characters(request.author) or "not known"
        row = (request.name, requested, author, str(request.status), decisions)
        table.add_row(*map(escape, row), request.fingerprint[:12])
    make_console(160).print(table)
    for request in requests:
        if request.card and request.status == "pending":
            click.echo(
                strip_control_characters(f"read before you decide on {request.name}: {request.card}/model_card.html")
            )
    rules = opened.rules
    others = "" if rules.author_may_approve else ", not counting who trained the model"
    click.echo(
        f"needed: approvals by {rules.approvers}{others}, not older than {amount(rules.expires_hours, 'hour')} (UTC)"
    )
