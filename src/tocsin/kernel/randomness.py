"""Randomness is an argument like time: ids, jitter and tokens come from here, so that a drill replays exactly."""

from __future__ import annotations

import random
import secrets
import threading
from functools import lru_cache
from typing import Protocol

from tocsin.kernel.clock import MILLISECOND, Instant

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_OF_BYTES = bytes(ord(_CROCKFORD[byte % 32]) for byte in range(256))
"""a letter for each byte, of which five bits count: drawing more than is needed is faster than shifting it apart"""
RANDOM_LETTERS = 16
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_URLSAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Randomness(Protocol):
    """A source of ids, tokens and jitter."""

    def bits(self, count: int) -> int:
        """``count`` random bits as a non-negative integer."""
        ...


class SystemRandomness:
    """The operating system's generator; fit for secrets."""

    def bits(self, count: int) -> int:
        return secrets.randbits(count)


class SeededRandomness:
    """A generator that gives the same answers for the same seed; for drills and tests, never for secrets."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def bits(self, count: int) -> int:
        with self._lock:
            return self._random.getrandbits(count)


def ulid(randomness: Randomness, now: Instant) -> str:
    """A ULID (https://github.com/ulid/spec): 48 bits of milliseconds and 80 random bits, 26 Crockford base 32 letters."""
    return ulids(randomness, now, 1)[0]


def ulids(randomness: Randomness, now: Instant, count: int) -> list[str]:
    """As many ULIDs of one moment, drawn together."""
    moment, drawn = _moment(now // MILLISECOND), randomness.bits(8 * RANDOM_LETTERS * count)
    letters = drawn.to_bytes(RANDOM_LETTERS * count, "big").translate(_OF_BYTES).decode("ascii")
    return [moment + letters[at : at + RANDOM_LETTERS] for at in range(0, len(letters), RANDOM_LETTERS)]


@lru_cache(maxsize=16)
def _moment(milliseconds: int) -> str:
    """The first ten letters of a ULID; many are made in one millisecond."""
    value = milliseconds & ((1 << 48) - 1)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(40, -1, -10)])


def token(randomness: Randomness, bits: int = 192) -> str:
    """A URL-safe secret of ``bits`` random bits (a multiple of six)."""
    value = randomness.bits(bits)
    return "".join(_URLSAFE[(value >> shift) & 63] for shift in range(0, bits, 6))


def dedup_key(randomness: Randomness) -> str:
    """32 lowercase letters and digits, as PagerDuty's Events API v2 gives a trigger that came without a key."""
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
    return "".join(alphabet[randomness.bits(30) % 36] for _ in range(32))


def jitter(randomness: Randomness, duration: int, percent: int = 20) -> int:
    """``duration`` give or take ``percent`` per cent, so that retries do not march in step."""
    spread = duration * percent // 100
    return duration - spread + (randomness.bits(32) * 2 * spread >> 32) if spread else duration
