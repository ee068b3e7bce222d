import json
from urllib.parse import unquote

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import Channel
from tfx.types.standard_artifacts import Examples, Model

from components.evaluator.component import AgNewsEvaluator
from components.evaluator.config import eval_config
from schema.data_set import AG_NEWS

CONFIG = eval_config(
    AG_NEWS, min_accuracy=0.9, min_label_recall=0.8, max_accuracy_drop=0.01, max_label_recall_drop=0.02
)


def stored():
    component = AgNewsEvaluator(examples=Channel(type=Examples), model=Channel(type=Model), eval_config=CONFIG)
    return component.exec_properties["eval_config"]


def test_the_stored_configuration_has_no_backslash():
    assert "\\" in json_format.MessageToJson(CONFIG)
    assert "\\" not in stored()


def test_the_stored_configuration_is_the_given_one():
    assert json_format.ParseDict(json.loads(unquote(stored())), config_pb2.EvalConfig()) == CONFIG
