"""Tests that the server loads only versions that are as they were pushed, with --verify."""

import pytest

from schema.errors import RunError, SettingsError
from serving.audit import AuditLog
from serving.audit.signature import signer
from serving.server import Flags, ModelServer
from tests.support.logged_push import log_push
from tests.support.model_servers import QUICK, serving, text_request


def answering(running):
    return running.predictions.Predict(text_request(["a"])).model_spec.version.value


def test_a_changed_version_is_not_loaded_and_the_earlier_one_serves(push, text_models):
    base = push(text_models["World"], 1)
    push(text_models["Sports"], 2)
    for number in (1, 2):
        log_push(base / str(number))
    (base / "2/more.so").touch()
    flags = {"model_name": "agnews", "model_base_path": str(base)}
    with serving(**flags) as running:
        assert answering(running) == 2
    with serving(**flags, verify=True) as running:
        assert answering(running) == 1
        [failure] = running.server.failures()["agnews"].values()
    assert failure["code"] == "FAILED_PRECONDITION"
    assert failure["message"] == f"{base}/2 is not what was pushed: extra: more.so"


def test_with_a_public_key_an_unsigned_version_is_not_loaded(push, text_models, key_files):
    private, public = key_files()
    base = push(text_models["World"], 1)
    entry = log_push(base / "1")
    flags = {"model_name": "agnews", "model_base_path": str(base), "verify_public_key": str(public)}
    with pytest.raises(RunError, match="not signed"):
        ModelServer(Flags(**QUICK | flags)).start()
    AuditLog(base.parent / "audit.jsonl").append(entry, signer(private))
    with serving(**flags) as running:
        assert answering(running) == 1
    with pytest.raises(SettingsError, match="holds no public Ed25519 key"):
        ModelServer(Flags(**QUICK | flags | {"verify_public_key": str(private)}))
