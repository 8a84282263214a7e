"""Passwords, tokens, keys, sessions: what is kept can be checked and not read."""

from __future__ import annotations

import msgspec
import pytest
from argon2 import PasswordHasher

from tocsin.identity.passwords import check_password, hash_password, needs_rehash, verify_password
from tocsin.identity.sessions import (
    IDLE,
    LIFETIME,
    SignInLink,
    csrf_matches,
    link_unusable,
    open_session,
    secret_id,
    session_ended,
    touched,
)
from tocsin.identity.tokens import granted, key_hash, make_token, token_ended, token_hash
from tocsin.identity.vault import new_key, seal, unseal
from tocsin.kernel.clock import DAY, HOUR
from tocsin.kernel.errors import Unusable
from tocsin.kernel.randomness import SeededRandomness

CHANCE = SeededRandomness("identity")
KEY = bytes(range(32))


def test_a_password_is_known_again_and_never_kept() -> None:
    stored = hash_password("four plain words here")
    assert stored.startswith("$argon2id$") and "plain" not in stored
    assert verify_password(stored, "four plain words here")
    assert not verify_password(stored, "four plain words hers")
    assert not verify_password("not a hash", "four plain words here")
    assert not verify_password(stored, "\ud800" * 12)
    assert not needs_rehash(stored)
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("x"))


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("short", "at least 12"),
        ("x" * 2000, "longer than"),
        ("abababababab", "too few"),
        ("anna@fernhill", "sign-in name"),
        ("\ud800four plain words", "cannot be stored"),
    ],
)
def test_a_weak_password_is_refused_with_a_sentence(password: str, says: str) -> None:
    with pytest.raises(Unusable, match=says):
        check_password(password, login="anna@fernhill")


def test_a_token_is_shown_once_and_found_by_its_hash() -> None:
    secret, stored = make_token(CHANCE, "01JTOKEN", "anna", ["respond", "read"], 5, name="laptop", expires=10)
    assert secret.startswith("toc_") and stored.hash == token_hash(secret) and secret not in str(stored)
    assert stored.scopes == ("read", "respond")
    assert [token_ended(stored, now) for now in (9, 10)] == ["", "this token has expired"]
    assert token_ended(msgspec.structs.replace(stored, revoked_at=7), 8) == "this token was revoked"
    assert granted(["respond"]) == {"read", "respond"}
    for wrong in ([], ["everything"]):
        with pytest.raises(Unusable, match="scope"):
            make_token(CHANCE, "t", "anna", wrong, 5)


def test_integration_keys_are_hashed_under_a_key_file() -> None:
    assert key_hash("k1", KEY) == key_hash("k1", KEY) != key_hash("k2", KEY)
    assert key_hash("k1", KEY) != key_hash("k1", bytes(32))
    with pytest.raises(Unusable, match="key file"):
        key_hash("k1", b"short")


def test_a_sealed_copy_opens_only_with_its_key_in_its_place() -> None:
    sealed = seal(KEY, "the integration's key", "integration/1", CHANCE)
    assert unseal(KEY, sealed, "integration/1") == "the integration's key"
    assert seal(KEY, "the integration's key", "integration/1", CHANCE) != sealed
    for key, text, place in [
        (new_key(CHANCE), sealed, "integration/1"),
        (KEY, sealed, "integration/2"),
        (KEY, sealed[:-3] + "AAA", "integration/1"),
        (KEY, "AAAA", "integration/1"),
        (KEY, "not base64!", "integration/1"),
        (b"short", sealed, "integration/1"),
    ]:
        with pytest.raises(Unusable):
            unseal(key, text, place)


def test_a_session_ends_when_unused_or_old() -> None:
    session = open_session("cookie", "csrf", "anna", 0)
    assert session.id == secret_id("cookie") != "cookie"
    assert session_ended(session, IDLE - 1) == ""
    assert "two weeks" in session_ended(session, IDLE)
    used = touched(session, 80 * DAY)
    assert (
        used is not None
        and session_ended(used, LIFETIME - 1) == ""
        and "age limit" in session_ended(used, LIFETIME)
    )
    assert touched(session, HOUR - 1) is None, "not worth a write"
    assert csrf_matches(session, "csrf") and not csrf_matches(session, "\udcff")


def test_a_sign_in_link_works_once_and_for_an_hour() -> None:
    link = SignInLink(secret_id("s"), "anna", HOUR)
    assert link_unusable(link, HOUR - 1) == ""
    assert "expired" in link_unusable(link, HOUR)
    assert "used already" in link_unusable(msgspec.structs.replace(link, used_at=5), 6)
