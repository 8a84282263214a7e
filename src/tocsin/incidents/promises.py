"""The promises beside acknowledge, respond and resolve: protocol, updates, announcements, stand-ups, messages, learning.

Each function is pure: an incident's state and its frozen policy in, duties out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tocsin.incidents.duty import Duty
from tocsin.incidents.incident import OPENED, Incident
from tocsin.kernel.clock import MINUTE, Instant, from_datetime, to_datetime
from tocsin.policy.calendar import BUSINESS, BusinessCalendar, Duration
from tocsin.policy.model import Policy, StandUps

GATES = ("functional", "performance", "security")
"""what is validated before an incident ends; the limited group of users gates a service's full restoration"""
AT_ONCE = MINUTE
"""what Tocsin owes at once is late after this"""
STAND_UP = 30 * MINUTE
"""a stand-up is held within this after its hour"""

LEARNING = {
    "timeline": ("technical_lead", "the timeline is complete"),
    "root_cause": ("technical_lead", "the root cause is found and written down"),
    "meeting_booked": ("incident_commander", "the post-mortem meeting is in the calendar"),
    "meeting_held": ("incident_commander", "the post-mortem meeting has been held"),
    "draft": ("incident_commander", "the post-mortem is drafted"),
    "review": ("engineering_manager", "the stakeholders have reviewed the post-mortem"),
    "publication": ("communication_lead", "the post-mortem is published where appropriate"),
}
"""step of the post-mortem → its owner, and how it is met"""


def calendar_of(incident: Incident, policy: Policy) -> BusinessCalendar:
    """The business calendar of the incident: its team's where the policy has it, else the default."""
    return policy.calendar(incident.calendar)


def due_at(incident: Incident, policy: Policy, start: Instant, duration: Duration) -> Instant:
    """When ``duration`` from ``start`` is over: by the earliest of the calendars concerned, pauses since then left out."""
    if not duration.is_business:
        return _paused(incident, policy.calendar(), start, duration)
    names = dict.fromkeys(incident.calendars or [incident.calendar])
    return min(_paused(incident, policy.calendar(name), start, duration) for name in names)


def _paused(incident: Incident, calendar: BusinessCalendar, start: Instant, duration: Duration) -> Instant:
    due = calendar.add(start, duration)
    for begin, end in incident.pauses:
        begin = max(begin, start)
        if begin >= due or end <= begin:
            continue
        # what was left of the working time when it stood still is left when it goes on
        if duration.is_business:
            due = calendar.add(end, Duration(BUSINESS, calendar.business_between(begin, due)))
        else:
            due += end - begin
    return due


def owe(
    incident: Incident, rule: str, owner: str, start: Instant, due: Instant, how: str, met: Instant, *, key: str = "",
    chase_from: Instant = 0, by_system: bool = False, outlives: bool = False,
) -> Duty:  # fmt: skip
    """One duty. What does not outlive the incident is moot from the resolution on; whatever was late by then is late."""
    key = key or f"{rule}:{start}"
    moot = not met and bool(incident.resolved_at) and rule != "resolve" and not outlives
    if moot:
        met = incident.resolved_at
    return Duty(
        key, rule, owner, start, due, how, met, chase_from or start, incident.waived.get(key, ""), incident.missed.get(key, 0),
        moot, by_system,
    )  # fmt: skip


def protocol(incident: Incident, policy: Policy, respond_due: Instant) -> list[Duty]:
    """Steps 3 to 5 of the first response, for severities that want them within the response time."""
    if incident.severity not in ("P1", "P2"):
        return []
    start, done = incident.respond_from, incident.protocol
    at_once = policy.severity(incident.severity).activate_team == "at_once"
    return [
        owe(incident, "assess", "incident_commander", start, respond_due, "severity and impact are assessed", done.get("assess", 0)),
        owe(
            incident, "activate", "incident_commander", start, start + AT_ONCE if at_once else respond_due,
            "the response team is activated", done.get("activate", 0), by_system=at_once,
        ),
        owe(incident, "mitigate", "technical_lead", start, respond_due, "mitigation has begun", done.get("mitigate", 0)),
    ]  # fmt: skip


def updates(incident: Incident, policy: Policy, respond_due: Instant) -> list[Duty]:
    """The next update, counted from the last; in a long silence each further interval is a duty of its own.

    The first one missed stands and is what people are chased for.
    """
    terms = policy.severity(incident.severity)
    since = max(incident.last_update_at, incident.update_from)
    first = incident.last_update_at <= incident.update_from and terms.first_update == "response"
    due = respond_due if first else due_at(incident, policy, since, terms.update)
    found = [owe(incident, "update", "communication_lead", since, due, "an update is posted", 0)]
    silent = incident.silent_intervals
    if silent and not incident.resolved_at:
        intervals = Duration(terms.update.kind, terms.update.amount * (silent if first else silent + 1))
        later = due_at(incident, policy, respond_due if first else since, intervals)
        key = f"{found[0].id}#{silent}"
        found.append(
            Duty(
                key, "update", found[0].owner, due, later, found[0].how, 0, due, incident.waived.get(found[0].id, ""),
                incident.missed.get(key, 0),
            )
        )  # fmt: skip
    return found


def announcements(incident: Incident, policy: Policy) -> list[Duty]:
    """What Tocsin owes itself at once: those whom the severity tells, and the war room."""
    terms, found = policy.severity(incident.severity), []
    if terms.notice is not None:
        start = tell_from(incident, policy)
        if start:
            found.append(
                owe(
                    incident, "tell", "tocsin", start, start + AT_ONCE, f"{', '.join(terms.notice.targets)} told",
                    incident.told_at.get(f"{OPENED}{incident.severity}", 0), key=f"tell:{incident.severity}:{incident.acknowledge_from}",
                    by_system=True,
                )
            )  # fmt: skip
    if terms.war_room:
        start = incident.acknowledge_from
        found.append(
            owe(
                incident,
                "war_room",
                "tocsin",
                start,
                start + AT_ONCE,
                "the war room is open",
                incident.war_room_at,
                by_system=True,
            )
        )
    return found


def tell_from(incident: Incident, policy: Policy) -> Instant:
    """From when those whom the severity tells must hear of it; 0 while they need not."""
    notice = policy.severity(incident.severity).notice
    if notice is None:
        return 0
    if notice.when == "opened":
        return incident.acknowledge_from
    waited = (
        incident.acknowledge_from + notice.while_proposed_after.micros if notice.while_proposed_after else 0
    )
    if incident.severity_state != "proposed":
        confirmed = max(incident.confirmed_at, incident.acknowledge_from)
        return min(confirmed, waited) if waited else confirmed
    return waited


def stand_ups(incident: Incident, policy: Policy) -> list[Duty]:
    """The stand-up that is next, or being missed right now; one that was held or missed gives way to the one after.

    None is owed of a time in which the severity had others or none, or the incident was not open.
    """
    terms = policy.severity(incident.severity).stand_ups
    if terms is None or incident.resolved_at:
        return []
    owed_from = 0
    for at, severity in reversed(incident.severities):
        if policy.severity(severity).stand_ups != terms:
            break
        owed_from = at
    after = max(owed_from, incident.stand_up_at)
    slot = next_slot(terms, policy.calendar(), after)
    while any(
        start <= slot < end for start, end in incident.pauses
    ):  # nobody meets while the clocks stand still
        slot = next_slot(terms, policy.calendar(), slot)
    return [
        owe(
            incident,
            "stand_up",
            "incident_commander",
            slot,
            slot + STAND_UP,
            "the stand-up is held",
            0,
            key=f"stand_up:{slot}",
        )
    ]


def next_slot(terms: StandUps, calendar: BusinessCalendar, after: Instant) -> Instant:
    """The first hour for a stand-up after ``after``, on the clocks of the calendar's zone.

    An hour that the clocks skip is held when they have sprung; one that comes twice is held the first time.
    """
    zone = ZoneInfo(calendar.zone)
    day = to_datetime(after, zone).date()
    while True:
        for slot in _slots(terms.at, calendar.zone, day):
            if slot > after and (terms.days == "every" or _is_working_day(calendar, slot, zone)):
                return slot
        day += timedelta(days=1)


@lru_cache(maxsize=256)
def _slots(at: tuple[str, ...], zone: str, day: date) -> tuple[Instant, ...]:
    """The instants of a day's times, in order of its clock."""
    found = []
    for text in sorted(at):
        hour, _, minute = text.partition(":")
        wall = datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=ZoneInfo(zone))
        found.append(from_datetime(wall))
    return tuple(found)


def _is_working_day(calendar: BusinessCalendar, slot: Instant, zone: ZoneInfo) -> bool:
    midnight = to_datetime(slot, zone).replace(hour=0, minute=0)
    opening = calendar.next_opening(from_datetime(midnight))
    return to_datetime(opening, zone).date() == midnight.date()


def messages(incident: Incident, policy: Policy) -> list[Duty]:
    """What parties outside must be told, through whom, resolved or not.

    Owed from the moment the severity is confirmed; where it takes a type, or being major, from when the incident was that.
    """
    if incident.severity_state == "proposed" or incident.drill:
        return []
    confirmed = max(incident.confirmed_at, incident.acknowledge_from)
    found = []
    for name, party in policy.outside.parties.items():
        if party.within is None or incident.severity not in party.severities:
            continue
        of_type = (
            since((at, kind in party.types) for at, kind, _ in incident.kinds) if party.types else confirmed
        )
        major = major_since(incident, policy) if party.major_only else confirmed
        if not of_type or not major:
            continue
        start = max(confirmed, of_type, major)
        found.append(
            owe(
                incident, "message", party.through, start, calendar_of(incident, policy).add(start, party.within),
                f"{party.name} are told through {party.through.replace('_', ' ')}", incident.sent_to.get(name, 0),
                key=f"message:{name}:{start}", outlives=True,
            )
        )  # fmt: skip
    return found


def major_since(incident: Incident, policy: Policy) -> Instant:
    """Since when it is one that the public talks about, by the share of users on record or its subtype; 0: it is not."""
    terms = policy.outside.major
    moments = (
        since((at, subtype in terms.subtypes) for at, _, subtype in incident.kinds),
        since((at, share > terms.above_percent_of_users) for at, share in incident.shares),
    )
    return min((at for at in moments if at), default=0)


def since(said: Iterable[tuple[Instant, bool]]) -> Instant:
    """Since when it holds without a break; 0 where it does not hold at the end. ``said``: (from when, whether), in order."""
    began = 0
    for at, holds in said:
        began = (began or at) if holds else 0
    return began


def validation(incident: Incident, policy: Policy, resolve_due: Instant) -> list[Duty]:
    """Recovery is validated by the time it is to be resolved, where validation gates that."""
    if policy.validation_gates(incident.severity, incident.kind) != "resolved" or incident.drill:
        return []
    done = [incident.validations[kind] for kind in GATES if kind in incident.validations]
    shown = [one.at for one in done if one.outcome in ("passed", "not_applicable")]
    met = max(shown) if len(shown) == len(GATES) else 0
    if "validation" in incident.overridden:
        met = met or incident.resolved_at
    return [
        owe(
            incident, "validation", "technical_lead", incident.resolve_from, resolve_due, "functional, performance and security are validated",
            met, chase_from=max(incident.resolve_chase_from, incident.resolve_from + (resolve_due - incident.resolve_from) // 2),
        )
    ]  # fmt: skip


def hearing(incident: Incident, policy: Policy) -> list[Duty]:
    """Who hears how it goes while a plan of continuity runs: soon after it began, then again and again."""
    if policy.continuity is None or not incident.plans or incident.drill:
        return []
    begun, found = max(min(incident.plans.values()), incident.hear_from), []
    for audience, terms in policy.continuity.hearing.items():
        last = incident.heard.get(audience, 0)
        start, allowed = (last, terms.every) if last >= begun else (begun, terms.within)
        found.append(
            owe(
                incident, "continuity", terms.through, start, due_at(incident, policy, start, allowed),
                f"{terms.name} hear {terms.about}", 0, key=f"continuity:{audience}:{start}",
            )
        )  # fmt: skip
    return found


def learning(incident: Incident, policy: Policy) -> list[Duty]:
    """The post-mortem's steps, each counted from the resolution, where the policy demands one."""
    if (
        not incident.resolved_at
        or incident.drill
        or policy.post_mortem_for(incident.severity, incident.kind) != "required"
    ):
        return []
    calendar, terms, start = calendar_of(incident, policy), policy.post_mortem, incident.resolved_at
    return [
        owe(
            incident, "post_mortem", owner, start, calendar.add(start, getattr(terms, step)), how, incident.learned.get(step, 0),
            key=f"post_mortem:{step}:{start}", outlives=True,
        )
        for step, (owner, how) in LEARNING.items()
    ]  # fmt: skip
