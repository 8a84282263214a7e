"""Canonical JSON for facts, and one wrapper around decoding what strangers send.

Canonical bytes: UTF-8, keys sorted, no blanks, integers only. They are hashed and stored as they are; nothing is
ever re-encoded to be checked.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tocsin.kernel.errors import Unusable

T = TypeVar("T")

_canonical = msgspec.json.Encoder(order="sorted")
_plain = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def canonical(value: Any) -> bytes:
    """The bytes of ``value`` that are hashed. Raises :class:`Unusable` where a float hides in it."""
    _refuse_floats(value, "$")
    return _canonical.encode(value)


def encode(value: Any) -> bytes:
    """Compact JSON of a value or a struct, for rows that are not hashed."""
    return _plain.encode(value)


def decode(data: bytes | str, type: type[T] | Any = None) -> Any:
    """Decodes JSON of our own making. ``type`` is a msgspec struct or None for plain values."""
    if type is None:
        return _decoder.decode(data)
    return msgspec.json.decode(data, type=type)


def decode_foreign(data: bytes, *, what: str = "the body") -> Any:
    """Decodes JSON that somebody else sent.

    Bad UTF-8, lone surrogates, too deep nesting, NUL characters and syntax errors all end in :class:`Unusable` with
    the reason: msgspec raises three different errors for the first three, lets NUL pass, and PostgreSQL refuses it.
    """
    try:
        value = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise Unusable(f"{what} is not valid JSON: {error}. Send UTF-8 JSON.", "$") from None
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise Unusable(f"{what} is not valid UTF-8. Send UTF-8 JSON.", "$") from None
    except RecursionError:
        raise Unusable(f"{what} is nested too deeply. Send a flatter document.", "$") from None
    if b"\\u0000" in data or b"\x00" in data:
        _refuse_nul(value, "$", what)
    return value


def _refuse_nul(value: Any, path: str, what: str) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Unusable(f"{what} has a NUL character at {path}. Remove it.", path)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul(key, path, what)
            _refuse_nul(item, f"{path}.{key}", what)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_nul(item, f"{path}[{index}]", what)


def _refuse_floats(value: Any, path: str) -> None:
    if isinstance(value, float):
        raise Unusable(
            f"a fact holds the float {value!r} at {path}; use an integer of a smaller unit, or text", path
        )
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_floats(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{path}[{index}]")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _refuse_floats(getattr(value, name), f"{path}.{name}")
