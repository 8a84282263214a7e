"""The journal of live records: who changed which schedule, team, route or person, when, through which door, and what it was before.

Incidents have their facts and the policy its versions; what merely says how things stand today has this. It is kept for
:data:`KEPT` and is for owners. What is secret or leads to somebody's telephone is named and not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tocsin.kernel.clock import DAY, Instant, to_iso
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import Reader, RecordRow
from tocsin.kernel.redact import mask

KIND = "journal"
KEPT = 400 * DAY
MOST_LINES, LONGEST_LINE = 30, 300
FIRST_INSTANT = 10**15
"""microseconds: a number beyond the year 2001 is a time"""
UNSHOWN = frozenset({"address", "sealed_key", "sealed", "verified_at", "tested_at"})
"""fields whose values stay out: of some it is told that they changed"""
SILENT = frozenset({"sealed_key", "sealed", "verified_at", "tested_at", "created_at"})
"""and of these not even that"""


class Written(msgspec.Struct):
    """A record that a change wrote or removed, as it was before and after; None where it is not there."""

    kind: str
    id: str
    before: bytes | None
    after: bytes | None


class Entry(msgspec.Struct):
    """One change. ``by``: the principal; ``door``: session, token …; ``about``: kind and id of what was changed; ``lines``: what is
    different now, ``field: before → after``.
    """

    at: Instant
    by: str
    door: str
    verb: str
    about: str
    name: str
    lines: list[str]


def entry_of(
    written: Sequence[Written], *, at: Instant, by: str, door: str, verb: str, answer: dict[str, Any]
) -> Entry:
    """What is kept of a change."""
    lines = [line for one in written for line in difference(one)]
    about = f"{written[0].kind} {written[0].id}" if written else str(answer.get("id", ""))
    return Entry(at, by, door, verb, about, str(answer.get("name") or _name(written)), lines[:MOST_LINES])


def row_of(entry: Entry, id: str) -> RecordRow:
    """The record that an entry is kept as; it ends by itself."""
    return RecordRow(KIND, id, "", encode(entry), entry.at, entry.at + KEPT)


def entries(reader: Reader, limit: int = 200) -> list[Entry]:
    """The last changes, the newest first."""
    rows = reader.records(KIND)
    return [decode(row.body, Entry) for row in reversed(rows[-limit:])]


def difference(written: Written) -> list[str]:
    """What differs between two states of a record, a line for each field."""
    before, after = (dict(_flat(decode(body))) if body else {} for body in (written.before, written.after))
    if not after:
        return ["removed"]
    if not before:
        return [_line(name, value) for name, value in after.items() if value not in ("", "0", "false")]
    return [
        _line(name, f"{before.get(name) or 'nothing'} → {after.get(name) or 'nothing'}")
        for name in dict.fromkeys([*before, *after])
        if before.get(name, "") != after.get(name, "")
    ]


def _line(name: str, value: str) -> str:
    if name.rpartition(".")[2] in UNSHOWN:
        return f"{name}: changed"
    return mask(f"{name}: {value}")[:LONGEST_LINE]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a record, however deep, as texts; the parts of a list are named by their id where they have one."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in SILENT and not (key == "id" and not name):
                yield from _flat(part, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for number, part in enumerate(value, 1):
            known = part.get("id") if isinstance(part, dict) else None
            yield from _flat(part, f"{name}[{known or number}]")
    elif isinstance(value, list):
        yield name, ", ".join(str(one) for one in value)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, int) and value > FIRST_INSTANT:
        yield name, to_iso(value)
    else:
        yield name, str(value)


def _name(written: Sequence[Written]) -> str:
    for one in written:
        body = decode(one.after or one.before or b"{}")
        if isinstance(body, dict) and body.get("name"):
            return str(body["name"])
    return ""
