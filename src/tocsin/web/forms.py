"""Forms and JSON bodies → the structs that commands and changes are. One reader for pages and API.

Instants are RFC 3339 in JSON, and in forms ``2026-03-02T09:00`` in the zone of whoever fills the form in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import FormData

from tocsin.intake.limits import UnsupportedEncoding
from tocsin.kernel.clock import check_instant, parse_instant
from tocsin.kernel.errors import Unusable
from tocsin.oncall.relative import parse_moment

S = TypeVar("S", bound=msgspec.Struct)

INSTANTS = frozenset({"at", "until", "due", "eta", "start", "end", "starts_at", "ends_at", "expires"})
"""Fields that hold an instant, in every command and change; a rotation's ``start`` is a wall time in a struct of its own."""
IGNORED = frozenset({"csrf", "verb"})
_LISTS = {list[str], list[str] | None}
_BOOLS = {bool, bool | None}
_INTS = {int, int | None}
_CUTS, _LINES = re.compile(r"[\n,]"), re.compile(r"\n")
_CHARSET = re.compile(r"(?i)\bcharset\*?\s{0,8}=\s{0,8}[\"']?([^\"';\s]+)")
WHOLE_LINES = frozenset({"matchers"})
"""lists whose items may hold a comma"""


@lru_cache(maxsize=256)
def fields_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """field name → type."""
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def build(kind: type[S], values: Mapping[str, Any], *, strict: bool = True) -> S:
    """The struct of ``values``; raises :class:`Unusable` with what is wrong and where."""
    try:
        return msgspec.convert(dict(values), kind, strict=strict)
    except msgspec.ValidationError as error:
        sentence, _, where = str(error).partition(" - at ")
        raise Unusable(f"this cannot be read: {sentence}", where.strip("`") or "$") from None


def from_json(kind: type[S], values: Mapping[str, Any], **fixed: Any) -> S:
    """The struct of a JSON body; ``fixed`` comes from the address. Raises :class:`Unusable`.

    A type is what the document says: ``0`` is no false. An instant may also be microseconds, as answers have them.
    """
    merged = dict(values)
    for name, value in fixed.items():
        if name in merged and merged[name] != value:
            raise Unusable(f"{name} stands in the address; leave it out of the body", f"$.{name}")
        merged[name] = value
    types = fields_of(kind)
    for name in INSTANTS & set(merged):
        text = merged[name]
        if types.get(name) is int and isinstance(text, str):
            merged[name] = int(text) if is_whole(text.removeprefix("-")) else parse_instant(text)
    return _in_time(build(kind, merged))


def from_form(kind: type[S], form: FormData, *, zone: str = "UTC", now: int = 0, **fixed: Any) -> S:
    """The struct of a form: lists by repeated fields, lines or commas; an empty field counts as left out."""
    types = fields_of(kind)
    values: dict[str, Any] = {}
    for name in form:
        if name in IGNORED or name in fixed:
            continue
        texts = [text.replace("\r\n", "\n") for text in form.getlist(name) if isinstance(text, str)]
        if not texts:
            continue
        if any("\x00" in text for text in texts):
            raise Unusable(f"{name} holds a NUL character; leave it out", name)
        wanted = types.get(name)
        if wanted in _LISTS:
            values[name] = [
                part.strip()
                for text in texts
                for part in (_LINES if name in WHOLE_LINES else _CUTS).split(text)
                if part.strip()
            ]
        elif wanted in _BOOLS:
            values[name] = texts[-1] in ("yes", "on", "true")
        elif name in INSTANTS and wanted is int:
            if texts[-1].strip():
                values[name] = instant_of(texts[-1].strip(), zone, now)
        elif wanted in _INTS:
            if texts[-1].strip():
                values[name] = texts[-1].strip()
        elif texts[-1].strip() or _may_be_emptied(wanted):
            values[name] = texts[-1]
    return _in_time(build(kind, values | fixed, strict=False))


def _in_time(value: S) -> S:
    """The struct, every instant of which lies between 1970 and 2100; raises :class:`Unusable`.

    One that no calendar shows would be stored, and break every page that shows it.
    """
    for name in INSTANTS:
        if fields_of(type(value)).get(name) is int:
            check_instant(getattr(value, name), name)
    return value


def is_whole(text: str) -> bool:
    """Whether ``text`` is a whole number that fits 64 bits, in plain digits: ``²`` is a digit to Python and no number."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def instant_of(text: str, zone: str, now: int) -> int:
    """An instant as a form has it: local, relative, RFC 3339, or microseconds."""
    return int(text) if is_whole(text) else parse_moment(text, zone, now)


def check_charset(content_type: str) -> None:
    """Raises 415 for a form in another encoding than UTF-8: some of the others can be decoded to what is no text."""
    named = _CHARSET.search(content_type[:500])
    if named is not None and named[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedEncoding(f"a form is sent as UTF-8, not as {named[1][:40]}")


def _may_be_emptied(wanted: Any) -> bool:
    """In a change, where None means *leave it*, an empty field empties the value."""
    return wanted == (str | None)
