"""Tests the file that kfp compiles from a plan."""

from importlib.metadata import version

import pytest
import yaml

from pipeline.runners.kubeflow.client import compile_pipeline
from pipeline.runners.plan import make_plan
from pipeline.runners.preflight import check_pods
from pipeline.settings.sources import load

pytestmark = pytest.mark.kubeflow


def settings_of(**flags):
    """The profile's settings; flags have __ instead of the dot."""
    values = {name.replace("__", "."): (value, f"flag --set {name}") for name, value in flags.items()}
    return load("kubeflow", None, values, environ={}).settings


@pytest.fixture(scope="module")
def compiled_for():
    def compiled_for(**flags):
        settings = settings_of(**flags)
        return compile_pipeline(settings, make_plan(settings, ["--profile", "kubeflow"]))

    return compiled_for


@pytest.fixture(scope="module")
def gated(compiled_for):
    return compiled_for(
        promotion__require_approval="true",
        kubeflow__cpu="4",
        kubeflow__memory="16Gi",
        kubeflow__accelerator="nvidia.com/gpu",
        kubeflow__trainer_image="trainer:gpu",
    )


@pytest.fixture(scope="module")
def documents(gated):
    return list(yaml.safe_load_all(gated.text))


def tasks(specification):
    """The tasks of all components, by the component's name."""
    found = specification["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    return {task["taskInfo"]["name"]: task for task in found.values()}


def container(specification, task):
    label = specification["components"][tasks(specification)[task]["componentRef"]["name"]]["executorLabel"]
    return specification["deploymentSpec"]["executors"][label]["container"]


def test_the_tasks_and_their_order_are_those_of_the_plan(documents):
    plan = make_plan(settings_of(promotion__require_approval="true"))
    names = {task["componentRef"]["name"]: name for name, task in tasks(documents[0]).items()}
    waits_for = {
        name: {names[f"comp-{one}"] for one in task.get("dependentTasks", ())}
        for name, task in tasks(documents[0]).items()
    }
    assert waits_for == {name: set(upstream) for name, upstream in plan["components"].items()}


def test_a_task_runs_the_command_with_the_runs_name_and_parameters(documents):
    running = container(documents[0], "Transform")
    assert running["command"] == ["agnews"]
    assert running["args"] == [
        *("component", "Transform", "--profile", "kubeflow", "--will-retry"),
        "--run=kubeflow-{{$.inputs.parameters['run']}}",
        "--by={{$.inputs.parameters['author']}}",
        "--set=data.path={{$.inputs.parameters['data_path']}}",
        "--set=data.span={{$.inputs.parameters['span']}}",
        "--set=trainer.epochs={{$.inputs.parameters['epochs']}}",
        "--set=pusher.destination={{$.inputs.parameters['destination']}}",
    ]


def test_only_training_has_the_accelerator_and_the_other_image(documents):
    assert container(documents[0], "Trainer")["image"] == "trainer:gpu"
    assert container(documents[0], "Trainer")["resources"]["resourceMemoryLimit"] == "16Gi"
    assert container(documents[0], "Trainer")["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert "resources" not in container(documents[0], "Evaluator")


def test_tasks_are_tried_again_except_the_one_that_waits_for_people(documents):
    retried = {name for name, task in tasks(documents[0]).items() if "retryPolicy" in task}
    assert retried == tasks(documents[0]).keys() - {"RequestApproval"}
    waiting = container(documents[0], "RequestApproval")["args"]
    assert waiting[waiting.index("--wait") + 1] == "20"


def test_no_task_uses_kubeflows_own_cache(documents):
    """It does not know the data that a task reads from outside the run."""
    assert not any(task.get("cachingOptions") for task in tasks(documents[0]).values())


def test_each_pod_mounts_the_volume_and_the_secret(documents):
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors.keys() == documents[0]["deploymentSpec"]["executors"].keys()
    for executor in executors.values():
        assert [mount["mountPath"] for mount in executor["pvcMount"]] == ["/agnews"]
        assert [mount["mountPath"] for mount in executor["secretAsVolume"]] == ["/run/secrets/agnews"]
        assert executor["securityContext"]["runAsNonRoot"]


def test_a_last_task_gets_the_status_of_the_others(documents):
    end = documents[0]["root"]["dag"]["tasks"]["end"]
    assert end["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert "taskFinalStatus" in end["inputs"]["parameters"]["status"]


def test_a_run_names_the_author_where_approval_is_required(gated, compiled_for):
    assert {one.name: one.default for one in gated.parameters}["author"] is None
    assert "author" not in [one.name for one in compiled_for().parameters]


def test_an_object_store_can_hold_everything_but_the_audit_log(compiled_for):
    places = {"data__path": "data", "pipeline__root": "runs", "pusher__destination": "models"}
    places = {key: f"gs://bucket/{name}" for key, name in places.items()}
    settings = {**places, "promotion__audit_log": "/agnews/audit.jsonl"}
    check_pods(settings_of(**settings))
    defaults = {one.name: one.default for one in compiled_for(**settings).parameters}
    assert (defaults["data_path"], defaults["destination"]) == ("gs://bucket/data", "gs://bucket/models")


def test_the_file_is_named_by_pipeline_version_and_content(gated, compiled_for, tmp_path):
    plain = compiled_for()
    assert plain.write(tmp_path).name.startswith(f"agnews-{version('agnews-pipeline')}-")
    assert plain.version == compiled_for().version != gated.version
