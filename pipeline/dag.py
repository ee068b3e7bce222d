"""The whole pipeline on one screen: which stage feeds which, and with what settings."""

from typing import Any

import tensorflow_data_validation as tfdv
from tfx.components import ExampleValidator, StatisticsGen, Trainer, Transform, Tuner
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel

from components.evaluator.component import AgNewsEvaluator
from components.evaluator.config import eval_config
from components.example_gen.component import AgNewsExampleGen
from components.example_gen.sources import DataSource
from components.infra_validator.component import AgNewsInfraValidator
from components.infra_validator.container import ContainerInfraValidator
from components.model_card.component import ModelCardGen
from components.pusher.component import AgNewsPusher
from components.schema_gen.component import CuratedSchemaGen
from components.validation_gate.component import ValidationGate
from pipeline.beam.options import beam_arguments
from pipeline.code_version import code_version
from pipeline.governance.approvals import rules_of
from pipeline.governance.audit_check import audit_log
from pipeline.history import History, MetadataHistory
from pipeline.metadata.connection import check_storable_in_postgresql
from pipeline.settings import InfraValidatorSettings, Settings
from schema.features import SCHEMA_PATH, TEST, TRAIN, VAL
from schema.model_contract import SERVE_EXAMPLES

_CARD_STAGES = ("example_gen", "transform", "trainer", "evaluator", "model_card")


def create_pipeline(
    settings: Settings, source: DataSource, *, until: str | None = None, history: History | None = None
) -> Pipeline:
    """The DAG, from data files to a pushed model, for any orchestrator.

    Args:
        settings: all settings.
        source: the data files, as `components.example_gen.sources.resolve` finds them.
        until: id of the last component, for the first part of the DAG alone.
        history: where earlier runs left what this one is compared with; None: in the metadata store.

    Raises:
        SettingsError: the metadata store cannot hold a setting, or TensorFlow would take a place for a pattern.
    """
    settings.check_places()
    if history is None:
        check_storable_in_postgresql(settings, source)
        history = MetadataHistory(settings)
    example_gen = AgNewsExampleGen(
        source,
        val_fraction=settings.data.val_fraction,
        max_bad_fraction=settings.data.max_bad_fraction,
        max_chars=settings.data.max_chars,
        code=code_version("example_gen"),
        span=settings.data.span,
    )
    examples = example_gen.outputs["examples"]

    schema_gen = CuratedSchemaGen(SCHEMA_PATH).with_id("ImportSchemaGen")
    schema = schema_gen.outputs["schema"]
    estimates = None if settings.data.exact_statistics else tfdv.StatsOptions(use_sketch_based_topk_uniques=True)
    statistics_gen = StatisticsGen(examples=examples, schema=schema, stats_options=estimates)
    statistics = statistics_gen.outputs["statistics"]
    example_validator = ExampleValidator(statistics=statistics, schema=schema)
    previous_statistics = history.previous_statistics(examples, statistics)
    gate = ValidationGate(
        examples=examples,
        statistics=statistics,
        schema=schema,
        anomalies=example_validator.outputs["anomalies"],
        previous_statistics=previous_statistics.outputs["statistics"],
    )
    keepers = history.keep(examples, statistics, gate.outputs["blessing"])

    # What is trained on and judged by from here on: this run's rows, or where rows come in spans, the latest of them.
    window = history.window(examples, statistics) if source.dated else []
    training_examples, training_statistics = examples, statistics
    if window:
        window[0].add_upstream_node(gate)
        training_examples, training_statistics = (window[0].outputs[name] for name in ("examples", "statistics"))
        examples = window[0].outputs["newest"]

    transform = Transform(
        examples=training_examples,
        schema=schema,
        preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=[TRAIN], transform=[TRAIN, VAL]),
        custom_config=settings.transform.model_dump() | {"code": code_version("transform")},
        disable_statistics=True,
    )
    transform.add_upstream_node(gate)

    training: dict[str, Any] = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "train_args": trainer_pb2.TrainArgs(splits=[TRAIN]),
        "eval_args": trainer_pb2.EvalArgs(splits=[VAL]),
    }
    # Whether the start is warm, the input `base_model` says.
    recipe = settings.trainer.model_dump(mode="json", exclude={"warm_start"}) | {"code": code_version("trainer")}
    tuner = None
    if settings.tuner.enabled:
        search = {"trials": settings.tuner.trials, "epochs": settings.tuner.trial_epochs}
        tuner = Tuner(tuner_fn="components.trainer.tuner.tuner_fn", custom_config=recipe | search, **training)
    base = [history.base_model(transform.outputs["transform_graph"])] if settings.trainer.warm_start else []
    trainer = Trainer(
        run_fn="components.trainer.run_fn.run_fn",
        base_model=base[0].outputs["model"] if base else None,
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        custom_config=recipe
        | {
            "model_name": settings.pusher.model_name,
            "checkpoint_root": f"{settings.pipeline.root}/checkpoints",
        },
        **training,
    )
    model = trainer.outputs["model"]

    baseline = history.baseline(model)
    evaluator = AgNewsEvaluator(
        examples=examples,
        model=model,
        baseline_model=baseline.outputs["model"],
        example_splits=[TEST],
        eval_config=eval_config(**settings.evaluator.model_dump()),
    ).with_id("Evaluator")
    infra_validator = _infra_validator(settings.infra_validator, model, examples)
    model_card = ModelCardGen(
        examples=training_examples,
        statistics=training_statistics,
        transform_graph=transform.outputs["transform_graph"],
        transformed_examples=transform.outputs["transformed_examples"],
        model=model,
        baseline_model=baseline.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        preparation=settings.data.model_dump(include={"val_fraction", "max_bad_fraction", "max_chars"})
        | settings.transform.model_dump(),
        robustness_rows=settings.model_card.robustness_rows,
        errors_shown=settings.model_card.worst_errors,
        code={stage: code_version(stage) for stage in _CARD_STAGES},
    )
    blessings = {"model_blessing": evaluator.outputs["blessing"], "infra_blessing": infra_validator.outputs["blessing"]}
    rules = rules_of(settings) if settings.promotion.require_approval else None
    approval = history.approval(model, blessings, model_card.outputs["model_card"], rules) if rules else []
    pusher = AgNewsPusher(
        model=model,
        **blessings,
        base_directory=f"{settings.pusher.destination}/{settings.pusher.model_name}",
        audit_log=str(audit_log(settings).path),
        approval=approval[-1].outputs["approval"] if approval else None,
        rules=rules,
        signing_key=settings.promotion.signing_key_file,
    )
    # Nothing goes into service without its card: who approves reads it before. Where it fails, nothing is pushed.
    for waiting in (*approval[:1], pusher):
        waiting.add_upstream_node(model_card)
    components = [
        *(example_gen, schema_gen, statistics_gen, example_validator, previous_statistics, gate, *keepers),
        *(*window, transform, *([tuner] if tuner else []), *base, trainer, baseline, evaluator, infra_validator),
        *(model_card, *approval, pusher),
    ]
    if until:
        components = components[: [component.id for component in components].index(until) + 1]
    return Pipeline(
        pipeline_name=settings.pipeline.name,
        pipeline_root=f"{settings.pipeline.root}/{settings.pipeline.name}",
        components=components,
        enable_cache=settings.pipeline.enable_cache,
        metadata_connection_config=history.connection(),
        beam_pipeline_args=beam_arguments(settings.beam),
    )


def _infra_validator(settings: InfraValidatorSettings, model: Channel, examples: Channel) -> BaseComponent:
    """Ours, which needs no container, or TFX's own, which starts TensorFlow Serving in one."""
    if settings.platform == "process":
        return AgNewsInfraValidator(
            model=model,
            examples=examples,
            code=code_version("infra_validator"),
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
