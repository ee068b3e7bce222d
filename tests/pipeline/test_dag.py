import pytest
from tfx.components import InfraValidator
from tfx.dsl.compiler.compiler import Compiler

from components.example_gen.sources import DataSource
from pipeline.dag import create_pipeline
from pipeline.settings import Settings
from schema.errors import SettingsError

SOURCE = DataSource("/data", "train.csv", "test.csv", "path")
DATED = DataSource("/data", "{SPAN}/train.csv", "{SPAN}/test.csv", "path")


@pytest.fixture
def compiled(tmp_path):
    def compiled(*, source=SOURCE, **sections):
        settings = Settings.model_validate({"pipeline": {"root": str(tmp_path)}} | sections)
        nodes = Compiler().compile(create_pipeline(settings, source)).nodes
        return {node.pipeline_node.node_info.id: node.pipeline_node for node in nodes}

    return compiled


def test_every_standard_stage_is_there(compiled):
    assert set(compiled()) == {
        "AgNewsExampleGen",
        "ImportSchemaGen",
        "StatisticsGen",
        "ExampleValidator",
        "PreviousStatisticsResolver",
        "ValidationGate",
        "Transform",
        "Trainer",
        "BaselineResolver",
        "Evaluator",
        "AgNewsInfraValidator",
        "ModelCardGen",
        "AgNewsPusher",
    }


def test_nothing_is_trained_before_the_gate_and_nothing_pushed_without_both_blessings(compiled):
    nodes = compiled()
    assert "ValidationGate" in nodes["Transform"].upstream_nodes
    assert {"Evaluator", "AgNewsInfraValidator"} <= set(nodes["AgNewsPusher"].upstream_nodes)


def test_a_card_needs_no_blessing_and_nothing_is_pushed_without_a_card(compiled):
    nodes = compiled()
    assert {"Evaluator", "AgNewsInfraValidator"} <= set(nodes["ModelCardGen"].upstream_nodes)
    assert "ModelCardGen" in nodes["AgNewsPusher"].upstream_nodes
    assert nodes["ModelCardGen"].inputs.inputs["baseline_model"].min_count == 0


def test_where_approval_is_required_the_gate_stands_before_the_push_and_nothing_before_it_changes(compiled):
    before, nodes = compiled(), compiled(promotion={"require_approval": True})
    assert nodes.keys() - before.keys() == {"RequestApproval", "DecisionResolver", "ApprovalGate"}
    assert "ApprovalGate" in nodes["AgNewsPusher"].upstream_nodes
    assert {"Evaluator", "AgNewsInfraValidator", "ModelCardGen"} <= set(nodes["RequestApproval"].upstream_nodes)
    assert {name for name in before if before[name].parameters != nodes[name].parameters} == {"AgNewsPusher"}


def test_a_setting_reaches_its_own_stage_alone(compiled):
    def changed(**sections):
        before, after = compiled(), compiled(**sections)
        return {name for name in before if before[name].parameters != after[name].parameters}

    assert changed(trainer={"epochs": 9}) == {"Trainer"}
    # The card names the settings that decide which rows and tokens there are.
    assert changed(transform={"max_tokens": 9}) == {"Transform", "ModelCardGen"}
    assert changed(evaluator={"min_accuracy": 0.5}) == {"Evaluator"}
    assert changed(data={"max_chars": 9}) == {"AgNewsExampleGen", "ModelCardGen"}
    assert changed(data={"exact_statistics": False}) == {"StatisticsGen"}
    assert changed(model_card={"robustness_rows": 9}) == {"ModelCardGen"}
    assert changed(infra_validator={"rows": 9}) == {"AgNewsInfraValidator"}


def test_other_code_of_infra_validator_is_another_key_of_the_cache(compiled, monkeypatch):
    before = compiled()
    monkeypatch.setattr("pipeline.dag.code_version", lambda stage: "new" if stage == "infra_validator" else "old")
    nodes = compiled()
    assert before["AgNewsInfraValidator"].parameters != nodes["AgNewsInfraValidator"].parameters
    assert nodes["AgNewsInfraValidator"].parameters.parameters["code"].field_value.string_value == "new"


def test_a_search_feeds_the_trainer_where_it_is_asked_for(compiled):
    nodes = compiled(tuner={"enabled": True})
    assert "Tuner" in nodes["Trainer"].upstream_nodes
    [channel] = nodes["Trainer"].inputs.inputs["hyperparameters"].channels
    assert (channel.producer_node_query.id, channel.output_key) == ("Tuner", "best_hyperparameters")


def test_the_first_part_of_the_dag_can_be_had_alone(tmp_path):
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path)}})
    ids = [component.id for component in create_pipeline(settings, SOURCE, until="Transform").components]
    assert ids[-1] == "Transform"
    assert "Trainer" not in ids


@pytest.mark.parametrize("platform", ["docker", "kubernetes"])
def test_where_containers_are_asked_for_tfx_own_infra_validator_is_used(tmp_path, platform):
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path)}, "infra_validator": {"platform": platform}})
    [component] = [c for c in create_pipeline(settings, SOURCE).components if c.id == "AgNewsInfraValidator"]
    assert isinstance(component, InfraValidator)


def producers(node, key):
    return [(channel.producer_node_query.id, channel.output_key) for channel in node.inputs.inputs[key].channels]


def test_where_rows_come_in_spans_the_window_trains_and_its_newest_span_judges(compiled):
    nodes = compiled(source=DATED)
    assert nodes.keys() - compiled().keys() == {"WindowResolver"}
    assert "ValidationGate" in nodes["WindowResolver"].upstream_nodes
    assert producers(nodes["Transform"], "examples") == [("WindowResolver", "examples")]
    assert producers(nodes["ModelCardGen"], "statistics") == [("WindowResolver", "statistics")]
    for judge in ("Evaluator", "AgNewsInfraValidator"):
        assert producers(nodes[judge], "examples") == [("WindowResolver", "newest")]
    assert producers(nodes["ValidationGate"], "statistics") == [("StatisticsGen", "statistics")]


def test_a_warm_start_gives_the_trainer_a_base_model_and_changes_nothing_else(compiled):
    cold, warm = compiled(), compiled(trainer={"warm_start": True})
    assert warm.keys() - cold.keys() == {"BaseModelResolver"}
    assert producers(warm["Trainer"], "base_model") == [("BaseModelResolver", "model")]
    assert warm["Trainer"].inputs.inputs["base_model"].min_count == 0
    assert {name for name in cold if cold[name].parameters != warm[name].parameters} == set()


def test_a_text_that_the_metadata_store_cannot_hold_is_refused_before_anything_runs(tmp_path):
    server = {"backend": "postgresql", "host": "db", "port": 5432, "database": "agnews", "user": "me"}
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path / "José")}, "metadata": server})
    with pytest.raises(SettingsError, match=r"pipeline\.root .*/José: "):
        create_pipeline(settings, SOURCE)
