"""What is put on record about an incident: milestones, impact, the state of services, measurements, reports.

Figures are computed from these facts alone; a later one corrects an earlier one, and none is erased.
"""

from __future__ import annotations

import re

from tocsin.alerts.shape import one_line
from tocsin.engine import commands as c
from tocsin.engine.access import Answer, answer, load, text_of
from tocsin.engine.work import Work
from tocsin.identity.principals import Principal
from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident
from tocsin.kernel.errors import Unusable

MILESTONES = ("impact_began", "detected", "contained", "mitigated", "resolved")
STATES = ("up", "degraded", "down")
METRICS = (
    "response_time_p50", "response_time_p95", "response_time_p99", "throughput", "data_lost", "data_recovered",
    "integration_availability",
)  # fmt: skip
REPORTED = ("user_report", "ticket", "social_media", "direct_contact", "monitor", "responder")
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)


def milestone(work: Work, principal: Principal, command: c.Milestone) -> Answer:
    """Sets a milestone; the last one set counts."""
    incident = load(work, principal, command.incident, "milestone")
    if command.name not in MILESTONES:
        raise Unusable(f"{command.name!r} is no milestone; use {', '.join(MILESTONES)}", "name")
    _past(work, command.at, "a milestone", "at")
    work.record(incident, f.MilestoneSet(command.name, command.at, command.how[:500], principal.person))
    return answer(incident)


def impact(work: Work, principal: Principal, command: c.Impact) -> Answer:
    """Sets values of the impact; those that are not named stay."""
    incident = load(work, principal, command.incident, "impact")
    work.record(incident, f.ImpactSet(command.values))
    return answer(incident)


def service_state(work: Work, principal: Principal, command: c.SetServiceState) -> Answer:
    """A service went down, is degraded, or is up again."""
    incident = load(work, principal, command.incident, "service_state")
    if command.state not in STATES:
        raise Unusable(f"{command.state!r} is no state of a service; use {', '.join(STATES)}", "state")
    service = known_service(work, command.service, "service")
    at = command.at or work.now
    _past(work, at, "the time", "at")
    work.record(incident, f.ServiceState(service, command.state, at))
    _hours(work, incident, service)
    return answer(incident)


def measure(work: Work, principal: Principal, command: c.Measure) -> Answer:
    """Records a figure with its window and source."""
    incident = load(work, principal, command.incident, "measure")
    if command.metric not in METRICS:
        raise Unusable(f"{command.metric[:40]!r} is no metric; use {', '.join(METRICS)}", "metric")
    if not _NUMBER.fullmatch(command.value):
        raise Unusable(f"{command.value[:40]!r} is no number; write it like 1250 or 99.95", "value")
    if bool(command.start) != bool(command.end) or command.end < command.start:
        raise Unusable(
            "a window has a start and an end, in this order; leave both out where there is none", "start"
        )
    _past(work, command.end, "the end of the window", "end")
    unit, source = text_of(command.unit, "unit")[:40], text_of(command.source, "source")[:200]
    work.record(incident, f.Measured(command.metric, command.value, unit, source, command.start, command.end))
    return answer(incident)


def attach_report(work: Work, principal: Principal, command: c.AttachReport) -> Answer:
    """Attaches a later report of the same thing."""
    incident = load(work, principal, command.incident, "attach_report")
    if command.how not in REPORTED:
        raise Unusable(f"{command.how[:40]!r} is no way to report; use {', '.join(REPORTED)}", "how")
    service = known_service(work, command.service, "service") if command.service else ""
    text = text_of(command.text, "text")
    work.record(incident, f.ReportAttached(text, command.how, command.by[:200] or principal.person, service))
    return answer(incident)


def affect(work: Work, principal: Principal, command: c.Affect) -> Answer:
    """Adds services that are hit too."""
    incident = load(work, principal, command.incident, "affect")
    services = [known_service(work, name, "services") for name in command.services]
    if not services:
        raise Unusable("name at least one service", "services")
    new = [service for service in dict.fromkeys(services) if service not in incident.services]
    if new:
        work.record(incident, f.ServicesAffected(new, command.reason[:500]))
        for service in new:
            _hours(work, incident, service)
    return answer(incident)


def rename(work: Work, principal: Principal, command: c.Rename) -> Answer:
    """Gives it another title."""
    incident = load(work, principal, command.incident, "rename")
    work.record(
        incident, f.Retitled(text_of(one_line(command.title), "title")[:300], command.summary[:20_000])
    )
    return answer(incident)


def known_service(work: Work, name: str, where: str) -> str:
    """The id of a service by id, name or alias; raises :class:`Unusable` for one that nobody knows."""
    service = work.directory.service(name)
    if service is None:
        known = ", ".join(list(work.directory.services)[:20]) or "none"
        raise Unusable(f"there is no service {name[:60]!r}; known: {known}", where)
    return service.id


def _hours(work: Work, incident: Incident, service: str) -> None:
    """The business hours of the service's team count from now on, too."""
    calendar = work.directory.calendar_of(service)
    if calendar not in incident.calendars:
        work.record(incident, f.CalendarJoined(calendar, service))


def _past(work: Work, at: int, what: str, where: str) -> None:
    if at > work.now:
        raise Unusable(f"{what} cannot lie in the future", where)
