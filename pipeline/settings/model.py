"""The settings of the pipeline: every number a user may change, with its unit and its reason.

Only the model lives here; where the values come from is `pipeline.settings.sources`' concern.
"""

from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

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

from components.example_gen.spans import is_dated, span_of_date
from components.trainer.settings import Section, TrainerSettings, replace_tilde
from schema.errors import SettingsError
from schema.paths import expand_home, is_remote, refuse_wildcards

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _absolute(place: str) -> str:
    return place if is_remote(place) else str(Path(expand_home(place)).absolute())


# A local place is made absolute at once: artifacts are recorded by it and must be found from anywhere.
Location = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]


class PipelineSettings(Section):
    """What this pipeline is called and where its artifacts lie."""

    name: str = Field("agnews", pattern=r"^[a-z][a-z0-9-]*$", description="name in the metadata store")
    root: Location = Field("runs", description="directory or URI for artifacts, logs and the embedded metadata store")
    enable_cache: bool = Field(True, description="take an unchanged component's outputs from its last run")

    def make_root(self) -> Path:
        """Makes the local root.

        Raises:
            SettingsError: it cannot be made.
        """
        root = Path(self.root)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"pipeline.root {root}: {error.strerror}; name a directory that can be made") from error
        return root


class DataSettings(Section):
    """Which rows come in, and how bad they may be."""

    path: str | None = Field(
        None, description="directory with the data; unset: $AG_NEWS_DIR, else the public download, else synthetic rows"
    )
    train_pattern: str | None = Field(
        None, description="training files under path; may hold {SPAN} and {VERSION}; unset: found by name"
    )
    test_pattern: str | None = Field(None, description="test files under path, like train_pattern")
    span: int | None = Field(
        None,
        ge=0,
        description="the span to ingest, a number or a date (YYYY-MM-DD); unset: the latest that exists",
    )
    window: PositiveInt = Field(1, description="spans that train: so many accepted ones, the newest of them last")
    val_fraction: float = Field(0.05, gt=0.0, lt=0.5, description="share of the training rows held out as val")
    max_bad_fraction: Fraction = Field(0.001, description="share of quarantined rows over which the run stops")
    max_chars: int = Field(
        10_000, gt=0, le=100_000, description="characters of title + description over which a row is bad"
    )
    exact_statistics: bool = Field(
        True, description="count all values of a feature; false: estimates, in memory that does not grow with the rows"
    )
    cache: Location = Field("data", description="directory for downloaded and synthetic rows")
    synthetic_rows: PositiveInt = Field(
        4_000, description="training rows of the synthetic sample (a quarter more: test)"
    )
    synthetic_seed: int = Field(7, description="seed of the synthetic sample's grammar")

    _home_is_expanded = field_validator("path")(replace_tilde)

    @field_validator("span", mode="before")
    @classmethod
    def _a_date_is_a_span(cls, span: Any) -> Any:
        if isinstance(span, str) and not span.isdecimal():
            try:
                span = date.fromisoformat(span)
            except ValueError:
                raise ValueError("expected a number, or a date as YYYY-MM-DD") from None
        return span_of_date(span) if type(span) is date else span

    @model_validator(mode="after")
    def _patterns_come_in_pairs(self) -> "DataSettings":
        if (self.train_pattern is None) != (self.test_pattern is None):
            raise ValueError("train_pattern and test_pattern go together: set both or neither")
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
    """How text becomes token ids."""

    vocabulary_size: int = Field(50_000, ge=3, description="ids in all: padding 0, out of vocabulary 1, then words")
    min_count: PositiveInt = Field(2, description="occurrences of a word in train below which it gets no id")
    max_tokens: PositiveInt = Field(256, description="tokens kept of one text; the corpus' longest has some 180")


class TunerSettings(Section):
    """The search for hyperparameters before training, off by default."""

    enabled: bool = Field(False, description="search; the best values go before the trainer's settings")
    trials: PositiveInt = Field(10, description="recipes tried, drawn at random")
    trial_epochs: PositiveInt = Field(2, description="epochs of a trial")


class EvaluatorSettings(Section):
    """What a model must reach on the test split to be blessed."""

    min_accuracy: Fraction = Field(0.88, description="accuracy over all test rows")
    min_label_recall: Fraction = Field(0.78, description="share of each class's test rows found")
    max_accuracy_drop: Fraction = Field(0.005, description="allowed loss of accuracy against the baseline")
    max_label_recall_drop: Fraction = Field(0.03, description="allowed loss of one class's recall against the baseline")


class InfraValidatorSettings(Section):
    """The check that the export can be served."""

    platform: Literal["process", "docker", "kubernetes"] = Field(
        "process", description="process: a local one, no container; else TFX's own InfraValidator"
    )
    rows: PositiveInt = Field(32, description="test rows sent over the wire")
    timeout_seconds: PositiveFloat = Field(180.0, description="limit of load and answers together, seconds")
    max_memory_mb: PositiveInt = Field(4096, description="resident memory of the serving process, MiB")
    tolerance: PositiveFloat = Field(1e-4, description="allowed difference of any probability")
    serving_image: str = Field("tensorflow/serving:2.19.1", description="image for docker and kubernetes")


class ModelCardSettings(Section):
    """What the model card looks into."""

    robustness_rows: PositiveInt = Field(1_000, description="test rows of each robustness check; each costs an answer")
    worst_errors: PositiveInt = Field(20, description="wrong answers shown with their text, the surest first")


class PusherSettings(Section):
    """Where blessed models go."""

    model_name: str = Field("agnews", pattern=r"^[A-Za-z0-9_-]+$", description="name TF Serving knows the model by")
    destination: Location = Field("serving_model", description="base directory; versions go to destination/model_name")


def _on_this_machine(place: str | None) -> str | None:
    if place is not None and is_remote(place):
        raise ValueError("must lie in a file system: nothing can be appended or replaced in an object store")
    return place if place is None else _absolute(place)


class PromotionSettings(Section):
    """Who must agree before a blessed model is pushed, and where it is written down."""

    require_approval: bool = Field(False, description="push nothing that was not approved (agnews approve)")
    approvers: PositiveInt = Field(1, description="how many different people must approve")
    author_may_approve: bool = Field(False, description="count the approval of who trained the model, too")
    expires_hours: PositiveFloat = Field(72.0, le=87_600, description="hours after which an approval no longer counts")
    audit_log: str | None = Field(None, description="file of the audit log; unset: audit.jsonl in pusher.destination")
    signing_key_file: str | None = Field(
        None, description="private Ed25519 key, PEM without a password, that signs each push; unset: not signed"
    )

    _files_are_local = field_validator("audit_log", "signing_key_file")(_on_this_machine)


class MonitoringSettings(Section):
    """When a change of what a served model is asked, or answers, is worth an alert."""

    window_hours: PositiveInt = Field(1, le=168, description="hours compared at a time; 24 where days have a rhythm")
    min_rows: PositiveInt = Field(20, description="texts of a window below which it is not judged")
    reference_windows: PositiveInt = Field(24, description="unchanged windows before, with which one is compared")
    max_class_change: Fraction = Field(0.1, description="change of a class's share over which it matters")
    max_divergence: Fraction = Field(
        0.15, description="Jensen-Shannon divergence of length, confidence or unknown words over which it matters"
    )
    false_alarm_rate: float = Field(
        0.05, gt=0.0, lt=1.0, description="probability of any alert in a report where nothing changed"
    )
    reference_rows: PositiveInt = Field(2_000, description="test rows that the served model is asked for comparison")
    directory: str | None = Field(None, description="directory of the reports; unset: monitoring in pipeline.root")
    kept_reports: PositiveInt = Field(168, description="latest reports that are kept, of all versions of a model")

    _directory_is_local = field_validator("directory")(_on_this_machine)


class MetadataSettings(Section):
    """The ML Metadata store."""

    backend: Literal["sqlite", "postgresql", "mysql"] = Field(
        "sqlite", description="sqlite: a file under pipeline.root"
    )
    host: str | None = Field(None, description="database host")
    port: Port | None = Field(None, description="database port")
    database: str | None = Field(None, description="database name")
    user: str | None = Field(None, description="database user")
    password: SecretStr | None = Field(None, description="prefer the environment or password_file to a settings file")
    password_file: Path | None = Field(None, description="file whose first line is the password")

    _home_is_expanded = field_validator("password_file")(replace_tilde)

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
        """The password, from the setting or from the first line of password_file.

        Raises:
            SettingsError: the file cannot be read.
        """
        return _secret(self.password, self.password_file, "metadata.password_file")


class AlertSettings(Section):
    """Who is told when a run or a served model needs people. The log always has it."""

    events: tuple[Literal["failed", "drift", "not_blessed", "waiting", "late", "shift"], ...] = Field(
        ("failed", "drift", "not_blessed", "waiting", "late", "shift"),
        description="what is told; waiting: for an approval; late: after airflow.sla_hours; shift: by agnews monitor",
    )
    webhook_url: SecretStr | None = Field(
        None, description="address that takes Slack's form; prefer the environment or webhook_url_file"
    )
    webhook_url_file: Path | None = Field(None, description="file whose first line is the address")
    smtp_host: str | None = Field(None, description="mail server; unset: no e-mail")
    smtp_port: Port = Field(587, description="its port; 465 is usual for tls")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection is encrypted; none is for a server on this machine"
    )
    smtp_user: str | None = Field(None, description="name to log in with; unset: no login")
    smtp_password: SecretStr | None = Field(None, description="prefer the environment or smtp_password_file")
    smtp_password_file: Path | None = Field(None, description="file whose first line is the password")
    mail_from: str | None = Field(None, description="sender of the e-mail")
    mail_to: tuple[str, ...] = Field((), description="its recipients")
    timeout_seconds: PositiveFloat = Field(10.0, description="limit of one attempt, seconds")

    _home_is_expanded = field_validator("webhook_url_file", "smtp_password_file")(replace_tilde)

    @model_validator(mode="after")
    def _channels_are_whole(self) -> "AlertSettings":
        for name in ("webhook_url", "smtp_password"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file exclude each other")
        if self.smtp_host and not (self.mail_from and self.mail_to):
            raise ValueError("smtp_host needs mail_from and mail_to")
        return self

    def read_webhook_url(self) -> str:
        """The address, from the setting or from the first line of the file.

        Raises:
            SettingsError: the file cannot be read.
        """
        return _secret(self.webhook_url, self.webhook_url_file, "alerts.webhook_url_file") or ""

    def read_smtp_password(self) -> str | None:
        """The password, likewise."""
        return _secret(self.smtp_password, self.smtp_password_file, "alerts.smtp_password_file")


def _secret(value: SecretStr | None, file: Path | None, key: str) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, ValueError) as error:
        raise SettingsError(f"{key}: {error}; make it readable or unset it") from error


_ENGINES_OF = {
    **dict.fromkeys(("master", "job_endpoint", "job_server", "worker_pool"), ("flink", "spark")),
    **dict.fromkeys(("image", "project", "region", "temp_location"), ("dataflow",)),
}


class BeamSettings(Section):
    """Which of Beam's engines the data stages and `agnews batch` run on.

    The presets are in `pipeline.beam.options`.
    """

    runner: Literal["direct", "flink", "spark", "dataflow"] = Field(
        "direct", description="the engine; direct is this process, the fastest at this size on one machine"
    )
    workers: PositiveInt = Field(
        1,
        description="direct: processes, 1 for this one alone; flink, spark: parallel tasks; dataflow: machines",
    )
    master: str | None = Field(
        None,
        description="flink: host:port of its REST API; spark: spark://host:port; unset: one for the run alone",
    )
    job_endpoint: str | None = Field(
        None, description="flink, spark: host:port of a running job server; unset: the run starts its own"
    )
    job_server: Path | None = Field(
        None, description="flink, spark: jar of the job server; unset: what make job-server-flink, -spark built"
    )
    worker_pool: str | None = Field(
        None,
        description="flink, spark: host:port of the worker pool beside each node; unset: this installation",
    )
    image: str | None = Field(None, description="container image with this package, of the workers of dataflow")
    project: str | None = Field(None, description="dataflow: Google Cloud project")
    region: str | None = Field(None, description="dataflow: region")
    temp_location: str | None = Field(None, description="dataflow: gs:// folder for staging and temporary files")
    args: tuple[str, ...] = Field((), description="further Beam options; they win over the preset's")

    _home_is_expanded = field_validator("job_server")(replace_tilde)

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


class AirflowSettings(Section):
    """When Airflow runs the pipeline, and how long it tries."""

    schedule: str = Field("@daily", min_length=1, description="cron expression or one of Airflow's presets")
    start_date: date = Field(date(2026, 1, 1), description="first day that may be run or backfilled")
    catchup: bool = Field(False, description="run the days that were missed, too, when the DAG is switched on")
    retries: NonNegativeInt = Field(2, description="further tries of a failed task; what a user must mend has none")
    retry_minutes: PositiveFloat = Field(5.0, description="minutes before the first of them; twice as long each time")
    task_minutes: PositiveInt = Field(60, description="minutes after which a task is stopped")
    training_minutes: PositiveInt = Field(360, description="the same for Tuner and Trainer")
    sla_hours: PositiveFloat = Field(12.0, description="hours after a day's end by which its model should be in place")
    approval_hours: PositiveFloat = Field(20.0, description="hours to wait for an approval; later runs wait as well")
    approval_poll_minutes: PositiveFloat = Field(5.0, description="minutes between two looks for it")


class KubeflowSettings(Section):
    """Kubeflow Pipelines: the pods, and where they are started."""

    host: str | None = Field(None, description="address of the Kubeflow Pipelines API, for submit and schedule")
    namespace: str | None = Field(None, description="profile's namespace, where Kubeflow has several users")
    token_file: Path | None = Field(None, description="file with a bearer token for the API, where it asks for one")
    experiment: str = Field("agnews", min_length=1, description="experiment under which the runs are listed")
    pipeline_root: str | None = Field(
        None, pattern=r"^[a-z0-9]+://", description="URI for artifacts; unset: the bucket that Kubeflow was set up with"
    )
    image: str = Field(
        f"agnews-pipeline:{version('agnews-pipeline')}", description="container image of the pods, see Dockerfile"
    )
    trainer_image: str | None = Field(None, description="image of the Trainer's pod, for a GPU; unset: as the others")
    cpu: str | None = Field(None, pattern=r"^[0-9.]+m?$", description="cores that the Trainer's pod asks for, like 4")
    memory: str | None = Field(
        None, pattern=r"^[0-9.]+([KMGT]i?)?$", description="memory that the Trainer's pod asks for, like 16Gi"
    )
    accelerator: str | None = Field(None, description="kind of the Trainer's accelerator, like nvidia.com/gpu")
    accelerator_count: PositiveInt = Field(1, description="how many of that kind")
    volume_claim: str | None = Field(None, description="PersistentVolumeClaim that each pod mounts")
    mount_path: str = Field("/agnews", pattern=r"^/[^/].*[^/]$", description="directory where it is mounted")

    _home_is_expanded = field_validator("token_file")(replace_tilde)


class Settings(Section):
    """All settings; each section is one stage."""

    pipeline: PipelineSettings = PipelineSettings()
    data: DataSettings = DataSettings()
    transform: TransformSettings = TransformSettings()
    tuner: TunerSettings = TunerSettings()
    trainer: TrainerSettings = TrainerSettings()
    evaluator: EvaluatorSettings = EvaluatorSettings()
    infra_validator: InfraValidatorSettings = InfraValidatorSettings()
    model_card: ModelCardSettings = ModelCardSettings()
    pusher: PusherSettings = PusherSettings()
    promotion: PromotionSettings = PromotionSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    metadata: MetadataSettings = MetadataSettings()
    alerts: AlertSettings = AlertSettings()
    beam: BeamSettings = BeamSettings()
    airflow: AirflowSettings = AirflowSettings()
    kubeflow: KubeflowSettings = KubeflowSettings()

    @model_validator(mode="after")
    def _remote_root_needs_a_database(self) -> "Settings":
        if is_remote(self.pipeline.root) and self.metadata.backend == "sqlite":
            raise ValueError("a remote pipeline.root needs metadata.backend postgresql or mysql: SQLite is one file")
        return self

    def check_places(self) -> None:
        """Refuses places of artifacts and models that TensorFlow or Beam would take for a pattern.

        Raises:
            SettingsError: there is one; the message names the setting.
        """
        places = {
            "pipeline.root": self.pipeline.root,
            "pusher.destination": self.pusher.destination,
            "beam.temp_location": self.beam.temp_location,
            "kubeflow.pipeline_root": self.kubeflow.pipeline_root,
        }
        for key, place in places.items():
            refuse_wildcards(key, place or "")
