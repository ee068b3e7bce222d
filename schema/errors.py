"""The errors a user can meet, by what can be done about them.

Each message says what happened, where, and what to do next; the command line prints it without a trace.
Programming mistakes stay ordinary exceptions. The module lies in the lowest package, so that all may raise them.
"""


class AgNewsError(Exception):
    """Base of every error that is the user's to resolve.

    `exit_code` is the command's exit status; `may_pass` says whether the same again may succeed with nothing mended.
    """

    exit_code = 1
    may_pass = False


class SettingsError(AgNewsError):
    """A setting or option is unknown, of the wrong type, cannot go with another one, or names what cannot be used."""

    exit_code = 2


class DataError(AgNewsError):
    """The input data is missing, unreadable, or worse than the settings allow."""

    exit_code = 3


class ValidationError(AgNewsError):
    """The data breaks the schema or drifted from the previous span: the run was stopped before training."""

    exit_code = 4


class DriftError(ValidationError):
    """The data is as the schema says, but drifted from what was accepted before."""


class NothingToTrain(AgNewsError):
    """The span holds no rows: the run ends before training, and that is no failure."""

    exit_code = 0


class RunError(AgNewsError):
    """A component failed, another run holds the pipeline, or what a command needs is not there or does not answer."""

    exit_code = 5


class StoreError(RunError):
    """The metadata store cannot be reached, or refuses."""

    may_pass = True


class NotMeasuredError(RunError):
    """The machine, not the model, kept a verdict from being reached: the model was neither blessed nor refused."""

    may_pass = True


class ApprovalPending(AgNewsError):
    """The run is good so far and waits for people: its model may be pushed when enough of them approve."""

    exit_code = 8


class ApprovalError(AgNewsError):
    """An approval or rejection was refused: by the rules, or since there is nothing to decide."""

    exit_code = 9


class AuditError(AgNewsError):
    """The audit log cannot be written or read, or what is served or logged is not what was recorded."""

    exit_code = 10
    may_pass = True  # A volume may be away for a moment. What was changed is found by commands that nobody repeats.


class MonitoringAlert(AgNewsError):
    """What a served model is asked or answers has changed."""

    exit_code = 11


class ReproductionError(AgNewsError):
    """A training cannot be repeated as it was recorded, or had another outcome."""

    exit_code = 12
