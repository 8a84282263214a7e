"""What is owed: one pure function from an incident's state and its frozen policy to its duties.

``duties`` knows neither people nor the present; ``standing`` adds the present; who owes it is resolved elsewhere at the
moment of asking. Clocks on pages, reminders, misses, reports and drills all read this one function.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import MINUTE, Instant, earliest
from tocsin.policy.calendar import BusinessCalendar, Duration
from tocsin.policy.model import Policy

UNRULED = "no rule matched"


class Duty(msgspec.Struct, frozen=True):
    """One promise. ``id`` changes when the duty restarts, so that a recorded miss stands for ever.

    ``rule``: acknowledge, respond, resolve, update. ``owner``: a role; ``met_at``: 0 while owed. ``chase_from``: nobody is
    reminded before. ``waived``: the reason, where somebody who may waived it.
    """

    id: str
    rule: str
    owner: str
    start: Instant
    due: Instant
    how: str
    met_at: Instant = 0
    chase_from: Instant = 0
    waived: str = ""
    by_system: bool = False


class Standing(msgspec.Struct, frozen=True):
    """A duty seen at a moment. ``state``: running, soon, overdue, met, met_late, waived. ``left`` is negative when overdue."""

    duty: Duty
    state: str
    left: int
    missed: bool


def calendar_of(incident: Incident, policy: Policy) -> BusinessCalendar:
    """The business calendar of the incident: its team's where the policy has it, else the default."""
    return policy.calendar(incident.calendar)


def duties(incident: Incident, policy: Policy) -> list[Duty]:
    """Every duty of the incident as it stands, met ones included; none for a merged or false-alarm incident."""
    if incident.status in ("merged", "false_alarm") or not incident.opened_at:
        return []
    terms = policy.severity(incident.severity)
    calendar = calendar_of(incident, policy)
    ended = incident.resolved_at

    def due(start: Instant, duration: Duration) -> Instant:
        return calendar.add(start, duration) + incident.paused_total

    found: list[Duty] = []

    def owe(
        rule: str, owner: str, start: Instant, until: Instant, how: str, met: Instant, chase_from: Instant = 0
    ) -> None:
        key = f"{rule}:{start}"
        if not met and ended and rule != "resolve":
            met = ended  # moot from the resolution on; whatever was late by then is late
        found.append(
            Duty(key, rule, owner, start, until, how, met, chase_from or start, incident.waived.get(key, ""))
        )

    acknowledge = terms.acknowledge
    unsure = incident.severity_state == "proposed" and (incident.severity == "P1" or not incident.rule)
    if unsure and not calendar.add(incident.acknowledge_from, acknowledge) < calendar.add(
        incident.acknowledge_from, policy.paging.acknowledge_while_proposed
    ):
        acknowledge = policy.paging.acknowledge_while_proposed
    owe(
        "acknowledge", "on_call", incident.acknowledge_from, due(incident.acknowledge_from, acknowledge),
        "a responder acknowledges the page", incident.acknowledged_at,
    )  # fmt: skip
    respond_due = due(incident.respond_from, terms.respond)
    owe(
        "respond",
        "incident_commander",
        incident.respond_from,
        respond_due,
        respond_how(incident),
        responded_at(incident),
    )
    owe(
        "resolve", "incident_commander", incident.resolve_from, max(due(incident.resolve_from, terms.resolve), respond_due),
        "the commander resolves the incident", incident.resolved_at, incident.resolve_chase_from,
    )  # fmt: skip
    since = max(incident.last_update_at, incident.update_from)
    first = incident.last_update_at <= incident.update_from and terms.first_update == "response"
    update_due = respond_due if first else due(since, terms.update)
    owe("update", "communication_lead", since, update_due, "an update is posted", 0)
    return found


def respond_how(incident: Incident) -> str:
    """How *respond* is satisfied: the protocol for P1 and P2, the holder's first update below."""
    if incident.severity in ("P1", "P2"):
        return "protocol steps 2 to 5 are done: record, assess, activate, mitigate"
    return "whoever acknowledged posts the first update"


def responded_at(incident: Incident) -> Instant:
    """When *respond* was satisfied since it last started, or 0."""
    if incident.severity in ("P1", "P2"):
        steps = [incident.protocol.get(step, 0) for step in ("record", "assess", "activate", "mitigate")]
        return max(steps) if all(steps) else 0
    if incident.updates and incident.last_update_at >= incident.respond_from and incident.acknowledged_at:
        return incident.responded_at or incident.last_update_at
    return 0


def standing(duty: Duty, now: Instant) -> Standing:
    """How a duty stands at ``now``."""
    left = duty.due - now
    if duty.waived:
        return Standing(duty, "waived", left, False)
    if duty.met_at:
        late = duty.met_at > duty.due
        return Standing(duty, "met_late" if late else "met", duty.due - duty.met_at, late)
    if left < 0:
        return Standing(duty, "overdue", left, True)
    return Standing(duty, "soon" if now >= remind_at(duty) else "running", left, False)


def remind_at(duty: Duty) -> Instant:
    """When the reminder before a duty goes out: at four fifths of its time, an hour before at the earliest."""
    length = max(0, duty.due - duty.start)
    return max(duty.due - min(length // 5, 60 * MINUTE), duty.chase_from)


def owed(incident: Incident, policy: Policy) -> list[Duty]:
    """The duties that are neither met nor waived, the earliest first."""
    return sorted(
        (duty for duty in duties(incident, policy) if not duty.met_at and not duty.waived),
        key=lambda duty: duty.due,
    )


def next_duty_moment(
    incident: Incident, policy: Policy, pending: Iterable[Duty] | None = None
) -> Instant | None:
    """The next instant at which a reminder or a miss has to be recorded, or None."""
    if incident.paused_until:
        return incident.paused_until
    moments: list[Instant | None] = []
    for duty in pending if pending is not None else owed(incident, policy):
        if duty.id in incident.missed:
            continue
        moments.append(
            duty.due + 1 if duty.id in incident.reminded or duty.rule == "acknowledge" else remind_at(duty)
        )
    return earliest(moments)
