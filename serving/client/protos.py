"""The messages and the stubs of TensorFlow Serving, without TensorFlow's runtime.

The modules of `tensorflow_serving.apis` import messages that lie in the package `tensorflow`, and a package's
`__init__` runs before its modules: TensorFlow's takes 4 s and 300 MB, where the messages take 0.1 s. So while they are
imported, the package stands in `sys.modules` with its path but not executed; afterwards it is taken away again, and
whoever imports TensorFlow later gets all of it, with these same messages. Nothing is done where TensorFlow has been
imported before. Import this module early if another thread imports TensorFlow: for that moment it would see the empty
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
    from tensorflow.core.framework.types_pb2 import DT_FLOAT, DT_STRING
    from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
    from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
    from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

__all__ = [
    "DT_FLOAT",
    "DT_STRING",
    "GetModelStatusRequest",
    "ModelServiceStub",
    "ModelVersionStatus",
    "PredictRequest",
    "PredictResponse",
    "PredictionServiceStub",
    "ReloadConfigRequest",
    "TensorProto",
]
