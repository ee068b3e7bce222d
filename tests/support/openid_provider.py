"""A provider of OpenID Connect on the loopback interface, whose requests and answers a test can change."""

import contextlib
import json

import httpx
import oidc_provider_mock
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response

from pipeline.review.app import make_app
from pipeline.review.login import Rights
from pipeline.review.openid import OpenIdLogin
from pipeline.review.security import Tokens
from pipeline.review.site import Site
from pipeline.settings import ReviewSettings
from tests.support.http_server import run_server
from tests.support.web_app import serve_app

RIGHTS = Rights(reader_roles=frozenset({"news-readers"}), approver_roles=frozenset({"news-approvers"}))


DESCRIPTION, TOKEN = "/.well-known/openid-configuration", "/oauth2/token"


class OpenIdProvider:
    """The provider of the package oidc-provider-mock, which is made of Authlib's authorization server.

    Attributes:
        address: the issuer.
        requests: paths of the requests.
        change_request: changes the WSGI environment of a request; None changes nothing.
        change_answers: functions that change the JSON of an answer, by path.
    """

    def __init__(self, **options):
        # Its users have names that it does not know beforehand; a client must be registered.
        self._app = oidc_provider_mock.app(require_client_registration=True, require_nonce=True, **options)
        self.address, self.requests = "", []
        self.change_request, self.change_answers = None, {}

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        self.requests.append(path)
        if self.change_request:
            self.change_request(environ)
        if path not in self.change_answers:
            return self._app(environ, start_response)
        body, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        answer = json.loads(b"".join(body))
        self.change_answers[path](answer)
        headers.remove("Content-Length")
        return Response(json.dumps(answer), status, headers)(environ, start_response)

    def register(self, callback):
        """Registers a client that people come back from at an address; returns its id and secret."""
        client = httpx.post(f"{self.address}/oauth2/clients", json={"redirect_uris": [callback]}).json()
        return client["client_id"], client["client_secret"]

    def add_person(self, name, **claims):
        """Adds a person, or changes what is known about the person."""
        httpx.put(f"{self.address}/users/{name}", json=claims).raise_for_status()


@contextlib.contextmanager
def serve_provider(**options):
    """Serves a provider in a thread; yields it."""
    provider = OpenIdProvider(**options)
    # Its library accepts unencrypted requests for this name alone.
    server = make_server("localhost", 0, provider, threaded=True)
    provider.address = f"http://localhost:{server.server_port}"
    with run_server(server):
        yield provider


@contextlib.contextmanager
def serve_site(issuer, client, settings, listening, **changes):
    """Serves the review site as a client of a provider.

    Args:
        issuer: the provider's issuer.
        client: id and secret of the client.
        settings: settings of the site.
        listening: socket of the site.
        **changes: further settings review.*.

    Yields:
        A browser with cookies that follows redirects.
    """
    review = ReviewSettings(oidc_issuer=issuer, oidc_client_id=client[0], **changes)
    login = OpenIdLogin(review, client[1], RIGHTS, None)
    with (
        serve_app(make_app(Site(settings, Tokens(None, {}), login=login)), listening) as url,
        httpx.Client(base_url=url, timeout=60, follow_redirects=True) as browser,
    ):
        yield browser


def log_in(browser, page, person):
    """Opens a page without a log-in and chooses a person at the provider; returns the last response."""
    form = browser.get(page)
    assert form.url.path == "/oauth2/authorize", form.text
    return browser.post(form.url, data={"sub": person})
