import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from components import pusher


@pytest.fixture
def export(tmp_path):
    return make_export(tmp_path / "export", b"one")


def make_export(directory, fingerprint):
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "fingerprint.pb").write_bytes(fingerprint)
    (directory / "variables/variables.data-00000-of-00001").write_bytes(b"\0" * 100_000)
    return str(directory)


def visible(destination):
    return sorted(path.name for path in Path(destination).iterdir() if path.name.isdecimal())


def test_a_version_holds_the_whole_export_and_the_models_metadata_id(export, tmp_path):
    version = Path(pusher.push_local(export, str(tmp_path / "serving"), mlmd_uuid="17", now=1000.5))
    assert version == tmp_path / "serving/1000"
    assert (version / "variables/variables.data-00000-of-00001").stat().st_size == 100_000
    assert (version / "assets.extra/mlmd_uuid").read_text() == "17"
    assert not os.path.exists(os.path.join(export, "assets.extra"))


def test_versions_rise_even_when_the_clock_falls_back(export, tmp_path):
    other = make_export(tmp_path / "other", b"two")
    pusher.push_local(export, str(tmp_path / "serving"), mlmd_uuid="1", now=2000)
    assert pusher.push_local(other, str(tmp_path / "serving"), mlmd_uuid="2", now=1500).endswith("/2001")


def test_the_same_export_is_not_pushed_twice(export, tmp_path):
    first = pusher.push_local(export, str(tmp_path / "serving"), mlmd_uuid="1", now=1000)
    assert pusher.push_local(export, str(tmp_path / "serving"), mlmd_uuid="1", now=2000) == first
    assert visible(tmp_path / "serving") == ["1000"]


def test_an_export_older_than_the_newest_version_is_pushed_again(export, tmp_path):
    other = make_export(tmp_path / "other", b"two")
    for saved_model, now in ((export, 1000), (other, 2000), (export, 3000)):
        pusher.push_local(saved_model, str(tmp_path / "serving"), mlmd_uuid="1", now=now)
    assert visible(tmp_path / "serving") == ["1000", "2000", "3000"]


def test_a_failed_copy_leaves_no_version(export, tmp_path, monkeypatch):
    def full_disk(directory):
        raise OSError("no space left on device")

    monkeypatch.setattr(pusher, "_flush", full_disk)
    with pytest.raises(OSError, match="no space"):
        pusher.push_local(export, str(tmp_path / "serving"), mlmd_uuid="1", now=1000)
    assert visible(tmp_path / "serving") == []


# Stops for good in the middle of the copy, so that the parent can kill it there.
_HANGING = """
import sys, time
from components import pusher
def hang(directory):
    print("copied", flush=True)
    time.sleep(600)
pusher._flush = hang
pusher.push_local(sys.argv[1], sys.argv[2], mlmd_uuid="1", now=1000)
"""


def test_a_killed_push_leaves_no_version_and_the_next_one_cleans_up(export, tmp_path):
    destination = str(tmp_path / "serving")
    root = str(Path(pusher.__file__).parents[1])
    command = [sys.executable, "-c", _HANGING, export, destination]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": root})
    assert process.stdout.readline() == "copied\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert visible(destination) == []
    assert list(Path(destination).glob(".incoming-*"))

    pusher.push_local(export, destination, mlmd_uuid="1", now=2000)
    assert visible(destination) == ["2000"]
    assert not list(Path(destination).glob(".incoming-*"))


def test_concurrent_pushes_get_a_version_each(tmp_path):
    exports = [make_export(tmp_path / f"export-{index}", bytes([index])) for index in range(6)]
    threads = [
        threading.Thread(
            target=pusher.push_local, args=[export, str(tmp_path / "serving")], kwargs={"mlmd_uuid": "1", "now": 1000}
        )
        for export in exports
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert visible(tmp_path / "serving") == [str(1000 + index) for index in range(6)]


def test_to_an_object_store_the_graph_goes_last(export, monkeypatch):
    import tensorflow as tf
    from tfx.utils import io_utils

    copied = []
    original = io_utils.copy_file

    def copy_file(source, target, *args, **kwargs):
        copied.append(os.path.basename(target))
        return original(source, target, *args, **kwargs)

    monkeypatch.setattr(io_utils, "copy_file", copy_file)
    version = pusher._push_remote(export, "ram://serving/agnews", mlmd_uuid="17")
    assert copied[-1] == "saved_model.pb"
    assert tf.io.gfile.GFile(f"{version}/assets.extra/mlmd_uuid").read() == "17"
    assert pusher._push_remote(export, "ram://serving/agnews", mlmd_uuid="17") == version
