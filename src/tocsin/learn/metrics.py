"""What each type of incident is judged by, computed from its facts and never typed in; with what it was computed from.

Availability and integration: the share of time in which services were not down. Performance: the measured percentiles of
the response time. Security: from detection to containment. Data: recovered of lost, in the same unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from statistics import median

import msgspec

from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import Instant, humanize, to_iso
from tocsin.policy.model import Policy

Span = tuple[Instant, Instant]

NO_STATE = "no state of a service is on record (down, degraded, up)"
"""why an uptime is not known: that nobody recorded an outage does not mean that there was none"""

PERCENTILES = ("response_time_p50", "response_time_p95", "response_time_p99")


class Figure(msgspec.Struct, frozen=True):
    """``value`` is a decimal number as text, empty where the record does not say; ``basis``: what was counted."""

    metric: str
    value: str
    unit: str
    basis: tuple[str, ...]
    missing: str = ""
    """what would have to be on record"""


def outages(incident: Incident, now: Instant) -> dict[str, dict[str, list[Span]]]:
    """Service → ``down`` and ``degraded`` → stretches, from the states on record.

    Of a complete outage whose services have no state on record, they were down from the beginning of the impact until
    it was mitigated, or the incident resolved.
    """
    found: dict[str, dict[str, list[Span]]] = {}
    end = incident.resolved_at or incident.closed_at or now
    states: dict[str, list[tuple[Instant, str]]] = {}
    for service, state, at in incident.service_states:
        states.setdefault(service, []).append((at, state))
    for service, changes in states.items():
        changes.sort()
        for (at, state), following in zip(
            changes, [*changes[1:], (max(end, changes[-1][0]), "up")], strict=True
        ):
            if state != "up" and at < following[0]:
                found.setdefault(service, {}).setdefault(state, []).append((at, following[0]))
    if incident.subtype == "complete_outage":
        begin = incident.milestones.get("impact_began") or incident.opened_at
        until = incident.milestones.get("mitigated") or end
        for service in incident.services:
            if service not in states and begin < until:
                found.setdefault(service, {}).setdefault("down", []).append((begin, until))
    return found


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same time without overlap, in order."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def within(spans: Iterable[Span], start: Instant, end: Instant) -> list[Span]:
    """The parts of ``spans`` that lie in a period."""
    return [(max(low, start), min(high, end)) for low, high in spans if low < end and high > start]


def length(spans: Iterable[Span]) -> int:
    """How long they are together."""
    return sum(high - low for low, high in spans)


def primary(incident: Incident, policy: Policy, now: Instant) -> Figure:
    """The primary metric of one incident, by its type."""
    kind = policy.incident_type(incident.kind)
    match kind.judged_by if kind else "":
        case "uptime_percent" | "integration_availability" as metric:
            return _own_uptime(incident, metric, now)
        case "response_time_percentiles":
            return _percentiles([incident])
        case "time_to_containment":
            return _containment([incident])
        case "data_recovered_percent":
            return _recovered([incident])
    return Figure("", "", "", (), f"the policy has no metric for {incident.kind}")


def over(
    kind: str, incidents: Sequence[Incident], policy: Policy, start: Instant, end: Instant, services: int
) -> Figure:
    """The primary metric of a type over a period. ``services``: how many the catalogue has, for the share of uptime."""
    terms = policy.incident_type(kind)
    match terms.judged_by if terms else "":
        case "uptime_percent" | "integration_availability" as metric:
            return _uptime(incidents, metric, start, end, services)
        case "response_time_percentiles":
            return _percentiles(incidents)
        case "time_to_containment":
            return _containment(incidents)
        case "data_recovered_percent":
            return _recovered(incidents)
    return Figure("", "", "", (), f"the policy has no metric for {kind}")


def _own_uptime(incident: Incident, metric: str, now: Instant) -> Figure:
    start = incident.milestones.get("impact_began") or incident.opened_at
    end = incident.resolved_at or incident.closed_at or now
    down = {
        service: joined(within(parts.get("down", []), start, end))
        for service, parts in outages(incident, now).items()
    }
    measured = _last(incident, "integration_availability")
    if metric == "integration_availability" and measured is not None:
        return Figure(metric, measured[0], "%", (measured[1],))
    if not (incident.service_states or outages(incident, now)):
        return Figure(metric, "", "%", (), NO_STATE)
    affected = max(1, len(set(incident.services) | set(down)))
    basis = [
        f"{service} down from {to_iso(low)} to {to_iso(high)} ({humanize(high - low)})"
        for service, spans in down.items()
        for low, high in spans
    ]
    value = _share(length(span for spans in down.values() for span in spans), affected * (end - start))
    return Figure(metric, value, "%", (f"{affected} services over {humanize(end - start)}", *basis))


def _uptime(
    incidents: Sequence[Incident], metric: str, start: Instant, end: Instant, services: int
) -> Figure:
    down: dict[str, list[Span]] = {}
    known = False
    for incident in incidents:
        found = outages(incident, end)
        known = known or bool(found or incident.service_states)
        for service, parts in found.items():
            down.setdefault(service, []).extend(within(parts.get("down", []), start, end))
    if not known:
        return Figure(metric, "", "%", (), NO_STATE)
    lost = {service: length(joined(spans)) for service, spans in down.items()}
    counted = max(services, len(lost), 1)
    basis = [f"{service} was down for {humanize(time)}" for service, time in sorted(lost.items()) if time]
    value = _share(sum(lost.values()), counted * (end - start))
    return Figure(metric, value, "%", (f"{counted} services over {humanize(end - start)}", *basis))


def _share(lost: int, whole: int) -> str:
    if whole <= 0:
        return ""
    return _text(Decimal(100) - Decimal(100) * Decimal(min(lost, whole)) / Decimal(whole))


def _percentiles(incidents: Sequence[Incident]) -> Figure:
    basis, worst = [], Decimal(-1)
    for incident in incidents:
        for one in incident.measurements:
            if one.metric in PERCENTILES:
                window = f", {to_iso(one.start)} to {to_iso(one.end)}" if one.start else ""
                basis.append(
                    f"{incident.name}: {one.metric[-3:]} {one.value} {one.unit} ({one.source}{window})"
                )
                if one.metric == "response_time_p95" and one.unit == "ms":
                    worst = max(worst, Decimal(one.value))
    if worst < 0:
        return Figure(
            "response_time_p95", "", "ms", tuple(basis), "no p95 of the response time in ms is on record"
        )
    return Figure("response_time_p95", _text(worst), "ms", tuple(basis))


def _containment(incidents: Sequence[Incident]) -> Figure:
    times, basis = [], []
    for incident in incidents:
        began, contained = incident.milestones.get("detected", 0), incident.milestones.get("contained", 0)
        if began and contained >= began:
            times.append(contained - began)
            basis.append(f"{incident.name}: detected {to_iso(began)}, contained {to_iso(contained)}")
    if not times:
        return Figure("time_to_containment", "", "min", (), "the milestone contained is not on record")
    value = Decimal(round(median(times))) / Decimal(60_000_000)
    return Figure("time_to_containment", _text(value), "min", tuple(basis))


def _recovered(incidents: Sequence[Incident]) -> Figure:
    basis, shares = [], []
    for incident in incidents:
        lost, back = _last(incident, "data_lost"), _last(incident, "data_recovered")
        if lost is None or back is None or lost[2] != back[2] or Decimal(lost[0]) == 0:
            continue
        shares.append(min(Decimal(100), Decimal(100) * Decimal(back[0]) / Decimal(lost[0])))
        basis.append(f"{incident.name}: {back[0]} of {lost[0]} {lost[2]} recovered")
    if not shares:
        needed = "how much was lost and how much recovered, in the same unit, is not on record"
        return Figure("data_recovered", "", "%", (), needed)
    return Figure("data_recovered", _text(sum(shares, Decimal(0)) / len(shares)), "%", tuple(basis))


def _last(incident: Incident, metric: str) -> tuple[str, str, str] | None:
    """(value, what it rests on, unit) of the last measurement of a metric."""
    found = [one for one in incident.measurements if one.metric == metric]
    if not found:
        return None
    one = found[-1]
    return one.value, f"{one.metric.replace('_', ' ')}: {one.value} {one.unit} ({one.source})", one.unit


def _text(value: Decimal) -> str:
    rounded = value.quantize(Decimal("0.001")).normalize()
    return f"{rounded:f}"
