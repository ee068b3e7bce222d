"""Errors that a user can resolve, and their exit statuses.

Each message says what happened, where, and what to do next; the command line prints it without a traceback. Programming
errors are ordinary exceptions. `serving` and `pipeline.runners.kubeflow` define errors of their own, with the statuses
6 and 7. `component_status` and `exit_statuses` say what `agnews component` ends with, for orchestrators.

    AgNewsError             1
    ├── SettingsError       2
    ├── DataError           3
    ├── ValidationError     4
    │   └── DriftError
    ├── NothingToTrain     13
    ├── RunError            5
    │   ├── StoreError
    │   └── NotMeasuredError
    ├── ApprovalPending     8
    ├── ApprovalError       9
    ├── AuditError         10
    ├── MonitoringAlert    11
    └── ReproductionError  12
"""

import difflib
from collections.abc import Iterable


class AgNewsError(Exception):
    """Base of all errors that a user can resolve.

    Attributes:
        exit_code: exit status of the command.
        may_pass: whether the same command may succeed later although nothing was fixed.
    """

    exit_code = 1
    may_pass = False


class SettingsError(AgNewsError):
    """A setting or option is unknown, has a wrong type, conflicts with another one, or names something unusable."""

    exit_code = 2


class DataError(AgNewsError):
    """The input data is missing, unreadable, or worse than the settings allow."""

    exit_code = 3


class ValidationError(AgNewsError):
    """The data violates the schema or has drifted from the previous span; the run stopped before training."""

    exit_code = 4


class DriftError(ValidationError):
    """The data conforms to the schema, but has drifted from previously accepted data."""


class NothingToTrain(AgNewsError):
    """The span has no rows; the run ends before training, which is not a failure: `agnews run` ends with 0."""

    exit_code = 13


class RunError(AgNewsError):
    """A component failed, another run is using the pipeline, or a required file or service is not available."""

    exit_code = 5


class StoreError(RunError):
    """The metadata store cannot be reached, or refused the request."""

    may_pass = True


class NotMeasuredError(RunError):
    """A fault of the machine prevented a verdict on the model, which was neither blessed nor rejected."""

    may_pass = True


class ApprovalPending(AgNewsError):
    """The run succeeded so far and waits for approval before its model may be pushed."""

    exit_code = 8


class ApprovalError(AgNewsError):
    """An approval or rejection was refused, by the rules or because there is nothing to decide."""

    exit_code = 9


class AuditError(AgNewsError):
    """The audit log cannot be written or read, or a served model or a log entry differs from the record."""

    exit_code = 10
    may_pass = True  # A volume may be temporarily unavailable. Commands that find tampering are not retried.


class MonitoringAlert(AgNewsError):
    """The requests to a served model, or its responses, have changed."""

    exit_code = 11


class ReproductionError(AgNewsError):
    """A training cannot be repeated as recorded, or its result differs."""

    exit_code = 12


# BSD's EX_TEMPFAIL. Outside of `agnews component`, an error that may pass ends with the status of its class.
TRY_AGAIN = 75
_UNEXPECTED = 1


def suggestion(name: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """Returns the end of a message about an unknown name: the most similar known name as a question, or `otherwise`."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else otherwise


def component_status(error: BaseException | None) -> int:
    """Returns the exit status of `agnews component`: 0 without an error, `TRY_AGAIN` for an error that may pass."""
    if error is None:
        return 0
    if not isinstance(error, AgNewsError):
        return _UNEXPECTED
    return TRY_AGAIN if error.may_pass else error.exit_code


def status_meaning(status: int) -> str:
    """Returns what an exit status of `agnews component` means; Argo and Kubernetes report any failure as 1."""
    meanings = {
        0: "done",
        _UNEXPECTED: "unexpected error; it can be tried again",
        TRY_AGAIN: "temporary error; it can be tried again",
        NothingToTrain.exit_code: "nothing to train; the run ends here",
        ApprovalPending.exit_code: "waiting for approval; repeat the same command after the decision",
    }
    return meanings.get(status, "a user must fix the error above; trying again does not help")


def exit_statuses() -> dict[str, int | list[int]]:
    """Returns what an orchestrator does about each exit status of `agnews component`; any other can be tried again."""
    special = (NothingToTrain, ApprovalPending)
    errors = [error for error in _descendants(AgNewsError) if not error.may_pass and error not in special]
    return {
        "done": 0,
        "nothing_to_train": NothingToTrain.exit_code,
        "waiting_for_approval": ApprovalPending.exit_code,
        "try_again": [_UNEXPECTED, TRY_AGAIN],
        "change_found": MonitoringAlert.exit_code,
        "user_error": sorted({error.exit_code for error in errors}),
    }


def _descendants(error: type[AgNewsError]) -> list[type[AgNewsError]]:
    """Returns the classes below an error in this file: which others exist depends on what was imported."""
    found = []
    for child in error.__subclasses__():
        if child.__module__ == __name__:
            found += [child, *_descendants(child)]
    return found
