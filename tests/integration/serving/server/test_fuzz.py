"""Sends 17,000 malformed protos and JSON bodies. Each gets a client error, and the server continues.

Most are passed to the service and the ASGI application in this process, and some are sent over the network.
"""

import asyncio
import json
import random

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2, regression_pb2

from serving.server import rest_json
from serving.server.errors import RequestError
from tests.support.model_servers import label_of, text_request

# Errors of the client. Any other code would be a bug of the server.
CLIENT_ERRORS = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "OUT_OF_RANGE"}
MUTATED_PROTOS = 6000
CHANGED_PROTOS = 5000
MUTATED_JSON = 4000
OVER_THE_WIRE = 500
TENSORS = 1000


def seeds():
    """Returns valid requests of each kind with the name of their API."""
    numbers = predict_pb2.PredictRequest()
    numbers.model_spec.name, numbers.model_spec.signature_name = "plain", "types"
    numbers.inputs["count"].CopyFrom(tf.make_tensor_proto(np.array([[1, 2]])))
    numbers.inputs["flag"].CopyFrom(tf.make_tensor_proto([True]))
    numbers.inputs["raw_bytes"].CopyFrom(tf.make_tensor_proto([b"x"]))
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "agnews", "serve_examples"
    feature = classify.input.example_list.examples.add().features.feature["title"]
    feature.bytes_list.value.append(b"a")
    regress = regression_pb2.RegressionRequest()
    regress.model_spec.name, regress.model_spec.signature_name = "plain", "regress"
    regress.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.0)
    multi = inference_pb2.MultiInferenceRequest()
    task = multi.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.CopyFrom(regress.model_spec)
    multi.input.CopyFrom(regress.input)
    return [
        ("Predict", text_request(["a title", "b"], version=1)),
        ("Predict", numbers),
        ("Classify", classify),
        ("Regress", regress),
        ("MultiInference", multi),
    ]


def mutated(data, generator, most=4):
    """Changes, removes, repeats or inserts bytes at a few random positions."""
    data = bytearray(data)
    for _ in range(generator.randint(1, most)):
        place = generator.randrange(len(data) + 1)
        kind = generator.randrange(4)
        if kind == 0 and place < len(data):
            data[place] = generator.randrange(256)
        elif kind == 1:
            del data[place : place + generator.randint(1, 8)]
        elif kind == 2:
            data[place:place] = data[place : place + generator.randint(1, 16)]
        else:
            data[place:place] = generator.randbytes(generator.randint(1, 8))
    return bytes(data)


def change_a_field(message, generator):
    """Clears, repeats or sets a random field of a message or of its submessages."""
    descriptor, value = generator.choice(message.ListFields() or [(None, None)])
    if descriptor is None or generator.random() < 0.2:
        descriptor = generator.choice(message.DESCRIPTOR.fields)
        value = getattr(message, descriptor.name)
    if generator.random() < 0.1:
        message.ClearField(descriptor.name)
    elif descriptor.message_type and descriptor.message_type.GetOptions().map_entry:
        key = generator.choice([*value, "x", ""])
        if generator.random() < 0.1:
            value.pop(key, None)
        elif descriptor.message_type.fields_by_name["value"].message_type:
            change_a_field(value[key], generator)
    elif descriptor.message_type:
        if descriptor.is_repeated:
            value = generator.choice(value) if value and generator.random() < 0.8 else value.add()
        change_a_field(value, generator)
    else:
        changed = random_value(descriptor, generator)
        if descriptor.is_repeated:
            value.append(changed)
        else:
            setattr(message, descriptor.name, changed)


def random_value(descriptor, generator):
    """Returns a valid value for the type of a field, often an extreme one."""
    whole = {descriptor.CPPTYPE_INT32: 31, descriptor.CPPTYPE_INT64: 63, descriptor.CPPTYPE_ENUM: 31}
    if bits := whole.get(descriptor.cpp_type):
        return generator.choice([0, 1, 2, 7, 95, -1, -(2**bits), 2**bits - 1])
    if descriptor.cpp_type in (descriptor.CPPTYPE_UINT32, descriptor.CPPTYPE_UINT64):
        return generator.choice([0, 1, 2**32 - 1])
    if descriptor.cpp_type == descriptor.CPPTYPE_BOOL:
        return generator.random() < 0.5
    if descriptor.cpp_type == descriptor.CPPTYPE_STRING:
        text = generator.choice(["", "agnews", "plain", "label", "serve_examples", "\0", "é" * 50])
        return text.encode() if descriptor.type == descriptor.TYPE_BYTES else text
    return generator.choice([0.0, -1.5, float("inf"), float("nan")])


def test_messages_with_wrong_fields_get_client_errors(served):
    generator = random.Random(25)
    outcomes = {}
    for number in range(CHANGED_PROTOS):
        api, seed = SEEDS[number % len(SEEDS)]
        request = type(seed)()
        request.CopyFrom(seed)
        for _ in range(generator.randint(1, 3)):
            change_a_field(request, generator)
        try:
            served.server._service.answer(api, request, float("inf"))
            outcome = "OK"
        except RequestError as error:
            outcome = error.code.name
            assert outcome in CLIENT_ERRORS, (request, error)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert min(outcomes[name] for name in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")) > 200, outcomes


def test_mutated_protos_get_client_errors(served):
    generator = random.Random(20)
    service = served.server._service
    outcomes = {}
    for number in range(MUTATED_PROTOS):
        api, request = SEEDS[number % len(SEEDS)]
        try:
            # Deterministic, so that failures can be reproduced.
            seed = request.SerializeToString(deterministic=True)
            parsed = type(request).FromString(mutated(seed, generator))
            service.answer(api, parsed, float("inf"))
            outcome = "OK"
        except DecodeError:
            outcome = "not a message"
        except RequestError as error:
            outcome = error.code.name
            assert outcome in CLIENT_ERRORS, (parsed, error)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    # Some mutations pass the parser and reach the service and the graphs.
    assert min(outcomes[name] for name in ("OK", "not a message", "INVALID_ARGUMENT", "NOT_FOUND")) > 20, outcomes


SEEDS = seeds()
JSON_SEEDS = [
    ("agnews:predict", {"instances": [{"title": "a", "description": "b"}]}),
    ("agnews:predict", {"inputs": {"title": ["a"], "description": ["b"]}}),
    ("plain:predict", {"signature_name": "types", "inputs": {"count": [[1]], "flag": [True], "raw_bytes": ["x"]}}),
    ("plain:predict", {"instances": [1.0, -2, 1e30]}),
    ("agnews:classify", {"signature_name": "serve_examples", "context": {"title": "c"}, "examples": [{"title": "a"}]}),
    ("plain:regress", {"signature_name": "regress", "examples": [{"x": 1.0}]}),
]


def test_mutated_json_gets_client_errors(served):
    generator = random.Random(21)

    async def ask_all():
        statuses = {}
        transport = httpx.ASGITransport(app=served.server._rest._server.config.app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for number in range(MUTATED_JSON):
                path, body = JSON_SEEDS[number % len(JSON_SEEDS)]
                content = mutated(json.dumps(body).encode(), generator, most=1)
                answer = await client.post(f"/v1/models/{path}", content=content)
                json.loads(answer.content)
                assert answer.status_code in (200, 400, 404, 501), (content, answer.text)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        return statuses

    statuses = asyncio.run(ask_all())
    assert min(statuses[200], statuses[400]) > 50, statuses


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just({"b64": "AA=="}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON_VALUES, key=st.sampled_from(["instances", "inputs", "examples"]), seed=st.sampled_from(JSON_SEEDS))
def test_any_json_value_gets_a_client_error(served, value, key, seed):
    path, body = seed
    sent = {k: v for k, v in body.items() if k == "signature_name"} | {key: value}
    try:
        parsed = rest_json.parse(json.dumps(sent).encode(errors="surrogatepass"))
        name = path.partition(":")[0]
        spec = predict_pb2.PredictRequest().model_spec
        spec.name, spec.signature_name = name, rest_json.signature_name(parsed)
        if path.endswith("predict"):
            with served.server._manager.borrow(spec) as (_, servable):
                request, _ = rest_json.predict_request(parsed, spec, servable)
            served.server._service.answer("Predict", request, float("inf"))
        else:
            verb = path.partition(":")[2]
            request = rest_json.examples_request(parsed, spec, verb)
            served.server._service.answer(verb.capitalize(), request, float("inf"))
    except RequestError as error:
        assert error.code.name in CLIENT_ERRORS, error


def test_inconsistent_tensors_get_client_errors(served):
    generator = random.Random(22)
    fields = ["string_val", "float_val", "int64_val", "int_val", "bool_val", "half_val", "tensor_content"]
    for _ in range(TENSORS):
        request = text_request(["a"])
        proto = request.inputs["title"]
        proto.Clear()
        proto.dtype = generator.choice([7, 7, 7, 1, 3, 9, 10, 14, 19, 20, 21, 0, 95, 127])
        for _ in range(generator.randint(0, 3)):
            proto.tensor_shape.dim.add(size=generator.choice([0, 1, 2, -1, -(2**63), 2**31, 2**62]))
        proto.tensor_shape.unknown_rank = generator.random() < 0.1
        field = generator.choice(fields)
        if field == "tensor_content":
            proto.tensor_content = generator.randbytes(generator.randint(0, 20))
        else:
            value = {"string_val": b"a", "float_val": 1.5, "bool_val": True}.get(field, 1)
            getattr(proto, field).extend([value] * generator.randint(0, 3))
        try:
            served.server._service.answer("Predict", request, float("inf"))
        except RequestError as error:
            assert error.code.name in CLIENT_ERRORS, (proto, error)


def test_the_server_survives_garbage_over_the_network(served):
    generator = random.Random(23)
    method = "/tensorflow.serving.PredictionService/Predict"
    raw = served.channel.unary_unary(method, request_serializer=None, response_deserializer=None)
    seed = text_request(["a"]).SerializeToString(deterministic=True)
    for _ in range(OVER_THE_WIRE):
        try:
            raw(mutated(seed, generator), timeout=30)
        except grpc.RpcError as error:
            # gRPC itself rejects data that is not a message, with INTERNAL.
            assert error.code().name in CLIENT_ERRORS | {"INTERNAL"}, error
    with httpx.Client(base_url=served.rest) as client:
        for number in range(OVER_THE_WIRE):
            path, body = JSON_SEEDS[number % len(JSON_SEEDS)]
            answer = client.post(f"/v1/models/{path}", content=mutated(json.dumps(body).encode(), generator, most=1))
            assert answer.status_code in (200, 400, 404, 501), answer.text
    assert label_of(served.predictions.Predict(text_request(["a"]))) == "Sports"


def test_the_server_survives_data_that_is_not_http(served):
    import socket

    generator = random.Random(24)
    for port in (served.server.grpc_port, served.server.rest_port):
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(generator.randbytes(generator.randint(1, 300)))
    assert httpx.get(f"{served.rest}/v1/models/agnews").status_code == 200
    assert label_of(served.predictions.Predict(text_request(["a"]))) == "Sports"


@pytest.mark.parametrize("name", ["title", "description"])
def test_a_small_message_cannot_allocate_gigabytes(served, name):
    request = text_request(["a"])
    request.inputs[name].tensor_shape.dim[0].size = 2**40
    with pytest.raises(grpc.RpcError) as caught:
        served.predictions.Predict(request)
    assert caught.value.code().name == "INVALID_ARGUMENT"
