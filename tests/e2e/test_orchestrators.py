"""Runs the same spans with `agnews run`, in a real Airflow and as Kubeflow's tasks, and compares what they leave."""

import contextlib
import difflib
import hashlib
import json
import pprint
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Execution

from components.example_gen.synthetic import write_synthetic
from pipeline.metadata.graph import component_id, properties, require_run, run_artifacts
from pipeline.settings import Settings
from pipeline.settings.sources import load
from tests.support.command_server import command_server
from tests.support.kubeflow import Cluster
from tests.support.local_airflow import LocalAirflow
from tests.support.review_pages import read_pages
from tests.support.review_site import serving, text
from tests.support.sandbox import PipelineSandbox
from tests.support.small_run import SMALL_RUNS

pytestmark = [pytest.mark.orchestrators, pytest.mark.timeout(5400)]

FIRST, SECOND = "2026-01-01", "2026-01-02"
SPANS = (FIRST, SECOND, SECOND)
ROWS = 400
# Airflow gives its user as the author of the model.
AUTHOR = "admin"
SETTINGS = SMALL_RUNS | {
    "data.train_pattern": "{YYYY}-{MM}-{DD}/train.csv",
    "data.test_pattern": "{YYYY}-{MM}-{DD}/test.csv",
    "data.window": "2",
    # Airflow starts only the runs that are triggered: no interval has ended since the first day.
    "airflow.schedule": "0 0 29 2 *",
}
# Properties that hold ids, times or paths.
OWN_PROPERTIES = {"audit", "files", "pushed_destination", "pushed_version"}


@dataclass(frozen=True)
class Outcome:
    """What an orchestrator left.

    Attributes:
        store: the metadata store.
        settings: settings of the review site.
        directory: directory with data, outputs and pushed versions.
        runs: names of the runs of the first span, of the second one, and of its repetition.
    """

    store: MetadataStore
    settings: Settings
    directory: Path
    runs: tuple[str, ...]


def artifacts(outcome):
    """Returns how often each type with the same properties is among the outputs of each run."""

    def summary(artifact):
        values = {
            name: re.sub(r"/\d+(?=/|$)", "/ID", str(value).replace(str(outcome.directory), ""))
            for name, value in properties(artifact).items()
            if name not in OWN_PROPERTIES and not name.endswith("_id")
        }
        return artifact.type, tuple(sorted(values.items()))

    runs = (run_artifacts(outcome.store, require_run(outcome.store, run)) for run in outcome.runs)
    return [sorted(Counter(map(summary, made)).items()) for made in runs]


def run_names(store):
    """Returns the names of all runs, oldest first."""
    return [one.name for one in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda one: one.id)]


def states(outcome):
    """Returns the states of the components of each run."""
    return [states_of_run(outcome.store, run) for run in outcome.runs]


def states_of_run(store, run):
    executions = store.get_executions_by_context(require_run(store, run).id)
    return sorted((component_id(store, one.id), Execution.State.Name(one.last_known_state)) for one in executions)


def weights(outcome):
    """Returns the SHA-256 of each variable by name, for each pushed version, oldest first."""
    versions = outcome.directory / "serving_model/agnews"
    digests = []
    for name in sorted(path.name for path in versions.iterdir() if path.name.isdecimal()):
        reader = tf.train.load_checkpoint(str(versions / name / "variables/variables"))
        variables = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
        digests.append({one: hashlib.sha256(reader.get_tensor(one).tobytes()).hexdigest() for one in variables})
    return digests


def pages(outcome):
    """Returns the texts of the review site; see `read_pages`."""
    texts = {str(outcome.directory): "DIRECTORY"} | {name: f"RUN-{number}" for number, name in enumerate(outcome.runs)}
    with serving(outcome.settings) as client:
        return read_pages(client, texts)


ASPECTS = (artifacts, states, weights, pages)


def differences(left, right):
    """Returns the lines in which two values differ."""
    texts = (pprint.pformat(value, width=1000).splitlines() for value in (left, right))
    return [line for line in difflib.unified_diff(*texts, "expected", "found", lineterm="", n=0) if line[:2] != "@@"]


def describe(outcome):
    return {aspect.__name__: aspect(outcome) for aspect in ASPECTS}


def load_settings(values, profile="default"):
    return load(profile, flags={key: (value, "the test") for key, value in values.items()}, environ={}).settings


def make_sandbox(directory, data):
    """A sandbox with the data, and with the settings in variables."""
    sandbox = PipelineSandbox(directory)
    shutil.copytree(data, directory / "data")
    variables = {f"AGNEWS_{key.replace('.', '__').upper()}": value for key, value in SETTINGS.items()}
    sandbox.environment |= variables | {"AGNEWS_DATA__PATH": f"{directory}/data", "AGNEWS_IDENTITY": AUTHOR}
    return sandbox


def outcome_of(sandbox, runs):
    directory = sandbox.directory
    folders = {"data.path": "data", "pipeline.root": "runs", "pusher.destination": "serving_model"}
    places = {key: f"{directory}/{folder}" for key, folder in folders.items()}
    return Outcome(sandbox.store(), load_settings(SETTINGS | places), directory, tuple(runs))


def run_locally(sandbox):
    for day in SPANS:
        assert sandbox.run("--span", day, profile="default", warm=True).status == 0
    return outcome_of(sandbox, run_names(sandbox.store()))


def train_in_airflow(airflow, span, hour=0):
    """Trains the model of a span; returns the name of the run in the metadata store."""
    run = airflow.trigger("agnews", f"{span[:-2]}{int(span[-2:]) + 1:02}", hour)
    airflow.wait_for_end(run)
    assert set(airflow.states(run).values()) == {"success"}
    return f"{run}.0"


def use_command(airflow, script):
    """Lets the tasks run a script in place of `agnews`, which imports TensorFlow Extended for each of them."""
    plan = airflow.home / "dags/agnews.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"command": [str(script)]}))


def run_in_airflow(airflow):
    airflow.switch_on("agnews")
    # A day has one run at a time of the day.
    return outcome_of(airflow.sandbox, [train_in_airflow(airflow, day, hour) for hour, day in enumerate(SPANS)])


def run_as_kubeflow(cluster, store, data):
    cluster.environment["AGNEWS_IDENTITY"] = AUTHOR
    shutil.copytree(data, cluster.volume / "data")
    cluster.compile()
    names = [f"{number}-{day}" for number, day in enumerate(SPANS)]
    for name, day in zip(names, SPANS, strict=True):
        assert set(cluster.run(name, {"span": day}).values()) == {0}
    settings = load_settings(cluster.settings, profile="kubeflow")
    directory = Path(settings.pipeline.root).parent
    return Outcome(store, settings, directory, tuple(f"kubeflow-{name}" for name in names))


@pytest.fixture(scope="module")
def story(tmp_path_factory, metadata_server, store):
    directory = tmp_path_factory.mktemp("orchestrators")
    for name in ("local", "airflow", "kubeflow", "commands"):
        (directory / name).mkdir()
    # Copies have the same times, which are part of the fingerprint of the input.
    data = directory / "data"
    for day in (FIRST, SECOND):
        write_synthetic(data / day, train_rows=ROWS, test_rows=ROWS // 4, seed=7)
    local, in_airflow = (make_sandbox(directory / name, data) for name in ("local", "airflow"))
    airflow = LocalAirflow(in_airflow)
    results = SimpleNamespace(local=describe(run_locally(local)))
    with contextlib.ExitStack() as stack:
        commands = stack.enter_context(command_server(directory / "commands"))
        cluster = Cluster(directory / "kubeflow", metadata_server, commands, SETTINGS)
        outcome = run_as_kubeflow(cluster, store, data)
        stack.enter_context(cluster.all_mounted())
        results.kubeflow = describe(outcome)
        commands.install(script := directory / "agnews")
        stack.callback(airflow.script, "stop")
        airflow.start()
        use_command(airflow, script)
        results.airflow = describe(run_in_airflow(airflow))
        # The others run once more, with the store and the files of Kubeflow.
        local.agnews("run", *cluster.options, "--span", SECOND)
        in_airflow.agnews("plan", *cluster.options, "--output", airflow.home / "dags/agnews.json")
        use_command(airflow, script)
        train_in_airflow(airflow, SECOND, hour=12)
        with serving(outcome.settings) as client:
            results.listed = text(client.get("/runs"))
    results.shared = store
    return results


@pytest.mark.parametrize("orchestrator", ["airflow", "kubeflow"])
@pytest.mark.parametrize("aspect", [aspect.__name__ for aspect in ASPECTS])
def test_an_orchestrator_leaves_what_a_local_run_leaves(story, aspect, orchestrator):
    found = differences(story.local[aspect], getattr(story, orchestrator)[aspect])
    assert found == [], "\n".join(found)


def test_both_spans_are_trained_and_the_repetition_is_cached(story):
    first, second, repeated = (dict(states) for states in story.local["states"])
    assert first["Trainer"] == second["Trainer"] == "COMPLETE"
    assert {state for name, state in repeated.items() if not name.endswith("Resolver")} == {"CACHED"}
    first, second = story.local["weights"]
    assert first.keys() == second.keys()
    assert first != second


def test_the_review_site_lists_the_runs_of_all_three_side_by_side(story):
    names = run_names(story.shared)
    assert [re.match("[a-z]+", name)[0] for name in names] == ["kubeflow"] * 3 + ["local", "manual"]
    assert [name for name in names if name not in story.listed] == []


def test_orchestrators_with_one_store_share_the_cache(story):
    for run in run_names(story.shared)[-2:]:
        assert dict(states_of_run(story.shared, run))["Trainer"] == "CACHED"
