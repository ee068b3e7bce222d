"""Runs Predict, Classify, Regress and MultiInference requests on a loaded version.

Rules and messages are those of tensorflow/serving, servables/tensorflow/predict_util.cc, classifier.cc, regressor.cc
and multi_inference.cc.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from schema.model_contract import SERVING_DEFAULT, WARMUP_REQUESTS
from serving.server.errors import RequestError, failed_precondition_error, invalid_argument_error
from serving.server.metrics import Metrics
from serving.server.servable import ModelSignature, Servable
from serving.server.tensors import GraphRun, dtype_name, fill_proto, to_array

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"
_MAX_WARMUP_RECORDS = 1000


@dataclass(frozen=True)
class RequestContext:
    """The version that a request runs on, and how it is run.

    Attributes:
        model: name of the model in the request.
        version: version number.
        servable: the loaded version.
        execute: runs inputs through a graph, alone or as part of a batch.
        count_examples: receives the number of tf.Examples.
        check_method: whether to reject Classify and Regress requests for signatures with another method name.
    """

    model: str
    version: int
    servable: Servable
    execute: Callable[[GraphRun, list[np.ndarray]], list[np.ndarray]]
    count_examples: Callable[[int], None] = lambda count: None
    check_method: bool = True

    def run(self, inputs: dict[str, np.ndarray], outputs: Iterable[str]) -> dict[str, np.ndarray]:
        """Runs the graph and returns the values of the output tensors by name.

        Args:
            inputs: values of the input tensors by name.
            outputs: names of the output tensors.
        """
        fetches = tuple(outputs)
        values = self.execute(self.servable.run_for(tuple(inputs), fetches), list(inputs.values()))
        return dict(zip(fetches, values, strict=True))

    def fill_spec(self, spec: model_pb2.ModelSpec, signature: str) -> None:
        """Sets the model, version and signature that were used."""
        spec.name, spec.signature_name = self.model, signature
        spec.version.value = self.version


def predict(context: RequestContext, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """Runs a signature on tensors."""
    name = _signature_name(request.model_spec)
    signature = context.servable.signatures.get(name)
    if signature is None:
        raise failed_precondition_error(f'Serving signature key "{name}" not found.')
    inputs = _input_arrays(signature, request)
    wanted = _wanted_outputs(signature, request.output_filter)
    values = context.run(inputs, dict.fromkeys(signature.outputs[alias][0] for alias in wanted))
    response = predict_pb2.PredictResponse()
    context.fill_spec(response.model_spec, name)
    for alias in wanted:
        tensor, dtype = signature.outputs[alias]
        fill_proto(response.outputs[alias], values[tensor], dtype)
    return response


def classify(
    context: RequestContext, request: classification_pb2.ClassificationRequest
) -> classification_pb2.ClassificationResponse:
    """Returns classes and scores of tf.Examples."""
    response = classification_pb2.ClassificationResponse()
    task = _SignatureTask.create(context, request.model_spec, CLASSIFY)
    values, examples = _run_examples(context, request.input, [task])
    _fill_classes(response.result, task.signature, values, examples)
    context.fill_spec(response.model_spec, task.name)
    return response


def regress(context: RequestContext, request: regression_pb2.RegressionRequest) -> regression_pb2.RegressionResponse:
    """Returns a value for each tf.Example."""
    response = regression_pb2.RegressionResponse()
    task = _SignatureTask.create(context, request.model_spec, REGRESS)
    values, examples = _run_examples(context, request.input, [task])
    _fill_values(response.result, task.signature, values, examples)
    context.fill_spec(response.model_spec, task.name)
    return response


def multi_inference(
    context: RequestContext, request: inference_pb2.MultiInferenceRequest
) -> inference_pb2.MultiInferenceResponse:
    """Runs several classifications and regressions of the same tf.Examples, in one run of the graph."""
    tasks = []
    for requested in request.tasks:
        if requested.model_spec.name != context.model:
            raise invalid_argument_error("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if requested.method_name not in (CLASSIFY, REGRESS):
            message = f"Unsupported signature method_name: {requested.method_name}"
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, message)
        tasks.append(_SignatureTask.create(context, requested.model_spec, requested.method_name))
    if len({task.name for task in tasks}) < len(tasks):
        raise invalid_argument_error("Duplicate evaluation of a signature")
    values, examples = _run_examples(context, request.input, tasks)
    response = inference_pb2.MultiInferenceResponse()
    for task in tasks:
        result = response.results.add()
        context.fill_spec(result.model_spec, task.name)
        if task.method == CLASSIFY:
            _fill_classes(result.classification_result, task.signature, values, examples)
        else:
            _fill_values(result.regression_result, task.signature, values, examples)
    return response


APIS: dict[str, Callable] = {
    "Predict": predict,
    "Classify": classify,
    "Regress": regress,
    "MultiInference": multi_inference,
}
LOG_FIELDS = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}
"""Field of a PredictionLog that holds the requests and responses of an API."""


def warm_up(servable: Servable, model: str, version: int, iterations: int, metrics: Metrics) -> None:
    """Replays the requests of the version's `WARMUP_REQUESTS`, if it has this file.

    TensorFlow initializes parts of a graph when it first runs. The warm-up keeps that latency away from clients.
    Source: tensorflow/serving, g3doc/saved_model_warmup.md and servables/tensorflow/saved_model_warmup_util.cc.

    Args:
        servable: the loaded version.
        model: name of the model.
        version: version number.
        iterations: number of times to run each request.
        metrics: receives the duration.

    Raises:
        ValueError: the file has more than 1,000 records or a record of an unsupported type.
        RequestError, tf.errors.OpError: a request failed. The version must not serve.
    """
    if servable.warmup_path is None:
        return
    started = time.monotonic()
    status = "INTERNAL"
    number = 0
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(servable.warmup_path).as_numpy_iterator(), 1):
            if number > _MAX_WARMUP_RECORDS:
                raise ValueError(f"{servable.warmup_path} has more than {_MAX_WARMUP_RECORDS} records")
            _replay(servable, model, version, prediction_log_pb2.PredictionLog.FromString(record), iterations)
        status = "OK"
    finally:
        labels = servable.warmup_path.removesuffix(f"/{WARMUP_REQUESTS}"), status
        metrics.warmup_latency.labels(*labels).observe((time.monotonic() - started) * 1e6)
        metrics.warmup_records.labels(*labels).inc(number)


def _replay(
    servable: Servable, model: str, version: int, log: prediction_log_pb2.PredictionLog, iterations: int
) -> None:
    field = log.WhichOneof("log_type")
    api = next((api for api, name in LOG_FIELDS.items() if name == field), None)
    if api is None:
        raise ValueError(f"{servable.warmup_path}: unsupported log type {field} for warm-up")
    request = getattr(log, field).request
    # Like TensorFlow Serving, ignore the model name in the recorded requests.
    for task in request.tasks if api == "MultiInference" else ():
        task.model_spec.name = model
    context = RequestContext(model, version, servable, lambda run, arrays: run(arrays))
    for _ in range(iterations):
        APIS[api](context, request)


def _signature_name(spec: model_pb2.ModelSpec) -> str:
    return spec.signature_name or SERVING_DEFAULT


def _input_arrays(signature: ModelSignature, request: predict_pb2.PredictRequest) -> dict[str, np.ndarray]:
    sent = set(request.inputs)
    required = {alias for alias, declared in signature.inputs.items() if declared.default is None}
    if not required <= sent <= set(signature.inputs):
        raise invalid_argument_error(
            f"input size does not match signature: {len(sent)}!={len(signature.inputs)}. "
            f"Sent extra: {{{','.join(sorted(sent - set(signature.inputs)))}}}. "
            f"Missing but required: {{{','.join(sorted(required - sent))}}}."
        )
    arrays = {}
    for alias, declared in signature.inputs.items():
        proto = request.inputs[alias] if alias in sent else declared.default
        assert proto is not None  # Inputs without a default were sent.
        if proto.dtype != declared.dtype:
            expected, got = dtype_name(declared.dtype), dtype_name(proto.dtype)
            raise invalid_argument_error(f"Expects input {alias} to be {expected} but {got} is provided")
        arrays[declared.tensor] = to_array(proto)
    return arrays


def _wanted_outputs(signature: ModelSignature, output_filter: Iterable[str]) -> list[str]:
    wanted = list(output_filter) or list(signature.outputs)
    for alias in wanted:
        if alias not in signature.outputs:
            raise invalid_argument_error(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{','.join(sorted(signature.outputs))}}}."
            )
    if len(set(wanted)) < len(wanted):
        raise invalid_argument_error(f"duplicate output tensor alias in {wanted}")
    return wanted


@dataclass(frozen=True)
class _SignatureTask:
    """A signature that classifies or regresses.

    Attributes:
        name: name of the signature.
        method: its expected method name.
        signature: the signature.
        input: name of its input tensor.
        outputs: names of its output tensors.
    """

    name: str
    method: str
    signature: ModelSignature
    input: str
    outputs: tuple[str, ...]

    @classmethod
    def create(cls, context: RequestContext, spec: model_pb2.ModelSpec, method: str) -> "_SignatureTask":
        name = _signature_name(spec)
        signature = context.servable.signatures.get(name)
        if signature is None:
            raise invalid_argument_error(f"No signature was found with the name: {name}")
        if context.check_method and signature.method != method:
            kind = method.rpartition("/")[2]
            raise invalid_argument_error(
                f"Expected {kind} signature method_name to be {method}. Was: {signature.method}"
            )
        if list(signature.inputs) != [_INPUTS]:
            raise invalid_argument_error(
                f"signature {name} must have one input, {_INPUTS}; has {list(signature.inputs)}"
            )
        aliases = (_CLASSES, _SCORES) if method == CLASSIFY else (_OUTPUTS,)
        outputs = tuple(signature.outputs[alias][0] for alias in aliases if alias in signature.outputs)
        if not outputs or len(signature.outputs) > len(aliases):
            raise invalid_argument_error(
                f"signature {name} must have only the outputs {', '.join(aliases)}; has {list(signature.outputs)}"
            )
        return cls(name, method, signature, signature.inputs[_INPUTS].tensor, outputs)


def _run_examples(
    context: RequestContext, given: input_pb2.Input, tasks: list[_SignatureTask]
) -> tuple[dict[str, np.ndarray], int]:
    """Returns the values of the tasks' output tensors by name, and the number of examples."""
    serialized = _serialized_examples(given)
    context.count_examples(len(serialized))
    array = np.empty(len(serialized), object)
    array[:] = serialized
    outputs = dict.fromkeys(tensor for task in tasks for tensor in task.outputs)
    return context.run(dict.fromkeys((task.input for task in tasks), array), outputs), len(serialized)


def _serialized_examples(given: input_pb2.Input) -> list[bytes]:
    kind = given.WhichOneof("kind")
    if kind == "example_list_with_context":
        # Protobuf merges messages whose serialized bytes are concatenated.
        shared = given.example_list_with_context.context.SerializeToString()
        examples = [shared + e.SerializeToString() for e in given.example_list_with_context.examples]
    else:
        examples = [example.SerializeToString() for example in given.example_list.examples]
    if not examples:
        raise invalid_argument_error("Input is empty.")
    return examples


def _fill_classes(
    result: classification_pb2.ClassificationResult,
    signature: ModelSignature,
    values: dict[str, np.ndarray],
    examples: int,
) -> None:
    columns = {}
    for alias, kind in ((_CLASSES, object), (_SCORES, np.float32)):
        if alias in signature.outputs:
            value = columns[alias] = values[signature.outputs[alias][0]]
            if value.ndim != 2 or len(value) != examples or value.dtype != kind:
                raise invalid_argument_error(
                    f"Expected {alias} of the shape [{examples}, classes], got {value.dtype} {value.shape}"
                )
    if len({value.shape for value in columns.values()}) > 1:
        raise invalid_argument_error(
            f"classes and scores differ in shape: {[value.shape for value in columns.values()]}"
        )
    rows = {alias: value.tolist() for alias, value in columns.items()}
    for row in range(examples):
        added = result.classifications.add().classes
        for column in range(next(iter(columns.values())).shape[1]):
            entry = added.add()
            if _CLASSES in rows:
                entry.label = _text(rows[_CLASSES][row][column])
            if _SCORES in rows:
                entry.score = rows[_SCORES][row][column]


def _fill_values(
    result: regression_pb2.RegressionResult, signature: ModelSignature, values: dict[str, np.ndarray], examples: int
) -> None:
    value = values[signature.outputs[_OUTPUTS][0]]
    if value.shape not in ((examples,), (examples, 1)) or value.dtype != np.float32:
        raise invalid_argument_error(
            f"Expected output Tensor shape to be either [{examples}] or [{examples}, 1] of float, got {value.dtype} "
            f"{value.shape}"
        )
    for number in value.ravel().tolist():
        result.regressions.add(value=number)


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError as error:
        raise invalid_argument_error(f"a class label is not UTF-8: {label!r}") from error
