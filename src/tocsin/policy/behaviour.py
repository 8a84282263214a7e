"""What a policy does, apart from how it is written: plain data that is equal exactly when two policies behave the same.

Settings without effect are left out, and what can be written in several ways stands in one: an empty list of types means
every type, a chase of its own replaces the default one, hours that touch are one stretch. Severity rules are the exception:
whether two ask the same is decided by :mod:`tocsin.policy.cells`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from tocsin.policy.calendar import BusinessCalendar, Duration, Minutes, zone_named
from tocsin.policy.cells import implies, possible
from tocsin.policy.conditions import asked
from tocsin.policy.model import (
    AUDIENCES,
    BLANK,
    OUTSIDE,
    ROLES,
    SEVERITIES,
    Chase,
    OutsideParty,
    Policy,
    Rule,
    Severity,
    Step,
)
from tocsin.policy.plans import PHASES, PlanStep
from tocsin.policy.severity import UNRULED

SURE = ("P1", "P2")
"""severities whose first response has steps of its own"""
BY_SEVERITY = (
    "acknowledge", "respond", "resolve", "update", "stand_up", "message", "validation", "continuity", "post_mortem",
)  # fmt: skip
"""kinds of duty that an incident owes; the others belong to no severity"""
ACTIONS = ("action", "action_status", "action_verification")
CHASED_FROM_HALF = 50
"""per cent of its time from which on validation is chased at the earliest"""
CATEGORIES = ("immediate", "short_term", "long_term")
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


class PlanPart(msgspec.Struct, frozen=True):
    """A step of a plan. ``part``: its phase or strand. What it says to do counts as behaviour, as a message does."""

    id: str
    part: str
    owner: str
    text: str


class Begins(msgspec.Struct, frozen=True):
    """What begins a plan of continuity, and its steps for each type of incident."""

    severities: frozenset[str]
    components: frozenset[str]
    services: frozenset[str]
    subtypes: frozenset[str]
    steps: Mapping[str, tuple[PlanPart, ...]]


class Hears(msgspec.Struct, frozen=True):
    """What one audience hears while a plan of continuity runs, and how."""

    about: str
    through: str
    within: Duration
    every: Duration
    met_by: frozenset[str]


class Party(msgspec.Struct, frozen=True):
    """Who outside is told. ``major``: above which share and for which subtypes, where they hear of major incidents alone."""

    severities: frozenset[str]
    types: frozenset[str]
    through: str
    within: Duration | None
    major: tuple[int, frozenset[str]] | None


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
    heard = [length for one in hearing(policy).values() for length in (one.within, one.every)]
    for name in SEVERITIES:
        terms = policy.severities[name]
        digest = terms.escalation.when_missed == "digest"
        for duty in (*BY_SEVERITY, FIRST_STEPS):
            if duty == "continuity" and not heard:
                continue
            if _is_owed(policy, name, terms, duty, digest):
                lengths = heard if duty == "continuity" else _lengths(terms, duty)
                chased = _chasing(policy.chase(duty), digest=digest, lengths=lengths)
                found[name, duty] = _from_half(chased) if duty == "validation" else chased
    reports = [every for category in CATEGORIES if (every := status(policy, category)) is not None]
    for duty in ACTIONS:
        if duty == "action_status" and not reports:
            continue
        lengths = {"action_status": reports, "action_verification": [policy.actions.verified_within]}.get(
            duty
        )
        found["", duty] = _to_a_position(_chasing(policy.chase(duty), lengths=lengths))
    found["", "policy_review"] = _chasing(
        policy.chase("policy_review"), lengths=[policy.governance.review_every]
    )
    return found


def status(policy: Policy, category: str) -> Duration | None:
    """How often an action of that category reports; None where no status can fall due before the action itself does."""
    terms = policy.actions.category(category)
    every, within = terms.status_every, terms.within
    return None if every.is_elapsed and within.is_elapsed and every.amount >= within.amount else every


def _from_half(terms: Chasing) -> Chasing:
    return msgspec.structs.replace(
        terms, percent=tuple(sorted({max(percent, CHASED_FROM_HALF) for percent in terms.percent}))
    )


def _to_a_position(terms: Chasing) -> Chasing:
    """No incident is open whose roles could be asked: the engineering manager stands for them."""
    if terms.escalates is None or terms.escalates[1] not in ROLES:
        return terms
    return msgspec.structs.replace(terms, escalates=(terms.escalates[0], "engineering_manager"))


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
        case "validation":
            return any(policy.validation_gates(name, kind) == "resolved" for kind in policy.types)
        case "post_mortem":
            return any(policy.post_mortem_for(name, kind) == "required" for kind in policy.types)
        case "first_steps":
            return name in SURE
    return True


def _lengths(terms: Severity, duty: str) -> list[Duration] | None:
    """How long such a duty may last, where that is always the same; None where it is not."""
    if duty == "update" and terms.first_update == "response":
        return [terms.respond, terms.update]
    return [terms.before_due(duty)] if duty in ("acknowledge", "respond", "update") else None


def _chasing(terms: Chase, *, digest: bool = False, lengths: Collection[Duration] | None = None) -> Chasing:
    """``lengths``: of the duties that are chased so; a reminder that comes before the start of all of them is never sent."""
    before = frozenset(
        one.amount
        for one in terms.remind_before
        if one.is_elapsed
        and (lengths is None or any(not each.is_elapsed or one.amount < each.amount for each in lengths))
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


def parties(policy: Policy) -> dict[str, Party]:
    """Party → of what it is told, and how."""
    return {name: _party(policy, terms) for name, terms in policy.outside.parties.items()}


def _party(policy: Policy, terms: OutsideParty) -> Party:
    types = frozenset(terms.types) or frozenset(policy.types)
    major = None
    if terms.major_only:
        known = {subtype for name in types for subtype in policy.types[name].subtypes}
        # shares are whole per cents
        share = int(policy.outside.major.above_percent_of_users)
        major = (share, frozenset(policy.outside.major.subtypes) & known)
    return Party(frozenset(terms.severities), types, terms.through, terms.within, major)


# plans


def _parts(steps: Iterable[tuple[PlanStep, str]], kind: str) -> tuple[PlanPart, ...]:
    return tuple(
        PlanPart(step.id, part, step.owner, step.text)
        for step, part in steps
        if not step.types or kind in step.types
    )


def recovery(policy: Policy) -> dict[tuple[str, str], tuple[PlanPart, ...]]:
    """(severity, type) → the steps of recovery in their order, for every incident that gets the plan."""
    terms = policy.recovery
    if terms is None:
        return {}
    ordered = sorted(terms.steps, key=lambda step: PHASES.index(step.phase))
    return {
        (severity, kind): _parts([(step, step.phase) for step in ordered], kind)
        for severity in SEVERITIES
        for kind in policy.types
        if severity in terms.severities or kind in terms.types
    }


def continuity(policy: Policy) -> dict[str, Begins]:
    """Plan → what begins it and what is done then, for every plan that some incident can begin."""
    return {
        name: Begins(
            frozenset(plan.severities), frozenset(policy.component(one) for one in plan.components),
            frozenset(one.casefold() for one in plan.services), frozenset(plan.subtypes),
            {kind: _parts([(step, step.strand) for step in plan.steps], kind) for kind in policy.types},
        )
        for name, plan in (policy.continuity.plans if policy.continuity else {}).items()
        if plan.severities
    }  # fmt: skip


def hearing(policy: Policy) -> dict[str, Hears]:
    """Audience → what it hears while any plan runs; nobody hears anything where none can begin."""
    if policy.continuity is None or not continuity(policy):
        return {}
    return {
        name: Hears(one.about, one.through, one.within, one.every, frozenset(one.met_by))
        for name, one in policy.continuity.hearing.items()
    }


# the type that rules propose


def said_type(policy: Policy, rule: Rule) -> str:
    """The type that a rule makes an incident where nothing else says one; empty where it makes no difference.

    It makes none where the facts that fire the rule name the type themselves, or where a rule that decides before it
    fires too and names one. Saying the type that is taken anyway counts only beside a later rule that would say another.
    """
    if not rule.type or implies(rule.when, asked(fact="type", one_of=tuple(policy.types))):
        return ""
    if "security" in policy.types and implies(rule.when, asked(fact="security", equals=True)):
        return ""
    at = decides(policy, rule)
    others = [one for one in policy.rules if one.type and one is not rule]
    if any(decides(policy, one) < at and implies(rule.when, one.when) for one in others):
        return ""
    if rule.type == next(iter(policy.types)) and not any(
        one.type != rule.type and decides(policy, one) > at and together(rule, one) for one in others
    ):
        return ""
    return rule.type


def decides(policy: Policy, rule: Rule) -> tuple[int, int]:
    """Rules in the order in which they decide the type: the most severe first, then as in the file."""
    return SEVERITIES.index(rule.severity), next(
        index for index, one in enumerate(policy.rules) if one.name == rule.name
    )


def together(one: Rule, other: Rule) -> bool:
    """Whether both rules can fire for the same facts."""
    return possible(asked(all=(one.when, other.when)))


def calendar_of_hours(known: Hours) -> BusinessCalendar:
    """A calendar to compute with."""
    return BusinessCalendar(known.zone, known.week, known.holidays)
