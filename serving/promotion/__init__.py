"""Decides which pushed version is served: promotion by label, roll-back, pruning, and their records.

A `Deployment` is a serving directory; `promote`, `end_canary`, `roll_back` and `prune` change it. `plan` computes the
versions and labels after a change, `config` handles the model config file of TensorFlow Serving, `record` the metadata
store, and `remote` a running server.
"""

from serving.promotion.changes import Pruned, Signature, end_canary, promote, prune, roll_back
from serving.promotion.config import CANARY, LABELS, STABLE, Served
from serving.promotion.deployment import Deployment
from serving.promotion.errors import PromotionError
from serving.promotion.record import Record
from serving.promotion.remote import Server
from serving.versions import PushedVersion, pushed_versions

__all__ = [
    "CANARY",
    "LABELS",
    "STABLE",
    "Deployment",
    "PromotionError",
    "Pruned",
    "PushedVersion",
    "Record",
    "Served",
    "Server",
    "Signature",
    "end_canary",
    "promote",
    "prune",
    "pushed_versions",
    "roll_back",
]
