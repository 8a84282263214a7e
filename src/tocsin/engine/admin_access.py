"""How people get in: passwords, one-time links, sessions, API tokens, calendar feeds."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.engine import changes as c
from tocsin.engine.admin_desk import Answer, Desk, name_of
from tocsin.engine.admin_people import person_of
from tocsin.identity.authorize import authorize
from tocsin.identity.passwords import hash_password, verify_password
from tocsin.identity.principals import Principal
from tocsin.identity.sessions import SIGN_IN_LINK_LIFETIME, Session, SignInLink, secret_id
from tocsin.identity.tokens import ApiToken, granted, make_token
from tocsin.identity.vault import seal
from tocsin.kernel.clock import DAY, Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable
from tocsin.kernel.ports import RecordRow
from tocsin.kernel.randomness import token

MOST_TOKENS = 50
WRONG_PASSWORD = "the present password is not right"


class FeedToken(msgspec.Struct):
    """The secret in the address of a person's calendar feeds: looked up by hash, shown again from a sealed copy."""

    id: str
    person: str
    sealed: str
    created: Instant = 0


def make_sign_in_link(desk: Desk, change: c.MakeSignInLink) -> Answer:
    desk.allow("people")
    person = person_of(desk, change.person)
    if not person.active:
        raise Refused(f"{person.name} is not active; activate the account first")
    secret = token(desk.randomness)
    link = SignInLink(secret_id(secret), person.id, desk.now + SIGN_IN_LINK_LIFETIME)
    desk.keep("sign_in_link", link.id, link.id, link, link.expires)
    return {"id": person.id, "url": f"{desk.public_url}/sign-in/{secret}"}


def prepare_password(engine: Any, principal: Principal, change: c.ChangePassword) -> str:
    """The new password's hash, after the present one was proved; hashing takes too long for a transaction."""
    decision = authorize(principal, "own_profile")
    if not decision.allowed or not principal.person:
        raise Forbidden(decision.reason)
    if principal.kind != "session":
        raise Forbidden("a password is changed on the account page, by somebody who is signed in there")
    row = engine.store.read(lambda r: r.record("password", principal.person))
    if row is not None and not verify_password(bytes(row.body).decode(), change.current):
        raise Forbidden(WRONG_PASSWORD)
    person = engine.directory().people.get(principal.person)
    return hash_password(change.new, login=person.login if person else "")


def change_password(desk: Desk, change: c.ChangePassword) -> Answer:
    """A new password ends waiting sign-in links; other sessions are ended one by one or all together."""
    person = desk.principal.person
    desk.tx.put_record(RecordRow("password", person, "", desk.prepared.encode(), desk.now))
    for row in desk.tx.records("sign_in_link"):
        if decode(row.body, SignInLink).person == person:
            desk.tx.delete_record("sign_in_link", row.id)
    return {"id": person}


def revoke_session(desk: Desk, change: c.RevokeSession) -> Answer:
    session = desk.stored("session", change.session, Session)
    if session.person != desk.principal.person and not authorize(desk.principal, "sessions").allowed:
        raise NotFound(f"there is no session {change.session[:60]}")
    desk.allow_for(session.person, "own_sessions", "sessions")
    ended = [session.id]
    if change.others:
        ended = [
            row.id for row in desk.tx.records("session")
            if row.id != session.id and decode(row.body, Session).person == session.person
        ]  # fmt: skip
    for one in ended:
        desk.tx.delete_record("session", one)
    return {"id": session.id, "ended": len(ended)}


def add_token(desk: Desk, change: c.AddToken) -> Answer:
    """A token may give no more than the one it was made with."""
    desk.allow("own_tokens")
    person = desk.principal.person
    if not person:
        raise Forbidden("tokens belong to people; sign in to make one")
    beyond = granted(change.scopes) - granted(desk.principal.scopes) if desk.principal.scopes else frozenset()
    if beyond:
        raise Forbidden(
            f"the token this was asked with lacks {', '.join(sorted(beyond))}; sign in to make such a token"
        )
    if not 0 <= change.days <= 3660:
        raise Unusable("days lie between 0 (no end) and 3660", "days")
    mine = [row for row in desk.tx.records("token") if decode(row.body, ApiToken).person == person]
    if len(mine) >= MOST_TOKENS:
        raise Refused(f"you have {MOST_TOKENS} tokens; revoke one first")
    expires = desk.now + change.days * DAY if change.days else 0
    secret, stored = make_token(
        desk.randomness,
        desk.new_id(),
        person,
        change.scopes,
        desk.now,
        name=name_of(change.name),
        expires=expires,
    )
    desk.keep("token", stored.id, stored.hash, stored)
    return {"id": stored.id, "name": stored.name, "scopes": list(stored.scopes), "secret": secret}


def revoke_token(desk: Desk, change: c.RevokeToken) -> Answer:
    stored = desk.stored("token", change.token, ApiToken)
    if stored.person != desk.principal.person and not authorize(desk.principal, "tokens").allowed:
        raise NotFound(f"there is no token {change.token[:60]}")
    desk.allow_for(stored.person, "own_tokens", "tokens")
    desk.tx.delete_record("token", stored.id)
    return {"id": stored.id}


def new_feed_token(desk: Desk, change: c.NewFeedToken) -> Answer:
    desk.allow("own_tokens")
    person = desk.principal.person
    if not person:
        raise Forbidden("a calendar feed belongs to a person; sign in to make one")
    secret = token(desk.randomness)
    feed = FeedToken(person, person, seal(desk.secret, secret, f"feed/{person}", desk.randomness), desk.now)
    desk.keep("feed_token", person, secret_id(secret), feed)
    return {"id": person, "secret": secret}
