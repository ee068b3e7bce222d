"""A real Keycloak on the loopback interface, as a provider of log-ins."""

import contextlib
import html
import json
import os
import re
import socket
import subprocess

import httpx

from tests.support import ROOT
from tests.support.waiting import wait_until

KEYCLOAK = ROOT / ".keycloak"
SECRET = "the secret of the review site"
_ROLES = {
    "name": "roles",
    "protocol": "openid-connect",
    "protocolMapper": "oidc-usermodel-realm-role-mapper",
    "config": {"claim.name": "realm_access.roles", "multivalued": "true", "id.token.claim": "true"},
}


def _realm(people, callback):
    users = [
        {
            "username": name,
            "email": f"{name}@here.example",
            "firstName": name,
            "lastName": name,
            "enabled": True,
            "emailVerified": True,
            "realmRoles": roles,
            "credentials": [{"type": "password", "value": f"password of {name}"}],
        }
        for name, roles in people.items()
    ]
    client = {
        "clientId": "review",
        "secret": SECRET,
        "redirectUris": [callback],
        "protocolMappers": [_ROLES],
        # Keycloak refuses requests without it.
        "attributes": {"pkce.code.challenge.method": "S256"},
    }
    roles = [{"name": role} for role in {role for roles in people.values() for role in roles}]
    return {"realm": "news", "enabled": True, "roles": {"realm": roles}, "users": users, "clients": [client]}


@contextlib.contextmanager
def serve_keycloak(people, callback, log):
    """Runs Keycloak with a realm "news" and its client "review".

    Args:
        people: roles of each person by name; the password is "password of NAME".
        callback: address to which it leads people back.
        log: file for its output.

    Yields:
        The issuer, and the process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    [home] = KEYCLOAK.glob("keycloak-*")
    imported = home / "data/import/news.json"
    imported.parent.mkdir(parents=True, exist_ok=True)
    imported.write_text(json.dumps(_realm(people, callback)))
    command = [home / "bin/kc.sh", "start-dev", "--import-realm", "--db=dev-mem", "--http-host=127.0.0.1"]
    issuer = f"http://127.0.0.1:{port}/realms/news"

    def answers():
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=5).is_success

    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*command, f"--http-port={port}"],
            env=os.environ | {"JAVA_OPTS_KC_HEAP": "-Xmx512m"},
            stdout=output,
            stderr=output,
            process_group=0,
        )
        try:
            wait_until(answers, seconds=300)
            yield issuer, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(30)


def log_in(browser, page, person):
    """Opens a page without a log-in and fills in Keycloak's form; returns the last response."""
    form = browser.get(page)
    action = re.search(r'<form[^>]*action="([^"]+)"', form.text)
    assert action, form.text
    return browser.post(html.unescape(action[1]), data={"username": person, "password": f"password of {person}"})
