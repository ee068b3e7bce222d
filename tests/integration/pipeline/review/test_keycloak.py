"""Tests the log-in through OpenID Connect with a real Keycloak."""

import os
import re
import socket

import httpx
import pytest

from pipeline.governance.audit_check import audit_log
from tests.support.keycloak import SECRET, log_in, serve_keycloak
from tests.support.openid_provider import serve_site
from tests.support.review_site import text, waiting_store

pytestmark = pytest.mark.keycloak
PEOPLE = {"cem": ["news-approvers"], "rita": ["news-readers"], "eve": []}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return waiting_store(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory):
    """A Keycloak, and the socket of the site that it knows."""
    listening = socket.create_server(("127.0.0.1", 0))
    callback = f"http://127.0.0.1:{listening.getsockname()[1]}/login/done"
    with serve_keycloak(PEOPLE, callback, tmp_path_factory.mktemp("keycloak") / "log") as (issuer, process):
        yield issuer, process, listening


@pytest.fixture(scope="module")
def site(keycloak, place):
    issuer, _, listening = keycloak
    claim = "realm_access.roles"
    with serve_site(issuer, ("review", SECRET), place[0], listening, oidc_roles_claim=claim) as browser:
        yield browser


@pytest.fixture
def browser(site):
    """A browser without cookies, which trusts this machine without TLS, as browsers do."""

    def trust_this_machine(_):
        for cookie in browser.cookies.jar:
            cookie.secure = False

    hooks = {"response": [trust_this_machine]}
    with httpx.Client(base_url=site.base_url, event_hooks=hooks, timeout=60, follow_redirects=True) as browser:
        yield browser


def test_a_reader_reads_and_cannot_decide(browser, place):
    _, model = place
    assert "rita@here.example may read this site, but not decide" in text(log_in(browser, f"/models/{model}", "rita"))
    form = {"decision": "approve", "reason": "fine"}
    assert browser.post(f"/models/{model}/decision", data=form).status_code == 403


def test_a_person_without_a_role_gets_a_page_that_says_so(browser):
    page = log_in(browser, "/runs", "eve")
    assert (page.status_code, "eve@here.example may not read this site" in text(page)) == (403, True)


def test_an_approver_decides_under_the_name_of_the_token(browser, place):
    settings, model = place
    assert "You decide as cem@here.example" in text(log_in(browser, f"/models/{model}", "cem"))
    form = {"decision": "approve", "reason": "fine", "by": "bob@here"}
    assert "approved by cem@here.example" in text(browser.post(f"/models/{model}/decision", data=form))
    [line] = audit_log(settings).lines()
    assert (line.entry.by, line.entry.details["proof"]) == ("cem@here.example", "log-in")


def test_a_log_out_leads_to_the_one_of_keycloak(browser):
    log_in(browser, "/runs", "rita")
    out = browser.post("/logout")
    [address] = re.findall(r'href="(http[^"]+/logout[^"]*)"', out.text)
    assert "Do you want to log out?" in text(browser.get(address))


def test_keycloak_refuses_a_flow_without_pkce(browser, keycloak):
    """So the flow of the site, which it accepts, has it."""
    form = browser.get("/runs", follow_redirects=False)
    while "openid-connect/auth" not in form.headers["location"]:
        form = browser.get(form.headers["location"], follow_redirects=False)
    request = httpx.URL(form.headers["location"]).copy_remove_param("code_challenge")
    answer = httpx.get(request, follow_redirects=False)
    assert "error=invalid_request" in answer.headers["location"]
    assert "code_challenge" in answer.headers["location"]


def test_a_keycloak_that_is_gone_leads_to_a_page_that_says_so(browser, keycloak):
    _, process, _ = keycloak
    form = browser.get("/runs")
    state = httpx.URL(str(form.url)).params["state"]
    os.killpg(process.pid, 9)
    process.wait(30)
    page = browser.get("/login/done", params={"code": "x", "state": state})
    assert (page.status_code, "cannot be reached" in text(page)) == (503, True)
