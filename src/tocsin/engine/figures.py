"""Figures over a period: how promises were kept and what each type is judged by, of the incidents that one may see.

Drills are left out. An incident's score is worked out once for each version of its stream and kept in the process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from statistics import median, quantiles

import msgspec

from tocsin.engine.work import read_incident
from tocsin.identity.principals import Principal
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import Instant
from tocsin.kernel.errors import FromTheFuture
from tocsin.kernel.ports import Reader, StreamRow
from tocsin.learn.metrics import Figure, over, primary
from tocsin.learn.score import Attainment, Kept, attainment, score
from tocsin.policy.model import SEVERITIES, Policy

PAGE = 200
MOST_KEPT = 20_000
"""scores that stay in memory; an entry is a few hundred bytes for each duty"""

Policies = Callable[[Reader, str], tuple[Policy, str]]


class Times(msgspec.Struct, frozen=True):
    """Microseconds from the beginning to the acknowledgement and the resolution of the incidents of one severity; -1: none."""

    severity: str
    incidents: int
    acknowledged_median: int
    acknowledged_p90: int
    resolved_median: int
    resolved_p90: int


class Figures(msgspec.Struct):
    """``start`` and ``end`` are instants; an incident counts where it was opened in between."""

    start: Instant
    end: Instant
    incidents: int
    attainment: list[Attainment]
    times: list[Times]
    types: dict[str, Figure]
    """type of incident → its primary metric over the period"""
    unreadable: int = 0
    """incidents that a newer version wrote, or that cannot be read"""


class Scores:
    """Scores by stream and version, the least recently used forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], list[Kept]] = OrderedDict()

    def of(self, reader: Reader, row: StreamRow, policies: Policies, now: Instant) -> list[Kept]:
        """Every duty of the incident; what still runs is never taken from memory."""
        key = (row.stream.id, row.version)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        name = f"{row.series}-{row.number}"
        found = score(name, reader.facts(row.stream), lambda hash: policies(reader, hash)[0], now)
        if all(one.ended for one in found):
            self._known[key] = found
            if len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        return found


def rows_of(
    reader: Reader, principal: Principal, start: Instant, end: Instant, *, drills: bool = False
) -> list[StreamRow]:
    """Rows of the incidents that were opened in the period and that the principal may see."""
    seer = None if principal.role == "owner" else principal.id
    found: list[StreamRow] = []
    before: tuple[int, str] | None = (end, "")
    while before is not None:
        page = reader.streams("incident", principal=seer, before=before, limit=PAGE)
        found += [row for row in page if row.opened_at >= start and row.drill == drills]
        last = page[-1] if len(page) == PAGE else None
        before = (last.opened_at, last.stream.id) if last is not None and last.opened_at >= start else None
    return found


def figures(
    reader: Reader, principal: Principal, start: Instant, end: Instant, policies: Policies, now: Instant, scores: Scores, services: int
) -> Figures:  # fmt: skip
    """All of it; merged incidents and false alarms count for nothing."""
    kept: list[Kept] = []
    incidents: list[Incident] = []
    unreadable = 0
    for row in rows_of(reader, principal, start, end):
        if row.status in ("merged", "false_alarm"):
            continue
        try:
            incidents.append(read_incident(reader, row))
            kept += scores.of(reader, row, policies, now)
        except FromTheFuture:
            unreadable += 1
    policy, _ = policies(reader, "")
    types = {
        kind: over(
            kind, [one for one in incidents if one.kind == kind], policy, start, min(end, now), services
        )
        for kind in policy.types
    }
    times = [found for severity in SEVERITIES if (found := _times(severity, incidents))]
    return Figures(start, end, len(incidents), attainment(kept), times, types, unreadable)


def own(
    reader: Reader, row: StreamRow, incident: Incident, policies: Policies, now: Instant, scores: Scores
) -> tuple[list[Kept], Figure]:
    """How one incident's promises were kept, and its primary metric."""
    policy, _ = policies(reader, incident.policy)
    return scores.of(reader, row, policies, now), primary(incident, policy, now)


def _times(severity: str, incidents: list[Incident]) -> Times | None:
    mine = [one for one in incidents if one.severity == severity]
    if not mine:
        return None
    acknowledged = sorted(one.acknowledged_at - one.acknowledge_from for one in mine if one.acknowledged_at)
    resolved = sorted(one.resolved_at - one.opened_at for one in mine if one.resolved_at)
    return Times(
        severity, len(mine), _middle(acknowledged), _p90(acknowledged), _middle(resolved), _p90(resolved)
    )


def _middle(values: list[int]) -> int:
    return round(median(values)) if values else -1


def _p90(values: list[int]) -> int:
    if not values:
        return -1
    return values[0] if len(values) == 1 else round(quantiles(values, n=10, method="inclusive")[-1])
