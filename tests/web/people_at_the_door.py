"""People of the demonstration's organisation with a session or a token, for tests of who may what."""

from __future__ import annotations

import re

import httpx2

from running_site import TLS
from tocsin.identity.tokens import make_token
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import RecordRow
from tocsin.kernel.randomness import ulid
from tocsin.web.auth import COOKIE, new_session


class Visitor:
    """A person in a browser: carries the cookie and puts the form's token into each form."""

    def __init__(self, site, person: str) -> None:
        secret, session = site.tocsin.store.write(lambda tx: new_session(site.tocsin.engine, tx, person))
        self.session = session
        self.client = httpx2.Client(
            verify=TLS,
            base_url=site.url,
            cookies={COOKIE: secret},
            timeout=20,
            headers={"accept": "text/html"},
        )

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path)

    def post(self, path: str, **fields) -> httpx2.Response:
        return self.client.post(path, data={"csrf": self.session.csrf, **fields})


def asks(site, person: str, *scopes: str):
    """A function that calls the API as somebody, with a token of these scopes."""
    engine = site.tocsin.engine
    now = engine.clock.now()
    secret, stored = make_token(
        engine.randomness, ulid(engine.randomness, now), person, scopes or ("admin",), now
    )
    row = RecordRow("token", stored.id, stored.hash, encode(stored), now)
    site.tocsin.store.write(lambda tx: tx.put_record(row))

    def call(method: str, path: str, **more) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {secret}", **more.pop("headers", {})}
        return httpx2.request(method, site.url + path, headers=headers, timeout=20, verify=TLS, **more)

    return call


def forms_on(text: str) -> set[str]:
    """The verbs of the forms on a page."""
    return set(re.findall(r'name="verb" value="([a-z_]+)"', text))
