"""Sealed copies of secrets that must be shown again (integration keys): AES-256-GCM under a key file.

The key lives in a file beside the database, never in it: a stolen database alone opens nothing. The place where a
sealed value belongs (``what``) is authenticated with it, so that one sealed value cannot be put in another's place.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tocsin.kernel.errors import Unusable
from tocsin.kernel.randomness import Randomness

KEY_BYTES = 32
_FORMAT = b"\x01"
_NONCE_BYTES = 12


def new_key(randomness: Randomness) -> bytes:
    """A fresh key for the key file; ``randomness`` must be the system's own."""
    return randomness.bits(KEY_BYTES * 8).to_bytes(KEY_BYTES, "big")


def seal(key: bytes, text: str, what: str, randomness: Randomness) -> str:
    """``text`` sealed for the place ``what`` (``integration/01J…``), as URL-safe base64."""
    nonce = randomness.bits(_NONCE_BYTES * 8).to_bytes(_NONCE_BYTES, "big")
    sealed = AESGCM(_derived(key)).encrypt(nonce, text.encode(), _FORMAT + what.encode())
    return base64.urlsafe_b64encode(_FORMAT + nonce + sealed).decode().rstrip("=")


def unseal(key: bytes, sealed: str, what: str) -> str:
    """The text again. Raises :class:`Unusable` where the key is another one, or the value was changed or moved."""
    try:
        data = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Unusable(f"the sealed copy of {what} is damaged: make a new key for it", what) from None
    if len(data) < 1 + _NONCE_BYTES + 16 or data[:1] != _FORMAT:
        raise Unusable(
            f"the sealed copy of {what} has a format this version does not know: make a new key for it", what
        )
    try:
        opened = AESGCM(_derived(key)).decrypt(
            data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :], _FORMAT + what.encode()
        )
    except InvalidTag:
        raise Unusable(
            f"the sealed copy of {what} does not open with this key file: restore the key file that belongs to this database",
            what,
        ) from None
    return opened.decode()


def _derived(key: bytes) -> bytes:
    """Its own key for sealing, so that one key file can serve several uses (HKDF, RFC 5869)."""
    if len(key) < KEY_BYTES:
        raise Unusable(
            f"the key file holds fewer than {KEY_BYTES} bytes: make a new one or restore the right one",
            "key file",
        )
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"tocsin vault 1").derive(key)
