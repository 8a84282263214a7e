"""What the checker finds, and an ordinary week to compare durations of different kinds in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from tocsin.kernel.clock import DAY, HOUR, Instant, parse_instant
from tocsin.policy.calendar import Duration
from tocsin.policy.load import read_document
from tocsin.policy.model import Policy

ERROR, WARNING = "error", "warning"


class Finding(msgspec.Struct, frozen=True):
    """``rule``: the check's own name. ``severity``: ``error`` (it cannot be kept) or ``warning``. ``where`` and ``also``:
    dotted places in the file, the second where two contradict each other. ``sentence``: what is wrong and what to do.
    """

    rule: str
    severity: str
    where: str
    sentence: str
    also: str = ""


Check = Callable[["Policy", "Week"], Iterator[Finding]]

_MONDAY = parse_instant("2026-03-02T00:00:00Z")
_STARTS = tuple(_MONDAY + day * DAY + hour * HOUR for day in range(7) for hour in range(24))


class Week:
    """An ordinary week, hour by hour: durations of different kinds are compared by when they would fall due in it."""

    def __init__(self, policy: Policy) -> None:
        self._calendar = policy.calendar()
        self._known: dict[tuple[Duration, ...], tuple[Instant, ...]] = {}

    def over(self, *durations: Duration) -> tuple[Instant, ...]:
        """When the durations, one after the other, are over from each hour of the week on."""
        known = self._known.get(durations)
        if known is None:
            before = self.over(*durations[:-1]) if len(durations) > 1 else _STARTS
            known = tuple(self._calendar.add(start, durations[-1]) for start in before)
            self._known[durations] = known
        return known

    def longer(self, one: Duration, other: Duration) -> bool:
        """Whether ``one`` is over after ``other`` from wherever in the week both start."""
        if one.is_elapsed and other.is_elapsed:
            return one.amount > other.amount
        return all(late > early for late, early in zip(self.over(one), self.over(other), strict=True))

    def never_longer(self, one: Duration, other: Duration) -> bool:
        """Whether ``one`` is over no later than ``other`` from wherever in the week both start."""
        return all(early <= late for early, late in zip(self.over(one), self.over(other), strict=True))

    def comes_after(self, one: tuple[Duration, ...], *ends: Duration) -> bool:
        """Whether ``one`` is over only after the latest of ``ends`` is, from wherever in the week they start."""
        latest = [max(due) for due in zip(*(self.over(end) for end in ends), strict=True)]
        return all(late > last for late, last in zip(self.over(*one), latest, strict=True))


class Places:
    """Lines of a policy file for dotted places such as ``severities.P1.respond``; the file is read once."""

    def __init__(self, text: str, filename: str) -> None:
        self.filename = filename
        self._document = read_document(text, filename)

    def line(self, where: str) -> int:
        """The line of a place, or of the nearest part around it that is written."""
        steps = [int(step) if step.isdigit() else step for step in where.split(".")] if where else []
        return int(self._document.where(steps).rpartition(":")[2])

    def said(self, finding: Finding) -> str:
        """``policy.yaml:12: error: what is wrong``, a form that editors and build tools follow to the line.

        Another place that it contradicts stands at the end of the sentence: ``(see also line 30)``.
        """
        line = self.line(finding.where)
        also = self.line(finding.also) if finding.also else line
        see = f" (see also line {also})" if also != line else ""
        return f"{self.filename}:{line}: {finding.severity}: {finding.sentence}{see}"


def words(name: str) -> str:
    """A key as people say it."""
    shown = name.replace("_", " ")
    return shown.upper() if name in ("cto", "ceo") else shown
