import pytest

from serving.server import memory
from serving.server.errors import RequestError
from tests.support.model_servers import label_of, serving, text_request
from tests.support.waiting import wait_until

MILLION = 1_000_000


def test_a_version_needs_its_size_on_disk_and_a_fifth_more(tmp_path, monkeypatch):
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "data").write_bytes(bytes(10 * MILLION))
    monkeypatch.setattr(memory, "free_bytes", lambda: 12 * MILLION)
    memory.require_memory(str(tmp_path))
    monkeypatch.setattr(memory, "free_bytes", lambda: 12 * MILLION - 1)
    with pytest.raises(RequestError, match=r"needs about 12 MB .*, and 12 MB are free: give the server more") as caught:
        memory.require_memory(str(tmp_path))
    assert caught.value.code.name == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("limit", "free"), [("max", 900), ("500", 500 - 300 + 100), ("5000", 900)], ids=["no limit", "limit", "high limit"]
)
def test_the_limit_of_the_control_group_counts(tmp_path, monkeypatch, limit, free):
    for name, text in (("max", limit), ("current", "300"), ("stat", "anon 200\nfile 100")):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 900}))
    assert memory.free_bytes() == free


def test_a_second_version_without_memory_leaves_the_first_in_service(push, text_models, monkeypatch):
    base = push(text_models["World"], 1)
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    with serving(model_name="agnews", model_base_path=str(base)) as running:
        push(text_models["Sports"], 2)
        wait_until(lambda: running.server.failures())
        [failure] = running.server.failures()["agnews"].values()
        assert failure["code"] == "RESOURCE_EXHAUSTED"
        assert label_of(running.predictions.Predict(text_request(["a"]))) == "World"
