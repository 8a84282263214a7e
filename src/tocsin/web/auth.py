"""Who asks: a session cookie, an API token, or nobody. Forms carry the session's CSRF token."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from tocsin.engine.engine import Engine
from tocsin.identity.passwords import hash_password, needs_rehash, verify_password
from tocsin.identity.principals import Principal, person_principal
from tocsin.identity.sessions import (
    Session,
    SignInLink,
    csrf_matches,
    link_unusable,
    open_session,
    secret_id,
    session_ended,
    touched,
)
from tocsin.identity.tokens import ApiToken, granted, token_ended, token_hash
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import Forbidden, NotFound, Unauthenticated
from tocsin.kernel.ports import RecordRow, Transaction
from tocsin.kernel.randomness import token

COOKIE = "tocsin_session"
WRITING = ("POST", "PUT", "PATCH", "DELETE")

_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$3Yk2n1zGq0mM0m2rJmYF0cFq6xZb1h3n0p0y2n0m0aE"
"""a hash that no password fits: an unknown name takes as long as a wrong password"""


def session_of(engine: Engine, request: Request) -> Session | None:
    """The living session of the request's cookie."""
    cookie = request.cookies.get(COOKIE, "")
    if not cookie:
        return None
    row = engine.store.read(lambda r: r.record_by("session", secret_id(cookie)))
    if row is None:
        return None
    session, now = decode(row.body, Session), engine.clock.now()
    if session_ended(session, now):
        return None
    seen = touched(session, now)
    if seen is not None:
        engine.store.write(lambda tx: _touch(tx, seen))
    return seen or session


def _touch(tx: Transaction, session: Session) -> None:
    """A session in use does not end; one that was revoked meanwhile stays so."""
    if tx.record("session", session.id) is not None:
        tx.put_record(
            RecordRow("session", session.id, session.id, encode(session), session.last_seen, session.expires)
        )


def principal_of(engine: Engine, request: Request, *, csrf: str = "") -> Principal:
    """The principal of a request; raises :class:`Unauthenticated`, or :class:`Forbidden` for a form without its token."""
    header = request.headers.get("authorization", "")
    scheme, _, secret = header.partition(" ")
    if scheme.lower() == "bearer" and secret:
        return _token(engine, secret.strip())
    session = session_of(engine, request)
    if session is None:
        raise Unauthenticated("sign in, or send a bearer token")
    if request.method in WRITING and not csrf_matches(
        session, csrf or request.headers.get("x-csrf-token", "")
    ):
        raise Forbidden("the form is out of date: load the page again and send it once more")
    person = engine.directory().people.get(session.person)
    if person is None or not person.active:
        raise Unauthenticated("this account is no longer active")
    return person_principal(person.id, person.role)


def _token(engine: Engine, secret: str) -> Principal:
    row = engine.store.read(lambda r: r.record_by("token", token_hash(secret)))
    if row is None:
        raise Unauthenticated("this token is not known; make one under your account")
    stored = decode(row.body, ApiToken)
    if ended := token_ended(stored, engine.clock.now()):
        raise Unauthenticated(ended)
    person = engine.directory().people.get(stored.person)
    if person is None or not person.active:
        raise Unauthenticated("the account of this token is no longer active")
    return person_principal(person.id, person.role, scopes=granted(stored.scopes), kind="token")


def sign_in(
    engine: Engine,
    login: str,
    password: str,
    label: str = "",
    may_try: Callable[[str], bool] = lambda person: True,
) -> tuple[str, Session]:
    """(cookie secret, session). Raises :class:`Unauthenticated` without saying which of both was wrong.

    ``may_try`` is asked with a person's id before their password is looked at. Where it says no, that is answered like a
    wrong password and takes as long: another answer would tell that two names are one person's, and so that there is one.
    A hash made with other parameters than today's is made anew.
    """
    person = engine.directory().person_by_login(login) or engine.directory().people.get(login.strip())
    row = engine.store.read(lambda r: r.record("password", person.id)) if person else None
    if person is not None and not may_try(person.id):
        row = None
    right = verify_password(bytes(row.body).decode() if row else _NOBODYS, password)
    if person is None or row is None or not right or not person.active:
        raise Unauthenticated("name or password is wrong")
    fresh = hash_password(password) if needs_rehash(bytes(row.body).decode()) else ""

    def work(tx: Transaction) -> tuple[str, Session]:
        if fresh:
            tx.put_record(RecordRow("password", person.id, "", fresh.encode(), engine.clock.now()))
        return new_session(engine, tx, person.id, label)

    return engine.store.write(work)


def use_link(engine: Engine, secret: str, label: str = "") -> tuple[str, Session]:
    """Signs in by a one-time link."""

    def work(tx: Transaction) -> tuple[str, Session]:
        row = tx.record_by("sign_in_link", secret_id(secret))
        if row is None:
            raise NotFound("this sign-in link is not known; ask for a new one")
        link = decode(row.body, SignInLink)
        if reason := link_unusable(link, engine.clock.now()):
            raise NotFound(reason)
        tx.delete_record("sign_in_link", row.id)
        person = engine.directory(tx).people.get(link.person)
        if person is None or not person.active:
            raise NotFound("the account of this link is no longer active")
        return new_session(engine, tx, link.person, label)

    return engine.store.write(work)


def new_session(engine: Engine, tx: Transaction, person: str, label: str = "") -> tuple[str, Session]:
    """Opens a session; its secret goes into the cookie and is not kept."""
    secret, now = token(engine.randomness, 240), engine.clock.now()
    session = open_session(secret, token(engine.randomness), person, now, label=label[:80])
    tx.put_record(RecordRow("session", session.id, session.id, encode(session), now, session.expires))
    return secret, session


def sign_out(engine: Engine, session: Session) -> None:
    """Ends a session."""
    engine.store.write(lambda tx: tx.delete_record("session", session.id))


_BROWSERS = (
    ("Firefox/", "Firefox"),
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"), ("Linux", "Linux"))  # fmt: skip


def device(request: Request) -> str:
    """``Firefox on Linux``: what a person recognises a session of theirs by."""
    agent = request.headers.get("user-agent", "")
    browser = next((name for mark, name in _BROWSERS if mark in agent), "a browser")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return f"{browser} on {system}" if system else browser
