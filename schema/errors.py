"""Errors that a user can resolve, and their exit statuses.

Each message says what happened, where, and what to do next; the command line prints it without a traceback. Programming
errors are ordinary exceptions.

    AgNewsError             1
    ├── SettingsError       2
    ├── DataError           3
    ├── ValidationError     4
    │   └── DriftError
    ├── NothingToTrain      0
    ├── RunError            5
    │   └── StoreError
    ├── ApprovalPending     8
    ├── ApprovalError       9
    ├── AuditError         10
    ├── MonitoringAlert    11
    └── ReproductionError  12
"""


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
    """The span has no rows; the run ends before training, which is not a failure."""

    exit_code = 0


class RunError(AgNewsError):
    """A component failed, another run is using the pipeline, or a required file or service is not available."""

    exit_code = 5


class StoreError(RunError):
    """The metadata store cannot be reached, or refused the request."""

    may_pass = True


class NotMeasuredError(RunError):
    """The machine, not the model, kept a verdict from being reached: the model was neither blessed nor refused."""

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
