"""The journal of live records: who changed which schedule, team, route or person, when, through which door, and what it was before.

Incidents have their facts and the policy its versions; what merely says how things stand today has this. It is kept for
:data:`KEPT` and is for owners. What is secret, leads to somebody's telephone or is nobody's business is named and not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tocsin.kernel.clock import DAY, Instant, humanize, to_iso
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import Reader, RecordRow
from tocsin.kernel.redact import mask

KIND = "journal"
KEPT = 400 * DAY
MOST_LINES, LONGEST_VALUE = 30, 140
FIRST_INSTANT = 10**15
"""microseconds: a number beyond the year 2001 is a time"""
DURATIONS = frozenset({"after", "interval", "grace"})
LEFT_OUT = frozenset({"sealed_key", "sealed", "created_at"})
MASKED = frozenset({"address", "number", "contact"})
"""fields of which it is told that they changed, and not how"""
NOTHING = "nothing"


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
    id: str = ""


def entry_of(
    written: Sequence[Written], *, at: Instant, by: str, door: str, verb: str, answer: Mapping[str, Any]
) -> Entry | None:
    """What is kept of a change; None where nothing is different now."""
    lines = [line for one in written for line in difference(one)]
    if (written and not lines) or answer.get("confirmed") is False:
        return None
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more"]
    about = f"{written[0].kind} {written[0].id}" if written else str(answer.get("id", ""))
    return Entry(at, by, door, verb, about, str(answer.get("name") or _name(written)), lines)


def row_of(entry: Entry, id: str) -> RecordRow:
    """The record that an entry is kept as; it ends by itself."""
    return RecordRow(KIND, id, "", encode(entry), entry.at, entry.at + KEPT)


def entries(reader: Reader, limit: int = 200, before: str = "") -> list[Entry]:
    """The last changes, the newest first; ``before``: older than the entry of that id. One that cannot be read is shown as that."""
    return [_read(row) for row in reader.newest_records(KIND, limit, before)]


def _read(row: RecordRow) -> Entry:
    try:
        return msgspec.structs.replace(decode(row.body, Entry), id=row.id)
    except (msgspec.MsgspecError, ValueError):
        return Entry(row.updated_at, "", "", "cannot be read by this version", "", "", [], row.id)


def difference(written: Written) -> list[str]:
    """What differs between two states of a record, a line for each field; of one that is gone, what it was."""
    before, after = (
        dict(_flat(written.kind, decode(body))) if body else {} for body in (written.before, written.after)
    )
    if not after:
        return [
            "removed",
            *(_line(name, _short(value)) for name, value in before.items() if value not in EMPTY),
        ]
    if not before:
        return [_line(name, _short(value)) for name, value in after.items() if value not in EMPTY]
    return [
        _line(name, f"{_short(before.get(name, ''))} → {_short(after.get(name, ''))}")
        for name in dict.fromkeys([*before, *after])
        if before.get(name, "") != after.get(name, "")
    ]


EMPTY = ("", "0", "false")


def _short(value: str) -> str:
    value = mask(value) or NOTHING
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"


def _line(name: str, value: str) -> str:
    return f"{name}: changed" if name.rpartition(".")[2] in MASKED else f"{name}: {value}"


def _flat(kind: str, value: Any) -> Iterator[tuple[str, str]]:
    """The fields of a record, however deep, as texts."""
    for name, part in value.items() if isinstance(value, dict) else ():
        if name == "id":
            continue
        if name == "contacts" and kind == "person":  # a label may be a number as well
            yield (
                name,
                ", ".join(f"{one['kind']}{' (proved)' if one.get('tested_at') else ''}" for one in part),
            )
            yield f"{name}.address", ", ".join(str(one.get("address", "")) for one in part)
        elif not (name == "reason" and kind == "leave"):
            yield from _parts(part, name)


def _parts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """The parts of a field; those of a list are named by their id where they have one."""
    field = name.rpartition(".")[2]
    if field in LEFT_OUT:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _parts(part, f"{name}.{key}")
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for number, part in enumerate(value, 1):
            known = part.get("id") if isinstance(part, dict) else None
            yield from _parts(part, f"{name}[{known or number}]")
    elif isinstance(value, list):
        yield name, ", ".join(str(one) for one in value)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, int) and value > FIRST_INSTANT:
        yield name, to_iso(value)
    elif isinstance(value, int) and value and field in DURATIONS:
        yield name, humanize(value)
    else:
        yield name, str(value)


def _name(written: Sequence[Written]) -> str:
    for one in written:
        body = decode(one.after or one.before or b"{}")
        if isinstance(body, dict) and body.get("name"):
            return str(body["name"])
    return ""
