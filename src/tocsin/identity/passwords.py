"""Passwords: Argon2id (RFC 9106) through argon2-cffi, with its recommended low-memory parameters."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from tocsin.kernel.errors import Unusable

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 1024
"""Longer input is refused before it costs any hashing."""

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_few = threading.BoundedSemaphore(4)
"""how many are hashed together: each takes 64 MiB"""


def check_password(password: str, *, login: str = "") -> None:
    """Raises :class:`Unusable` with a sentence where ``password`` is too short, too long or too plain."""
    if len(password) < MINIMUM_LENGTH:
        raise Unusable(
            f"the password has {len(password)} characters; it needs at least {MINIMUM_LENGTH}: a few words in a row will do",
            "password",
        )
    if len(password) > MAXIMUM_LENGTH:
        raise Unusable(
            f"the password is longer than {MAXIMUM_LENGTH} characters: choose a shorter one", "password"
        )
    if len(set(password)) < 5:
        raise Unusable("the password repeats too few different characters: choose another one", "password")
    if login and password.casefold() == login.casefold():
        raise Unusable("the password is the same as the sign-in name: choose another one", "password")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise Unusable(
            "the password holds a character that cannot be stored: choose another one", "password"
        ) from None


def hash_password(password: str, *, login: str = "") -> str:
    """The Argon2id hash to store; raises :class:`Unusable` as :func:`check_password` does. Takes some tens of ms."""
    check_password(password, login=login)
    with _few:
        return _hasher.hash(password)


def verify_password(stored: str, password: str) -> bool:
    """Whether ``password`` is the one that was hashed. A hash that cannot be read matches nothing."""
    if len(password) > MAXIMUM_LENGTH:
        return False
    try:
        with _few:
            return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def needs_rehash(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's and should be made anew at the next sign-in."""
    return _hasher.check_needs_rehash(stored)
