"""TFX's Evaluator, with texts that must pass, in a form that every metadata store can hold."""

import json
from collections.abc import Sequence
from typing import Any

from tfx.components import Evaluator
from tfx.components.evaluator import executor
from tfx.dsl.components.base import executor_spec
from tfx.types.standard_component_specs import BLESSING_KEY, EVAL_CONFIG_KEY, EVALUATION_KEY, MODEL_KEY

from components.evaluator.must_pass import check_answers, withdraw_blessing, write_answers
from components.manifest import judging
from schema.metadata import decode_text, encode_json, encode_text

MUST_PASS = "must_pass"


class EvaluatorExecutor(executor.Executor):
    """Evaluates as TFX's executor does, checks the texts that must pass, and notes the judged files in the blessing."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """See tfx/components/evaluator/executor.py.

        Raises:
            RunError: the model's files are not those that were trained.
        """
        decoded = decode_text(exec_properties[EVAL_CONFIG_KEY])
        [model], [blessing] = input_dict[MODEL_KEY], output_dict[BLESSING_KEY]
        with judging(model, blessing):
            super().Do(input_dict, output_dict, exec_properties | {EVAL_CONFIG_KEY: decoded})
            if texts := json.loads(decode_text(exec_properties.get(MUST_PASS) or "[]")):
                [evaluation] = output_dict[EVALUATION_KEY]
                answers = check_answers(model, texts)
                write_answers(answers, evaluation.uri)
                if not all(answer.passed for answer in answers):
                    withdraw_blessing(blessing)


class AgNewsEvaluator(Evaluator):
    """The Evaluator component.

    ML Metadata 1.21 writes a string that contains a backslash into PostgreSQL with a syntax error (`'E'{…`). The JSON
    of an EvalConfig contains many backslashes, since the configuration of each metric is JSON inside JSON. They are
    percent-encoded.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(EvaluatorExecutor)

    def __init__(self, must_pass: Sequence[dict[str, Any]] = (), **arguments):
        """
        Args:
            must_pass: title, description and expected class of each text that the model must classify correctly. They
                are a parameter, and therefore part of the cache key.
            **arguments: arguments of TFX's Evaluator.
        """
        super().__init__(**arguments)
        properties = self.spec.exec_properties
        if must_pass:
            properties[MUST_PASS] = encode_json(list(must_pass))
        properties[EVAL_CONFIG_KEY] = encode_text(properties[EVAL_CONFIG_KEY])
