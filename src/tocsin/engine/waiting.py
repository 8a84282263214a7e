"""Whose answer is waited for: the open incidents that each person was paged for and nobody has taken.

Every page lists them, so they are kept in memory and follow the facts: what was written since the last look is read anew,
whoever wrote it. What a look saw may have been rolled back since; then the fact it ended with is not there, and all is read
once more.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from tocsin.engine.work import SMALL, View, read_view
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import Reader, StreamRow
from tocsin.notify.texts import PageContext

READ_AT_FIRST = 2_000
"""open incidents, the newest first, that are looked through after a start, beside those that somebody's last page listed"""
AT_ONCE = 10_000
"""facts since the last look that are followed; where there are more, all that is open is read once more"""
WORTH_KEEPING = SMALL // 2
"""bytes of the stored view of an incident that is kept read: one of thousands of alerts takes much memory and is rare"""
KEPT = 2_048

Order = tuple[str, Instant, int, str]
"""severity, when it opened, its number, its id: the worst and oldest first"""


class Seen:
    """Incidents as they were last read or written, by the hash of their last fact: what was rolled back is never found.

    They are looked at and not changed, except by whoever takes one away.
    """

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._known: OrderedDict[str, View] = OrderedDict()

    def keep(self, view: View) -> None:
        """Remembers an incident as it stands after a fact."""
        id = view.incident.id
        if view.size > WORTH_KEEPING:
            self._known.pop(id, None)
            return
        known = self._known
        known.pop(id, None)
        while len(known) >= self._most:  # the one that nobody changed for longest goes
            known.popitem(last=False)
        known[id] = view

    def take(self, id: str, head: bytes) -> View | None:
        """The incident after the fact of this hash, given away to be changed; None where it is not known as that."""
        view = self._known.pop(id, None)
        return view if view is not None and view.head == head else None

    def at(self, id: str, head: bytes) -> Incident | None:
        """The incident after the fact of this hash, to look at; None where it is not known as that."""
        view = self._known.get(id)
        return view.incident if view is not None and view.head == head else None

    def read(self, reader: Reader, row: StreamRow) -> Incident:
        """The incident of a row; raises where it cannot be read."""
        known = self.at(row.stream.id, row.head)
        if known is not None:
            return known
        incident, stored = read_view(reader, row)
        self.keep(View(row.head, incident, stored, len(row.snapshot) if stored else 0))
        return incident


class Waiting(msgspec.Struct):
    """An open incident with an escalation that runs and has paged ``people``."""

    id: str
    order: Order
    drill: bool
    people: frozenset[str]
    left: dict[str, Instant] = {}
    """person → from when on a page for it has left, as far as that was asked"""
    about: tuple[Directory, PageContext] | None = None
    """what a page says of it, as long as the directory is this one"""


class Unanswered:
    """See the module. Used inside transactions alone, by one thread at a time of one process."""

    def __init__(self) -> None:
        self._last: tuple[int, bytes] = (0, b"")
        self._known: dict[str, Waiting] = {}
        self._of: dict[str, list[Order]] = {}

    def follow(self, reader: Reader, read: Callable[[StreamRow], Incident | None], seen: Seen) -> None:
        """Comes up to date. ``read``: the incident of a row, or None where it cannot be read."""
        last = reader.last_fact()
        if last == self._last:
            return
        position, hash = self._last
        goes_on = bool(position) and reader.fact_hash(position) == hash
        changed = reader.changed_streams("incident", position, AT_ONCE) if goes_on else None
        if changed is None:
            self._known, self._of = {}, {}
            for row in reader.streams("incident", open=True, limit=READ_AT_FIRST):
                self._put(row.stream.id, read(row) if row.open else None)
        else:
            for id, head in changed.items():
                incident = seen.at(id, head)
                if incident is not None:
                    self._put(id, incident)
                else:
                    self.look(reader, id, read)
        self._last = last

    def look(self, reader: Reader, id: str, read: Callable[[StreamRow], Incident | None]) -> Waiting | None:
        """Reads one anew; answers it where somebody's answer is waited for."""
        row = reader.stream(Stream("incident", id))
        return self._put(id, read(row) if row is not None and row.open else None)

    def known(self, id: str) -> Waiting | None:
        """One incident, where somebody's answer is waited for."""
        return self._known.get(id)

    def of(self, person: str) -> Iterator[Waiting]:
        """What the person has not answered, the worst first."""
        return (self._known[order[3]] for order in self._of.get(person, ()))

    def _put(self, id: str, incident: Incident | None) -> Waiting | None:
        self._forget(id)
        people = waited_for(incident) if incident is not None else frozenset()
        if incident is None or not people:
            return None
        order = (incident.severity, incident.opened_at, incident.number, incident.id)
        waiting = Waiting(incident.id, order, incident.drill, people)
        self._known[incident.id] = waiting
        for person in people:
            insort(self._of.setdefault(person, []), order)
        return waiting

    def _forget(self, id: str) -> None:
        waiting = self._known.pop(id, None)
        if waiting is None:
            return
        for person in waiting.people:
            orders = self._of[person]
            del orders[bisect_left(orders, waiting.order)]
            if not orders:
                del self._of[person]


def waited_for(incident: Incident) -> frozenset[str]:
    """Everybody whom an escalation that runs has paged: any of them may take it."""
    if not incident.open:
        return frozenset()
    return frozenset(
        person for run in incident.runs.values() if run.state == "running" for person in run.paged
    )
