"""Predict, Classify, Regress and MultiInference on a loaded version, whichever way the request came.

Source of rules and messages: tensorflow/serving, servables/tensorflow/predict_util.cc, classifier.cc, regressor.cc and
multi_inference.cc.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc
import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from schema.model_contract import SERVING_DEFAULT
from serving.server.servable import Servable, Signature
from serving.server.status import RequestError, failed_precondition, invalid
from serving.server.tensors import Run, dtype_name, fill_proto, fits, to_array

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"


@dataclass(frozen=True)
class Context:
    """What a request runs on.

    Attributes:
        model: the name it was asked by.
        version: the number that answers.
        servable: the loaded version.
        execute: runs inputs through a graph: at once, or as part of a batch.
        count_examples: told the number of tf.Examples.
        check_method: whether Classify and Regress want a signature of their own method.
    """

    model: str
    version: int
    servable: Servable
    execute: Callable[[Run, list[np.ndarray]], list[np.ndarray]]
    count_examples: Callable[[int], None] = lambda count: None
    check_method: bool = True

    def run(self, inputs: dict[str, np.ndarray], outputs: Iterable[str]) -> dict[str, np.ndarray]:
        """Values of the tensors named `outputs`, given those of the tensors named in `inputs`."""
        fetches = tuple(outputs)
        values = self.execute(self.servable.run_for(tuple(inputs), fetches), list(inputs.values()))
        return dict(zip(fetches, values, strict=True))

    def fill_spec(self, spec: model_pb2.ModelSpec, signature: str) -> None:
        """Writes the effective model, version and signature."""
        spec.name, spec.signature_name = self.model, signature
        spec.version.value = self.version


def predict(context: Context, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """Runs any signature on tensors."""
    name = _signature_name(request.model_spec)
    signature = context.servable.signatures.get(name)
    if signature is None:
        raise failed_precondition(f'Serving signature key "{name}" not found.')
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
    context: Context, request: classification_pb2.ClassificationRequest
) -> classification_pb2.ClassificationResponse:
    """Classes and scores of tf.Examples."""
    response = classification_pb2.ClassificationResponse()
    task = _Task.of(context, request.model_spec, CLASSIFY)
    values, examples = _run_examples(context, request.input, [task])
    _fill_classes(response.result, task.signature, values, examples)
    context.fill_spec(response.model_spec, task.name)
    return response


def regress(context: Context, request: regression_pb2.RegressionRequest) -> regression_pb2.RegressionResponse:
    """A value for each tf.Example."""
    response = regression_pb2.RegressionResponse()
    task = _Task.of(context, request.model_spec, REGRESS)
    values, examples = _run_examples(context, request.input, [task])
    _fill_values(response.result, task.signature, values, examples)
    context.fill_spec(response.model_spec, task.name)
    return response


def multi_inference(
    context: Context, request: inference_pb2.MultiInferenceRequest
) -> inference_pb2.MultiInferenceResponse:
    """Several classifications and regressions of the same tf.Examples, in one run of the graph."""
    tasks = []
    for asked in request.tasks:
        if asked.model_spec.name != context.model:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if asked.method_name not in (CLASSIFY, REGRESS):
            message = f"Unsupported signature method_name: {asked.method_name}"
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, message)
        tasks.append(_Task.of(context, asked.model_spec, asked.method_name))
    if len({task.name for task in tasks}) < len(tasks):
        raise invalid("Duplicate evaluation of a signature")
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


def _signature_name(spec: model_pb2.ModelSpec) -> str:
    return spec.signature_name or SERVING_DEFAULT


def _input_arrays(signature: Signature, request: predict_pb2.PredictRequest) -> dict[str, np.ndarray]:
    sent, required = set(request.inputs), set(signature.inputs)
    if sent != required:
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(required)}. "
            f"Sent extra: {{{','.join(sorted(sent - required))}}}. "
            f"Missing but required: {{{','.join(sorted(required - sent))}}}."
        )
    arrays = {}
    for alias, declared in signature.inputs.items():
        proto = request.inputs[alias]
        if proto.dtype != declared.dtype:
            expected, got = dtype_name(declared.dtype), dtype_name(proto.dtype)
            raise invalid(f"Expects input {alias} to be {expected} but {got} is provided")
        array = to_array(proto)
        # A kernel may take a declared rank for granted, and end the process when it meets another.
        if not fits(array.shape, declared.shape):
            raise invalid(f"input {alias} has the shape {list(array.shape)}, the signature wants {declared.shape}")
        arrays[declared.tensor] = array
    return arrays


def _wanted_outputs(signature: Signature, output_filter: Iterable[str]) -> list[str]:
    wanted = list(output_filter) or list(signature.outputs)
    for alias in wanted:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{','.join(sorted(signature.outputs))}}}."
            )
    if len(set(wanted)) < len(wanted):
        raise invalid(f"duplicate output tensor alias in {wanted}")
    return wanted


@dataclass(frozen=True)
class _Task:
    """A signature asked to classify or regress: the input tensor and the output tensors it takes."""

    name: str
    method: str
    signature: Signature
    input: str
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, context: Context, spec: model_pb2.ModelSpec, method: str) -> "_Task":
        name = _signature_name(spec)
        signature = context.servable.signatures.get(name)
        if signature is None:
            raise invalid(f"No signature was found with the name: {name}")
        if context.check_method and signature.method != method:
            kind = method.rpartition("/")[2]
            raise invalid(f"Expected {kind} signature method_name to be {method}. Was: {signature.method}")
        if list(signature.inputs) != [_INPUTS]:
            raise failed_precondition(f"signature {name} must have one input, {_INPUTS}; has {list(signature.inputs)}")
        aliases = (_CLASSES, _SCORES) if method == CLASSIFY else (_OUTPUTS,)
        outputs = tuple(signature.outputs[alias][0] for alias in aliases if alias in signature.outputs)
        if not outputs:
            raise failed_precondition(f"signature {name} has none of the outputs {', '.join(aliases)}")
        return cls(name, method, signature, signature.inputs[_INPUTS].tensor, outputs)


def _run_examples(context: Context, given: input_pb2.Input, tasks: list[_Task]) -> tuple[dict[str, np.ndarray], int]:
    """All outputs of the tasks by tensor, and the number of examples."""
    serialized = _serialized_examples(given)
    if len({task.input for task in tasks}) != 1:
        raise invalid("Input tensor must be the same for all Signatures.")
    context.count_examples(len(serialized))
    array = np.empty(len(serialized), object)
    array[:] = serialized
    outputs = dict.fromkeys(tensor for task in tasks for tensor in task.outputs)
    return context.run({tasks[0].input: array}, outputs), len(serialized)


def _serialized_examples(given: input_pb2.Input) -> list[bytes]:
    kind = given.WhichOneof("kind")
    if kind == "example_list_with_context":
        # Serialized messages, one after the other, are their merger.
        shared = given.example_list_with_context.context.SerializeToString()
        examples = [shared + e.SerializeToString() for e in given.example_list_with_context.examples]
    else:
        examples = [example.SerializeToString() for example in given.example_list.examples]
    if not examples:
        raise invalid("Input is empty.")
    return examples


def _fill_classes(
    result: classification_pb2.ClassificationResult, signature: Signature, values: dict[str, np.ndarray], examples: int
) -> None:
    columns = {}
    for alias, kind in ((_CLASSES, "O"), (_SCORES, "f")):
        if alias in signature.outputs:
            value = columns[alias] = values[signature.outputs[alias][0]]
            if value.ndim != 2 or len(value) != examples or value.dtype.kind != kind:
                raise invalid(f"Expected {alias} of the shape [{examples}, classes], got {value.dtype} {value.shape}")
    if len({value.shape for value in columns.values()}) > 1:
        raise invalid(f"classes and scores differ in shape: {[value.shape for value in columns.values()]}")
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
    result: regression_pb2.RegressionResult, signature: Signature, values: dict[str, np.ndarray], examples: int
) -> None:
    value = values[signature.outputs[_OUTPUTS][0]]
    if value.shape not in ((examples,), (examples, 1)) or value.dtype != np.float32:
        raise invalid(
            f"Expected output Tensor shape to be either [{examples}] or [{examples}, 1] of float, got {value.dtype} "
            f"{value.shape}"
        )
    for number in value.ravel().tolist():
        result.regressions.add(value=number)


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"a class label is not UTF-8: {label!r}") from error
