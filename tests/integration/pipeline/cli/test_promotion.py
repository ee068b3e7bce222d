"""Tests `agnews versions list`, `promote`, `rollback` and `prune` on a serving directory without a server."""

import json
import re

import pytest
from click.testing import CliRunner
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.cli import cli
from pipeline.metadata.connection import connection_config
from pipeline.settings import Settings
from schema.errors import DataError
from serving.promotion import PromotionError
from tests.support.logged_push import log_push


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Creates a working directory with the versions 1, 2 and 3."""
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", "serving_model")
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", "runs")
    for number in (1, 2, 3):
        path = tmp_path / f"serving_model/agnews/{number}"
        (path / "assets.extra").mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"x" * 1_000_000)
        log_push(path)
    return tmp_path


def agnews(*arguments, ends=0):
    ended = CliRunner().invoke(cli, arguments)
    if ends is not None and ended.exit_code != ends:
        raise ended.exception
    return ended.output


def lines(output):
    return [" ".join(line.split()) for line in output.splitlines()]


def test_versions_shows_what_is_in_production_and_who_changed_it(place):
    agnews("versions", "promote", "2", "--label", "stable", "--by", "ann@here", "--reason", "[good]")
    agnews("versions", "promote", "3", "--label", "canary", "--by", "bob@here", "--poll-seconds", "0")
    shown = lines(agnews("versions", "list"))
    assert re.fullmatch(r"1 \d+ s 1.0 not known here", shown[2])
    assert re.fullmatch(
        r"2 .* stable in production .* became stable, \d+ s ago by ann@here \(claimed\): \[good\]", shown[3]
    )
    assert re.fullmatch(
        r"3 .* canary loaded, answers requests without a label .* canary, \d+ s ago by bob@here \(claimed\)", shown[4]
    )


def test_control_characters_in_a_reason_or_a_label_do_not_reach_the_terminal(place):
    (place / "serving_model/models.config").write_text(
        "model_config_list { config { name: 'agnews' base_path: '/models/agnews\\033[2J' "
        "version_labels { key: '[b]\\033[2J' value: 3 } } }"
    )
    agnews("versions", "promote", "3", "--label", "stable", "--reason", "a\x1b[2Jb")
    shown = agnews("versions", "promote", "3", "--label", "stable") + agnews("versions", "list")
    assert "\x1b" not in shown
    assert "[b]\N{REPLACEMENT CHARACTER}[2J" in shown


def test_without_a_models_config_no_version_is_said_to_be_in_production(place):
    shown = lines(agnews("versions", "list"))
    assert "in production" not in " ".join(shown)
    assert re.fullmatch(r"3 \d+ s 1.0 newest, served where there is no models.config not known here", shown[4])
    rows = json.loads(agnews("versions", "list", "--json"))
    assert [(row["in_production"], row["loaded"], row["answers_without_label"]) for row in rows] == [
        (False, False, False),
        (False, False, False),
        (False, False, True),
    ]


def test_an_incomplete_version_is_marked_in_the_list(place):
    (place / "serving_model/agnews/2/saved_model.pb").unlink()
    assert "no: it has no saved_model.pb" in lines(agnews("versions", "list"))[3]


def test_versions_as_json_hold_everything(place):
    agnews("versions", "promote", "1", "--label", "stable", "--by", "ann@here")
    agnews("versions", "promote", "2", "--label", "stable", "--by", "ann@here", "--poll-seconds", "0")
    agnews("versions", "rollback", "--reason", "worse", "--by", "bob@here")
    one, two, _ = json.loads(agnews("versions", "list", "--json"))
    assert (one["version"], one["labels"], one["in_production"], one["loaded"]) == (1, ["stable"], True, True)
    assert (two["bytes"], two["loaded"], two["flaw"], two["server_state"]) == (1_000_000, False, None, None)
    change = two["changes"][-1]
    assert (change["action"], change["from_version"], change["to_version"]) == ("rollback", 2, 1)
    assert (change["who"], change["why"], change["state"]) == ("bob@here", "worse", "COMPLETE")


_KINDS = ("Model", "PushedModel", "Examples", "ModelEvaluation")


def test_the_pushing_run_and_its_metrics_are_found_in_the_metadata_store(place, evaluation):
    store = MetadataStore(connection_config(Settings.model_validate({"pipeline": {"root": "runs"}})))
    (place / "serving_model/agnews/2/assets.extra/mlmd_uuid").write_text(
        str(_record_a_push(store, "run-7", "2", str(evaluation)))
    )
    _, two, three = json.loads(agnews("versions", "list", "--json"))
    assert (two["pushed_by"], two["data"], two["metrics"]) == ("run-7", "ag_news", {"accuracy": 0.875})
    assert three["pushed_by"] is None


def test_a_run_with_a_cached_push_is_not_named_as_the_pusher(place, evaluation):
    store = MetadataStore(connection_config(Settings.model_validate({"pipeline": {"root": "runs"}})))
    model = _record_a_push(store, "run-7", "2", str(evaluation))
    (place / "serving_model/agnews/2/assets.extra/mlmd_uuid").write_text(str(model))
    _record_a_push_from_the_cache(store, "run-8")
    _, two, _ = json.loads(agnews("versions", "list", "--json"))
    assert (two["pushed_by"], two["metrics"]) == ("run-7", {"accuracy": 0.875})


def _record_a_push(store, run, version, evaluation):
    """Records a run as TFX does, with ExampleGen and a Pusher that pushed a model; returns the model's id."""
    kinds = {name: store.put_artifact_type(mlmd.ArtifactType(name=name)) for name in _KINDS}
    contexts = [
        mlmd.Context(type_id=store.put_context_type(mlmd.ContextType(name="pipeline_run")), name=run),
        mlmd.Context(type_id=store.put_context_type(mlmd.ContextType(name="node")), name="agnews.AgNewsExampleGen"),
    ]
    pusher = mlmd.Context(type_id=contexts[1].type_id, name="agnews.AgNewsPusher")
    execution = mlmd.Execution(type_id=store.put_execution_type(mlmd.ExecutionType(name="any")))

    def event(kind, key):
        return mlmd.Event(type=kind, path=mlmd.Event.Path(steps=[{"key": key}]))

    examples = mlmd.Artifact(type_id=kinds["Examples"], uri="examples/1")
    examples.custom_properties["source"].string_value = "ag_news"
    outputs = [(examples, event(mlmd.Event.OUTPUT, "examples"))]
    outputs.append((mlmd.Artifact(type_id=kinds["ModelEvaluation"], uri=evaluation), event(mlmd.Event.OUTPUT, "x")))
    store.put_execution(execution, outputs, contexts)
    pushed = mlmd.Artifact(type_id=kinds["PushedModel"], uri="pushed")
    pushed.custom_properties["pushed_version"].string_value = version
    artifacts = [
        (mlmd.Artifact(type_id=kinds["Model"], uri="model"), event(mlmd.Event.INPUT, "model")),
        (pushed, event(mlmd.Event.OUTPUT, "pushed_model")),
    ]
    _, ids, _ = store.put_execution(execution, artifacts, [contexts[0], pusher], reuse_context_if_already_exist=True)
    return ids[0]


def _record_a_push_from_the_cache(store, run):
    """Records a run's cached Pusher as TFX does, with the pushed model as its output."""
    [pushed] = store.get_artifacts_by_type("PushedModel")
    context = mlmd.Context(type_id=store.get_context_type("pipeline_run").id, name=run)
    execution = mlmd.Execution(type_id=store.get_execution_type("any").id, last_known_state=mlmd.Execution.CACHED)
    event = mlmd.Event(type=mlmd.Event.OUTPUT, path=mlmd.Event.Path(steps=[{"key": "pushed_model"}]))
    store.put_execution(execution, [(pushed, event)], [context])


def test_a_promotion_says_what_it_did_and_what_answers_without_a_label(place):
    shown = agnews("versions", "promote", "1", "--label", "stable")
    assert "Moved label stable to version 1 (was not set). Record 1, by " in shown
    assert "labels: stable 1; loaded: 1" in shown
    assert "models.config follow at their next poll" in shown
    assert "models.config loads" not in shown
    shown = agnews("versions", "promote", "2", "--label", "canary", "--poll-seconds", "0")
    assert "Moved label canary to version 2 (was not set)" in shown
    assert "requests that name neither version nor label are answered by 2" in shown
    assert "nothing was changed" in agnews("versions", "promote", "2", "--label", "canary")
    assert "both stable and canary" not in shown
    shown = agnews("versions", "promote", "2", "--label", "stable", "--poll-seconds", "0")
    assert "note: version 2 is both stable and canary, so no version is on trial; agnews versions end-canary" in shown


def test_the_first_label_of_the_version_that_is_served_says_so(place):
    (place / "serving_model/models.config").write_text(
        'model_config_list { config { name: "agnews" model_platform: "tensorflow" base_path: "'
        f'{place / "serving_model/agnews"}" model_version_policy {{ specific {{ versions: 1 }} }} }} }}'
    )
    assert "Moved label stable to version 1 (was unlabelled)." in agnews(
        "versions", "promote", "1", "--label", "stable"
    )


def test_a_promotion_reports_that_servers_load_from_elsewhere(place):
    (place / "serving_model/models.config").write_text(
        'model_config_list { config { name: "agnews" base_path: "/models/agnews" model_platform: "tensorflow" } }'
    )
    note = "note: models.config loads agnews from /models/agnews; that is not what was checked"
    for _ in range(2):
        assert note in agnews("versions", "promote", "1", "--label", "stable", "--poll-seconds", "0")
    assert note in agnews("versions", "rollback", "--to", "2", "--poll-seconds", "0")


def test_a_missing_user_name_and_invalid_text_do_not_stop_a_promotion(place, monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    agnews("versions", "promote", "3", "--label", "stable", "--reason", "caf\udce9")
    change = json.loads(agnews("versions", "list", "--json"))[2]["changes"][0]
    assert re.fullmatch(r"uid \d+@.+", change["who"])
    assert change["why"] == "caf\ufffd"


def test_a_pruning_lists_what_goes_and_why_the_others_stay(place):
    agnews("versions", "promote", "2", "--label", "stable")
    dry = agnews("versions", "prune", "--keep", "1", "--dry-run")
    assert lines(dry) == ["kept 2: labelled stable", "kept 3: one of the 1 highest", "would delete 1, 1.0 MB"]
    assert (place / "serving_model/agnews/1").exists()
    assert "deleted 1, 1.0 MB" in agnews("versions", "prune", "--keep", "1")
    assert not (place / "serving_model/agnews/1").exists()
    assert "nothing to delete" in agnews("versions", "prune", "--keep", "1")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["versions", "promote", "9", "--label", "stable"], PromotionError, "has no version 9; there are: 1, 2, 3"),
        (["versions", "rollback", "--to", "3"], PromotionError, "nothing is served that could be rolled back"),
        (["versions", "list", "--set", "pusher.destination=elsewhere"], DataError, "no model has been pushed"),
        (["versions", "list", "--set", "pusher.destination=gs://bucket/serving"], DataError, "is an object store"),
        (["versions", "promote", "1", "--label", "stable", "--server", "127.0.0.1:1"], PromotionError, "UNAVAILABLE"),
    ],
)
def test_a_mistake_is_one_message(place, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        agnews(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["versions", "promote", "1", "--label", "best"],
        ["versions", "promote", "1"],
        ["versions", "prune", "--keep", "0"],
    ],
)
def test_an_unknown_label_or_number_is_refused_with_the_known_ones(place, arguments):
    shown = agnews(*arguments, ends=2)
    assert re.search(r"'stable', 'canary'|stable,\s+canary|0 is not in the range x>=1", shown)
