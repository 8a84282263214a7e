"""The directory over time: until when does an answer hold, and whom does a target mean over a stretch?

Who is on call changes at hand-offs, overrides and leave. A sweep asks the directory itself and notes where what it
looked at ends, so that there is no second account of those rules.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from tocsin.incidents.directory import Directory, Held, Resolved
from tocsin.kernel.clock import Instant
from tocsin.oncall.schedules import OnCall


class Line(msgspec.Struct):
    """Whom a target means over time: ``values[n]`` holds from ``starts[n]`` until the next one."""

    starts: list[Instant]
    values: list[Resolved]

    def at(self, moment: Instant) -> Resolved:
        """Whom it means at ``moment``, which does not lie before the first start."""
        return self.values[max(0, bisect_right(self.starts, moment) - 1)]


class Sweep(Directory):
    """A directory that notes until when what it was asked stays true; everything else is the one it was made from."""

    def __init__(self, known: Directory) -> None:
        self.__dict__.update(known.__dict__)
        self._answers = {}
        self._until: Instant | None = None

    def _holds(self, until: Instant | None) -> None:
        if until is not None and (self._until is None or until < self._until):
            self._until = until

    def on_call(self, schedule_id: str, at: Instant, position: str = "primary") -> OnCall:
        answer = super().on_call(schedule_id, at, position)
        self._holds(answer.until)
        return answer

    def off(self, person_id: str, at: Instant) -> str:
        for leave in self._leaves_of.get(person_id, ()):
            for edge in (leave.start, leave.end):
                if edge > at:
                    self._holds(edge)
        return super().off(person_id, at)

    def held(self, target: str, at: Instant, *, service: str = "", policy: str = "") -> Held:
        """Whom ``target`` means for a message at ``at``, and until when at least that stays so."""
        self._until = None
        meant = self.resolve(target, at, service=service, policy=policy, to_page=True)
        return Held(at, self._until, meant)

    def line(
        self, target: str, start: Instant, end: Instant, *, service: str = "", policy: str = "", to_page: bool = False
    ) -> Line:  # fmt: skip
        """Whom ``target`` means from ``start`` until ``end``; ``to_page`` as of :meth:`Directory.resolve`."""
        found = Line([], [])
        at: Instant | None = start
        while at is not None and at < end:
            self._until = None
            value = self.resolve(target, at, service=service, policy=policy, to_page=to_page)
            if not found.values or (found.values[-1].people, found.values[-1].anyway) != (
                value.people,
                value.anyway,
            ):
                found.starts.append(at)
                found.values.append(value)
            at = self._until
        return found


def held(directory: Directory, target: str, at: Instant, *, service: str = "", policy: str = "") -> Held:
    """Whom ``target`` means for a message at ``at``, and until when; kept with the directory, because incidents ask again and again."""
    key = (target, service, policy)
    known = directory.stretches.get(key)
    if known is None or not known.since <= at or (known.until is not None and at >= known.until):
        known = directory.stretches[key] = Sweep(directory).held(target, at, service=service, policy=policy)
    return known


def holds_until(
    directory: Directory, target: str, at: Instant, *, service: str = "", policy: str = ""
) -> Instant | None:
    """Until when what ``target`` means at ``at`` holds at least; None: for ever."""
    return held(directory, target, at, service=service, policy=policy).until
