"""What an incident owes next, and when it ends by itself: pure, from its state, its frozen policy and the directory."""

from __future__ import annotations

from tocsin.incidents.chasing import first_moment
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import calendar_of, lapses_at, owed
from tocsin.incidents.escalation import is_turn, next_escalation
from tocsin.incidents.incident import OPENED, Incident, Run
from tocsin.incidents.promises import tell_from
from tocsin.incidents.sweep import holds_until
from tocsin.kernel.clock import Instant, earliest
from tocsin.policy.calendar import BusinessCalendar
from tocsin.policy.model import Policy


def next_due(incident: Incident, policy: Policy, directory: Directory, now: Instant) -> Instant | None:
    """The earliest instant at which the incident owes something: a step, a reminder, a miss, a notice, an end."""
    calendar = calendar_of(incident, policy)
    if not incident.open:
        return next_duty_moment(incident, policy, calendar)
    moments = [
        next_escalation(incident, policy, calendar, directory),
        next_duty_moment(incident, policy, calendar),
    ]
    moments.append(self_resolve_at(incident, policy))
    moments.append(notice_at(incident, policy))
    moments.append(shift_change_at(incident, directory, now))
    lapse = lapses_at(incident, policy)
    moments.append(lapse + 1 if lapse is not None and not incident.paused_until else None)
    return earliest(moments)


def next_duty_moment(incident: Incident, policy: Policy, calendar: BusinessCalendar) -> Instant | None:
    """When the next reminder, miss or nudge of anything owed is due; while the clocks are paused, the end of the pause."""
    if incident.paused_until:
        return incident.paused_until
    severity = policy.severity(incident.severity)
    business, digest = severity.hours == "business", severity.escalation.when_missed == "digest"
    return first_moment(
        owed(incident, policy), incident, policy.chase, calendar, business=business, digest=digest
    )


def may_resolve_itself(incident: Incident, policy: Policy) -> bool:
    """A machine opened it, a person never touched it, and it is P3/P4 or nobody acknowledged it."""
    rules = policy.self_resolve
    kind = policy.incident_type(incident.kind)
    return (
        incident.open
        and incident.by == "machine"
        and not incident.touched
        and (kind is None or kind.self_resolves)
        and (incident.severity in rules.severities or not incident.acknowledged_at)
    )


def stands_down(incident: Incident, policy: Policy) -> bool:
    """Whether all has cleared and it will end by itself if nothing fires again: nobody is paged or told meanwhile."""
    return (
        counts_as_clear(incident, policy)
        and not incident.acknowledged_at
        and may_resolve_itself(incident, policy)
    )


def self_resolve_at(incident: Incident, policy: Policy) -> Instant | None:
    """When it resolves itself, or the commander is asked to; None while an alert fires or after it was asked."""
    if not incident.open or not counts_as_clear(incident, policy) or "resolve" in incident.asked:
        return None
    return incident.all_clear_at + policy.self_resolve.clear_for.micros


def counts_as_clear(incident: Incident, policy: Policy) -> bool:
    """Whether all of its alerts have cleared.

    One that merely expired was not seen to end: it counts for an incident of low severity that nobody has acknowledged.
    """
    if not incident.all_clear_at:
        return False
    if not any(alert.how == "expired" for alert in incident.alerts.values()):
        return True
    return incident.severity in policy.self_resolve.severities and not incident.acknowledged_at


def notice_at(incident: Incident, policy: Policy) -> Instant | None:
    """When those whom the severity tells are told: the moment it is owed, or None once they were."""
    if f"{OPENED}{incident.severity}" in incident.told_at or stands_down(incident, policy):
        return None
    return tell_from(incident, policy) or None


def turns_of(incident: Incident) -> list[tuple[Run, str, str]]:
    """(run, target, person) for every turn of duty that was paged, as far as its hand-over matters to the incident.

    That of an answered page matters as long as whoever answered it has it; what is paged anew has turns of its own. Where
    nobody was found the person is empty; while nobody has answered that counts for every target, a turn or not.
    """
    return [
        (run, target, person)
        for run in incident.runs.values()
        if run.state == "running" or (run.held and run.kind == "responders")
        for target, person in run.turns.items()
        if person or run.state == "running" or is_turn(target)
    ]


def shift_change_at(incident: Incident, directory: Directory, now: Instant) -> Instant | None:
    """When somebody else may have the turn of whoever was paged, so that nobody hands over an unanswered page."""
    return earliest(
        holds_until(directory, target, now, service=run.service, policy=run.escalation_policy)
        for run, target, _ in turns_of(incident)
    )
