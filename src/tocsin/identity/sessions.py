"""Signed-in sessions and one-time sign-in links; pure checks against a given time."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from tocsin.kernel.clock import DAY, HOUR, Instant

IDLE = 14 * DAY
"""A session that was not used for so long is over."""
LIFETIME = 90 * DAY
"""No session lives longer than this, used or not."""
SIGN_IN_LINK_LIFETIME = 1 * HOUR


class Session(msgspec.Struct, frozen=True):
    """A signed-in browser. ``id`` is the SHA-256 (hex) of the cookie's secret; ``csrf`` is sent back with each form."""

    id: str
    person: str
    created: Instant
    last_seen: Instant
    expires: Instant
    csrf: str
    label: str = ""


class SignInLink(msgspec.Struct, frozen=True):
    """A one-time link for the first sign-in or a forgotten password; ``id`` is the SHA-256 (hex) of its secret."""

    id: str
    person: str
    expires: Instant
    used_at: Instant = 0


def secret_id(secret: str) -> str:
    """What is stored of a cookie's or link's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def open_session(secret: str, csrf: str, person: str, now: Instant, *, label: str = "") -> Session:
    """A new session; ``secret`` goes into the cookie and is not kept."""
    return Session(secret_id(secret), person, now, now, now + LIFETIME, csrf, label)


def session_ended(session: Session, now: Instant) -> str:
    """Why the session is over at ``now``; empty while it lives."""
    if now >= session.expires:
        return "this sign-in has reached its age limit: sign in again"
    if now - session.last_seen >= IDLE:
        return "this sign-in was not used for two weeks: sign in again"
    return ""


def touched(session: Session, now: Instant, *, every: int = HOUR) -> Session | None:
    """The session seen at ``now``, or None where that is not worth a write yet."""
    if now - session.last_seen < every:
        return None
    return msgspec.structs.replace(session, last_seen=now)


def csrf_matches(session: Session, given: str) -> bool:
    """Whether a form carries the session's own token; compared in constant time."""
    return hmac.compare_digest(session.csrf.encode(), given.encode(errors="surrogatepass"))


def link_unusable(link: SignInLink, now: Instant) -> str:
    """Why a sign-in link can no longer be used; empty while it can."""
    if link.used_at:
        return "this link was used already: ask for a new one"
    if now >= link.expires:
        return "this link has expired: ask for a new one"
    return ""
