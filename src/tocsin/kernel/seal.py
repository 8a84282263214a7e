"""Seals: an Ed25519 signature over the heads of all streams, made with a key that lives outside the database.

A hash chain alone shows neither a cut-off end nor a full rewrite; a seal does, for everything up to its time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tocsin.kernel.clock import Instant


class Seal(msgspec.Struct, frozen=True):
    """``heads`` maps ``kind/id`` to ``[version, hash as hex]``; ``signature`` and ``public_key`` are hex."""

    at: Instant
    heads: dict[str, tuple[int, str]]
    signature: str
    public_key: str


def new_key() -> bytes:
    """32 secret bytes of a fresh Ed25519 key."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def public_key(secret: bytes) -> str:
    """The public half, as hex."""
    key = Ed25519PrivateKey.from_private_bytes(secret)
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def make_seal(secret: bytes, at: Instant, heads: Mapping[str, tuple[int, str]]) -> Seal:
    """Signs the heads as they stood at ``at``."""
    key = Ed25519PrivateKey.from_private_bytes(secret)
    return Seal(at, dict(heads), key.sign(_signed_bytes(at, heads)).hex(), public_key(secret))


def check_seal(seal: Seal, trusted_public_key: str | None = None) -> str | None:
    """None when the signature holds, else a sentence. With ``trusted_public_key`` the key must be that one."""
    if trusted_public_key is not None and seal.public_key != trusted_public_key:
        return f"the seal was made with the key {seal.public_key[:16]}…, not with the trusted {trusted_public_key[:16]}…"
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(seal.public_key)).verify(
            bytes.fromhex(seal.signature), _signed_bytes(seal.at, seal.heads)
        )
    except (InvalidSignature, ValueError):
        return "the seal's signature does not match what it seals"
    return None


def _signed_bytes(at: Instant, heads: Mapping[str, tuple[int, str]]) -> bytes:
    lines = [f"tocsin seal 1 {at}"] + [f"{name} {heads[name][0]} {heads[name][1]}" for name in sorted(heads)]
    return hashlib.sha256("\n".join(lines).encode()).digest()
