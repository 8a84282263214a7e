"""What is owed: one pure function from an incident's state and its frozen policy to its duties.

``duties`` knows neither people nor the present; ``standing`` adds the present; who owes it is resolved elsewhere at the
moment of asking. Clocks on pages, reminders, misses, reports and drills all read this one function.
"""

from __future__ import annotations

import msgspec

from tocsin.incidents.duty import Duty
from tocsin.incidents.incident import Incident
from tocsin.incidents.promises import (
    announcements,
    calendar_of,
    due_at,
    hearing,
    learning,
    messages,
    owe,
    protocol,
    stand_ups,
    updates,
    validation,
)
from tocsin.incidents.wording import duty_label, in_sentence
from tocsin.kernel.clock import Instant
from tocsin.policy.calendar import Duration
from tocsin.policy.model import Policy

__all__ = [
    "Duty",
    "Standing",
    "calendar_of",
    "due_at",
    "duties",
    "lapses_at",
    "owed",
    "responded_at",
    "standing",
]


def label(duty: Duty) -> str:
    """What is owed, within a sentence: *update*, *post-mortem: draft*, *message to partners*."""
    return in_sentence(duty_label(duty.rule, duty.id, near=duty.start))


class Standing(msgspec.Struct, frozen=True):
    """A duty seen at a moment. ``state``: running, soon (a fifth of its time is left), overdue, met, met_late, waived,
    moot (the incident ended first).

    ``left`` is negative when overdue.
    """

    duty: Duty
    state: str
    left: int
    missed: bool


def duties(incident: Incident, policy: Policy) -> list[Duty]:
    """Every duty of the incident as it stands, met ones included; none for a merged or false-alarm incident."""
    if incident.status in ("merged", "false_alarm") or not incident.opened_at:
        return []
    respond_due = _add(incident, policy, incident.respond_from, policy.severity(incident.severity).respond)
    return [
        *_response(incident, policy, respond_due),
        *protocol(incident, policy, respond_due),
        *updates(incident, policy, respond_due),
        *announcements(incident, policy),
        *stand_ups(incident, policy),
        *messages(incident, policy),
        *validation(incident, policy, _resolve_due(incident, policy, respond_due)),
        *hearing(incident, policy),
        *learning(incident, policy),
    ]


def _add(incident: Incident, policy: Policy, start: Instant, duration: Duration) -> Instant:
    return due_at(incident, policy, start, duration)


def _resolve_due(incident: Incident, policy: Policy, respond_due: Instant) -> Instant:
    allowed = policy.severity(incident.severity).resolve
    return max(_add(incident, policy, incident.resolve_from, allowed), respond_due)


def _response(incident: Incident, policy: Policy, respond_due: Instant) -> list[Duty]:
    """Acknowledge, respond and resolve."""
    terms = policy.severity(incident.severity)
    calendar = calendar_of(incident, policy)
    acknowledge = terms.acknowledge
    unsure = incident.severity_state == "proposed" and (incident.severity == "P1" or not incident.rule)
    if unsure and not calendar.add(incident.acknowledge_from, acknowledge) < calendar.add(
        incident.acknowledge_from, policy.paging.acknowledge_while_proposed
    ):
        acknowledge = policy.paging.acknowledge_while_proposed
    resolve_due = _resolve_due(incident, policy, respond_due)
    return [
        owe(
            incident, "acknowledge", "on_call", incident.acknowledge_from,
            _add(incident, policy, incident.acknowledge_from, acknowledge), "a responder acknowledges the page", incident.acknowledged_at,
        ),
        owe(
            incident, "respond", "incident_commander", incident.respond_from, respond_due, respond_how(incident), responded_at(incident),
        ),
        owe(
            incident, "resolve", "incident_commander", incident.resolve_from, resolve_due, "the commander resolves the incident",
            incident.resolved_at, chase_from=incident.resolve_chase_from,
        ),
    ]  # fmt: skip


def respond_how(incident: Incident) -> str:
    """How *respond* is satisfied: the protocol for P1 and P2, the holder's first update below."""
    if incident.severity in ("P1", "P2"):
        return "it is recorded and assessed, the team is called and mitigation has begun"
    return "whoever acknowledged posts the first update"


def responded_at(incident: Incident) -> Instant:
    """When *respond* was satisfied since it last started, or 0."""
    if incident.severity in ("P1", "P2"):
        steps = [incident.protocol.get(step, 0) for step in ("record", "assess", "activate", "mitigate")]
        return max(steps) if all(steps) else 0
    return incident.responded_at


def lapses_at(incident: Incident, policy: Policy) -> Instant | None:
    """After which moment an acknowledgement lapses because nobody responded: the response's due time.

    Whoever took it later than that has one response time of their own. None where nobody holds it, or it was met.
    """
    terms = policy.severity(incident.severity)
    if not incident.open or not incident.holder or terms.escalation.when_missed == "digest":
        return None
    respond = next(duty for duty in duties(incident, policy) if duty.rule == "respond")
    if respond.met_at or respond.waived:
        return None
    if incident.held_since < respond.due:
        return respond.due
    return due_at(incident, policy, incident.held_since, terms.respond)


def standing(duty: Duty, now: Instant) -> Standing:
    """How a duty stands at ``now``. A miss that was recorded stands, whatever was written or set back since."""
    left = duty.due - now
    if duty.waived:
        return Standing(duty, "waived", left, bool(duty.missed_at))
    if duty.moot:
        return Standing(duty, "moot", duty.due - duty.met_at, bool(duty.missed_at))
    if duty.met_at:
        late = duty.met_at > duty.due or bool(duty.missed_at)
        return Standing(duty, "met_late" if late else "met", duty.due - duty.met_at, late)
    if left < 0:
        return Standing(duty, "overdue", left, True)
    length = max(1, duty.due - duty.start)
    return Standing(duty, "soon" if left * 5 <= length else "running", left, bool(duty.missed_at))


def owed(incident: Incident, policy: Policy) -> list[Duty]:
    """The duties that are neither met nor waived, the earliest first."""
    return sorted(
        (duty for duty in duties(incident, policy) if not duty.met_at and not duty.waived),
        key=lambda duty: duty.due,
    )
