import subprocess
import sys


def test_messages_need_no_tensorflow_and_do_not_break_it():
    code = """
import sys
from serving.tensorflow_messages import TensorProto
assert "tensorflow" not in sys.modules
import tensorflow as tf
assert tf.make_tensor_proto([1.0]).__class__ is TensorProto
assert tf.function(lambda x: x + 1)(tf.constant(1)).numpy() == 2
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def test_a_tensorflow_that_is_imported_stays_in_its_place():
    code = """
import importlib.util, sys
there = sys.modules["tensorflow"] = importlib.util.module_from_spec(importlib.util.find_spec("tensorflow"))
import serving.tensorflow_messages
assert sys.modules["tensorflow"] is there
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
