"""When something is due, as a function of when it began: the whole of it, over a stretch of time.

``at(t)`` is when a duration from ``t`` is over. It never runs backwards, and between the moments at which working hours
begin or end it either stands still or keeps pace with ``t``. So a few pieces describe it exactly, and it can be turned
round: from which ``t`` on is something due after a given moment?
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from tocsin.kernel.clock import Instant
from tocsin.policy.calendar import BUSINESS_DAYS, BusinessCalendar, Duration


class TimeMap:
    """``at`` over the stretch from ``start`` until ``end``. ``knots``: where ``at`` may change its pace, among others."""

    def __init__(
        self, at: Callable[[Instant], Instant], start: Instant, end: Instant, knots: Iterable[Instant]
    ) -> None:
        self.at, self.start, self.end = at, start, end
        edges = sorted({start, *(knot for knot in knots if start < knot < end)})
        self._starts: list[Instant] = []
        self._values: list[Instant] = []
        self._pace: list[int] = []
        """1: keeps pace with t; 0: stands still"""
        for low, high in pairwise([*edges, end]):
            for piece, value, pace in _pieces(at, low, high):
                self._starts.append(piece)
                self._values.append(value)
                self._pace.append(pace)

    @classmethod
    def of(cls, duration: Duration, calendar: BusinessCalendar, start: Instant, end: Instant) -> TimeMap:
        """When ``duration`` is over by ``calendar``."""
        if duration.is_elapsed:
            return cls(lambda t: t + duration.amount, start, end, ())
        knots = turns(calendar, start, end)
        if duration.kind == BUSINESS_DAYS:
            # the same time of another day: the hours of every day leave their mark on every other
            knots += calendar.wall_edges(start, end)
        return cls(lambda t: calendar.add(t, duration), start, end, knots)

    @property
    def knots(self) -> list[Instant]:
        """Where a piece begins."""
        return self._starts

    def since(self, moment: Instant) -> Instant:
        """The first ``t`` whose ``at(t)`` is ``moment`` or later; ``end`` where there is none in the stretch."""
        index = bisect_left(self._values, moment)
        if index:
            # the piece before may still reach it: its value grows with t until the next piece begins
            before = index - 1
            if self._pace[before]:
                t = self._starts[before] + moment - self._values[before]
                following = self._starts[index] if index < len(self._starts) else self.end
                if t < following:
                    return t
        return self._starts[index] if index < len(self._starts) else self.end

    def line(self, t: Instant) -> tuple[Instant, int]:
        """The value at ``t`` and the pace from there on."""
        index = bisect_right(self._starts, t) - 1
        pace = self._pace[index]
        return self._values[index] + (t - self._starts[index]) * pace, pace


def _pieces(
    at: Callable[[Instant], Instant], low: Instant, high: Instant
) -> Iterator[tuple[Instant, Instant, int]]:
    while low < high:
        value, last = at(low), high - 1
        pace = 1 if last > low and at(low + 1) == value + 1 else 0
        if at(last) != value + (last - low) * pace:
            good, bad = low, last
            while bad - good > 1:
                middle = (good + bad) // 2
                if at(middle) == value + (middle - low) * pace:
                    good = middle
                else:
                    bad = middle
            last = bad - 1
        yield low, value, pace
        low = last + 1


def turns(calendar: BusinessCalendar, start: Instant, end: Instant) -> list[Instant]:
    """Every moment between the two at which working hours begin or end."""
    return sorted({edge for span in calendar.intervals(start, end) for edge in span if start < edge < end})


def crossings(one: TimeMap, other: TimeMap) -> list[Instant]:
    """Every ``t`` from which on ``one`` may compare differently with ``other`` than just before."""
    edges = sorted({*one.knots, *other.knots})
    found = list(edges)
    for low, high in pairwise([*edges, one.end]):
        first, pace = one.line(low)
        second, other_pace = other.line(low)
        if pace == other_pace:
            continue
        # first + pace·d against second + other_pace·d: equal at d = gap, different on either side of it
        gap = second - first if pace else first - second
        found += [low + step for step in (gap, gap + 1) if 0 < step < high - low]
    return sorted(set(found))
