"""What a policy does, apart from how it is written: plain data that is equal exactly when two policies behave the same.

Settings without effect are left out, and what can be written in several ways stands in one: an empty list of types means
every type, a chase of its own replaces the default one, hours that touch are one stretch. Severity rules are the exception:
whether two ask the same is decided by :mod:`tocsin.policy.cells`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from tocsin.policy.calendar import BusinessCalendar, Duration, Minutes, zone_named
from tocsin.policy.model import AUDIENCES, BLANK, OUTSIDE, SEVERITIES, Chase, Policy, Severity, Step
from tocsin.policy.severity import UNRULED

SURE = ("P1", "P2")
"""severities whose first response has steps of its own"""
BY_SEVERITY = ("acknowledge", "respond", "resolve", "update", "stand_up", "message", "post_mortem")
"""kinds of duty that an incident owes; the others belong to no severity"""
FIRST_STEPS = "first_steps"
"""stands for the steps of the first response, which are chased by the default"""

Steps = tuple[tuple[Duration, bool, frozenset[str]], ...]


class Clocks(msgspec.Struct, frozen=True):
    """The promises of one severity. ``unsure``: the time to acknowledge while it is only proposed, where that is another."""

    acknowledge: Duration
    unsure: tuple[Duration, ...]
    respond: Duration
    resolve: Duration
    update: Duration
    first_update: Duration
    hours: str
    pausable: bool
    activate_team: str
    war_room: bool
    stand_ups: tuple[tuple[str, ...], str] | None


class Paging(msgspec.Struct, frozen=True):
    """One chain. ``digest_to``: where a miss goes in the next digest; empty where it is paged again."""

    steps: Steps
    repeat_every: Duration | None
    hours: str
    digest_to: str = ""


class Telling(msgspec.Struct, frozen=True):
    """Who is told. ``unsure_after``: when, while it is only proposed; None: not before it is confirmed."""

    targets: frozenset[str]
    when: str
    unsure_after: Duration | None
    interrupts: bool


class Chasing(msgspec.Struct, frozen=True):
    """How one kind of duty is chased. ``before``: elapsed microseconds before it is due."""

    percent: tuple[int, ...]
    before: frozenset[int]
    every: Duration | None
    escalates: tuple[Duration, str] | None


class Hours(msgspec.Struct, frozen=True):
    """Working time: hours for Monday to Sunday, touching ones joined; holidays that fall on a day with hours."""

    zone: str
    week: tuple[tuple[Minutes, ...], ...]
    holidays: frozenset[str]


class Kind(msgspec.Struct, frozen=True):
    """One type of incident. ``members``: who may see a restricted one; of no effect otherwise."""

    subtypes: frozenset[str]
    judged_by: str
    restricted: bool
    members: frozenset[str]
    self_resolves: bool


class Message(msgspec.Struct, frozen=True):
    """What one audience reads. ``fallbacks``: for each blank in it, what stands there when the record has nothing."""

    subject: str
    text: str
    fallbacks: Mapping[str, str]
    always: Mapping[str, str]


def clocks(policy: Policy, name: str) -> Clocks:
    terms = policy.severities[name]
    stand_ups = terms.stand_ups
    first = terms.respond if terms.first_update == "response" else terms.update
    return Clocks(
        terms.acknowledge, _unsure(policy, name), terms.respond, terms.resolve, terms.update, first, terms.hours, terms.pausable,
        terms.activate_team, terms.war_room, (tuple(sorted(set(stand_ups.at))), stand_ups.days) if stand_ups else None,
    )  # fmt: skip


def _unsure(policy: Policy, name: str) -> tuple[Duration, ...]:
    """The time to acknowledge while the severity is proposed as P1 or by no rule; both where neither is always the shorter."""
    if name not in ("P1", UNRULED):
        return ()
    own, other = policy.severities[name].acknowledge, policy.paging.acknowledge_while_proposed
    if own == other:
        return ()
    if own.is_elapsed and other.is_elapsed:
        return (other,) if other.amount < own.amount else ()
    return (other,)


def _steps(steps: tuple[Step, ...]) -> Steps:
    return tuple((step.after, step.quiet, frozenset(step.targets)) for step in steps)


def paging(policy: Policy, name: str) -> Paging:
    escalation = policy.severities[name].escalation
    return Paging(
        _steps(escalation.steps), escalation.repeat_every, escalation.hours, escalation.digest_to or ""
    )


def commander(policy: Policy, name: str) -> Paging | None:
    """The commander's own page for a severity, or None."""
    terms, escalation = policy.paging.commander, policy.severities[name].escalation
    if name not in terms.severities:
        return None
    return Paging(_steps(terms.steps), terms.repeat_every or escalation.repeat_every, escalation.hours)


def telling(policy: Policy, name: str) -> Telling | None:
    notice = policy.severities[name].notice
    if notice is None:
        return None
    after = notice.while_proposed_after if notice.when == "confirmed" else None
    # below P2 a notice never interrupts
    return Telling(frozenset(notice.targets), notice.when, after, notice.interrupts and name in SURE)


def chasing(policy: Policy) -> dict[tuple[str, str], Chasing]:
    """(severity, kind of duty) → how it is chased; the severity is empty for what belongs to none."""
    found: dict[tuple[str, str], Chasing] = {}
    for name in SEVERITIES:
        terms = policy.severities[name]
        digest = terms.escalation.when_missed == "digest"
        for duty in (*BY_SEVERITY, FIRST_STEPS):
            if _is_owed(policy, name, terms, duty, digest):
                found[name, duty] = _chasing(policy.chase(duty), digest=digest, length=_length(terms, duty))
    for duty in ("action", "action_status", "policy_review"):
        found["", duty] = _chasing(policy.chase(duty))
    return found


def _is_owed(policy: Policy, name: str, terms: Severity, duty: str, digest: bool) -> bool:
    match duty:
        case "acknowledge":
            return digest  # otherwise the escalation itself chases it
        case "stand_up":
            return terms.stand_ups is not None
        case "message":
            return any(
                name in party.severities and party.within is not None
                for party in policy.outside.parties.values()
            )
        case "post_mortem":
            return any(policy.post_mortem_for(name, kind) == "required" for kind in ("", *policy.types))
        case "first_steps":
            return name in SURE
    return True


def _length(terms: Severity, duty: str) -> int | None:
    """How long an elapsed duty lasts, where that is always the same: an earlier reminder is never sent."""
    if duty not in ("acknowledge", "respond", "update"):
        return None
    allowed = terms.before_due(duty)
    return allowed.amount if allowed.is_elapsed else None


def _chasing(terms: Chase, *, digest: bool = False, length: int | None = None) -> Chasing:
    before = frozenset(
        one.amount
        for one in terms.remind_before
        if one.is_elapsed and (length is None or one.amount <= length)
    )
    escalates = (
        (terms.escalate_after, terms.escalate_to) if terms.escalate_after and terms.escalate_to else None
    )
    # a missed duty of a severity with a digest goes there, and nowhere else
    return Chasing(
        terms.remind_at_percent, before, None if digest else terms.chase_every, None if digest else escalates
    )


def hours(policy: Policy, name: str = "") -> Hours:
    """The working time that a team with a calendar of that name has; empty: the default."""
    calendar = policy.calendar(name)
    week = tuple(_joined(spans) for spans in calendar.hours)
    used = frozenset(day for day in calendar.holidays if week[datetime.fromisoformat(day).weekday()])
    return Hours(calendar.zone, week, used)


def _joined(spans: tuple[Minutes, ...]) -> tuple[Minutes, ...]:
    found: list[Minutes] = []
    for start, end in spans:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)


def same_hours(one: Hours, other: Hours) -> bool:
    """Whether both work at the same times; a zone under another name is the same where its clocks always agree."""
    return (one.week, one.holidays) == (other.week, other.holidays) and same_clocks(one.zone, other.zone)


@lru_cache(maxsize=256)
def same_clocks(one: str, other: str) -> bool:
    """Whether clocks of both zones show the same at every hour from 2020 to 2045."""
    if one == other:
        return True
    zones = (zone_named(one), zone_named(other))
    day, hour = timedelta(days=1), timedelta(hours=1)

    def shown(at: datetime) -> list[timedelta | None]:
        return [at.astimezone(zone).utcoffset() for zone in zones]

    at = datetime(2020, 1, 1, tzinfo=UTC)
    before = shown(at)
    while at.year < 2046:
        after = shown(at + day)
        if before != after and any(len(set(shown(at + hour * count))) > 1 for count in range(24)):
            return False
        if len(set(after)) > 1 or len(set(before)) > 1:
            return False
        at, before = at + day, after
    return True


def types(policy: Policy) -> dict[str, Kind]:
    """What each type of incident does by itself."""
    return {
        name: Kind(
            frozenset(terms.subtypes), terms.judged_by, terms.restricted,
            frozenset(terms.members) if terms.restricted else frozenset(), terms.self_resolves,
        )
        for name, terms in policy.types.items()
    }  # fmt: skip


def message(policy: Policy, template: str, audience: str) -> Message:
    """What an audience reads; blanks in one spelling."""
    wording = getattr(policy.templates, template).wording(audience)
    outside = audience in OUTSIDE
    always = {
        name: policy.blanks[name].outside_always or ""
        for name in wording.blanks
        if outside and policy.blanks[name].outside_always
    }
    fallbacks = {
        name: policy.blanks[name].fallback(audience) for name in sorted(wording.blanks) if name not in always
    }
    subject, text = (BLANK.sub(r"{{ \1 }}", part) for part in (wording.subject, wording.text))
    return Message(subject, text, fallbacks, always)


def messages(policy: Policy) -> dict[tuple[str, str], Message]:
    """(template, audience) → what it reads."""
    return {
        (template, audience): message(policy, template, audience)
        for template in ("first_notice", "progress_update", "resolution_notice")
        for audience in AUDIENCES
    }


def parties(policy: Policy) -> dict[str, tuple[frozenset[str], frozenset[str], str, Duration | None]]:
    """Party → (severities, types, through whom, within which time)."""
    return {
        name: (
            frozenset(party.severities), frozenset(party.types) or frozenset(policy.types), party.through, party.within,
        )
        for name, party in policy.outside.parties.items()
    }  # fmt: skip


def calendar_of_hours(known: Hours) -> BusinessCalendar:
    """A calendar to compute with."""
    return BusinessCalendar(known.zone, known.week, known.holidays)
