"""Who asks: a session cookie, an API token, or nobody. Forms carry the session's CSRF token."""

from __future__ import annotations

from starlette.requests import Request

from tocsin.engine.engine import Engine
from tocsin.identity.passwords import verify_password
from tocsin.identity.principals import Principal, person_principal
from tocsin.identity.sessions import (
    Session,
    SignInLink,
    csrf_matches,
    link_unusable,
    open_session,
    secret_id,
    session_ended,
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
    session = decode(row.body, Session)
    return None if session_ended(session, engine.clock.now()) else session


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


def sign_in(engine: Engine, login: str, password: str) -> tuple[str, Session]:
    """(cookie secret, session). Raises :class:`Unauthenticated` without saying which of both was wrong."""
    person = engine.directory().person_by_login(login) or engine.directory().people.get(login.strip())
    row = engine.store.read(lambda r: r.record("password", person.id)) if person else None
    right = verify_password(bytes(row.body).decode() if row else _NOBODYS, password)
    if person is None or row is None or not right or not person.active:
        raise Unauthenticated("name or password is wrong")
    return engine.store.write(lambda tx: new_session(engine, tx, person.id))


def use_link(engine: Engine, secret: str) -> tuple[str, Session]:
    """Signs in by a one-time link."""

    def work(tx: Transaction) -> tuple[str, Session]:
        row = tx.record_by("sign_in_link", secret_id(secret))
        if row is None:
            raise NotFound("this sign-in link is not known; ask for a new one")
        link = decode(row.body, SignInLink)
        if reason := link_unusable(link, engine.clock.now()):
            raise NotFound(reason)
        tx.delete_record("sign_in_link", row.id)
        return new_session(engine, tx, link.person)

    return engine.store.write(work)


def new_session(engine: Engine, tx: Transaction, person: str) -> tuple[str, Session]:
    """Opens a session; its secret goes into the cookie and is not kept."""
    secret, now = token(engine.randomness, 240), engine.clock.now()
    session = open_session(secret, token(engine.randomness), person, now)
    tx.put_record(RecordRow("session", session.id, session.id, encode(session), now, session.expires))
    return secret, session


def sign_out(engine: Engine, session: Session) -> None:
    """Ends a session."""
    engine.store.write(lambda tx: tx.delete_record("session", session.id))
