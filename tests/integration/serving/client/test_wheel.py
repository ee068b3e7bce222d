"""Tests the wheel agnews-client in an environment of its own, and its messages next to TensorFlow's."""

import shutil
import socket
import subprocess
import sys
from importlib import metadata

import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from serving.client import messages_pb2
from serving.client.exchange import Target, checked_items, exchange
from tests.support import ROOT
from tests.support.model_servers import serving

PROGRAM = """
import asyncio, importlib.util, sys
from agnews_client import AsyncClient, Client, NewsItem, UnavailableError

address, nobody = sys.argv[1:]
assert importlib.util.find_spec("tensorflow") is None
assert "grpc" not in sys.modules, "the first client imports it, so that an import of the package is fast"
with Client(address) as client:
    [answer] = client.classify([NewsItem("Oil prices rise", "Crude hit a record.")], label=None)

async def ask():
    async with AsyncClient(address) as client:
        return await client.classify(["Oil prices rise"])

[same] = asyncio.run(ask())
try:
    Client(nobody, timeout=1.0).classify(["a"])
except UnavailableError as error:
    print(error)
print(answer.label, same.label, sorted(m for m in sys.modules if m.partition(".")[0] in ("schema", "serving")))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Returns the interpreter of an environment that has only the wheel and what it needs, without the network."""
    directory, uv = tmp_path_factory.mktemp("wheel"), ROOT / ".venv/bin/uv"
    subprocess.run([sys.executable, ROOT / "scripts/build_client.py", directory], check=True)
    [wheel] = directory.glob("agnews_client-*-py3-none-any.whl")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, directory / "env"], check=True)
    interpreter = directory / "env/bin/python"
    [site_packages] = (directory / "env/lib").glob("python*/site-packages")
    for name in ("grpcio", "protobuf", "typing-extensions"):
        copy_distribution(name, site_packages)
    subprocess.run([uv, "pip", "install", "--quiet", "--no-index", "--python", interpreter, wheel], check=True)
    return interpreter


def copy_distribution(name, site_packages):
    """Copies an installed package of this environment, with its metadata."""
    for file in metadata.files(name):
        if ".." not in file.parts:
            (site_packages / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), site_packages / file)


def test_the_wheel_asks_a_server_without_tensorflow(python, push, text_models):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    base = push(text_models["World"], 1)
    with serving(model_name="agnews", model_base_path=str(base)) as running:
        address = f"127.0.0.1:{running.server.grpc_port}"
        ended = subprocess.run([python, "-c", PROGRAM, address, nobody], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    down, answers = ended.stdout.splitlines()
    assert down.startswith(f"nothing listens at {nobody}: ")
    assert answers == "World World []"


def test_the_wheel_needs_only_grpcio_and_protobuf(python):
    listed = subprocess.run(
        [ROOT / ".venv/bin/uv", "pip", "list", "--python", python, "--format", "freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert {line.partition("==")[0] for line in listed} <= {"agnews-client", "grpcio", "protobuf", "typing-extensions"}


@pytest.mark.parametrize(
    ("own", "original"),
    [
        (messages_pb2.TensorProto, tensor_pb2.TensorProto),
        (messages_pb2.ModelSpec, model_pb2.ModelSpec),
        (messages_pb2.PredictRequest, predict_pb2.PredictRequest),
        (messages_pb2.PredictResponse, predict_pb2.PredictResponse),
    ],
)
def test_fields_have_the_numbers_and_types_of_tensorflow_serving(own, original):
    for field in own.DESCRIPTOR.fields:
        same = original.DESCRIPTOR.fields_by_name[field.name]
        assert (same.number, same.type, same.is_repeated) == (field.number, field.type, field.is_repeated)
    assert own.DESCRIPTOR.full_name.startswith("agnews.client.")
    for name, number in messages_pb2.DataType.items():
        assert types_pb2.DataType.Value(name) == number


def test_a_request_is_the_same_on_the_wire():
    sent = []

    def send(request, timeout):
        sent.append(request)
        raise StopIteration

    target = Target("agnews", label="stable")
    steps = exchange(
        checked_items(["Oil", "東京"]),
        target,
        send,
        deadline=float("inf"),
        columns={target.spec().SerializeToString(deterministic=True): ("title", "description")},
        max_batch=32,
        max_in_flight=1,
    )
    with pytest.raises(RuntimeError):
        next(steps)
    parsed = predict_pb2.PredictRequest.FromString(sent[0].SerializeToString())
    assert (parsed.model_spec.name, parsed.model_spec.version_label) == ("agnews", "stable")
    assert list(parsed.inputs["title"].string_val) == [b"Oil", "東京".encode()]
    assert [dim.size for dim in parsed.inputs["description"].tensor_shape.dim] == [2]
