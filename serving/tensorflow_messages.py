"""Imports the messages and stubs of TensorFlow Serving without TensorFlow's runtime.

The modules of `tensorflow_serving.apis` import messages from the package `tensorflow`, and Python runs a package's
`__init__` before its modules: TensorFlow's takes 4 s and 300 MB, the messages take 0.1 s. During the import,
`sys.modules` therefore holds a package with TensorFlow's path that was not executed. It is removed afterwards, so a
later import of TensorFlow is complete and uses the same messages. If TensorFlow is already imported, nothing is
replaced. If another thread imports TensorFlow, import this module first; otherwise that thread could see the empty
package.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_RUNTIME = "tensorflow"


@contextmanager
def _runtime_not_executed() -> Iterator[None]:
    spec = None if _RUNTIME in sys.modules else importlib.util.find_spec(_RUNTIME)
    if spec is None:
        yield
        return
    sys.modules[_RUNTIME] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[_RUNTIME]


with _runtime_not_executed():
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.framework.types_pb2 import DT_STRING
    from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
    from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
    from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

__all__ = [
    "DT_STRING",
    "GetModelStatusRequest",
    "ModelServiceStub",
    "ModelVersionStatus",
    "PredictRequest",
    "PredictionServiceStub",
    "ReloadConfigRequest",
    "TensorProto",
]
