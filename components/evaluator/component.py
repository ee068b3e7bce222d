"""TFX's Evaluator with its configuration in a form that every metadata store can hold."""

from tfx.components import Evaluator
from tfx.components.evaluator import executor
from tfx.dsl.components.base import executor_spec
from tfx.types.standard_component_specs import EVAL_CONFIG_KEY

from schema.metadata import decode_text, encode_text


class Executor(executor.Executor):
    """Evaluates as TFX's does, once the configuration is decoded."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """See tfx/components/evaluator/executor.py."""
        decoded = decode_text(exec_properties[EVAL_CONFIG_KEY])
        super().Do(input_dict, output_dict, exec_properties | {EVAL_CONFIG_KEY: decoded})


class AgNewsEvaluator(Evaluator):
    """The Evaluator component.

    ML Metadata 1.21 writes a text that holds a backslash into PostgreSQL with a syntax error (`'E'{…`), and the JSON of
    an EvalConfig holds many, since each metric's own configuration is JSON within it. They are percent-encoded.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, **arguments):
        """
        Args:
            **arguments: those of TFX's Evaluator.
        """
        super().__init__(**arguments)
        properties = self.spec.exec_properties
        properties[EVAL_CONFIG_KEY] = encode_text(properties[EVAL_CONFIG_KEY])
