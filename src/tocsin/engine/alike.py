"""Incidents that open alike: what followed from the first of a unit of work is written for each of the others.

A storm opens hundreds of incidents at one moment. Two that are declared in the same words but for title, number and group, under
the same policy and directory, by alerts of the same service and team, differ in their ids alone: who is paged, by which
step, what is owed next. So the rules are asked once. What they came to is kept as one text with the ids cut out of it, and
the others are written from it with ids of their own, made in the same order: each is what it would be had it been worked out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident, war_room_at
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import canonical, decode, encode
from tocsin.kernel.facts import Draft
from tocsin.kernel.ports import OutboxRow

APART = "\x00"
"""stands between the parts of the text: JSON escapes it, and no id or key has it"""


def likeness(declared: f.Declared, first: f.AlertsAttached) -> bytes | None:
    """What incidents that open alike have in common; None for those that are rare and worked out one by one.

    Title, number and group may differ: nothing that follows from a beginning looks at them.
    """
    if declared.restricted or declared.drill or declared.linked:
        return None
    common = msgspec.structs.replace(declared, number=0, title="", group_key="")
    return encode((common, [(ref.service, ref.policy, ref.team) for ref in first.alerts]))


class Opened(msgspec.Struct):
    """An incident as it opened: the ids of its facts up to that of its alert, all of these but the first, and what leaves."""

    incident: Incident
    ids: list[str]
    drafts: list[Draft]
    rows: list[OutboxRow]


class Opening:
    """What the first of several came to; made into a text when a second one opens alike."""

    def __init__(self, made: Sequence[str], opened: Opened, war_room: str) -> None:
        """``made``: every id that was made for it, in order. ``war_room``: where responses meet, as the directory has it."""
        self.due: tuple[Instant | None] | None = None
        """when its timer falls due, once that is known"""
        self._made, self._war_room = tuple(made), war_room
        self._meets = bool(opened.incident.war_room)
        self._ids, self._drafts, self._rows = opened.ids, opened.drafts, opened.rows
        self._state = encode(opened.incident)  # it goes on to change
        self._parts: list[str] = []
        self._holes: list[tuple[int, int]] = []

    def _written(self) -> str:
        state: Incident = decode(self._state, Incident)
        # each one's own; a title may read like an id
        state.number, state.title, state.group_key, state.war_room = 0, "", "", ""
        parts = [encode(state).decode(), *self._ids, *(draft.body.decode() for draft in self._drafts)]
        for row in self._rows:
            parts += [row.id, row.key, row.scope, row.tag, row.payload.decode()]
        return APART.join(parts)

    def _cut(self) -> None:
        """Cuts the ids out of the text."""
        holes = {id: value for value, id in enumerate(self._made)}
        text, at = self._written(), 0
        for place, hole in sorted((place, one) for one in holes for place in _places(text, one)):
            self._holes.append((len(self._parts) + 1, holes[hole]))
            self._parts += [text[at:place], ""]
            at = place + len(hole)
        self._parts.append(text[at:])

    def again(self, declared: f.Declared, new_ids: Callable[[int], list[str]]) -> Opened:
        """One more that opens like this, with ids of its own."""
        if not self._parts:
            self._cut()
        values = new_ids(len(self._made))
        parts = self._parts
        for place, value in self._holes:
            parts[place] = values[value]
        texts = iter("".join(parts).split(APART))
        incident: Incident = decode(next(texts), Incident)
        incident.number, incident.title = declared.number, declared.title
        incident.group_key = declared.group_key
        if self._meets:
            incident.war_room = war_room_at(self._war_room, incident.name)
        ids = [next(texts) for _ in self._ids]
        drafts = [
            Draft(draft.type, next(texts).encode(), draft.occurred_at, draft.type_version, draft.visibility)
            for draft in self._drafts
        ]
        for draft in drafts:
            if draft.type == f.WarRoomOpened.type:  # the one fact that has the incident's name in it
                draft.body = canonical(f.WarRoomOpened(incident.war_room))
        rows = [
            msgspec.structs.replace(
                row, id=next(texts), key=next(texts), scope=next(texts), tag=next(texts), payload=next(texts).encode()
            )
            for row in self._rows
        ]  # fmt: skip
        return Opened(incident, ids, drafts, rows)


def _places(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))
