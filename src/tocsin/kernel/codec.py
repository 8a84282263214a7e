"""Canonical JSON for facts, and one wrapper around decoding what strangers send.

Canonical bytes: UTF-8, keys sorted, no blanks, integers only. They are hashed and stored as they are; nothing is
ever re-encoded to be checked.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from tocsin.kernel.errors import Unusable

T = TypeVar("T")

MAX_DEPTH = 100
"""objects and lists within each other that a stranger's document may have; more is no alert, and costs whoever walks it"""

_PART_OF_A_FLOAT = re.compile(rb"[0-9][.e]")
"""what JSON of a number with a fraction or an exponent has; it is looked for first, because it is found fast"""
_LIKE_A_FLOAT = re.compile(rb"(?:^|[:[,])-?[0-9]+[.e]")
"""in JSON: such a number; texts may look like it too"""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""in JSON: an escape that is no text without its other half, of which the decoder says that its input was truncated"""
_canonical = msgspec.json.Encoder(order="sorted")
_plain = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def canonical(value: Any) -> bytes:
    """The bytes of ``value`` that are hashed. Raises :class:`Unusable` where a float hides in it."""
    text = _canonical.encode(value)
    if b"null" in text or (_PART_OF_A_FLOAT.search(text) and _LIKE_A_FLOAT.search(text)):
        _refuse_floats(value, "$")
    return text


def encode(value: Any) -> bytes:
    """Compact JSON of a value or a struct, for rows that are not hashed."""
    return _plain.encode(value)


def decode(data: bytes | str, type: type[T] | Any = None) -> Any:
    """Decodes JSON of our own making. ``type`` is a msgspec struct or None for plain values."""
    if type is None:
        return _decoder.decode(data)
    return msgspec.json.decode(data, type=type)


BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def marked(data: bytes) -> bool:
    """Whether one mark stands before the text, as some systems write every text."""
    return data.startswith(BYTE_ORDER_MARK) and not data.startswith(BYTE_ORDER_MARK * 2)


def decode_foreign(data: bytes, *, what: str = "the body", mends_nul: bool = False) -> Any:
    """Decodes JSON that somebody else sent. ``mends_nul``: a NUL becomes U+FFFD, where a body carries what several have said.

    Bad UTF-8, lone surrogates, nesting deeper than ``MAX_DEPTH``, NUL characters and syntax errors all end in
    :class:`Unusable` with the reason: msgspec raises three different errors for the first three, lets NUL pass, and
    PostgreSQL refuses it.
    """
    try:
        value = _decoder.decode(data)
    except msgspec.DecodeError as error:
        if marked(data):
            return decode_foreign(data.removeprefix(BYTE_ORDER_MARK), what=what, mends_nul=mends_nul)
        if not data.strip():
            raise Unusable(f"{what} is empty. Send UTF-8 JSON.", "$") from None
        if "out of range" in str(error):
            raise Unusable(f"{what} has a number that is too large. Send it as a text.", "$") from None
        half = " Half of a surrogate pair (\\ud800 to \\udfff) is no text." if _SURROGATE.search(data) else ""
        raise Unusable(f"{what} is not valid JSON: {error}. Send UTF-8 JSON.{half}", "$") from None
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise Unusable(f"{what} is not valid UTF-8. Send UTF-8 JSON.", "$") from None
    except RecursionError:
        raise _too_deep(what) from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _refuse_depth(value, what)
    if b"\\u0000" in data or b"\x00" in data:
        if mends_nul:
            return _without_nul(value)
        _refuse_nul(value, "$", what)
    return value


def _too_deep(what: str) -> Unusable:
    return Unusable(f"{what} is nested more than {MAX_DEPTH} deep. Send a flatter document.", "$")


def _refuse_depth(value: Any, what: str) -> None:
    """Level by level, so that the depth of a document is never the depth of our own calls."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise _too_deep(what)


def _refuse_nul(value: Any, path: str, what: str) -> None:
    waiting = [(value, path)]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str):
            if "\x00" in value:
                raise Unusable(f"{what} has a NUL character at {path[:200]}. Remove it.", path[:200])
        elif isinstance(value, dict):
            waiting += [(key, path) for key in value]
            waiting += [(item, f"{path}.{key[:60]}") for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(item, f"{path}[{index}]") for index, item in enumerate(value)]


def _without_nul(value: Any) -> Any:
    """The value with U+FFFD for each NUL; it is known not to be deep."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


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
