import pytest
from tfx.components import InfraValidator
from tfx.dsl.compiler.compiler import Compiler

from components.example_gen.sources import DataSource
from pipeline.dag import create_pipeline
from pipeline.settings import Settings
from schema.data_set import SCHEMA_PATH
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


def test_the_pipeline_has_every_standard_stage(compiled):
    assert set(compiled()) == {
        "AgNewsExampleGen",
        "ImportSchemaGen",
        "StatisticsGen",
        "ExampleValidator",
        "PreviousExamplesResolver",
        "ValidationGate",
        "Transform",
        "Trainer",
        "BaselineResolver",
        "Evaluator",
        "AgNewsInfraValidator",
        "ModelCardGen",
        "AgNewsPusher",
    }


def test_training_waits_for_the_gate_and_pushing_for_both_blessings(compiled):
    nodes = compiled()
    assert "ValidationGate" in nodes["Transform"].upstream_nodes
    assert {"Evaluator", "AgNewsInfraValidator"} <= set(nodes["AgNewsPusher"].upstream_nodes)


def test_a_card_needs_no_blessing_and_pushing_waits_for_the_card(compiled):
    nodes = compiled()
    assert {"Evaluator", "AgNewsInfraValidator"} <= set(nodes["ModelCardGen"].upstream_nodes)
    assert "ModelCardGen" in nodes["AgNewsPusher"].upstream_nodes
    assert nodes["ModelCardGen"].inputs.inputs["baseline_model"].min_count == 0


def test_required_approval_adds_the_gate_and_changes_only_the_push(compiled):
    before, nodes = compiled(), compiled(promotion={"require_approval": True})
    assert nodes.keys() - before.keys() == {"RequestApproval", "DecisionResolver", "ApprovalGate"}
    assert "ApprovalGate" in nodes["AgNewsPusher"].upstream_nodes
    assert {"Evaluator", "AgNewsInfraValidator", "ModelCardGen"} <= set(nodes["RequestApproval"].upstream_nodes)
    assert {name for name in before if before[name].parameters != nodes[name].parameters} == {"AgNewsPusher"}


def test_a_setting_changes_only_its_own_stage(compiled):
    def changed(**sections):
        before, after = compiled(), compiled(**sections)
        return {name for name in before if before[name].parameters != after[name].parameters}

    assert changed(trainer={"epochs": 9}) == {"Trainer"}
    # The card records the settings that determine rows and tokens.
    assert changed(transform={"max_tokens": 9}) == {"Transform", "ModelCardGen"}
    assert changed(evaluator={"min_accuracy": 0.5}) == {"Evaluator"}
    assert changed(data={"max_chars": 9}) == {"AgNewsExampleGen", "ModelCardGen"}
    assert changed(data={"exact_statistics": False}) == {"StatisticsGen"}
    assert changed(model_card={"robustness_rows": 9}) == {"ModelCardGen"}
    assert changed(infra_validator={"rows": 9}) == {"AgNewsInfraValidator"}
    assert changed(data={"max_unknown_words_rise": 0.2}) == {"ValidationGate"}
    assert changed(data={"max_rows": 9}) == {"AgNewsExampleGen"}


def test_other_classes_change_every_stage_that_knows_them(compiled, tmp_path):
    before = compiled()
    text = SCHEMA_PATH.read_text().replace('tag: "World"', 'tag: "Welt"')
    (tmp_path / "schema.pbtxt").write_text(text)
    after = compiled(data={"path": "/data", "schema_file": str(tmp_path / "schema.pbtxt")})
    changed = {name for name in before if before[name].parameters != after[name].parameters}
    assert changed == {"AgNewsExampleGen", "ImportSchemaGen", "Trainer", "Evaluator", "ModelCardGen"}


@pytest.mark.parametrize(
    ("platform", "module"),
    [
        ("process", "components.infra_validator.component"),
        ("docker", "components.infra_validator.container"),
        ("kubernetes", "components.infra_validator.container"),
    ],
)
def test_changed_code_changes_the_cache_key_of_infra_validator(compiled, monkeypatch, platform, module):
    before = compiled(infra_validator={"platform": platform})["AgNewsInfraValidator"].parameters
    monkeypatch.setattr(
        "pipeline.code_version.source_fingerprint", lambda modules: "new" if module in modules else "old"
    )
    after = compiled(infra_validator={"platform": platform})["AgNewsInfraValidator"].parameters
    assert before != after
    assert after.parameters["code_version"].field_value.string_value == "new"


def test_an_enabled_search_feeds_the_trainer(compiled):
    nodes = compiled(tuner={"enabled": True})
    assert "Tuner" in nodes["Trainer"].upstream_nodes
    [channel] = nodes["Trainer"].inputs.inputs["hyperparameters"].channels
    assert (channel.producer_node_query.id, channel.output_key) == ("Tuner", "best_hyperparameters")


def test_the_pipeline_can_end_after_a_given_component(tmp_path):
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path)}})
    ids = [component.id for component in create_pipeline(settings, SOURCE, until="Transform").components]
    assert ids[-1] == "Transform"
    assert "Trainer" not in ids


@pytest.mark.parametrize("platform", ["docker", "kubernetes"])
def test_container_platforms_use_the_infra_validator_of_tfx(tmp_path, platform):
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path)}, "infra_validator": {"platform": platform}})
    [component] = [c for c in create_pipeline(settings, SOURCE).components if c.id == "AgNewsInfraValidator"]
    assert isinstance(component, InfraValidator)


def producers(node, key):
    return [(channel.producer_node_query.id, channel.output_key) for channel in node.inputs.inputs[key].channels]


def test_the_window_trains_the_model_and_its_newest_span_evaluates_it(compiled):
    nodes = compiled(source=DATED)
    assert nodes.keys() - compiled().keys() == {"WindowResolver"}
    assert "ValidationGate" in nodes["WindowResolver"].upstream_nodes
    assert producers(nodes["Transform"], "examples") == [("WindowResolver", "examples")]
    assert producers(nodes["ModelCardGen"], "statistics") == [("WindowResolver", "statistics")]
    for judge in ("Evaluator", "AgNewsInfraValidator"):
        assert producers(nodes[judge], "examples") == [("WindowResolver", "newest")]
    assert producers(nodes["ValidationGate"], "statistics") == [("StatisticsGen", "statistics")]


def test_a_warm_start_only_adds_a_base_model_to_the_trainer(compiled):
    cold, warm = compiled(), compiled(trainer={"warm_start": True})
    assert warm.keys() - cold.keys() == {"BaseModelResolver"}
    assert producers(warm["Trainer"], "base_model") == [("BaseModelResolver", "model")]
    assert warm["Trainer"].inputs.inputs["base_model"].min_count == 0
    assert {name for name in cold if cold[name].parameters != warm[name].parameters} == set()


def test_a_setting_that_the_store_cannot_hold_is_refused_early(tmp_path):
    server = {"backend": "postgresql", "host": "db", "port": 5432, "database": "agnews", "user": "me"}
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path / "José")}, "metadata": server})
    with pytest.raises(SettingsError, match=r"pipeline\.root .*/José: "):
        create_pipeline(settings, SOURCE)
