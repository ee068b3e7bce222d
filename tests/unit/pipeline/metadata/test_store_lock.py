"""Locks an embedded store from another process, as a run does while it writes, and uses the store."""

import subprocess
import sys
import threading
import time

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata import store_lock
from pipeline.metadata.connection import connection_config, existing_store, open_store
from pipeline.metadata.store_reader import StoreReader
from pipeline.settings import Settings
from schema.errors import RunError, StoreError

_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"BEGIN {sys.argv[2]}")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(store_lock, "SAY_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(store_lock, "GIVE_UP_AFTER_SECONDS", 0.3)
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path)}})
    kind = metadata_store_pb2.ArtifactType(name="Examples")
    open_store(connection_config(settings)).put_artifact_type(kind)
    return settings


@pytest.fixture
def lock(settings, tmp_path):
    holders = []

    def lock(kind="EXCLUSIVE"):
        command = [sys.executable, "-I", "-S", "-c", _HOLDER, str(tmp_path / "metadata.sqlite"), kind]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout.readline() == "locked\n"
        return holder

    yield lock
    for holder in holders:
        holder.communicate()


def open_to_write(settings):
    open_store(connection_config(settings))


def read_snapshot(settings):
    StoreReader(connection_config(settings)).snapshot()


def named(holder):
    return rf"metadata\.sqlite is still locked after 0\.3 s by process {holder.pid}; wait"


@pytest.mark.parametrize("use", [open_to_write, existing_store, read_snapshot])
def test_a_command_says_what_it_waits_for_and_gives_up(settings, lock, capfd, use):
    holder = lock()
    with pytest.raises(RunError, match=named(holder)) as refused:
        use(settings)
    assert refused.value.exit_code == 5
    assert f"metadata.sqlite, which process {holder.pid} has locked" in capfd.readouterr().err


def test_a_lock_after_the_store_was_opened_is_reported_too(settings, lock):
    store = open_store(connection_config(settings))
    holder = lock()
    with pytest.raises(StoreError, match=named(holder)):
        store.get_artifact_types()


def test_a_lock_that_is_released_in_time_is_only_waited_for(settings, lock, capfd):
    holder = lock()
    threading.Timer(0.15, holder.stdin.close).start()
    began = time.monotonic()
    [kind] = existing_store(settings).get_artifact_types()
    assert kind.name == "Examples"
    assert time.monotonic() - began > 0.1
    assert "waiting up to 0.3 s" in capfd.readouterr().err
    holder.stdin = None


def test_readers_do_not_wait_for_a_process_that_prepares_a_change(settings, lock):
    holder = lock("IMMEDIATE")
    assert existing_store(settings).get_artifact_types()
    with pytest.raises(StoreError, match=named(holder)):
        open_to_write(settings)
