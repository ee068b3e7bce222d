"""Model of the pipeline's settings, with defaults, limits and descriptions.

`pipeline.settings.sources` reads the values.
"""

from dataclasses import replace
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)

from components.example_gen.readers import read_few_items
from components.example_gen.row_format import RowFormat
from components.example_gen.spans import is_dated, span_of_date
from components.trainer.settings import PathMarker, Section, TrainerSettings, replace_tilde
from schema.data_set import SCHEMA_PATH, DataSet, read_data_set
from schema.errors import DataError, SettingsError
from schema.files import read_small_file
from schema.paths import expand_home, is_remote, refuse_wildcards
from serving.this_machine import is_this_machine

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _absolute(place: str) -> str:
    return place if is_remote(place) else str(Path(expand_home(place)).absolute())


def _on_this_machine(place: str) -> str:
    if is_remote(place):
        raise ValueError("must be in a file system: an object store cannot append to files or replace them")
    return _absolute(place)


# Local paths are made absolute, because artifacts are recorded with them and must be found from any directory.
Location = Annotated[str, AfterValidator(_absolute), PathMarker()]
LocalFile = Annotated[str, AfterValidator(_on_this_machine), PathMarker()]
InputFile = Annotated[Path, AfterValidator(replace_tilde), PathMarker()]


class PipelineSettings(Section):
    """Name of the pipeline, and location of its artifacts."""

    name: str = Field("agnews", pattern=r"^[a-z][a-z0-9-]*$", description="name in the metadata store")
    root: Location = Field("runs", description="directory or URI for artifacts, logs and the embedded metadata store")
    enable_cache: bool = Field(True, description="reuse the outputs of a component if its inputs are unchanged")

    def make_root(self) -> Path:
        """Creates the local root directory and returns its path.

        Raises:
            SettingsError: the directory cannot be created.
        """
        root = Path(self.root)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"pipeline.root {root}: {error.strerror}; name a directory that can be made") from error
        return root


class DataSettings(Section):
    """Data to ingest, and limits of its quality."""

    path: Annotated[str, AfterValidator(replace_tilde), PathMarker()] | None = Field(
        None,
        description="directory with the data; unset: $AG_NEWS_DIR if set, otherwise the public download, or synthetic "
        "rows if the download fails",
    )
    schema_file: InputFile | None = Field(
        None,
        description="schema.pbtxt with the classes and length buckets of the data; unset: those of AG News. "
        "Its further features are columns that are kept, by which metrics are sliced",
    )
    train_pattern: str | None = Field(
        None,
        description="pattern of the training files under path; may contain {SPAN} and {VERSION}; unset: find files by "
        "name",
    )
    test_pattern: str | None = Field(None, description="pattern of the test files under path, like train_pattern")
    test_fraction: float | None = Field(
        None,
        gt=0.0,
        lt=0.5,
        description="fraction of the training rows held out as test, if there are no test files; unset: there are",
    )
    max_rows: PositiveInt | None = Field(
        None, description="maximum rows to read of the training files, and of the test files; unset: all rows"
    )
    label_column: str | None = Field(
        None, min_length=1, description="column with the class; unset: label, class or Class Index"
    )
    text_columns: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="columns with the texts, in the order in which they are read; []: title and description, or text",
    )
    first_class: NonNegativeInt | None = Field(
        None, description="number of the first class, if classes are numbers; unset: 0, and 1 in a column class"
    )
    span: int | None = Field(
        None,
        ge=0,
        description="span to ingest, as a number or a date (YYYY-MM-DD); unset: the latest span",
    )
    window: PositiveInt = Field(1, description="number of most recent accepted spans to train on")
    val_fraction: float = Field(0.05, gt=0.0, lt=0.5, description="fraction of the training rows held out as val")
    max_bad_fraction: Fraction = Field(
        0.001, description="maximum fraction of quarantined rows; above it, the run stops"
    )
    max_chars: int = Field(
        10_000,
        gt=0,
        le=100_000,
        description="maximum characters of all texts of a row together; a longer row is bad",
    )
    max_unknown_words_rise: Fraction = Field(
        0.1,
        description="maximum rise of the share of words that no row of the earlier spans has; above it, the run stops. "
        "The schema has the limits of labels and text length",
    )
    drift_false_alarm_rate: float = Field(
        0.001, gt=0.0, lt=1.0, description="probability that drift is found in a span without any"
    )
    exact_statistics: bool = Field(
        True, description="count all values of a feature; false: estimate them in constant memory"
    )
    cache: Location = Field("data", description="directory for downloaded and synthetic rows")
    synthetic_rows: PositiveInt = Field(
        4_000, description="number of synthetic training rows; a quarter of this number is added as test rows"
    )
    synthetic_seed: int = Field(7, description="random seed of the synthetic rows")

    @property
    def schema_path(self) -> Path:
        """Path of the schema."""
        return self.schema_file or SCHEMA_PATH

    def data_set(self) -> DataSet:
        """Returns the classes and length buckets of the schema, with the text columns.

        Raises:
            SettingsError: the file cannot be read, or is not a schema of a data set.
        """
        data_set = read_data_set(self.schema_path)
        return replace(data_set, text_columns=self.text_columns) if self.text_columns else data_set

    def row_format(self) -> RowFormat:
        """Returns the columns of the data files, and the classes in them."""
        return RowFormat(self.label_column, self.text_columns, self.first_class, self.data_set().class_names)

    @field_validator("text_columns")
    @classmethod
    def _columns_differ(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if len({name.lower() for name in columns}) < len(columns):
            raise ValueError("expected different columns")
        return columns

    @field_validator("span", mode="before")
    @classmethod
    def _a_date_is_a_span(cls, span: Any) -> Any:
        if span is None or type(span) is int or (isinstance(span, str) and span.isdecimal()):
            return span
        try:
            return span_of_date(date.fromisoformat(span))
        except (TypeError, ValueError):
            raise ValueError("expected a whole number, or a date as YYYY-MM-DD") from None

    @model_validator(mode="after")
    def _patterns_come_in_pairs(self) -> "DataSettings":
        if self.test_fraction is not None:
            if self.test_pattern is not None:
                raise ValueError("test_fraction and test_pattern exclude each other: set one of them")
        elif (self.train_pattern is None) != (self.test_pattern is None):
            raise ValueError("train_pattern and test_pattern go together: set both or neither, or set test_fraction")
        for pattern in (self.train_pattern, self.test_pattern):
            if pattern is not None and self.path is None:
                raise ValueError("train_pattern and test_pattern need path, the directory they are relative to")
        if not is_dated(self.train_pattern or ""):
            for name, is_set in (("span", self.span is not None), ("window", self.window > 1)):
                if is_set:
                    raise ValueError(
                        f"{name} needs a train_pattern that holds {{SPAN}}, or {{YYYY}}, {{MM}} and {{DD}}"
                    )
        return self


class TransformSettings(Section):
    """Conversion of text to token ids."""

    vocabulary_size: int = Field(
        50_000, ge=3, description="total number of ids: 0 is padding, 1 is out of vocabulary, the others are words"
    )
    tokens: Literal["words", "characters"] = Field(
        "words",
        description="characters: each character of a script without blanks between words, such as Chinese, is a token; "
        "words: split at blanks only",
    )
    min_count: PositiveInt = Field(2, description="minimum occurrences in train for a word to get an id")
    max_tokens: PositiveInt = Field(
        256, description="maximum tokens per text; longer texts are cut (the longest of AG News has about 180)"
    )


class TunerSettings(Section):
    """Hyperparameter search before training, off by default."""

    enabled: bool = Field(
        False, description="search for hyperparameters; the best values override the trainer settings"
    )
    trials: PositiveInt = Field(10, description="number of hyperparameter sets to try, sampled at random")
    trial_epochs: PositiveInt = Field(2, description="epochs per trial")


class EvaluatorSettings(Section):
    """Thresholds on the test split for blessing a model."""

    min_accuracy: Fraction = Field(0.88, description="minimum accuracy over all test rows")
    min_label_recall: Fraction = Field(0.78, description="minimum recall of each class")
    max_accuracy_drop: Fraction = Field(0.005, description="maximum loss of accuracy compared with the baseline")
    max_label_recall_drop: Fraction = Field(
        0.03, description="maximum loss of recall of any class compared with the baseline"
    )
    min_slice_accuracy: dict[str, Fraction] = Field(
        {}, description="minimum accuracy on slices of columns that the schema keeps, by COLUMN=VALUE"
    )
    must_pass_file: InputFile | None = Field(
        None,
        description="file with up to 1,000 texts, and their classes, in the columns of the training data; a model that "
        "gets one of them wrong is not blessed; unset: no such texts",
    )


class InfraValidatorSettings(Section):
    """Check that the exported model can be served."""

    platform: Literal["process", "docker", "kubernetes"] = Field(
        "process", description="process: a local server without a container; docker, kubernetes: TFX's InfraValidator"
    )
    rows: PositiveInt = Field(32, description="number of test rows to send to the server")
    timeout_seconds: PositiveFloat = Field(180.0, description="seconds to load the model and answer all requests")
    max_memory_mb: PositiveInt = Field(4096, description="maximum resident memory of the server process, in MiB")
    tolerance: PositiveFloat = Field(1e-4, description="maximum difference of any probability")
    serving_image: str = Field("tensorflow/serving:2.19.1", description="container image for docker and kubernetes")


class ModelCardSettings(Section):
    """Checks and examples in the model card."""

    robustness_rows: PositiveInt = Field(
        1_000, description="number of test rows in each robustness check; each row costs one prediction"
    )
    worst_errors: PositiveInt = Field(
        20, description="number of wrong predictions to show with their text, the most confident first"
    )
    owner_file: InputFile | None = Field(
        None, description="file with the owner's statements for the card; unset: schema/model_card.yaml, for AG News"
    )


class PusherSettings(Section):
    """Destination of blessed models."""

    model_name: str = Field(
        "agnews", max_length=200, pattern=r"^[A-Za-z0-9_-]+$", description="name of the model in TensorFlow Serving"
    )
    destination: Location = Field(
        "serving_model", description="base directory; versions are written to destination/model_name"
    )


class PromotionSettings(Section):
    """Approval of blessed models, and the audit log."""

    require_approval: bool = Field(False, description="push only approved models (agnews approvals approve)")
    approvers: PositiveInt = Field(1, description="number of different people who must approve a model")
    author_may_approve: bool = Field(False, description="accept an approval by the author of the model")
    expires_hours: PositiveFloat = Field(72.0, le=87_600, description="hours until an approval expires")
    audit_log: LocalFile | None = Field(
        None, description="path of the audit log; unset: audit.jsonl in pusher.destination"
    )
    audit_log_readers: Literal["owner", "group", "everyone"] = Field(
        "group", description="who may read a new audit log: modes 0600, 0640 and 0644; an existing log keeps its mode"
    )
    signing_key_file: LocalFile | None = Field(
        None,
        description="private Ed25519 key that signs each push, promotion, rollback and deletion, as PEM without a "
        "password; unset: they are not signed",
    )
    public_key_file: LocalFile | None = Field(
        None, description="public Ed25519 key, as PEM; a version is promoted only if this key signed its push"
    )
    openssf_key_file: LocalFile | None = Field(
        None,
        description="private elliptic-curve key that signs each pushed version in the OpenSSF model-signing format, as "
        "PEM without a password; needs agnews-pipeline[signing]",
    )
    openssf_certificate_file: LocalFile | None = Field(
        None, description="certificate of promotion.openssf_key_file, as PEM; unset: the key alone signs"
    )
    openssf_chain_file: LocalFile | None = Field(
        None, description="certificate of the authority that issued promotion.openssf_certificate_file, as PEM"
    )


class ReviewSettings(Section):
    """The review site: log-in through OpenID Connect or a trusted proxy, and links to the code."""

    user_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="request header in which a proxy names the person who has logged in; unset: no log-in",
    )
    proxy_secret_file: InputFile | None = Field(
        None, description="file whose first line the proxy sends in the header X-Agnews-Proxy-Secret"
    )
    oidc_issuer: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="address of an OpenID Connect provider, exactly as it names itself; people log in there. Needs "
        "agnews-pipeline[openid] and the client's secret in AGNEWS_REVIEW_OIDC_SECRET; unset: no such log-in",
    )
    oidc_client_id: str | None = Field(None, description="the site's client id at the provider")
    oidc_scope: str = Field(
        "openid email profile", pattern=r"^openid( |$)", description="scopes that the site asks the provider for"
    )
    oidc_name_claim: str = Field(
        "email", description="claim with the person's name; email must be verified by the provider"
    )
    oidc_roles_claim: str | None = Field(
        None, description="claim with the person's roles, or a path to it such as realm_access.roles; unset: no roles"
    )
    readers: tuple[str, ...] = Field(
        (), description="names that may read the site; empty, as reader_roles: everyone who has logged in"
    )
    approvers: tuple[str, ...] = Field(
        (), description="names that may also decide on models and change versions on the site"
    )
    reader_roles: tuple[str, ...] = Field((), description="roles of the provider that may read the site")
    approver_roles: tuple[str, ...] = Field(
        (), description="roles of the provider that may also decide on models and change versions on the site"
    )
    repository_url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="address of the code's repository in a browser; commits link to ADDRESS/commit/COMMIT",
    )

    @model_validator(mode="after")
    def _login_is_whole(self) -> "ReviewSettings":
        if (self.user_header is None) != (self.proxy_secret_file is None):
            raise ValueError("user_header and proxy_secret_file go together: set both or neither")
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("oidc_issuer and oidc_client_id go together: set both or neither")
        if self.oidc_issuer and self.user_header:
            raise ValueError("oidc_issuer and user_header exclude each other: people log in at one place")
        if self.oidc_issuer and not self.oidc_issuer.startswith("https:") and not is_this_machine(self.oidc_issuer):
            raise ValueError("oidc_issuer must begin with https: if the provider is not on this machine")
        if not (self.oidc_issuer or self.user_header) and (self.readers or self.approvers):
            raise ValueError("readers and approvers need oidc_issuer or user_header, by which people are known")
        if not (self.oidc_issuer and self.oidc_roles_claim) and (self.reader_roles or self.approver_roles):
            raise ValueError("reader_roles and approver_roles need oidc_issuer and oidc_roles_claim")
        return self


class MonitoringSettings(Section):
    """Detection of changes in the requests and responses of a served model."""

    window_hours: PositiveInt = Field(
        1, le=168, description="hours per window; use 24 if traffic changes with the time of day"
    )
    min_rows: PositiveInt = Field(20, description="minimum texts in a window; smaller windows are not tested")
    reference_windows: PositiveInt = Field(
        24, description="number of earlier unchanged windows to compare a window with"
    )
    max_class_change: Fraction = Field(0.1, description="change of a class's share above which an alert is possible")
    max_divergence: Fraction = Field(
        0.15,
        description="Jensen-Shannon divergence of length, confidence or unknown words above which an alert is possible",
    )
    false_alarm_rate: float = Field(
        0.05, gt=0.0, lt=1.0, description="probability of at least one alert in a report if nothing has changed"
    )
    max_accuracy_fall: Fraction = Field(
        0.02, description="fall of the accuracy on labelled items, against test rows, above which an alert is possible"
    )
    reference_rows: PositiveInt = Field(2_000, description="number of test rows to classify for comparison")
    directory: LocalFile | None = Field(
        None, description="directory of the reports; unset: monitoring in pipeline.root"
    )
    kept_reports: PositiveInt = Field(168, description="number of reports to keep per model, across all its versions")


class MetadataSettings(Section):
    """Connection to the ML Metadata store."""

    backend: Literal["sqlite", "postgresql", "mysql"] = Field(
        "sqlite", description="sqlite: a file under pipeline.root"
    )
    host: str | None = Field(None, description="database host")
    port: Port | None = Field(None, description="database port")
    database: str | None = Field(None, description="database name")
    user: str | None = Field(None, description="database user")
    password: SecretStr | None = Field(
        None, description="database password; use the environment variable or password_file, not a settings file"
    )
    password_file: InputFile | None = Field(None, description="file whose first line is the password")

    @model_validator(mode="after")
    def _server_needs_an_address(self) -> "MetadataSettings":
        if self.backend == "sqlite":
            return self
        for name in ("host", "port", "database", "user"):
            if getattr(self, name) is None:
                raise ValueError(f"backend {self.backend} needs {name}")
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file exclude each other")
        return self

    def read_password(self) -> str | None:
        """Returns the password from the setting or from the first line of password_file.

        Raises:
            SettingsError: the file cannot be read.
        """
        return _secret(self.password, self.password_file, "metadata.password_file")


class AlertSettings(Section):
    """Alerts about runs and served models, which are also written to the log."""

    events: tuple[Literal["failed", "drift", "not_blessed", "waiting", "pushed", "late", "shift"], ...] = Field(
        ("failed", "drift", "not_blessed", "waiting", "pushed", "late", "shift"),
        description="events that send an alert; waiting: a model needs an approval; pushed: a new version is in "
        "pusher.destination; late: a run exceeds "
        "airflow.sla_hours; shift: agnews monitor found a change",
    )
    webhook_url: SecretStr | None = Field(
        None,
        description="webhook URL that accepts Slack's format; use the environment variable or webhook_url_file, not a "
        "settings file",
    )
    webhook_url_file: InputFile | None = Field(None, description="file whose first line is the webhook URL")
    smtp_host: str | None = Field(None, description="mail server; unset: no e-mail")
    smtp_port: Port = Field(587, description="port of the mail server; usually 465 for tls")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="encryption of the connection; none is for a server on this machine"
    )
    smtp_user: str | None = Field(None, description="user name on the mail server; unset: no login")
    smtp_password: SecretStr | None = Field(
        None,
        description="password on the mail server; use the environment variable or smtp_password_file, not a settings "
        "file",
    )
    smtp_password_file: InputFile | None = Field(None, description="file whose first line is the password")
    mail_from: str | None = Field(None, description="sender of the e-mails")
    mail_to: tuple[str, ...] = Field((), description="recipients of the e-mails")
    timeout_seconds: PositiveFloat = Field(10.0, description="timeout of one attempt, in seconds")
    review_url: str | None = Field(
        None,
        description="address of the review site in a browser, for links to a model's page and card, and for its "
        "log-in; unset: no links",
    )

    @model_validator(mode="after")
    def _channels_are_whole(self) -> "AlertSettings":
        for name in ("webhook_url", "smtp_password"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file exclude each other")
        if self.smtp_host and not (self.mail_from and self.mail_to):
            raise ValueError("smtp_host needs mail_from and mail_to")
        return self

    def read_webhook_url(self) -> str:
        """Returns the webhook URL from the setting or from the first line of the file; empty if neither is set.

        Raises:
            SettingsError: the file cannot be read.
        """
        return _secret(self.webhook_url, self.webhook_url_file, "alerts.webhook_url_file") or ""

    def read_smtp_password(self) -> str | None:
        """Returns the password from the setting or from the first line of the file; None if neither is set.

        Raises:
            SettingsError: the file cannot be read.
        """
        return _secret(self.smtp_password, self.smtp_password_file, "alerts.smtp_password_file")


def _secret(value: SecretStr | None, file: Path | None, key: str) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        return read_small_file(file).decode("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{key}: {error}; make it readable or unset it") from error


_ENGINES_OF = {
    **dict.fromkeys(("master", "job_endpoint", "job_server", "worker_pool"), ("flink", "spark")),
    **dict.fromkeys(("image", "project", "region", "temp_location"), ("dataflow",)),
}


class BeamSettings(Section):
    """Beam engine of the data stages and of `agnews batch`.

    The presets are in `pipeline.beam.options`.
    """

    runner: Literal["direct", "flink", "spark", "dataflow"] = Field(
        "direct", description="Beam engine; direct runs in this process; for AG News it is the fastest on one machine"
    )
    workers: PositiveInt = Field(
        1,
        description="direct: number of processes (1: this process); flink, spark: parallel tasks; dataflow: machines",
    )
    master: str | None = Field(
        None,
        description="flink: host:port of the REST API; spark: spark://host:port; unset: a local engine for the run",
    )
    job_endpoint: str | None = Field(
        None, description="flink, spark: host:port of a running job server; unset: the run starts a job server"
    )
    job_server: InputFile | None = Field(
        None,
        description="flink, spark: jar of the job server; unset: the jar that make job-server-flink or -spark built",
    )
    worker_pool: str | None = Field(
        None,
        description="flink, spark: host:port of the worker pool on each node; unset: workers of this installation",
    )
    image: str | None = Field(None, description="dataflow: container image of the workers, with this package")
    project: str | None = Field(None, description="dataflow: Google Cloud project")
    region: str | None = Field(None, description="dataflow: region")
    temp_location: str | None = Field(None, description="dataflow: gs:// folder for staging and temporary files")
    args: tuple[str, ...] = Field((), description="additional Beam options, which override the preset")

    @model_validator(mode="after")
    def _engines_have_what_they_need(self) -> "BeamSettings":
        if self.runner == "dataflow":
            for name in ("image", "project", "region", "temp_location"):
                if getattr(self, name) is None:
                    raise ValueError(f"runner dataflow needs {name}")
        for name, engines in _ENGINES_OF.items():
            if getattr(self, name) is not None and self.runner not in engines:
                raise ValueError(f"{name} is for runner {' or '.join(engines)}, not {self.runner}")
        return self


@cache
def _time_zones() -> set[str]:
    """Returns the names of all time zones; reading them takes milliseconds, and each `Settings` asks."""
    return available_timezones()


class AirflowSettings(Section):
    """Schedule, retries and timeouts of the Airflow DAGs."""

    tasks: Literal["process", "pod"] = Field(
        "process",
        description="how tasks run commands: process: on the worker's machine; pod: in Kubernetes, with image, volume "
        "and resources from kubeflow.*",
    )
    schedule: str = Field("@daily", min_length=1, description="cron expression or one of Airflow's presets")
    timezone: str = Field("UTC", description="time zone of the schedule and of the days that select spans")
    start_date: date = Field(date(2026, 1, 1), description="first day to run or backfill")
    catchup: bool = Field(False, description="also run missed days when the DAG is switched on")
    retries: NonNegativeInt = Field(
        2, description="retries of a failed task; an error that a user must fix is not retried"
    )
    retry_minutes: PositiveFloat = Field(
        5.0, description="minutes before the first retry; the delay doubles with each retry"
    )
    task_minutes: PositiveInt = Field(60, description="timeout of a task, in minutes")
    training_minutes: PositiveInt = Field(360, description="timeout of Tuner and Trainer, in minutes")
    sla_hours: PositiveFloat = Field(12.0, description="hours within which a run should finish after it was queued")
    approval_hours: PositiveFloat = Field(20.0, description="hours to wait for an approval; the next runs wait as well")
    approval_poll_minutes: PositiveFloat = Field(5.0, description="minutes between checks for an approval")
    batch_files: Location | None = Field(
        None,
        description="files that the batch DAG scores each day; {YYYY}, {MM} and {DD} are the day; unset: no such DAG",
    )
    batch_output: Location = Field(
        "scored/{YYYY}-{MM}-{DD}", description="directory that the batch DAG creates for each day"
    )
    batch_on_drift: Literal["stop", "score"] = Field(
        "stop", description="what the batch DAG does if the files differ from the model's training data"
    )
    monitor_logs: Location | None = Field(
        None, description="request logs that the monitoring DAG checks, a file or a directory; unset: no such DAG"
    )
    monitor_schedule: str = Field("@hourly", min_length=1, description="cron expression of the monitoring DAG")
    monitor_trains: bool = Field(
        False, description="start a training when the monitoring DAG finds a change, at most once per day"
    )

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        if name not in _time_zones():
            raise ValueError(f"unknown time zone {name}; expected a name like Europe/Berlin")
        return name


class KubeflowSettings(Section):
    """Kubeflow Pipelines API and pods."""

    host: str | None = Field(None, description="address of the Kubeflow Pipelines API, for submit and schedule")
    namespace: str | None = Field(None, description="namespace of your profile, if Kubeflow has multiple users")
    token_file: InputFile | None = Field(None, description="file with a bearer token, if the API requires one")
    experiment: str = Field("agnews", min_length=1, description="experiment of the runs")
    pipeline_root: str | None = Field(
        None, pattern=r"^[a-z0-9]+://", description="URI for artifacts; unset: the default bucket of Kubeflow"
    )
    image: str = Field(
        f"agnews-pipeline:{version('agnews-pipeline')}", description="container image of the pods, see Dockerfile"
    )
    trainer_image: str | None = Field(
        None, description="container image of the Trainer's pod, for instance for a GPU; unset: kubeflow.image"
    )
    cpu: str | None = Field(None, pattern=r"^[0-9.]+m?$", description="CPU cores of the Trainer's pod, like 4")
    memory: str | None = Field(
        None, pattern=r"^[0-9.]+([KMGT]i?)?$", description="memory of the Trainer's pod, like 16Gi"
    )
    accelerator: str | None = Field(None, description="accelerator type of the Trainer's pod, like nvidia.com/gpu")
    accelerator_count: PositiveInt = Field(1, description="number of accelerators")
    volume_claim: str | None = Field(None, description="PersistentVolumeClaim that each pod mounts")
    mount_path: str = Field(
        "/agnews", pattern=r"^/[^/].*[^/]$", description="directory where each pod mounts the volume"
    )
    secret: str | None = Field(None, description="Secret that each pod mounts, with the files of passwords and keys")
    secret_path: str = Field(
        "/run/secrets/agnews", pattern=r"^/[^/].*[^/]$", description="directory where each pod mounts the secret"
    )
    python: InputFile | None = Field(
        None, description="Python with kfp, for compile, submit and schedule; unset: .venv-kubeflow of the project"
    )


class Settings(Section):
    """All settings, by section."""

    # Made for each instance: default locations are in the current directory.

    pipeline: PipelineSettings = Field(default_factory=PipelineSettings)
    data: DataSettings = Field(default_factory=DataSettings)
    transform: TransformSettings = Field(default_factory=TransformSettings)
    tuner: TunerSettings = Field(default_factory=TunerSettings)
    trainer: TrainerSettings = Field(default_factory=TrainerSettings)
    evaluator: EvaluatorSettings = Field(default_factory=EvaluatorSettings)
    infra_validator: InfraValidatorSettings = Field(default_factory=InfraValidatorSettings)
    model_card: ModelCardSettings = Field(default_factory=ModelCardSettings)
    pusher: PusherSettings = Field(default_factory=PusherSettings)
    promotion: PromotionSettings = Field(default_factory=PromotionSettings)
    review: ReviewSettings = Field(default_factory=ReviewSettings)
    monitoring: MonitoringSettings = Field(default_factory=MonitoringSettings)
    metadata: MetadataSettings = Field(default_factory=MetadataSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    beam: BeamSettings = Field(default_factory=BeamSettings)
    airflow: AirflowSettings = Field(default_factory=AirflowSettings)
    kubeflow: KubeflowSettings = Field(default_factory=KubeflowSettings)

    @model_validator(mode="after")
    def _remote_root_needs_a_database(self) -> "Settings":
        if is_remote(self.pipeline.root) and self.metadata.backend == "sqlite":
            raise ValueError("a remote pipeline.root needs metadata.backend postgresql or mysql: SQLite is one file")
        return self

    def must_pass_texts(self) -> list[dict[str, str]]:
        """Reads title, description and expected class of each text of `evaluator.must_pass_file`, if it is set.

        Raises:
            SettingsError: the file cannot be read, or has a bad row.
        """
        file, row_format = self.evaluator.must_pass_file, self.data.row_format()
        if file is None:
            return []
        try:
            items = read_few_items(str(file), row_format, self.data.max_chars)
        except DataError as error:
            raise SettingsError(f"evaluator.must_pass_file: {error}") from error
        return [
            {"title": item.title, "description": item.description, "expected": row_format.class_names[item.label]}
            for item in items
        ]

    def check_places(self) -> None:
        """Rejects locations of artifacts and models that TensorFlow or Beam would interpret as a pattern.

        Raises:
            SettingsError: a location contains wildcards; the message names the setting.
        """
        places = {
            "pipeline.root": self.pipeline.root,
            "pusher.destination": self.pusher.destination,
            "beam.temp_location": self.beam.temp_location,
            "kubeflow.pipeline_root": self.kubeflow.pipeline_root,
        }
        for key, place in places.items():
            refuse_wildcards(key, place or "")
