"""Runs TFX's own InfraValidator, with TensorFlow Serving in a container, and refuses a model only for its own faults.

TFX's executor refuses a model for any failure: an image that cannot be pulled, a container that is stopped, a
connection that fails. Its outcome is cached like any other.
"""

from typing import Any

import grpc
from tfx.components import InfraValidator
from tfx.components.infra_validator import executor
from tfx.components.infra_validator.error_types import ValidationFailed
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import BLESSING_KEY, MODEL_KEY

from components.infra_validator.validate import OF_MACHINE, not_tried, one_line
from components.manifest import judging


class ContainerExecutor(executor.Executor):
    """Remembers the error of the last try, since `super` reports only that the try failed."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """Blesses the model, or refuses it with a reason; see tfx/components/infra_validator/executor.py.

        Raises:
            NotMeasuredError: the last try failed for a reason unrelated to the model.
            RunError: the model's files are not those that were trained.
        """
        self._error: Exception | None = None
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        with judging(artifact_utils.get_single_instance(input_dict[MODEL_KEY]), blessing):
            super().Do(input_dict, output_dict, exec_properties)
        if self._error:
            blessing.set_string_custom_property("reason", _reason(self._error))

    def _ValidateOnce(self, *arguments: Any, **options: Any) -> None:
        self._error = None
        try:
            super()._ValidateOnce(*arguments, **options)
        except Exception as error:
            self._error = error
            raise

    def _ValidateWithRetry(self, *arguments: Any, **options: Any) -> bool:
        passed = super()._ValidateWithRetry(*arguments, **options)
        if self._error and not _is_of_model(self._error):
            raise not_tried(f"no answer from TensorFlow Serving: {_reason(self._error)}", "see the log, then run again")
        return passed


def _is_of_model(error: Exception) -> bool:
    """Returns whether the server cannot load the model, or refuses a request because of the model."""
    answer = error.__cause__
    of_machine = isinstance(answer, grpc.RpcError) and answer.code().name in OF_MACHINE
    return isinstance(error, ValidationFailed) and not of_machine


def _reason(error: Exception) -> str:
    answer = error.__cause__
    if isinstance(answer, grpc.RpcError):  # TFX's own message contains the whole request.
        return f"a request failed: {answer.code().name}: {one_line(answer)}"
    return f"{type(error).__name__}: {error}"


class ContainerInfraValidator(InfraValidator):
    """TFX's component with the executor above."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ContainerExecutor)
