"""Swaps, breaks and replaces real versions while clients send requests."""

import os
import shutil
import threading

import numpy as np
import psutil
import pytest

from schema.errors import RunError
from tests.support.model_servers import label_of, serving, text_request
from tests.support.waiting import wait_until

SWAPS = 20
CLIENTS = 4


def state_of(running, number):
    versions = running.server._manager._models["agnews"].versions
    return versions[number].state if number in versions else None


def available(running):
    return running.server.describe()["models"]["agnews"]


class Clients:
    """Clients that continuously send requests in threads, as a context manager."""

    def __init__(self, running):
        self._running = running
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        self.errors, self.answers = [], set()

    def _ask(self):
        request = text_request(["some title"])
        while not self._ended.is_set():
            try:
                response = self._running.predictions.Predict(request, timeout=60)
                self.answers.add((response.model_spec.version.value, label_of(response)))
            except Exception as error:
                self.errors.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._ended.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("batching", [False, True])
def test_no_request_fails_while_versions_are_swapped(push, text_models, batching):
    def label(number):
        return ["World", "Sports", "Business"][(number - 1) % 3]

    base = push(text_models["World"], 1)
    with (
        serving(model_name="agnews", model_base_path=str(base), enable_batching=batching) as running,
        Clients(running) as clients,
    ):
        wait_until(lambda: clients.answers)
        for number in range(2, SWAPS + 2):
            push(text_models[label(number)], number)
            running.server._manager._poll_now.set()
            wait_until(lambda number=number: clients.errors or (number, label(number)) in clients.answers)
    assert clients.errors == []
    # Each response has the label of the version that it names.
    assert clients.answers == {(number, label(number)) for number in range(1, SWAPS + 2)}


def corrupt(version):
    os.truncate(version / "saved_model.pb", 200)


def half_copied(version):
    (version / "saved_model.pb").unlink()


def without_weights(version):
    os.truncate(version / "variables" / "variables.data-00000-of-00001", 3)


def without_variables(version):
    shutil.rmtree(version / "variables")


def empty(version):
    shutil.rmtree(version)
    version.mkdir()


def a_file(version):
    shutil.rmtree(version)
    version.write_text("not a directory")


def a_link_to_nowhere(version):
    shutil.rmtree(version)
    version.symlink_to("nowhere")


def of_other_tags(version):
    from tensorflow.core.protobuf import saved_model_pb2

    path = version / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved_model.meta_graphs[0].meta_info_def.tags[:] = ["train"]
    path.write_bytes(saved_model.SerializeToString())


def with_a_bad_warmup(version):
    (version / "assets.extra").mkdir()
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"not a TFRecord")


def a_link_to_itself(version):
    shutil.rmtree(version)
    version.symlink_to(version.name)


def of_which_no_byte_can_be_read(version):
    (version / "saved_model.pb").unlink()
    (version / "saved_model.pb").symlink_to("/proc/self/mem")


def with_a_name_that_is_no_text(version):
    shutil.rmtree(version / "variables")
    os.mkdir(os.fsencode(version) + b"/\xff")


def unreadable(version):
    version.chmod(0)


BREAKAGES = [
    *(corrupt, half_copied, without_weights, without_variables, empty),
    *(a_file, a_link_to_nowhere, of_other_tags, with_a_bad_warmup),
    *(a_link_to_itself, of_which_no_byte_can_be_read, with_a_name_that_is_no_text),
    *([unreadable] if os.geteuid() else []),  # Root can read everything. test_process runs a server without privileges.
]


def test_a_good_version_serves_while_broken_ones_are_reported(push, text_models, tmp_path):
    base = push(text_models["World"], 1)
    with serving(model_name="agnews", model_base_path=str(base)) as running:
        for number, breakage in enumerate(BREAKAGES, start=2):
            broken = tmp_path / f"broken-{number}"
            shutil.copytree(text_models["Sports"], broken)
            breakage(broken)
            broken.rename(base / str(number))
            running.server._manager._poll_now.set()
            wait_until(lambda number=number: state_of(running, number) == 50)
            error = running.server._manager._models["agnews"].versions[number].error
            assert error is not None, breakage.__name__
            assert error.message, breakage.__name__
            assert label_of(running.predictions.Predict(text_request(["a"]))) == "World", breakage.__name__
        # A version that is repaired in place, as at the end of a slow copy, is served.
        shutil.rmtree(base / "6")
        shutil.copytree(text_models["Business"], base / "6")
        running.server._manager._poll_now.set()
        wait_until(lambda: available(running) == [6])
        assert label_of(running.predictions.Predict(text_request(["a"]))) == "Business"


def test_a_server_with_only_a_broken_version_does_not_start(push, text_models):
    base = push(text_models["World"], 1)
    corrupt(base / "1")
    with pytest.raises(RunError, match="version 1: "), serving(model_name="agnews", model_base_path=str(base)):
        pass


def test_memory_is_returned_when_a_version_is_unloaded(push, tmp_path):
    import tensorflow as tf

    class Heavy(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = tf.Variable(np.random.default_rng(1).random((8, 1 << 20), np.float32))  # 32 MiB

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "row")])
        def sums(self, row):
            return {"sum": tf.reduce_sum(tf.gather(self.weights, row), axis=1)}

    heavy = Heavy()
    tf.saved_model.save(heavy, str(tmp_path / "heavy"), signatures={"serving_default": heavy.sums})
    del heavy
    base = push(tmp_path / "heavy", 1)
    with serving(model_name="agnews", model_base_path=str(base)) as running:
        resident = []
        for number in range(2, 12):
            push(tmp_path / "heavy", number)
            running.server._manager._poll_now.set()
            wait_until(lambda number=number: available(running) == [number] and state_of(running, number - 1) == 50)
            resident.append(psutil.Process().memory_info().rss / 2**20)
    # Nine swaps of 32 MiB. During the first few, the pools of the allocator may still grow.
    assert resident[-1] - resident[3] < 32, resident
