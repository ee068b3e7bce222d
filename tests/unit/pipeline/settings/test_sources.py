from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.settings.sources import KEYS, Loaded, _file, _holds_text, load, profile_names
from schema.errors import SettingsError
from tests.support import hostile_places


@pytest.fixture
def file(tmp_path):
    def file(text):
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        return path

    return file


def test_stronger_sources_win_one_after_the_other(file):
    path = file("trainer: {epochs: 5}")
    flags = {"trainer.epochs": ("7", "flag --set trainer.epochs")}
    environ = {"AGNEWS_TRAINER__EPOCHS": "6"}

    def epochs(**sources):
        loaded = load("sample", environ=sources.pop("environ", {}), **sources)
        return loaded.settings.trainer.epochs, loaded.origins["trainer.epochs"]

    assert load(environ={}).origins["trainer.epochs"] == "default"
    assert epochs() == (3, "profile sample")
    assert epochs(config_file=path) == (5, str(path))
    assert epochs(config_file=path, environ=environ) == (6, "environment AGNEWS_TRAINER__EPOCHS")
    assert epochs(config_file=path, environ=environ, flags=flags) == (7, "flag --set trainer.epochs")


@pytest.mark.parametrize(
    "name", ["AGNEWS_IDENTITY", "AGNEWS_REVIEW_TOKEN", "AGNEWS_REVIEW_OIDC_SECRET", "AGNEWS_SERVING"]
)
def test_who_acts_who_may_and_what_compose_mounts_is_no_setting(name):
    assert load(environ={name: "pipeline@cluster"}).settings == load(environ={}).settings


@pytest.mark.parametrize("service", ["AGNEWS", "AGNEWS_METADATA"])
def test_what_kubernetes_says_of_a_service_is_no_setting(service):
    environ = {
        "SERVICE_HOST": "10.0.0.7",
        "SERVICE_PORT": "8501",
        "SERVICE_PORT_REST": "8501",
        "PORT": "tcp://10.0.0.7:8501",
        "PORT_8501_TCP": "tcp://10.0.0.7:8501",
        "PORT_8501_TCP_PROTO": "tcp",
        "PORT_8501_TCP_PORT": "8501",
        "PORT_8501_TCP_ADDR": "10.0.0.7",
    }
    assert load(environ={f"{service}_{name}": text for name, text in environ.items()}) == load(environ={})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("AGNEWS_TRAINER_EPOCHS", "3", r"unknown setting 'trainer_epochs'; did you mean 'trainer\.epochs'"),
        ("AGNEWS_METADATA_PORT", "5432", r"unknown setting 'metadata_port'; did you mean 'metadata\.port'"),
        ("AGNEWS_METADATA__PORT", "tcp://10.0.0.7:5432", r"metadata\.port: .*integer"),
        ("AGNEWS_HOME", "/srv", r"unknown setting 'home'"),
    ],
)
def test_a_misspelled_setting_is_reported(name, text, message):
    with pytest.raises(SettingsError, match=rf"environment {name}: {message}"):
        load(environ={name: text})


def test_a_settings_file_in_the_working_directory_is_found(tmp_path, monkeypatch):
    (tmp_path / "agnews.yaml").write_text("trainer: {seed: 9}")
    monkeypatch.chdir(tmp_path)
    loaded = load(environ={})
    assert (loaded.settings.trainer.seed, loaded.origins["trainer.seed"]) == (9, "agnews.yaml")


def test_a_relative_path_begins_at_the_directory_of_its_settings_file(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/agnews.yaml").write_text("""
        pipeline: {root: runs}
        data: {path: ., schema_file: schema.pbtxt, train_pattern: "*.csv", test_pattern: t.csv, cache: gs://bucket/data}
        model_card: {owner_file: ../card.yaml}
        trainer: {word_vectors: learned}
        promotion: {audit_log: ~/audit.jsonl, public_key_file: /keys/public.pem}
        airflow: {batch_files: "in/{YYYY}.csv"}""")
    monkeypatch.chdir(tmp_path)
    environ = {"AGNEWS_MONITORING__DIRECTORY": "reports", "AGNEWS_ALERTS__WEBHOOK_URL_FILE": "hook"}
    settings = load(config_file=Path("conf/agnews.yaml"), environ=environ).settings
    assert settings.pipeline.root == f"{tmp_path}/conf/runs"
    assert (settings.data.path, settings.data.schema_file) == ("conf", Path("conf/schema.pbtxt"))
    assert (settings.data.train_pattern, settings.data.cache) == ("*.csv", "gs://bucket/data")
    assert settings.model_card.owner_file == Path("conf/../card.yaml")
    assert settings.trainer.word_vectors == "learned"
    assert settings.promotion.audit_log == str(Path.home() / "audit.jsonl")
    assert settings.promotion.public_key_file == "/keys/public.pem"
    assert settings.airflow.batch_files == f"{tmp_path}/conf/in/{{YYYY}}.csv"
    assert (settings.monitoring.directory, settings.pusher.destination) == (
        f"{tmp_path}/reports",
        f"{tmp_path}/serving_model",
    )


def test_every_setting_of_a_path_may_be_relative_to_its_file(tmp_path):
    """A new setting of a path has to be marked as one."""
    for key in hostile_places.SETTINGS:
        section, _, name = key.partition(".")
        path = tmp_path / "settings.yaml"
        path.write_text(f"{section}: {{{name}: there}}")
        assert _file(path)[key][0] == str(tmp_path / "there"), key


def test_a_path_with_braces_is_no_yaml_in_a_flag():
    flags = {"airflow.batch_files": ("/in/{YYYY}.csv", "flag --set airflow.batch_files")}
    assert load(flags=flags, environ={}).settings.airflow.batch_files == "/in/{YYYY}.csv"
    flags = {"airflow.batch_files": ("{YYYY}.csv", "flag --set airflow.batch_files")}
    assert load(flags=flags, environ={}).settings.airflow.batch_files.endswith("/{YYYY}.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {epocs: 3}", r"settings\.yaml: unknown setting 'trainer\.epocs'; did you mean 'trainer\.epochs'"),
        ("trainr: {epochs: 3}", r"settings\.yaml: unknown section 'trainr'; did you mean 'trainer'"),
        ("trainer: {epochs: many}", r"settings\.yaml: trainer\.epochs: .*integer.*received 'many'"),
        ("trainer: 3", r"settings\.yaml: section 'trainer' must hold keys, found a value of type int"),
        ("trainer: {epochs: yes}", r"settings\.yaml: trainer\.epochs: expected a value, not a boolean .received true"),
        ("trainer: {learning_rate: .inf}", r"settings\.yaml: trainer\.learning_rate: .*finite"),
        ("pipeline: {root: ''}", r"settings\.yaml: pipeline\.root: the path is empty; name one, or leave"),
        ("data: {schema_file: ''}", r"settings\.yaml: data\.schema_file: the path is empty"),
        *(
            (f"data: {{span: {span}}}", r"settings\.yaml: data\.span: expected a whole number, or a date")
            for span in ("1.5", "10:30", "2026-03-01 10:30:00", "2026-02-31", "x", "[1]")
        ),
        ("trainer: {epochs: 1:30}", r"settings\.yaml: trainer\.epochs: .*integer.*received '1:30'"),
        ("pipeline: {name: 2026-03-01}", r"settings\.yaml: pipeline\.name: .*pattern.*received '2026-03-01'"),
        ("trainer: {epochs: !!int _}", r"settings\.yaml: not valid YAML"),
        ("trainer: !!map [1]", r"settings\.yaml.*: not valid YAML"),
        ("[1, 2]", r"settings\.yaml: expected sections"),
        ("trainer: {epochs: 3, epochs: 4}", r"settings\.yaml, line 1, column 10: .*'epochs' appears twice"),
        ("trainer: {epochs: [", r"settings\.yaml, line 1, column 20: not valid YAML"),
        ("trainer: {bucket_boundaries: [3, 2]}", r"settings\.yaml: trainer: bucket_boundaries must rise"),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_key_and_remedy(file, text, message):
    with pytest.raises(SettingsError, match=message):
        load(config_file=file(text), environ={})


@pytest.mark.parametrize("text", ["metadata: {password: hunter2", "metadata: {user: @hunter2}", "metadata: hunter2"])
def test_a_bad_file_shows_no_password(file, text):
    with pytest.raises(SettingsError) as refused:
        load(config_file=file(text), environ={})
    assert "hunter2" not in str(refused.value)


def test_sections_may_be_empty_and_merged(file):
    assert load(config_file=file("trainer:\ndata: {}"), environ={}).settings == load(environ={}).settings
    merged = "trainer: &t {seed: 9}\nevaluator: {<<: {min_accuracy: 0.5}, min_accuracy: 0.6}"
    assert load(config_file=file(merged), environ={}).settings.evaluator.min_accuracy == 0.6


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.yaml"):
        load(config_file=tmp_path / "gone.yaml", environ={})


def test_unknown_variables_and_flags_are_errors():
    with pytest.raises(SettingsError, match=r"AGNEWS_TRAINER__EPOCS: unknown setting.*'trainer\.epochs'"):
        load(environ={"AGNEWS_TRAINER__EPOCS": "3"})
    with pytest.raises(SettingsError, match=r"flag --set epochs: unknown setting.*'trainer\.epochs'"):
        load(flags={"epochs": ("3", "flag --set epochs")}, environ={})


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(SettingsError, match="default, kubeflow, production, sample"):
        load("quick", environ={})


@pytest.mark.parametrize("profile", profile_names())
def test_every_profile_is_good(profile):
    assert load(profile, environ={}).settings.pipeline.name == "agnews"


def test_production_has_a_server_for_metadata_a_remote_root_and_flink():
    settings = load("production", environ={}).settings
    assert settings.metadata.backend == "postgresql"
    assert "://" in settings.pipeline.root
    assert settings.beam.runner == "flink"


def test_texts_in_flags_and_variables_are_taken_verbatim():
    flags = {
        key: (text, "flag") for key, text in (("data.train_pattern", "{SPAN}/a.csv"), ("data.test_pattern", "yes"))
    }
    loaded = load(flags=flags, environ={"AGNEWS_DATA__PATH": "[1]", "AGNEWS_METADATA__PASSWORD": "{a: b}"})
    data, password = loaded.settings.data, loaded.settings.metadata.read_password()
    assert (data.path, data.train_pattern, data.test_pattern, password) == ("[1]", "{SPAN}/a.csv", "yes", "{a: b}")


def test_an_empty_text_unsets_an_optional_setting():
    assert load("production", environ={"AGNEWS_METADATA__PASSWORD_FILE": ""}).settings.metadata.password_file is None


@pytest.mark.parametrize("options", [{"data_path": ""}, {"flags": {"pipeline.root": ("", "flag")}}])
def test_an_empty_path_that_cannot_be_unset_is_refused(options):
    with pytest.raises(SettingsError, match=r"flag.*: (data.path|pipeline.root): the path is empty"):
        load(**options, environ={})


def test_a_date_in_a_file_is_the_span_of_that_date(file):
    days = "data: {path: here, train_pattern: '{YYYY}-{MM}-{DD}.csv', test_fraction: 0.1, span: 2026-03-01}"
    assert load(config_file=file(days), environ={}).settings.data.span == 20513


def test_lists_in_variables_are_yaml():
    loaded = load(environ={"AGNEWS_TRAINER__BUCKET_BOUNDARIES": "[10, 20]", "AGNEWS_BEAM__ARGS": "[--runner=X]"})
    assert loaded.settings.trainer.bucket_boundaries == (10, 20)
    assert loaded.settings.beam.args == ("--runner=X",)


def test_a_password_is_never_part_of_a_message():
    environ = {"AGNEWS_METADATA__PASSWORD": "[hunter2]", "AGNEWS_METADATA__PORT": "x"}
    with pytest.raises(SettingsError) as refused:
        load(environ=environ)
    assert "hunter2" not in str(refused.value)


def test_every_key_says_what_it_means():
    assert [key for key, field in KEYS.items() if not field.description] == []


def test_what_show_prints_can_be_read_back(file):
    first = load("sample", environ={})
    text = yaml.safe_dump(first.settings.model_dump(mode="json", exclude_none=True))
    assert load(config_file=file(text), environ={}).settings == first.settings


@given(st.text(max_size=60))
def test_any_text_is_settings_or_a_users_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("settings") / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(load(config_file=path, environ={}), Loaded)
    except SettingsError as error:
        assert "any.yaml" in str(error)


@given(st.sampled_from(sorted(KEYS)), st.text(max_size=20))
def test_any_value_of_any_key_is_taken_or_a_users_error(key, text):
    try:
        load(flags={key: (text, f"flag --set {key}")}, environ={})
    except SettingsError as error:
        assert key.partition(".")[0] in str(error)


def test_a_server_without_a_host_names_the_variable_that_unset_it():
    with pytest.raises(SettingsError, match=r"AGNEWS_METADATA__HOST.*needs host"):
        load("production", environ={"AGNEWS_METADATA__HOST": ""})


def test_a_remote_root_with_sqlite_names_the_remedy():
    with pytest.raises(SettingsError, match=r"AGNEWS_METADATA__BACKEND.*postgresql or mysql"):
        load("production", environ={"AGNEWS_METADATA__BACKEND": "sqlite"})


def test_two_passwords_are_refused_without_showing_one():
    with pytest.raises(SettingsError, match="exclude each other") as refused:
        load("production", environ={"AGNEWS_METADATA__PASSWORD": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_a_misspelt_password_is_not_shown():
    with pytest.raises(SettingsError, match=r"did you mean 'metadata\.password'") as refused:
        load(environ={"AGNEWS_METADATA__PASSWRD": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_the_effective_settings_do_not_show_the_password():
    environ = {"AGNEWS_METADATA__PASSWORD": "hunter2", "AGNEWS_METADATA__PASSWORD_FILE": ""}
    loaded = load("production", environ=environ)
    assert "hunter2" not in repr(loaded) + loaded.settings.model_dump_json()


# Settings that hold text and name no place of this machine.
_NO_LOCAL_PLACES = {
    *("pipeline.name", "data.train_pattern", "data.test_pattern", "data.label_column", "transform.tokens"),
    *("trainer.architecture", "trainer.pooling", "alerts.review_url"),
    *("trainer.precision", "infra_validator.platform", "infra_validator.serving_image", "pusher.model_name"),
    *("promotion.audit_log_readers", "review.user_header", "review.repository_url", "alerts.review_url"),
    *(f"review.oidc_{name}" for name in ("issuer", "client_id", "scope", "name_claim", "roles_claim")),
    *("metadata.backend", "metadata.host", "metadata.database", "metadata.user", "metadata.password"),
    *(
        "alerts.webhook_url",
        "alerts.review_url",
        "alerts.smtp_host",
        "alerts.smtp_security",
        "alerts.smtp_user",
        "alerts.smtp_password",
    ),
    *("alerts.mail_from", "beam.runner", "beam.master", "beam.job_endpoint", "beam.worker_pool", "beam.image"),
    *("beam.project", "beam.region", "beam.temp_location", "airflow.tasks", "airflow.schedule"),
    *("airflow.timezone", "airflow.batch_on_drift", "airflow.monitor_schedule", "kubeflow.host", "kubeflow.namespace"),
    *("kubeflow.experiment", "kubeflow.pipeline_root", "kubeflow.image", "kubeflow.trainer_image", "kubeflow.cpu"),
    *(
        "kubeflow.memory",
        "kubeflow.accelerator",
        "kubeflow.volume_claim",
        "kubeflow.mount_path",
        "kubeflow.secret",
        "kubeflow.secret_path",
    ),
}
_PLACES = [key for key, field in KEYS.items() if _holds_text(field.annotation) and key not in _NO_LOCAL_PLACES]


@pytest.mark.parametrize("origin", ["file", "environment", "flag"])
@pytest.mark.parametrize("key", _PLACES)
def test_a_tilde_is_the_home_directory_in_every_place(file, monkeypatch, key, origin):
    monkeypatch.setenv("HOME", "/home/me")
    section, _, name = key.partition(".")
    more = {
        "beam.job_server": {"beam.runner": ("spark", "flag")},
        "review.proxy_secret_file": {"review.user_header": ("X-User", "flag")},
    }.get(key, {})
    if origin == "file":
        loaded = load(config_file=file(f"{section}: {{{name}: ~/x}}"), flags=more, environ={})
    elif origin == "environment":
        loaded = load(environ={f"AGNEWS_{section}__{name}".upper(): "~/x"}, flags=more)
    else:
        loaded = load(flags={key: ("~/x", f"flag --set {key}")} | more, environ={})
    assert str(getattr(getattr(loaded.settings, section), name)) == "/home/me/x"


def test_the_flag_for_data_expands_a_tilde_and_keeps_a_uri(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert load(data_path="~/x", environ={}).settings.data.path == "/home/me/x"
    assert load(data_path="gs://bucket/~x", environ={}).settings.data.path == "gs://bucket/~x"


def test_an_unknown_home_directory_names_the_setting(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda place: place)
    with pytest.raises(SettingsError, match=r"flag --set pipeline\.root: .*set HOME"):
        load(flags={"pipeline.root": ("~/x", "flag --set pipeline.root")}, environ={})
