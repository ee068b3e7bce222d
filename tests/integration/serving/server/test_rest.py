"""Tests the REST API over HTTP."""

import asyncio
import base64
import gzip
import json
import socket

import grpc
import httpx
import pytest

from serving.server import rest
from tests.support.browser import launched
from tests.support.model_servers import serving
from tests.support.waiting import wait_until


def post(served, path, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(f"{served.rest}/v1/models/{path}", content=content)


TEXT = {"title": "Oil prices", "description": "rise"}


def test_row_format(served):
    answer = post(served, "agnews:predict", {"instances": [TEXT, TEXT | {"title": "longer than that"}]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    first, second = answer.json()["predictions"]
    assert first["label"] == "Sports"
    assert first["classes"] == ["World", "Sports", "Business", "Sci/Tech"]
    assert first["probabilities"] != second["probabilities"]


def test_column_format(served):
    columns = {"title": ["a", "b"], "description": ["", ""]}
    outputs = post(served, "agnews:predict", {"inputs": columns}).json()["outputs"]
    assert sorted(outputs) == ["classes", "label", "probabilities"]
    assert outputs["label"] == ["Sports", "Sports"]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [1.0, 2, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
        ({"instances": [[1.0], [2.0]]}, {"predictions": [[2.5], [3.0]]}),
        ({"inputs": 1.0}, {"outputs": 2.5}),
        ({"inputs": {"x": [0.2]}}, {"outputs": [2.1]}),
        ({"signature_name": "serving_default", "instances": [{"x": 1.0}]}, {"predictions": [2.5]}),
    ],
)
def test_a_single_output_has_no_name(served, body, answer):
    assert post(served, "plain:predict", body).json() == answer


def test_nan_and_infinity_are_supported(served):
    answer = post(served, "plain:predict", b'{"instances": [NaN, Infinity, -Infinity]}')
    assert answer.text == '{"predictions": [NaN, Infinity, -Infinity]}'


def test_outputs_with_the_suffix_bytes_are_base64(served):
    raw = {"b64": base64.b64encode(b"\x00\xff").decode()}
    row = {"count": [1, 2], "flag": True, "raw_bytes": raw}
    answer = post(served, "plain:predict", {"signature_name": "types", "instances": [row]}).json()
    assert answer == {"predictions": [{"total": 3, "negated": False, "raw_bytes": raw, "double": [1.0, 2.0]}]}


def test_texts_can_be_base64(served):
    encoded = TEXT | {"title": {"b64": base64.b64encode(b"Oil prices").decode()}}
    plain, same = (post(served, "agnews:predict", {"instances": [row]}).json() for row in (TEXT, encoded))
    assert plain == same


@pytest.mark.parametrize(
    ("path", "label"),
    [("agnews", "Sports"), ("agnews/versions/1", "World"), ("agnews/labels/stable", "World"), ("%61gnews", "Sports"),
     ("agnews/VERSIONS/1", "World")],
)  # fmt: skip
def test_the_path_selects_a_version_by_number_or_label(served, path, label):
    assert post(served, f"{path}:predict", {"instances": [TEXT]}).json()["predictions"][0]["label"] == label


def test_classify_and_regress(served):
    request = {"signature_name": "serve_examples", "examples": [TEXT, {}]}
    results = post(served, "agnews:classify", request).json()["results"]
    assert max(results[0], key=lambda pair: pair[1])[0] == "Sports"
    assert len(results) == 2
    request = {"signature_name": "regress", "context": {"x": 6.0}, "examples": [{"x": 1.0}, {}]}
    assert post(served, "plain:regress", request).json() == {"results": [2.5, 5.0]}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("nope:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        ("..%2F..%2Fetc:predict", {"instances": [1]}, 404, "Latest(../../etc)"),
        ("agnews/versions/9:predict", {"instances": [TEXT]}, 404, "Specific(agnews, 9)"),
        (f"agnews/versions/{'9' * 19}:predict", {"instances": [TEXT]}, 400, "Failed to convert version"),
        ("agnews/labels/x:predict", {"instances": [TEXT]}, 400, "Unrecognized servable version label: x"),
        ("agnews:explain", {"instances": [TEXT]}, 400, "Malformed request: POST /v1/models/agnews:explain"),
        ("plain:predict", b"", 400, "JSON Parse error"),
        ("plain:predict", b'{"instances": [', 400, "JSON Parse error"),
        ("plain:predict", b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "JSON Parse error"),
        ("plain:predict", b'"\xff"', 400, "JSON Parse error"),
        ("plain:predict", [1], 400, "Is not object"),
        ("plain:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("plain:predict", {"inputs": 1.0, "instances": [1.0]}, 400, "one of 'inputs' or 'instances'"),
        ("plain:predict", {"instances": []}, 400, "at least one value"),
        ("plain:predict", {"instances": ["x"]}, 400, "is not of expected type: float"),
        ("plain:predict", {"instances": [True]}, 400, "is not of expected type: float"),
        ("plain:predict", {"instances": [[1.0], [1.0, 2.0]]}, 400, "unexpected size"),
        ("plain:predict", {"instances": [[1.0], 1.0]}, 400, "incorrect level"),
        ("plain:predict", {"instances": [1.0, {"x": 1.0}]}, 400, "got object"),
        ("plain:predict", {"signature_name": 3, "instances": [1.0]}, 400, "must be a string value"),
        ("plain:predict", {"signature_name": "x", "instances": [1.0]}, 400, "not found in signature def"),
        ("agnews:predict", {"instances": ["a"]}, 400, "multiple input tensors required"),
        ("agnews:predict", {"instances": [{"title": "a"}]}, 400, "keys must be equal to: description,title"),
        ("agnews:predict", {"inputs": {"title": ["a"]}}, 400, "Missing named input: description"),
        ("agnews:predict", {"instances": [TEXT | {"title": {"b64": "?"}}]}, 400, "base64"),
        ("agnews:predict", b'{"instances": [{"title": "\\ud800", "description": ""}]}', 400, "not UTF-8"),
        ("plain:predict", {"signature_name": "types", "inputs": {"count": [[2**63]], "flag": [], "raw_bytes": []}},
         400, "input count"),
        ("cases:predict", {"signature_name": "none", "inputs": {}}, 400, "Failed to get input map for signature: none"),
        ("plain:predict", b'{"instances": ' + b"[" * 70 + b"1.0" + b"]" * 70 + b"}", 400, "at most 64 dimensions"),
        ("plain:classify", {"examples": []}, 400, "key 'examples' is expected"),
        ("plain:classify", {"examples": [3]}, 400, "Example must be JSON object"),
        ("plain:regress", {"signature_name": "regress", "examples": [{"x": [1, "a"]}]}, 400, "feature: x"),
    ],
)  # fmt: skip
def test_invalid_requests_get_errors_in_json(served, path, body, status, message):
    answer = post(served, path, body)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("PUT", "/v1/models/agnews", 400, "Malformed request: PUT /v1/models/agnews"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/", 400, "Malformed request: GET /v1/models/"),
        ("POST", "/v1/models/plain:PREDICT", 400, "Malformed request: POST /v1/models/plain:PREDICT"),
        ("GET", "/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
        ("GET", "/", 404, "Not found: /"),
        ("GET", "/favicon.ico", 404, "Not found: /favicon.ico"),
    ],
)
def test_other_methods_and_paths_are_errors(served, method, path, status, message):
    answer = httpx.request(method, f"{served.rest}{path}")
    assert (answer.status_code, answer.json()["error"]) == (status, message)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"instances": [1e39]}', [float("inf")]),
        (b' {"instances": [2.0]} and more', [3.0]),
        (b'\xef\xbb\xbf{"instances": [2.0]}', [3.0]),
        (b'{"instances": [2.0], "other": ' + b"[" * 900 + b"]" * 900 + b"}", [3.0]),
    ],
)
def test_json_that_only_a_strict_parser_rejects(served, body, answer):
    assert post(served, "plain:predict", body).json() == {"predictions": answer}


@pytest.mark.parametrize("encoded", ["YWI", "YWI=", "YW\nI=", " YWI "])
def test_base64_needs_no_padding_and_may_have_line_breaks(served, encoded):
    body = {"signature_name": "text", "inputs": {"b64": encoded}}
    assert post(served, "cases:predict", body).json() == {"outputs": "ab"}


def test_a_request_may_be_compressed(served):
    content = gzip.compress(b'{"instances": [1.0]}')
    url, headers = f"{served.rest}/v1/models/plain:predict", {"Content-Encoding": "gzip"}
    assert httpx.post(url, content=content, headers=headers).json() == {"predictions": [2.5]}
    for broken in (content[:-9], b"no gzip", content[:-8] + bytes(8)):
        answer = httpx.post(url, content=broken, headers=headers)
        assert (answer.status_code, "gzip" in answer.json()["error"]) == (400, True)
    bomb = gzip.compress(bytes(served.server._options.max_request_bytes + 1))
    assert httpx.post(url, content=bomb, headers=headers).status_code == 413


def test_types_without_a_json_form_are_not_implemented(served):
    row = {"half": 1.0, "brain": 1.0, "pair": 1.0}
    answer = post(served, "cases:predict", {"signature_name": "narrow", "instances": [row]})
    assert (answer.status_code, "Conversion of JSON Value" in answer.json()["error"]) == (501, True)


@pytest.mark.parametrize(
    ("code", "status"),
    [("RESOURCE_EXHAUSTED", 429), ("FAILED_PRECONDITION", 400), ("OUT_OF_RANGE", 400), ("UNAUTHENTICATED", 401),
     ("ABORTED", 409), ("UNIMPLEMENTED", 501), ("UNAVAILABLE", 503), ("DATA_LOSS", 500)],
)  # fmt: skip
def test_status_codes_are_those_of_tensorflow_serving(code, status):
    assert rest.http_status(grpc.StatusCode[code]) == status


PREFLIGHT = {
    "Origin": "http://example.org",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type",
}


@pytest.fixture(scope="module")
def cors(tmp_path_factory, plain_model):
    base = tmp_path_factory.mktemp("cors")
    (base / "1").symlink_to(plain_model)
    with serving(model_name="plain", model_base_path=str(base), rest_api_enable_cors_support=True) as running:
        yield running


def test_a_preflight_allows_json_with_cors(cors):
    url = f"{cors.rest}/v1/models/plain:predict"
    for answer in (
        httpx.options(url, headers=PREFLIGHT),
        httpx.post(url, json={"instances": [1.0]}, headers={"Origin": "http://example.org"}),
    ):
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type"


def test_a_preflight_without_cors_allows_nothing(served):
    url = f"{served.rest}/v1/models/plain:predict"
    answer = httpx.options(url, headers=PREFLIGHT)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    missing = httpx.options(url)
    assert (missing.status_code, missing.json()["error"]) == (400, "Origin header is missing in CORS preflight")


def test_a_web_page_of_another_origin_can_post_json(cors):
    request = """url => fetch(url, {
        method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({instances: [1.0]})
    }).then(answer => answer.json())"""
    with launched() as browser:
        page = browser.new_page()
        page.goto(f"http://localhost:{cors.server.rest_port}/v1/models/plain")  # Another origin than 127.0.0.1.
        assert page.evaluate(request, f"{cors.rest}/v1/models/plain:predict") == {"predictions": [2.5]}


def test_status_and_metadata(served):
    status = httpx.get(f"{served.rest}/v1/models/agnews/versions/1").json()
    assert status == {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    assert len(httpx.get(f"{served.rest}/v1/models/agnews").json()["model_version_status"]) == 2
    metadata = httpx.get(f"{served.rest}/v1/models/agnews/labels/stable/metadata").json()
    assert metadata["model_spec"] == {"name": "agnews", "signature_name": "", "version": "1"}
    assert metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["title"]["dtype"] == (
        "DT_STRING"
    )
    missing = httpx.get(f"{served.rest}/v1/models/nope")
    assert (missing.status_code, missing.json()["error"]) == (404, "Could not find any versions of model nope")


def test_metrics_have_the_names_of_tensorflow_serving(served):
    post(served, "plain:predict", {"instances": [1.0]})
    post(served, "plain:predict", {})
    post(served, "plain/versions/99:predict", {"instances": [1.0]})
    post(served, "plain:regress", {"signature_name": "regress", "examples": [{"x": 1.0}] * 3})
    for name in ("x1", "x2"):
        post(served, f"{name}:predict", {"instances": [1.0]})
    lines = httpx.get(f"{served.rest}/monitoring/prometheus/metrics").text.splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert "# TYPE :tensorflow:serving:request_latency histogram" in lines
    counts = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    assert counts[':tensorflow:serving:request_count{model_name="plain",status="OK"}'] >= 1
    latency = ':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST",model_name="plain"}'
    assert counts[latency] >= 1
    # Also of requests that were refused before they ran.
    for status in ("INVALID_ARGUMENT", "NOT_FOUND"):
        assert counts[f':tensorflow:serving:request_count{{model_name="plain",status="{status}"}}'] >= 1
    assert counts[':tensorflow:serving:request_count{model_name="unknown",status="NOT_FOUND"}'] >= 2
    assert counts[':tensorflow:serving:request_example_counts_bucket{le="4.0",model="plain"}'] >= 1
    assert not any("x1" in line or "x2" in line for line in lines), "clients must not create time series"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_metrics_are_answered_whatever_the_method(served, method):
    answer = httpx.request(method, f"{served.rest}/monitoring/prometheus/metrics", content=b"{}")
    assert answer.status_code == 200
    assert "# TYPE :tensorflow:serving:request_count counter" in answer.text


def count_of(served, status):
    prefix = f':tensorflow:serving:request_count{{model_name="plain",status="{status}"}} '
    lines = httpx.get(f"{served.rest}/monitoring/prometheus/metrics").text.splitlines()
    return sum(float(line.removeprefix(prefix)) for line in lines if line.startswith(prefix))


def test_a_request_whose_client_leaves_counts_as_cancelled(served):
    before = {status: count_of(served, status) for status in ("CANCELLED", "OK")}
    with socket.create_connection(("127.0.0.1", served.server.rest_port)) as client:
        client.sendall(b"POST /v1/models/plain:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    wait_until(lambda: count_of(served, "CANCELLED") == before["CANCELLED"] + 1, 10, 0.05)
    assert count_of(served, "OK") == before["OK"]


def test_a_request_that_a_stop_cancels_counts_as_cancelled(served):
    before = {status: count_of(served, status) for status in ("CANCELLED", "OK")}
    path = "/v1/models/plain:predict"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": []}

    async def cancel():
        request = asyncio.create_task(served.server._rest._server.config.app(scope, asyncio.Event().wait, None))
        await asyncio.sleep(0.05)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(cancel())
    assert count_of(served, "CANCELLED") == before["CANCELLED"] + 1
    assert count_of(served, "OK") == before["OK"]
