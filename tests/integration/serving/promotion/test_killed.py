"""Kills commands: the next one finds every label served, and completes or undoes the change."""

import os
import signal
import subprocess
import sys

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from serving.promotion import Deployment, Served, promote, prune
from tests.support import ROOT

_CHILD = """
import os, signal, sys
from pathlib import Path
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from serving.promotion import Deployment, Signature, promote, prune, config, deployment, changes, record

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

connection = mlmd.ConnectionConfig()
connection.sqlite.filename_uri = sys.argv[2]
connection.sqlite.connection_mode = 3
place = Deployment(Path(sys.argv[1]), "agnews", MetadataStore(connection), pause=lambda seconds: None)
me = Signature("killed@here")
"""
# Where a promotion of version 2 dies, and the version served after the next command: 1 as before, or 2.
_DEATHS = {
    "config.replace = die": 1,
    "os.fsync = die": 1,
    "place.pause = die": 1,
    "record.Records.close = die": 2,
}


@pytest.fixture
def store_file(tmp_path):
    return tmp_path / "metadata.sqlite"


@pytest.fixture
def deployment(directory, store_file):
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(store_file)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return Deployment(directory.parent, "agnews", MetadataStore(config), pause=lambda seconds: None)


def kill_during(command, death, deployment, store_file):
    """Runs a command in another process, which kills itself at a given place."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{_CHILD}\n{death}\n{command}", str(deployment.directory.parent), str(store_file)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize(("death", "live"), _DEATHS.items())
def test_the_next_command_finishes_or_undoes_a_killed_promotion(deployment, store_file, me, death, live):
    promote(deployment, 1, "stable", me)
    kill_during("promote(place, 2, 'stable', me)", death, deployment, store_file)
    assert deployment.records.all()[-1].state == "RUNNING"

    prune(deployment, 9, me)

    record = deployment.records.all()[-1]
    assert (record.who, record.state) == ("killed@here", "COMPLETE" if live == 2 else "CANCELED")
    loaded = {1, 2} if live == 2 else {1}
    assert deployment.served() == Served(frozenset(loaded), {"stable": live})


@pytest.mark.parametrize("death", ["place.pause = die", "record.Records.close = die"])
def test_a_file_changed_by_hand_since_the_kill_is_left_alone(deployment, store_file, me, death):
    promote(deployment, 1, "stable", me)
    kill_during("promote(place, 2, 'stable', me)", death, deployment, store_file)
    by_hand = "model_config_list { config { name: 'agnews' base_path: '/models/agnews' } }"
    deployment.config_path.write_text(by_hand)
    prune(deployment, 9, me)
    assert deployment.config_path.read_text() == by_hand
    assert deployment.records.all()[-1].state == "FAILED"


@pytest.mark.parametrize(
    ("death", "state", "left"),
    [
        ("changes.flush_directory = die", "COMPLETE", ["2", "3"]),
        ("changes.shutil.rmtree = die", "COMPLETE", ["2", "3"]),
        ("Path.rename = die", "CANCELED", ["1", "2", "3"]),
    ],
)
def test_a_killed_pruning_leaves_a_version_whole_or_is_finished(deployment, store_file, me, death, state, left):
    kill_during("prune(place, 2, me)", death, deployment, store_file)
    assert sorted(deployment.versions()) == [int(name) for name in left]
    prune(deployment, 9, me)
    assert sorted(path.name for path in deployment.directory.iterdir()) == left
    assert deployment.records.all()[0].state == state
