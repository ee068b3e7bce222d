"""Promotes, compares, rolls back and prunes with the commands that users run, on a running server."""

import collections
import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.features import CLASS_NAMES
from serving.client import Client
from tests.support import ROOT
from tests.support.logged_push import log_push

TEXTS = ["oil", "goal", "chip", "ministers"]


def export(directory, classes_of):
    """Writes a SavedModel that maps a text's first letter to a class by `classes_of`, by default to World."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name) for name in ("title", "description")])
        def serve(self, title, description):
            index = tf.zeros_like(title, tf.int32)
            for letter, name in classes_of.items():
                here = tf.strings.substr(title, 0, 1) == letter
                index = tf.where(here, CLASS_NAMES.index(name), index)
            probabilities = tf.one_hot(index, len(CLASS_NAMES), 0.7, 0.1)
            classes = tf.broadcast_to(tf.constant(CLASS_NAMES), tf.shape(probabilities))
            return {
                "label": tf.gather(tf.constant(CLASS_NAMES), index),
                "classes": classes,
                "probabilities": probabilities,
            }

    module = Module()
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve})


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Creates three versions: 2 confuses chips with sports; 3 knows all classes, 1 none."""
    place = tmp_path_factory.mktemp("a work place")
    knows = {"o": "Business", "g": "Sports", "c": "Sci/Tech"}
    export(place / "serving_model/agnews/1", {})
    export(place / "serving_model/agnews/2", knows | {"c": "Sports"})
    export(place / "serving_model/agnews/3", knows)
    for number in (1, 2, 3):
        log_push(place / f"serving_model/agnews/{number}")
    rows = zip((3, 2, 4, 1), TEXTS, strict=True)
    (place / "test.csv").write_text("".join(f'"{label}","{text}","."\n' for label, text in rows) * 5)
    return place


@pytest.fixture(scope="module")
def agnews(workplace):
    """Runs a command in this process; returns its output."""

    def run(*arguments, fails=False):
        with contextlib.chdir(workplace):
            environment = {"AGNEWS_PUSHER__DESTINATION": "serving_model", "AGNEWS_PIPELINE__ROOT": "runs"}
            ended = CliRunner().invoke(cli, arguments, env=environment)
        assert (ended.exit_code != 0) == fails, ended.output + repr(ended.exception)
        return str(ended.exception) if fails else ended.output

    return run


@pytest.fixture(scope="module")
def server(workplace, agnews):
    """Returns the address of a local server of the promoted config, in a separate process."""
    agnews("versions", "promote", "1", "--label", "stable")
    command = [sys.executable, "-m", "serving.server", "--port=0", "--model_config_file=serving_model/models.config"]
    command += ["--model_config_file_poll_wait_seconds=1", "--allow_version_labels_for_unavailable_models=true"]
    command += ["--max_num_load_retries=0"]
    with (workplace / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=workplace, stdout=subprocess.PIPE, stderr=log, text=True, env={"PYTHONPATH": str(ROOT)}
        )
        try:
            ready = process.stdout.readline()
            assert ready, (workplace / "server.log").read_text()
            yield f"localhost:{json.loads(ready)['grpc_port']}"
        finally:
            process.terminate()
            process.wait(30)


def classes(server, **target):
    with Client(server) as client:
        return [answer.label for answer in client.classify(TEXTS, **target)]


@pytest.mark.timeout(600)
def test_a_version_is_tried_promoted_rolled_back_and_others_pruned(workplace, agnews, server):
    assert classes(server, label="stable") == ["World"] * 4

    agnews("versions", "promote", "2", "--label", "canary", "--server", server)
    assert classes(server, label="stable") == ["World"] * 4
    assert classes(server, label="canary") == ["Business", "Sports", "Sports", "World"]

    report = json.loads(agnews("versions", "canary", "--file", "test.csv", "--server", server, "--json"))
    assert (report["versions"], report["compared"]) == ({"stable": [1], "canary": [2]}, 20)
    assert (report["accuracy"], report["agreement"]) == ({"stable": 0.25, "canary": 0.75}, 0.25)
    assert report["mcnemar"] == {"only_first": 0, "only_second": 10, "p_value": pytest.approx(2 * 0.5**10)}
    assert {(move["stable"], move["canary"]): move["items"] for move in report["moves"]} == {
        ("World", "Sports"): 10,
        ("World", "Business"): 5,
    }
    assert report["milliseconds"]["canary"]["p50"] > 0

    agnews("versions", "promote", "2", "--label", "stable", "--server", server)
    agnews("versions", "promote", "3", "--label", "stable", "--server", server)
    assert classes(server, label="stable") == ["Business", "Sports", "Sci/Tech", "World"]

    agnews("versions", "rollback", "--server", server)
    assert classes(server, label="stable") == ["Business", "Sports", "Sports", "World"]
    assert classes(server) == classes(server, label="stable")

    shown = {row["version"]: row for row in json.loads(agnews("versions", "list", "--json", "--server", server))}
    assert [shown[version]["server_state"] for version in (1, 2)] == ["AVAILABLE"] * 2
    assert shown[3]["server_state"] in ("UNLOADING", "END")
    assert [version for version, row in shown.items() if row["in_production"]] == [2]

    agnews("versions", "prune", "--keep", "1", "--server", server)
    assert sorted(path.name for path in (workplace / "serving_model/agnews").iterdir()) == ["1", "2", "3"]
    agnews("versions", "promote", "2", "--label", "canary", "--server", server)
    agnews("versions", "promote", "3", "--label", "stable", "--server", server)
    agnews("versions", "prune", "--keep", "1", "--server", server)
    assert sorted(path.name for path in (workplace / "serving_model/agnews").iterdir()) == ["2", "3"]


@pytest.mark.timeout(600)
def test_a_version_that_does_not_load_is_taken_back_and_nobody_notices(workplace, agnews, server):
    before = (workplace / "serving_model/models.config").read_text()
    answers = classes(server, label="stable")
    (workplace / "serving_model/agnews/9").mkdir()
    (workplace / "serving_model/agnews/9/saved_model.pb").write_bytes(b"no graph")
    log_push(workplace / "serving_model/agnews/9")

    message = agnews("versions", "promote", "9", "--label", "stable", "--server", server, fails=True)

    assert "cannot load version 9" in message
    assert (workplace / "serving_model/models.config").read_text() == before
    assert classes(server, label="stable") == answers
    row = json.loads(agnews("versions", "list", "--json"))[-1]
    assert (row["changes"][-1]["state"], row["labels"]) == ("FAILED", [])


@contextlib.contextmanager
def asked_all_the_time(server, label):
    """Sends requests continuously; yields the list of versions that answered, and an event for each."""
    answered, failures, stop = [], [], threading.Event()
    seen = collections.defaultdict(threading.Event)

    def ask():
        with Client(server) as client:
            while not stop.is_set():
                try:
                    answered.append(client.classify(TEXTS[:1], label=label)[0].model_version)
                    seen[answered[-1]].set()
                except Exception as error:
                    failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answered, seen
    finally:
        stop.set()
        thread.join()
    assert failures == []


@pytest.mark.timeout(600)
def test_no_request_fails_while_a_label_moves_to_an_unloaded_version(workplace, agnews, server):
    versions = workplace / "serving_model/agnews"
    shutil.copytree(versions / "3", versions / "10")
    log_push(versions / "10")
    agnews("versions", "promote", "3", "--label", "stable", "--server", server)
    with asked_all_the_time(server, "stable") as (answered, seen):
        # The server polls the file every second.
        agnews("versions", "promote", "10", "--label", "stable", "--poll-seconds", "3")
        assert seen[10].wait(60)
        agnews("versions", "rollback", "--server", server)
        seen[3].clear()
        assert seen[3].wait(60)
    assert [version for version, _ in itertools.groupby(answered)] == [3, 10, 3]
