"""TFX's Evaluator with a configuration that every metadata store can hold, and a verdict that names the files."""

from tfx.components import Evaluator
from tfx.components.evaluator import executor
from tfx.dsl.components.base import executor_spec
from tfx.types.standard_component_specs import BLESSING_KEY, EVAL_CONFIG_KEY, MODEL_KEY

from components.manifest import judging
from schema.metadata import decode_text, encode_text


class EvaluatorExecutor(executor.Executor):
    """Decodes the configuration, evaluates as TFX's executor does, and notes the judged files in the blessing."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """See tfx/components/evaluator/executor.py.

        Raises:
            RunError: the model's files are not those that were trained.
        """
        decoded = decode_text(exec_properties[EVAL_CONFIG_KEY])
        [model], [blessing] = input_dict[MODEL_KEY], output_dict[BLESSING_KEY]
        with judging(model, blessing):
            super().Do(input_dict, output_dict, exec_properties | {EVAL_CONFIG_KEY: decoded})


class AgNewsEvaluator(Evaluator):
    """The Evaluator component.

    ML Metadata 1.21 writes a string that contains a backslash into PostgreSQL with a syntax error (`'E'{…`). The JSON
    of an EvalConfig contains many backslashes, since the configuration of each metric is JSON inside JSON. They are
    percent-encoded.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(EvaluatorExecutor)

    def __init__(self, **arguments):
        """
        Args:
            **arguments: arguments of TFX's Evaluator.
        """
        super().__init__(**arguments)
        properties = self.spec.exec_properties
        properties[EVAL_CONFIG_KEY] = encode_text(properties[EVAL_CONFIG_KEY])
