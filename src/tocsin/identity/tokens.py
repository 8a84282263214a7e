"""API tokens and integration keys: made once, kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.kernel.errors import Unusable
from tocsin.kernel.randomness import Randomness, token

PREFIX = "toc_"
"""So that scanners for leaked secrets, and people, know a Tocsin token when they see one."""

SCOPES = ("read", "respond", "configure", "silence", "admin")
IMPLIES = {
    "read": frozenset({"read"}),
    "respond": frozenset({"read", "respond"}),
    "configure": frozenset({"read", "configure"}),
    "silence": frozenset({"read", "silence"}),
    "admin": frozenset(SCOPES),
}
"""What each scope brings with it."""


class ApiToken(msgspec.Struct, frozen=True):
    """A token as stored: ``hash`` is its SHA-256 (hex), ``hint`` its last four characters. 0 for never."""

    id: str
    hash: str
    hint: str
    person: str
    scopes: tuple[str, ...]
    name: str = ""
    created: Instant = 0
    expires: Instant = 0
    last_used: Instant = 0
    revoked_at: Instant = 0


def new_token(randomness: Randomness) -> str:
    """A token with 240 random bits, to be shown once."""
    return PREFIX + token(randomness, 240)


def token_hash(secret: str) -> str:
    """SHA-256 (hex). A token has so much randomness that no slow hash is needed."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def make_token(
    randomness: Randomness,
    id: str,
    person: str,
    scopes: Iterable[str],
    now: Instant,
    *,
    name: str = "",
    expires: Instant = 0,
) -> tuple[str, ApiToken]:
    """(the secret to show once, what to store). Raises :class:`Unusable` for a scope that does not exist."""
    checked = check_scopes(scopes)
    secret = new_token(randomness)
    return secret, ApiToken(id, token_hash(secret), secret[-4:], person, checked, name, now, expires)


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in their usual order, each once. Raises :class:`Unusable` for unknown ones or none at all."""
    wanted = set(scopes)
    unknown = sorted(wanted - set(SCOPES))
    if unknown:
        raise Unusable(f"there is no scope {', '.join(unknown)}: choose among {', '.join(SCOPES)}", "scopes")
    if not wanted:
        raise Unusable(f"a token needs at least one scope: choose among {', '.join(SCOPES)}", "scopes")
    return tuple(scope for scope in SCOPES if scope in wanted)


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Everything that ``scopes`` allow, what they imply included."""
    return frozenset().union(*(IMPLIES.get(scope, frozenset()) for scope in scopes))


def token_ended(stored: ApiToken, now: Instant) -> str:
    """Why a token no longer works; empty while it does."""
    if stored.revoked_at:
        return "this token was revoked"
    if stored.expires and now >= stored.expires:
        return "this token has expired"
    return ""


def key_hash(key: str, secret: bytes) -> str:
    """HMAC-SHA256 (hex) of an integration key: a stolen database alone does not let anybody test guesses."""
    if len(secret) < 32:
        raise Unusable(
            "the key file holds fewer than 32 bytes: make a new one or restore the right one", "key file"
        )
    return hmac.new(
        secret, b"tocsin integration key\x00" + key.encode(errors="surrogatepass"), hashlib.sha256
    ).hexdigest()
