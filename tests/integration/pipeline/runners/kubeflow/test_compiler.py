import importlib
import itertools
import json
import sys
from importlib.metadata import version

import pytest
import yaml
from google.protobuf import json_format
from kfp.components import load_component_from_text
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from pipeline.history import MetadataHistory
from pipeline.runners.kubeflow import compiler, pod
from pipeline.runners.kubeflow.history import DirectoryHistory
from pipeline.runners.kubeflow.specification import check
from schema.errors import RunError, SettingsError


@pytest.fixture(scope="module")
def gated(compiled_for):
    return compiled_for(promotion__require_approval="true")


def tasks(compiled):
    return compiled.documents[0]["root"]["dag"]["tasks"]


def container(compiled, task):
    specification = compiled.documents[0]
    label = specification["components"][task]["executorLabel"]
    return specification["deploymentSpec"]["executors"][label]["container"]


def test_the_file_read_back_is_the_specification(compiled, tmp_path):
    path = compiled.write(tmp_path)
    specification, platform = yaml.safe_load_all(path.read_text())
    message = json_format.ParseDict(specification, PipelineSpec())
    assert json_format.MessageToDict(message) == compiled.documents[0]
    assert json_format.MessageToDict(json_format.ParseDict(platform, PlatformSpec())) == platform


def test_kfp_reads_the_file_and_finds_the_runtime_parameters(compiled):
    component = load_component_from_text(compiled.text)
    assert {name: given.default for name, given in component.component_spec.inputs.items()} == {
        "data_path": "/agnews/data",
        "span": -1,
        "epochs": 5,
        "destination": "/agnews/serving_model",
    }


def test_the_file_is_named_by_pipeline_version_and_content(compiled, compiled_for):
    assert compiled.file_name.startswith(f"agnews-{version('agnews-pipeline')}-")
    assert compiled_for().file_name == compiled.file_name
    assert compiled_for(trainer__epochs="9").file_name != compiled.file_name


def test_kubeflow_can_run_each_task(compiled):
    executors = compiled.documents[0]["deploymentSpec"]["executors"]
    assert {kind for executor in executors.values() for kind in executor} == {"container"}
    assert len(executors) == len(tasks(compiled)) == 15


@pytest.mark.parametrize("change", [{"resolver": {}}, {"container": {"lifecycle": {"preCacheCheck": {"args": ["x"]}}}}])
def test_what_kubeflow_cannot_run_is_refused(compiled, change):
    specification = json.loads(json.dumps(compiled.documents[0]))
    specification["deploymentSpec"]["executors"]["Trainer_executor"] = change
    with pytest.raises(ValueError, match="Trainer_executor"):
        check(specification)


def test_a_field_that_the_protocol_does_not_know_is_refused(compiled):
    with pytest.raises(json_format.ParseError):
        check(compiled.documents[0] | {"surprise": 1})


def test_each_pod_can_import_what_it_runs_and_the_types_it_writes(gated):
    for task in tasks(gated):
        arguments = container(gated, task)["args"]
        if "--executor_class_path" in arguments:
            module, _, name = arguments[1].rpartition(".")
            assert hasattr(importlib.import_module(module), name)
        assert importlib.util.find_spec(container(gated, task)["command"][-1])
    for place in pod.ARTIFACT_TYPES.values():
        module, _, name = place.rpartition(".")
        assert pod.ARTIFACT_TYPES[getattr(importlib.import_module(module), name).TYPE_NAME] == place


def test_our_own_artifact_types_are_known_to_the_pods(gated):
    schemas = [
        yaml.safe_load(artifact["artifactType"]["instanceSchema"])["title"]
        for component in gated.documents[0]["components"].values()
        for artifact in component.get("outputDefinitions", {}).get("artifacts", {}).values()
    ]
    assert {title for title in schemas if not title.startswith("tfx.")} == set(pod.ARTIFACT_TYPES)


def test_a_required_approval_makes_the_push_wait_for_a_gate(gated, compiled):
    assert tasks(gated).keys() - tasks(compiled).keys() == {"ApprovalGate"}
    assert "ModelCardGen" in tasks(gated)["ApprovalGate"]["dependentTasks"]
    assert "ApprovalGate" in tasks(gated)["AgNewsPusher"]["dependentTasks"]
    assert "cachingOptions" not in tasks(gated)["ApprovalGate"]
    assert "retryPolicy" not in tasks(gated)["ApprovalGate"]


def test_a_run_with_a_gate_needs_an_author_and_a_log(gated):
    declared = gated.documents[0]["root"]["inputDefinitions"]["parameters"]["author"]
    assert "defaultValue" not in declared
    arguments = container(gated, "ApprovalGate")["args"]
    assert arguments[-4:] == ["--fill", "log={destination}/audit.jsonl", "--fill", "trained_by={author}"]
    fills = [argument for argument in container(gated, "AgNewsPusher")["args"] if argument.startswith("audit_log=")]
    assert fills == ["audit_log={destination}/audit.jsonl"]


def test_a_named_audit_log_is_that_of_gate_and_push_whatever_the_destination(compiled_for):
    named = compiled_for(promotion__require_approval="true", promotion__audit_log="/agnews/kept/audit.jsonl")
    for task, parameter in (("ApprovalGate", "log"), ("AgNewsPusher", "audit_log")):
        constant = tasks(named)[task]["inputs"]["parameters"][parameter]["runtimeValue"]["constant"]
        assert constant == "/agnews/kept/audit.jsonl"
        assert not [argument for argument in container(named, task)["args"] if "audit.jsonl" in argument]


def test_a_runtime_parameter_reaches_the_tasks_that_need_it(compiled):
    given = {
        name: sorted(
            task
            for task, spec in tasks(compiled).items()
            if spec["inputs"].get("parameters", {}).get(name, {}).get("componentInputParameter") == name
        )
        for name in ("data_path", "span", "epochs", "destination")
    }
    assert given == {
        "data_path": ["AgNewsExampleGen", "FindData"],
        "span": ["FindData"],
        "epochs": ["Trainer"],
        "destination": ["AgNewsPusher", "BaselineResolver", "KeepStatistics", "PreviousStatisticsResolver"],
    }


@pytest.mark.parametrize("task", ["AgNewsExampleGen", "Trainer", "BaselineResolver", "KeepStatistics", "AgNewsPusher"])
def test_each_place_that_a_parameter_goes_to_exists(compiled, task):
    arguments = container(compiled, task)["args"]
    templates = [after for before, after in itertools.pairwise(arguments) if before == "--fill"]
    constants = {
        name: given["runtimeValue"]["constant"]
        for name, given in tasks(compiled)[task]["inputs"]["parameters"].items()
        if "runtimeValue" in given
    }
    values = {"data_path": "gs://a/data", "span": 3, "epochs": 7, "destination": "gs://a/serving"}
    assert templates
    given = {name: values[name] for name in values if any(f"{{{name}}}" in template for template in templates)}
    filled = pod.fill(constants | given, templates)
    assert set(filled) == set(constants)
    for template in templates:
        place = template.partition("=")[0].partition(".")[0]
        assert filled[place] != constants.get(place)


def test_what_looks_outside_of_the_run_never_comes_from_the_cache(compiled):
    uncached = {task for task, spec in tasks(compiled).items() if not spec.get("cachingOptions", {}).get("enableCache")}
    assert uncached == {"FindData", "PreviousStatisticsResolver", "KeepStatistics", "BaselineResolver"}


def test_the_cache_can_be_switched_off(compiled_for):
    off = compiled_for(pipeline__enable_cache="false")
    assert [task for task, spec in tasks(off).items() if spec.get("cachingOptions", {}).get("enableCache")] == []


def test_changed_data_change_the_cache_key_of_what_ingests_them(compiled):
    assert tasks(compiled)["AgNewsExampleGen"]["inputs"]["parameters"]["found_data"] == {
        "taskOutputParameter": {"producerTask": "FindData", "outputParameterKey": "found_data"}
    }


def test_the_trainer_alone_gets_the_accelerator_and_the_memory(compiled_for):
    gpu = compiled_for(
        kubeflow__trainer_image="agnews-pipeline:gpu",
        kubeflow__accelerator="nvidia.com/gpu",
        kubeflow__accelerator_count="2",
        kubeflow__cpu="4",
        kubeflow__memory="16Gi",
    )
    trainer = container(gpu, "Trainer")
    assert trainer["image"] == "agnews-pipeline:gpu"
    assert trainer["resources"]["resourceCpuLimit"] == "4"
    assert trainer["resources"]["resourceMemoryLimit"] == "16Gi"
    assert trainer["resources"]["accelerator"] == {
        "type": "nvidia.com/gpu",
        "count": "2",
        "resourceType": "nvidia.com/gpu",
        "resourceCount": "2",
    }
    assert [task for task in tasks(gpu) if "accelerator" in container(gpu, task).get("resources", {})] == ["Trainer"]
    assert container(gpu, "Evaluator")["image"] == f"agnews-pipeline:{version('agnews-pipeline')}"


def test_each_pod_mounts_the_volume(compiled):
    executors = compiled.documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(compiled.documents[0]["deploymentSpec"]["executors"])
    [mount] = json_format.ParseDict(executors["Trainer_executor"], KubernetesExecutorConfig()).pvc_mount
    assert (mount.constant, mount.mount_path) == ("agnews", "/agnews")


def test_with_places_in_an_object_store_no_volume_is_needed(settings_at):
    settings = settings_at("/agnews")
    places = {
        "data": {"path": "gs://bucket/data"},
        "pusher": {"destination": "gs://bucket/serving"},
    }
    sections = settings.model_dump() | {name: settings.model_dump()[name] | values for name, values in places.items()}
    sections["promotion"]["audit_log"] = "/agnews/audit.jsonl"
    compiled = compiler.compile_pipeline(type(settings).model_validate(sections))
    assert "custom_config" in tasks(compiled)["Trainer"]["inputs"]["parameters"]
    fills = [argument for argument in container(compiled, "AgNewsPusher")["args"] if argument.startswith("audit_log=")]
    assert fills == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"pipeline__root": "/home/me/runs"}, "pipeline.root /home/me/runs is on the disk of a pod"),
        ({"data__path": "/home/me"}, "data.path"),
        ({"pusher__destination": "/agnewsletter"}, "pusher.destination"),
        ({"promotion__require_approval": "true", "pipeline__enable_cache": "false"}, "needs pipeline.enable_cache"),
        ({"trainer__warm_start": "true"}, "trainer.warm_start"),
        ({"data__train_pattern": "{SPAN}/a", "data__test_pattern": "{SPAN}/b", "data__window": "2"}, "data.window"),
        ({"infra_validator__platform": "kubernetes"}, "infra_validator.platform"),
        ({"beam__runner": "flink"}, r"beam\.runner flink needs beam\.job_endpoint"),
        ({"beam__runner": "spark", "beam__workers": "2"}, r"beam\.runner spark needs beam\.job_endpoint"),
        ({"beam__runner": "flink", "beam__job_endpoint": "jobs:8099"}, r"needs beam\.worker_pool"),
    ],
)
def test_settings_that_cannot_go_with_pods_are_refused(compiled_for, flags, message):
    with pytest.raises(SettingsError, match=message):
        compiled_for(**flags)


@pytest.mark.parametrize("runner", ["flink", "spark"])
def test_an_engine_of_the_cluster_leaves_no_path_of_this_machine_in_the_file(compiled_for, runner):
    addresses = {"beam__job_endpoint": "jobs:8099", "beam__worker_pool": "localhost:50000"}
    compiled = compiled_for(beam__runner=runner, beam__workers="2", **addresses)
    assert "--job_endpoint=jobs:8099" in container(compiled, "StatisticsGen")["args"]
    assert not [word for word in (sys.prefix, "agnews-beam-worker", "job-server.jar") if word in compiled.text]


def test_a_look_up_in_the_metadata_store_is_refused(compiled_for, monkeypatch):
    monkeypatch.setattr(DirectoryHistory, "baseline", lambda self, model: MetadataHistory(None).baseline(model))
    with pytest.raises(SettingsError, match="BaselineResolver would look up"):
        compiled_for()


def test_a_directory_that_nothing_is_mounted_at_is_refused(settings_at):
    settings = settings_at("/agnews")
    unmounted = settings.model_copy(update={"kubeflow": settings.kubeflow.model_copy(update={"volume_claim": None})})
    with pytest.raises(SettingsError, match=r"set kubeflow\.volume_claim"):
        compiler.compile_pipeline(unmounted)


def test_without_kfp_the_message_says_how_to_install_it(settings_at, monkeypatch):
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"scripts/setup\.sh kubeflow"):
        compiler.compile_pipeline(settings_at("/agnews"))


def test_nothing_is_made_on_the_machine_that_compiles(compiled_for, tmp_path):
    compiled_for(tmp_path / "volume")
    assert list(tmp_path.iterdir()) == []
