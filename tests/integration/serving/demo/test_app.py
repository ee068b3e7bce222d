import random
from urllib.parse import urlencode

import grpc
import httpx
import pytest

from serving.client import Canary


@pytest.fixture
def web(serve_page):
    """The page in front of the scripted server."""
    with serve_page() as url, httpx.Client(base_url=url) as client:
        yield client


def post(web, **fields):
    return web.post("/", data=fields)


def test_the_form_is_empty_at_first(web):
    page = web.get("/")
    assert page.status_code == 200
    assert "Answered by" not in page.text


def test_the_result_shows_class_probabilities_and_version(web, server):
    page = post(web, title="oil and goal", description="oil").text
    assert "<strong>Business</strong>" in page
    assert f"version 2, at {server.address}" in page
    for share in ("85.3 %", "11.5 %"):
        assert share in page


def test_words_for_and_against_the_class_are_marked_differently(web):
    page = post(web, title="oil and goal", description="oil").text
    assert 'for s4" title="+41.3 points">oil<' in page
    assert 'against s1" title="−9.5 points">goal<' in page
    assert ">and</mark>" not in page


def test_occlusions_are_one_request_to_the_same_version(web, server):
    post(web, title="oil and goal", description="oil")
    first, second = server.requests
    assert not first.model_spec.HasField("version")
    assert second.model_spec.version.value == 2
    assert list(second.inputs["title"].string_val) == [b"  and goal", b"oil   goal", b"oil and  ", b"oil and goal"]


def test_an_item_can_have_a_single_word(web, server):
    assert "<strong>Business</strong>" in post(web, title="oil").text
    assert len(server.requests) == 1


def test_a_share_of_the_items_goes_to_the_canary(server, serve_page):
    with serve_page(Canary(0.5, random.Random(3))) as url, httpx.Client(base_url=url) as web:
        pages = [post(web, title="oil and goal").text for _ in range(12)]
    labels = ["canary" if "version 2, label canary" in page else "stable" for page in pages]
    expected = random.Random(3)
    assert labels == ["canary" if expected.random() < 0.5 else "stable" for _ in range(12)]
    assert [request.model_spec.version.value for request in server.requests[1::2]] == [
        2 if label == "canary" else 1 for label in labels
    ]


def test_the_model_card_is_linked_if_it_exists(web, tmp_path):
    assert "Model card" not in post(web, title="oil price").text
    (tmp_path / "2.html").write_text("<h1>The card</h1><script>alert(1)</script>")
    assert '<a href="/model-card/2">' in post(web, title="oil price").text
    page = web.get("/model-card/2")
    assert "The card" in page.text
    assert "sandbox" in page.headers["Content-Security-Policy"]
    assert web.get("/model-card/1").status_code == 404


@pytest.mark.parametrize("version", ["..", "%2e%2e", "2%2f..%2f2", "-1", "2/../2"])
def test_only_model_cards_are_served(web, tmp_path, version):
    for name in ("...html", "-1.html"):
        (tmp_path / name).write_text("not to be seen")
    assert "not to be seen" not in web.get(f"/model-card/{version}").text


def test_an_empty_item_sends_no_request(web, server):
    page = post(web, title=" ", description="")
    assert page.status_code == 422
    assert "title and description are empty" in page.text
    assert server.requests == []


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        (grpc.StatusCode.INTERNAL, 502, "refused a request"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "did not answer within 5 s"),
    ],
)
def test_a_server_error_is_shown_and_the_text_is_kept(web, server, scripted_server, code, status, shown):
    server.script = [scripted_server.fails(code)]
    page = post(web, title="oil", description="rises again")
    assert page.status_code == status
    assert 'role="alert"' in page.text
    assert shown in page.text
    assert "rises again" in page.text


def test_html_in_an_item_is_escaped(web):
    page = post(web, title='oil "><script>alert(1)</script>', description="</textarea><b>x</b>").text
    assert "<script>alert" not in page
    assert "<b>x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_policy_forbids_scripts_and_other_styles(web):
    first, second = (web.get("/") for _ in range(2))
    policy = first.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert policy.partition("nonce-")[2].partition("'")[0] in first.text
    assert policy != second.headers["Content-Security-Policy"]


def test_a_body_over_the_limit_is_rejected(web, server):
    assert web.post("/", content=b"title=" + b"a" * 200_000).status_code == 413
    assert server.requests == []


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=b&" * 20, b"title=%ff%fe", b"", b"%"])
def test_an_invalid_form_gets_a_response(web, body):
    assert web.post("/", content=body).status_code in (200, 400, 422)


def test_a_long_text_is_cut_and_its_first_words_are_explained(web, server):
    body = urlencode({"title": "oil", "description": "a " * 30_000})
    assert web.post("/", content=body).status_code == 200
    rows = [len(request.inputs["title"].string_val) for request in server.requests]
    assert sum(rows) == 1 + 256


@pytest.mark.parametrize("origin", ["http://[", "http://evil.example", "null"])
def test_forms_of_other_or_malformed_origins_are_rejected(web, server, origin):
    answer = web.post("/", data={"title": "oil"}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "content-security-policy" in answer.headers
    assert server.requests == []


def test_a_foreign_host_name_is_rejected(web):
    assert web.get("/", headers={"Host": "evil.example"}).status_code == 421
    assert web.get("/", headers={"Host": "localhost:8080"}).status_code == 200


def test_a_version_of_5000_digits_is_not_found(web):
    answer = web.get("/model-card/" + "9" * 5000)
    assert answer.status_code == 404
    assert "content-security-policy" in answer.headers


def test_the_form_has_a_field_for_each_text_column_of_the_model(web, server):
    server.columns = ["betreff", "inhalt"]
    form = web.get("/").text
    assert '<label for="betreff">Betreff</label>' in form
    assert '<textarea id="inhalt" name="inhalt" maxlength="5000">' in form
    page = post(web, betreff="oil and", inhalt="oil goal").text
    assert "<strong>Business</strong>" in page
    assert list(server.requests[1].inputs["inhalt"].string_val) == [b"oil goal"] * 2 + [b"  goal", b"oil  "]
