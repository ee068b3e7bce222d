"""The whole pipeline on one screen: which stage feeds which, and with what settings."""

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow_data_validation as tfdv
from tfx.components import ExampleValidator, StatisticsGen, Transform, Tuner
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from components.approval import Rules
from components.approval.component import ApprovalDecision, ApprovalGate, DecisionsOnModel, RequestApproval
from components.evaluator.component import AgNewsEvaluator
from components.evaluator.config import eval_config
from components.example_gen.component import AgNewsExampleGen
from components.example_gen.sources import DataSource
from components.infra_validator.component import AgNewsInfraValidator
from components.infra_validator.container import ContainerInfraValidator
from components.model_card.component import ModelCardGen
from components.model_card.owner import OWNER_FILE
from components.pusher.component import AgNewsPusher
from components.resolvers import LatestBlessedModelBefore, LatestOtherBlessedModel, LatestSpans, PreviousExamples
from components.schema_gen.component import CuratedSchemaGen
from components.trainer.component import AgNewsTrainer
from components.validation_gate.component import ValidationBlessing, ValidationGate
from pipeline.beam.options import beam_arguments
from pipeline.code_version import STAGES, add_code_version, code_version
from pipeline.governance.approvals import rules_of
from pipeline.governance.audit_check import audit_log, audit_log_mode, openssf_files
from pipeline.metadata.connection import check_storable_in_postgresql, connection_config
from pipeline.settings import InfraValidatorSettings, Settings
from schema.features import TEST, TRAIN, VAL
from schema.model_contract import SERVE_EXAMPLES

TRAINER = "Trainer"
TRAINING = (Tuner.__name__, TRAINER)
"""Ids of the components that train."""
PUSHER = AgNewsPusher.__name__


def create_pipeline(settings: Settings, source: DataSource, *, until: str | None = None) -> Pipeline:
    """Builds the pipeline, from data files to a pushed model, for any orchestrator.

    Args:
        settings: all settings.
        source: the data files, as `components.example_gen.sources.resolve` finds them.
        until: id of the last component, to build only the first part of the pipeline. Defaults to the whole pipeline.

    Raises:
        SettingsError: the metadata store cannot hold a setting, or TensorFlow would read a path as a pattern.
    """
    check_storable_in_postgresql(settings, source)
    components = create_components(settings, source)
    if until:
        components = components[: [component.id for component in components].index(until) + 1]
    return Pipeline(
        pipeline_name=settings.pipeline.name,
        pipeline_root=f"{settings.pipeline.root}/{settings.pipeline.name}",
        components=components,
        enable_cache=settings.pipeline.enable_cache,
        metadata_connection_config=connection_config(settings),
        beam_pipeline_args=beam_arguments(settings.beam),
    )


def create_components(settings: Settings, source: DataSource) -> list[BaseNode]:
    """Builds the components of the pipeline, without reading data or connecting to the metadata store.

    Raises:
        SettingsError: TensorFlow would read a path as a pattern.
    """
    settings.check_places()
    components: list[BaseNode] = []
    rows = _add_data_stages(components, settings, source)
    trained = _add_training_stages(components, settings, rows)
    blessings, model_card = _add_evaluation_stages(components, settings, rows, trained)
    _add_push_stages(components, settings, trained.model, blessings, model_card)
    for component in components:
        add_code_version(component)
    return components


@dataclass(frozen=True)
class _Rows:
    """The accepted rows: those of this run, or the latest spans where rows come in spans.

    Attributes:
        examples, statistics: of all rows to train on.
        newest: Examples whose test rows evaluate the model.
        schema: the curated schema.
        ready: the component that must have run before these may be read.
    """

    examples: Channel
    statistics: Channel
    newest: Channel
    schema: Channel
    ready: BaseNode


def _add_data_stages(components: list[BaseNode], settings: Settings, source: DataSource) -> _Rows:
    # Read the files, split the rows, and set bad rows aside.
    example_gen = AgNewsExampleGen(
        source,
        data_set=settings.data.data_set(),
        row_format=settings.data.row_format(),
        **settings.data.model_dump(
            include={"val_fraction", "test_fraction", "max_bad_fraction", "max_chars", "max_rows", "span"}
        ),
        code=code_version("example_gen"),
    )
    examples = example_gen.outputs["examples"]
    components.append(example_gen)

    # Compare the rows with the curated schema.
    schema_gen = CuratedSchemaGen(settings.data.schema_path.absolute()).with_id("ImportSchemaGen")
    schema = schema_gen.outputs["schema"]
    components.append(schema_gen)
    estimates = None if settings.data.exact_statistics else tfdv.StatsOptions(use_sketch_based_topk_uniques=True)
    statistics_gen = StatisticsGen(examples=examples, schema=schema, stats_options=estimates)
    statistics = statistics_gen.outputs["statistics"]
    components.append(statistics_gen)
    example_validator = ExampleValidator(statistics=statistics, schema=schema)
    components.append(example_validator)

    # Stop the run when the data is invalid or has drifted from the spans before.
    previous_examples = Resolver(
        strategy_class=PreviousExamples,
        current=examples,
        examples=Channel(type=standard_artifacts.Examples),
        blessing=Channel(type=ValidationBlessing),
        config={"spans": settings.data.window},
    ).with_id("PreviousExamplesResolver")
    components.append(previous_examples)
    gate = ValidationGate(
        examples=examples,
        statistics=statistics,
        schema=schema,
        anomalies=example_validator.outputs["anomalies"],
        previous_examples=previous_examples.outputs["examples"],
        **settings.data.model_dump(include={"max_unknown_words_rise", "drift_false_alarm_rate"}),
    )
    components.append(gate)

    # Where rows come in spans, train on the latest accepted ones.
    if not source.is_dated:
        return _Rows(examples, statistics, examples, schema, gate)
    window = Resolver(
        strategy_class=LatestSpans,
        newest=examples,
        newest_statistics=statistics,
        examples=Channel(type=standard_artifacts.Examples),
        statistics=Channel(type=standard_artifacts.ExampleStatistics),
        blessing=Channel(type=ValidationBlessing),
        config={"spans": settings.data.window},
    ).with_id("WindowResolver")
    window.add_upstream_node(gate)
    components.append(window)
    latest = window.outputs
    return _Rows(latest["examples"], latest["statistics"], latest["newest"], schema, gate)


@dataclass(frozen=True)
class _Trained:
    """The outputs of Transform and Trainer."""

    transformed_examples: Channel
    transform_graph: Channel
    model: Channel


def _add_training_stages(components: list[BaseNode], settings: Settings, rows: _Rows) -> _Trained:
    # Turn texts into token ids.
    transform = Transform(
        examples=rows.examples,
        schema=rows.schema,
        preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=[TRAIN], transform=[TRAIN, VAL]),
        custom_config=settings.transform.model_dump() | {"code": code_version("transform")},
        disable_statistics=True,
    )
    transform.add_upstream_node(rows.ready)
    components.append(transform)
    examples, graph = (transform.outputs[name] for name in ("transformed_examples", "transform_graph"))
    inputs = {"examples": examples, "transform_graph": graph}
    splits = {"train_args": trainer_pb2.TrainArgs(splits=[TRAIN]), "eval_args": trainer_pb2.EvalArgs(splits=[VAL])}
    # The input `base_model` says whether the start is warm.
    recipe = settings.trainer.model_dump(mode="json", exclude={"warm_start"}) | {
        "code": code_version("trainer"),
        "data_set": settings.data.data_set().encode(),
    }

    # Search for hyperparameters, if enabled.
    hyperparameters = None
    if settings.tuner.enabled:
        search = {"trials": settings.tuner.trials, "epochs": settings.tuner.trial_epochs}
        tuner = Tuner(tuner_fn="components.trainer.tuner.tuner_fn", custom_config=recipe | search, **inputs, **splits)
        hyperparameters = tuner.outputs["best_hyperparameters"]
        components.append(tuner)

    # Train, from the last blessed model if the start is warm.
    base_model = None
    if settings.trainer.warm_start:
        base = Resolver(strategy_class=LatestBlessedModelBefore, graph=graph, **_blessed_models()).with_id(
            "BaseModelResolver"
        )
        base_model = base.outputs["model"]
        components.append(base)
    place = {"model_name": settings.pusher.model_name, "checkpoint_root": f"{settings.pipeline.root}/checkpoints"}
    trainer = AgNewsTrainer(
        run_fn="components.trainer.run_fn.run_fn",
        base_model=base_model,
        hyperparameters=hyperparameters,
        custom_config=recipe | place,
        **inputs,
        **splits,
    ).with_id(TRAINER)
    components.append(trainer)
    return _Trained(examples, graph, trainer.outputs["model"])


def _add_evaluation_stages(
    components: list[BaseNode], settings: Settings, rows: _Rows, trained: _Trained
) -> tuple[dict[str, Channel], BaseNode]:
    """Returns the blessings, by the name of the input that takes them, and the model card's component."""
    # Evaluate the model on the test rows, next to the current model.
    baseline = Resolver(strategy_class=LatestOtherBlessedModel, candidate=trained.model, **_blessed_models()).with_id(
        "BaselineResolver"
    )
    components.append(baseline)
    models = {"model": trained.model, "baseline_model": baseline.outputs["model"]}
    evaluator = AgNewsEvaluator(
        examples=rows.newest,
        **models,
        example_splits=[TEST],
        eval_config=eval_config(settings.data.data_set(), **settings.evaluator.model_dump(exclude={"must_pass_file"})),
        must_pass=settings.must_pass_texts(),
    ).with_id("Evaluator")
    components.append(evaluator)

    # Serve the model and send it requests.
    infra_validator = _infra_validator(settings.infra_validator, trained.model, rows.newest)
    components.append(infra_validator)

    # Write the model card, also of a model that was not blessed.
    preparation = settings.data.model_dump(include={"val_fraction", "max_bad_fraction", "max_chars"})
    model_card = ModelCardGen(
        examples=rows.examples,
        statistics=rows.statistics,
        transform_graph=trained.transform_graph,
        transformed_examples=trained.transformed_examples,
        **models,
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        preparation=preparation | settings.transform.model_dump(),
        data_set=settings.data.data_set(),
        owner_file=settings.model_card.owner_file or OWNER_FILE,
        robustness_rows=settings.model_card.robustness_rows,
        errors_shown=settings.model_card.worst_errors,
        code={stage: code_version(stage) for stage in STAGES},
    )
    components.append(model_card)
    blessings = {"model_blessing": evaluator.outputs["blessing"], "infra_blessing": infra_validator.outputs["blessing"]}
    return blessings, model_card


def _add_push_stages(
    components: list[BaseNode],
    settings: Settings,
    model: Channel,
    blessings: Mapping[str, Channel],
    model_card: BaseNode,
) -> None:
    # Wait for approval, if required.
    rules = rules_of(settings) if settings.promotion.require_approval else None
    approval = approval_stages(model, blessings, rules) if rules else []
    components += approval

    # Push the model to the directory that servers watch.
    pusher = AgNewsPusher(
        model=model,
        **blessings,
        base_directory=f"{settings.pusher.destination}/{settings.pusher.model_name}",
        audit_log=str(audit_log(settings).path),
        audit_log_mode=audit_log_mode(settings),
        approval=approval[-1].outputs["approval"] if approval else None,
        rules=rules,
        signing_key=settings.promotion.signing_key_file,
        openssf=openssf_files(settings),
    )
    components.append(pusher)
    # Approvers read the card first, and a model whose card could not be written is not pushed.
    for node in (*approval[:1], pusher):
        node.add_upstream_node(model_card)


def approval_stages(model: Channel, blessings: Mapping[str, Channel], rules: Rules) -> list[BaseNode]:
    """Returns the components that request approval of a blessed model, find the decisions and apply the rules.

    The output `approval` of the last one is the result.
    """
    requesting = RequestApproval(model=model, **blessings)
    request = requesting.outputs["request"]
    decisions = Resolver(
        strategy_class=DecisionsOnModel, request=request, decisions=Channel(type=ApprovalDecision)
    ).with_id("DecisionResolver")
    gate = ApprovalGate(request=request, decisions=decisions.outputs["decisions"], rules=rules.to_json())
    return [requesting, decisions, gate]


def _blessed_models() -> dict[str, Channel]:
    """Returns the inputs of a resolver that chooses among the blessed models of all runs."""
    blessing = Channel(type=standard_artifacts.ModelBlessing)
    return {"model": Channel(type=standard_artifacts.Model), "model_blessing": blessing}


def _infra_validator(settings: InfraValidatorSettings, model: Channel, examples: Channel) -> BaseComponent:
    """Returns this project's InfraValidator, which needs no container, or TFX's, which serves in one."""
    if settings.platform == "process":
        return AgNewsInfraValidator(
            model=model,
            examples=examples,
            **settings.model_dump(exclude={"platform", "serving_image"}),
        )
    image, _, tag = settings.serving_image.partition(":")
    serving = infra_validator_pb2.TensorFlowServing(image_name=image, tags=[tag or "latest"])
    serving_spec = infra_validator_pb2.ServingSpec(tensorflow_serving=serving)
    getattr(serving_spec, {"docker": "local_docker", "kubernetes": "kubernetes"}[settings.platform]).SetInParent()
    return ContainerInfraValidator(
        model=model,
        examples=examples,
        serving_spec=serving_spec,
        request_spec=infra_validator_pb2.RequestSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(signature_names=[SERVE_EXAMPLES]),
            split_name=TEST,
            num_examples=settings.rows,
        ),
        validation_spec=infra_validator_pb2.ValidationSpec(max_loading_time_seconds=int(settings.timeout_seconds)),
    ).with_id("AgNewsInfraValidator")
