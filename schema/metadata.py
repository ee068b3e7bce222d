"""Type names in ML Metadata, and the encoding of texts that are stored there."""

import json
from typing import Any
from urllib.parse import quote, unquote

# TFX's artifact types.
EXAMPLES, STATISTICS, ANOMALIES, SCHEMA = "Examples", "ExampleStatistics", "ExampleAnomalies", "Schema"
TRANSFORM_GRAPH, HYPERPARAMETERS, MODEL, MODEL_RUN = "TransformGraph", "HyperParameters", "Model", "ModelRun"
EVALUATION, MODEL_BLESSING, INFRA_BLESSING = "ModelEvaluation", "ModelBlessing", "InfraBlessing"
PUSHED_MODEL = "PushedModel"
# Files of Schema and, in the directory of each split, of ExampleStatistics.
SCHEMA_FILE, STATISTICS_FILE = "schema.pbtxt", "FeatureStats.pb"
# This project's artifact types.
VALIDATION_BLESSING, MODEL_CARD = "agnews.ValidationBlessing", "agnews.ModelCard"
APPROVAL_REQUEST, APPROVAL_DECISION = "AgNewsApprovalRequest", "AgNewsApprovalDecision"
APPROVAL = "agnews.Approval"
# Date on which `agnews clean` removed an artifact's files, ISO 8601.
REMOVED_ON = "removed_on"
# Types of executions outside of runs.
DECISION_EXECUTION, PROMOTION_EXECUTION = "agnews.ApprovalDecision", "agnews.Promotion"
# TFX's context types.
PIPELINE_CONTEXT, RUN_CONTEXT, NODE_CONTEXT = "pipeline", "pipeline_run", "node"

# Custom property of a run: which components wait for which.
GRAPH = "graph"
# Custom properties of a failed execution: the error, the exit status of the command, and where its log is.
FAILURE, FAILURE_STATUS, FAILURE_LOG = "failure", "failure_status", "failure_log"


def encode_text(text: str) -> str:
    """Encodes backslashes, which ML Metadata 1.21 writes into PostgreSQL with a syntax error."""
    return text.replace("%", "%25").replace("\\", "%5C")


def encode_json(value: Any) -> str:
    """Returns a value as JSON that is percent-encoded so that it needs no escapes when it is part of other JSON.

    TFX writes a component's parameters as JSON, which escapes quotes and letters with backslashes.
    """
    return quote(json.dumps(value, ensure_ascii=False, sort_keys=True), safe=" ")


def decode_text(text: str) -> str:
    """Decodes a text that `encode_text` or any other percent-encoding wrote."""
    return unquote(text)
