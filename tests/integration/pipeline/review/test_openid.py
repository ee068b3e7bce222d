"""Tests the log-in through OpenID Connect, with a provider of the package oidc-provider-mock on this machine."""

import base64
import contextlib
import hashlib
import io
import json
import socket
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from pipeline.governance.audit_check import audit_log
from pipeline.review import openid
from tests.support.browser import launched
from tests.support.openid_provider import DESCRIPTION, TOKEN, log_in, serve_provider, serve_site
from tests.support.review_site import settings_of, text, waiting_store


@pytest.fixture(scope="module")
def running_provider():
    with serve_provider() as provider:
        provider.add_person("cem", email="cem@here", email_verified=True, roles=["news-approvers"])
        provider.add_person("rita", email="rita@here", email_verified=True, roles=["news-readers"])
        provider.add_person("eve", email="eve@here", email_verified=True, roles=["sports-readers"])
        provider.add_person("unverified", email="cem@here", email_verified=False, roles=["news-approvers"])
        provider.add_person("nameless", roles=["news-approvers"])
        provider.add_person("invisible", email="cem\u200b@here", email_verified=True, roles=["news-approvers"])
        yield provider


@pytest.fixture
def provider(running_provider):
    yield running_provider
    running_provider.change_request, running_provider.change_answers = None, {}


@contextlib.contextmanager
def serve(provider, settings, **changes):
    """Serves the site as a client of the provider; yields a browser."""
    listening = socket.create_server(("127.0.0.1", 0))
    client_id, secret = provider.register(f"http://127.0.0.1:{listening.getsockname()[1]}{openid.FINISH}")
    client, issuer = (client_id, changes.pop("secret", secret)), changes.pop("oidc_issuer", provider.address)
    with serve_site(issuer, client, settings, listening, oidc_roles_claim="roles", **changes) as browser:
        yield browser


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return settings_of(tmp_path_factory.mktemp("place"))


@pytest.fixture
def browser(provider, settings):
    with serve(provider, settings) as browser:
        yield browser


def replace_claims(token, algorithm="RS256", **claims):
    """Changes claims of an ID token and keeps its signature."""
    header, payload, signature = token["id_token"].split(".")
    decoded = json.loads(base64.urlsafe_b64decode(payload + "==")) | claims
    head = json.loads(base64.urlsafe_b64decode(header + "==")) | {"alg": algorithm}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, decoded))
    token["id_token"] = ".".join([*parts, "" if algorithm == "none" else signature])


def is_logged_in(browser):
    return browser.get("/runs", follow_redirects=False).status_code == 200


def test_the_token_names_the_approver_and_a_log_out_ends_it(provider, tmp_path):
    settings, model = waiting_store(tmp_path / "place")
    with serve(provider, settings) as browser:
        page = log_in(browser, f"/models/{model}?from=mail", "cem")
        assert page.url.raw_path == f"/models/{model}?from=mail".encode()
        assert "You decide as cem@here" in text(page)
        assert 'name="token"' not in page.text
        form = {"decision": "approve", "by": "bob@here", "reason": "fine", "token": ""}
        assert "approved by cem@here" in text(browser.post(f"/models/{model}/decision", data=form))
        [line] = audit_log(settings).lines()
        assert (line.entry.by, line.entry.details["proof"]) == ("cem@here", "log-in")

        copy = dict(browser.cookies)
        out = browser.post("/logout")
        assert "You are logged out of this site" in text(out)
        assert f'<a href="{provider.address}/oauth2/end_session?client_id=' in out.text
        browser.cookies.update(copy)
        assert not is_logged_in(browser)
        ended = browser.post(f"/models/{model}/decision", data=form)
        assert (ended.status_code, "You are not logged in" in ended.text) == (401, True)
        assert len(audit_log(settings).lines()) == 1


def test_in_a_browser_people_log_in_decide_and_log_out(provider, tmp_path):
    """Policies for pages, cookies and forms allow the way to the provider and back."""
    settings, model = waiting_store(tmp_path / "place")
    with serve(provider, settings) as client, launched() as browser:
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.goto(f"{client.base_url}/models/{model}")
        page.locator("input[name=sub]").fill("cem")
        page.locator("button[type=submit]").first.click()
        page.get_by_label("Reason").fill("recall of World is up")
        page.get_by_role("button", name="Approve").click()
        page.get_by_role("table", name="Decisions").get_by_role("row", name="cem@here").wait_for()
        page.get_by_role("button", name="Log out cem@here").click()
        page.get_by_text("You are logged out of this site").wait_for()
        assert page.get_by_role("link", name="Log out there, too").is_visible()


def test_a_reader_sees_no_form_and_cannot_decide(provider, tmp_path):
    settings, model = waiting_store(tmp_path / "place")
    with serve(provider, settings) as browser:
        page = log_in(browser, f"/models/{model}", "rita")
        assert "rita@here may read this site, but not decide on it" in text(page)
        answer = browser.post(f"/models/{model}/decision", data={"decision": "approve", "reason": "fine"})
        assert "rita@here may not decide on models; review.approvers" in text(answer)
        assert answer.status_code == 403


def test_the_flow_has_state_nonce_and_pkce(provider, browser):
    form = browser.get("/runs")
    sent = dict(parse_qsl(form.url.query.decode()))
    assert (sent["response_type"], sent["code_challenge_method"]) == ("code", "S256")
    assert len(sent["state"]) >= 20
    assert len(sent["nonce"]) >= 20
    verifiers = []

    def keep_verifier(environ):
        if environ["PATH_INFO"] == TOKEN:
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(body)
            verifiers.extend(parse_qs(body.decode())["code_verifier"])

    provider.change_request = keep_verifier
    assert browser.post(form.url, data={"sub": "cem"}).status_code == 200
    [verifier] = verifiers
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert digest == sent["code_challenge"]


@pytest.mark.parametrize(
    ("person", "message"),
    [
        ("eve", "eve@here may not read this site"),
        ("unverified", "The provider has not verified this e-mail address"),
        ("nameless", "token has no email, which review.oidc_name_claim asks for"),
        ("invisible", "is not a valid name, since it has the character ZERO WIDTH SPACE"),
    ],
)
def test_a_person_without_role_or_valid_name_gets_a_page_that_says_so(browser, person, message):
    page = log_in(browser, "/runs", person)
    assert (page.status_code, message in text(page)) == (403, True), text(page)
    assert not is_logged_in(browser)


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (lambda token: replace_claims(token, email="cem@here"), 403, "so nobody was logged in: bad_signature"),
        (lambda token: replace_claims(token, "none", email="cem@here"), 403, "so nobody was logged in"),
        (lambda token: replace_claims(token, "HS256", email="cem@here"), 403, "so nobody was logged in"),
        (lambda token: token.update(id_token="no token"), 403, "so nobody was logged in"),
        (lambda token: token.pop("id_token"), 502, "its answer has no ID token"),
    ],
    ids=["changed", "unsigned", "another algorithm", "no token", "none"],
)
def test_a_forged_token_logs_nobody_in(provider, browser, change, status, reason):
    """Also if the provider says that it knows all algorithms."""
    algorithms = {"id_token_signing_alg_values_supported": ["none", "HS256", "RS256"]}
    provider.change_answers = {TOKEN: change, DESCRIPTION: lambda answer: answer.update(algorithms)}
    page = log_in(browser, "/runs", "rita")
    assert (page.status_code, reason in text(page)) == (status, True), text(page)
    assert not is_logged_in(browser)


def test_a_token_for_another_client_or_of_another_issuer_is_refused(provider, browser):
    """The provider signs both, with the nonce of this log-in."""
    client_id, secret = provider.register(f"{browser.base_url}".rstrip("/") + openid.FINISH)
    authorization = "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()

    def be_other_client(environ):
        if environ["PATH_INFO"] == TOKEN:
            environ["HTTP_AUTHORIZATION"] = authorization

    def be_other_issuer(environ):
        if environ["PATH_INFO"] == TOKEN:
            environ["HTTP_HOST"] = "localhost:1"

    for change, claim, client in ((be_other_client, "aud", client_id), (be_other_issuer, "iss", None)):
        provider.change_request = change
        form = browser.get("/runs")
        url = form.url.copy_set_param("client_id", client) if client else form.url
        page = browser.post(url, data={"sub": "cem"})
        assert (page.status_code, f"'{claim}'" in text(page)) == (403, True), text(page)
        assert not is_logged_in(browser)


def test_an_expired_token_logs_nobody_in(settings):
    with serve_provider(access_token_max_age=timedelta(hours=-1)) as provider:
        provider.add_person("cem", email="cem@here", email_verified=True, roles=["news-approvers"])
        with serve(provider, settings) as browser:
            page = log_in(browser, "/runs", "cem")
            assert "expired" in text(page)
            assert page.status_code == 403
            assert not is_logged_in(browser)


def test_the_token_of_another_log_in_is_refused(provider, browser):
    """The provider signed it for this site, but not for this log-in: its nonce differs."""
    tokens = []
    provider.change_answers[TOKEN] = lambda token: tokens.append(token["id_token"])
    log_in(browser, "/runs", "cem")
    browser.post("/logout")
    provider.change_answers[TOKEN] = lambda token: token.update(id_token=tokens[0])
    page = log_in(browser, "/runs", "rita")
    assert (page.status_code, "nonce" in text(page)) == (403, True), text(page)
    assert not is_logged_in(browser)


def test_a_callback_that_was_not_started_here_is_refused(provider, browser):
    form = browser.get("/runs")
    callback = httpx.post(form.url, data={"sub": "cem"}).headers["location"]
    with httpx.Client() as other:
        page = other.get(callback)
    assert (page.status_code, "was not started in this browser" in text(page)) == (400, True)
    assert browser.get(callback).status_code == 200
    assert browser.get(callback).status_code == 400, "a code counts once"


def test_a_person_who_declines_gets_a_page(browser):
    form = browser.get("/runs")
    page = browser.post(form.url, data={"action": "deny"})
    assert (page.status_code, "refused the log-in: access_denied" in text(page)) == (403, True), text(page)


def test_the_texts_of_a_forged_callback_are_not_shown(browser):
    page = browser.get("/login/done", params={"error": "call 555-0100", "error_description": "call 555-0100"})
    assert (page.status_code, "555" in page.text) == (403, False)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"oidc_issuer": "{issuer}/"}, 502, "review.oidc_issuer must have exactly that text"),
        ({"oidc_issuer": "{issuer}/realms/none"}, 502, "with the status 404; check review.oidc_issuer"),
        ({"oidc_issuer": "http://127.0.0.1:9"}, 503, "cannot be reached"),
    ],
)
def test_a_wrong_issuer_or_one_that_is_down_is_named(provider, settings, changes, status, message):
    changes = {key: value.format(issuer=provider.address) for key, value in changes.items()}
    with serve(provider, settings, **changes) as browser:
        page = browser.get("/runs")
        assert (page.status_code, message in text(page)) == (status, True), text(page)
        assert browser.get("/style.css").status_code == 200


def test_a_wrong_client_secret_is_named(provider, settings):
    with serve(provider, settings, secret="wrong") as browser:
        page = log_in(browser, "/runs", "cem")
        assert (page.status_code, "AGNEWS_REVIEW_OIDC_SECRET" in text(page)) == (403, True), text(page)


def test_a_site_works_again_when_its_provider_does(provider, browser):
    def fail(environ):
        environ["PATH_INFO"] = "/nothing"

    provider.change_request = fail
    assert browser.get("/runs").status_code == 502
    provider.change_request = None
    provider.change_answers[DESCRIPTION] = lambda answer: answer.update(issuer="http://localhost:1")
    assert browser.get("/runs").status_code == 502
    provider.change_answers.clear()
    assert log_in(browser, "/runs", "rita").status_code == 200


@pytest.mark.parametrize("page", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_a_log_in_leads_to_pages_of_this_site_alone(browser, page):
    form = browser.get("/login", params={"to": page})
    ended = browser.post(form.url, data={"sub": "rita"})
    assert (ended.status_code, ended.url.path, urlsplit(str(ended.url)).hostname) == (200, "/served", "127.0.0.1")


def test_a_session_ends_and_a_changed_cookie_is_none(provider, settings, monkeypatch):
    with serve(provider, settings) as browser:
        log_in(browser, "/runs", "rita")
        assert is_logged_in(browser)
        cookie = browser.cookies["agnews_review"]
        browser.cookies.set("agnews_review", "x" + cookie, domain="127.0.0.1")
        assert not is_logged_in(browser)
    with serve(provider, settings) as browser:
        monkeypatch.setattr(openid, "SESSION_SECONDS", -1)
        form = browser.get("/runs")
        callback = browser.post(form.url, data={"sub": "rita"}, follow_redirects=False).headers["location"]
        assert browser.get(callback, follow_redirects=False).status_code == 303
        assert not is_logged_in(browser)
