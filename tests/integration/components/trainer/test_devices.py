import resource
from concurrent.futures import ThreadPoolExecutor

import keras
import pytest
import tensorflow as tf

from components.trainer import devices
from components.trainer.shapes import architecture


@pytest.mark.parametrize(
    ("name", "gpus", "built_with_cuda", "reason"),
    [
        ("stacked_bilstm", 1, True, None),
        ("lstm", 2, True, None),
        ("simple_rnn", 1, True, "no kernel for Keras' simple_rnn"),
        ("stacked_bilstm", 0, True, "no GPU"),
        ("stacked_bilstm", 0, False, "without CUDA"),
    ],
)
def test_the_unmet_condition_of_cudnn_is_named(name, gpus, built_with_cuda, reason):
    found = devices.why_not_cudnn(architecture(name), gpus=gpus, built_with_cuda=built_with_cuda)
    assert (found is None) if reason is None else (reason in found)


def test_without_a_gpu_the_strategy_is_the_default_one():
    assert devices.grow_gpu_memory() == len(tf.config.list_physical_devices("GPU"))
    assert devices.strategy(0).num_replicas_in_sync == devices.strategy(1).num_replicas_in_sync == 1


def test_the_precision_applies_only_within_the_block():
    with devices.precision("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    assert keras.layers.Dense(1).compute_dtype == "float32"


def fault_pages(rounds):
    """Returns the page faults of a thread that repeatedly fills and frees more memory than a heap of glibc holds."""

    def fill():
        for number in range(rounds + 1):
            if number == 1:  # The first round gets the memory.
                before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
            del [b"x" * (20 << 20) for _ in range(4)][:]
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(fill).result()


def test_freed_memory_is_kept_during_a_training():
    with devices.keep_freed_memory():
        assert fault_pages(5) < 100
    assert fault_pages(5) > 1000
