"""Promises, escalation, notices, the commander's page and chasing: what can be kept, and who hears of what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from tocsin.kernel.clock import MINUTE
from tocsin.policy.calendar import Duration
from tocsin.policy.finding import ERROR, WARNING, Check, Finding, Week, words
from tocsin.policy.model import DUTIES, SEVERITIES, Chase, Escalation, Policy, Severity, Step

URGENT = ("P1", "P2")
LONGEST_HOLD = MINUTE
"""a new P1 is never held longer"""


def promises(policy: Policy, week: Week) -> Iterator[Finding]:
    """Acknowledge before respond before resolve, and no slower while it is unsure."""
    for name in SEVERITIES:
        terms = policy.severities[name]
        for early, late in (("acknowledge", "respond"), ("respond", "resolve")):
            first, second = terms.before_due(early), terms.before_due(late)
            if week.longer(first, second):
                yield Finding(
                    f"{early}_after_{late}", ERROR, f"severities.{name}.{early}",
                    f"{name} has {first.text} to {early} but only {second.text} to {late}: the first must not be longer",
                    f"severities.{name}.{late}",
                )  # fmt: skip
        if name in URGENT and terms.pausable:
            yield Finding(
                "clock_can_stand_still", ERROR, f"severities.{name}.pausable",
                f"the clocks of {name} could be paused while {terms.respond.text} to respond are promised: use pausable: false",
                f"severities.{name}.respond",
            )  # fmt: skip
    unsure, sure = policy.paging.acknowledge_while_proposed, policy.severities["P1"].acknowledge
    if week.longer(unsure, sure):
        yield Finding(
            "slower_while_unsure", ERROR, "paging.acknowledge_while_proposed",
            f"{unsure.text} to acknowledge while it may be a P1, but {sure.text} once it is one: let the first not be longer",
            "severities.P1.acknowledge",
        )  # fmt: skip


def ranks(policy: Policy, week: Week) -> Iterator[Finding]:
    """What is more severe is owed no later, and no less, than what is milder."""
    for severe, mild in pairwise(SEVERITIES):
        upper, lower = policy.severities[severe], policy.severities[mild]
        for duty in ("acknowledge", "respond", "resolve", "update"):
            first, second = upper.before_due(duty), lower.before_due(duty)
            if week.longer(first, second):
                yield Finding(
                    "more_severe_but_slower", WARNING, f"severities.{severe}.{duty}",
                    f"{severe} allows {first.text} to {duty}, the milder {mild} only {second.text}: exchange them, or say why",
                    f"severities.{mild}.{duty}",
                )  # fmt: skip
        order = ("none", "optional", "required")
        less = {
            "war_room": lower.war_room and not upper.war_room,
            "post_mortem": severe not in URGENT
            and order.index(lower.post_mortem) > order.index(upper.post_mortem),
        }
        for key in (key for key, found in less.items() if found):
            yield Finding(
                "more_severe_but_less", WARNING, f"severities.{severe}.{key}",
                f"the milder {mild} is owed more ({key}: {_plain(getattr(lower, key))}) than {severe} "
                f"({_plain(getattr(upper, key))}): exchange them, or say why",
                f"severities.{mild}.{key}",
            )  # fmt: skip


def _plain(value: object) -> str:
    return str(value).lower()


def escalations(policy: Policy, week: Week) -> Iterator[Finding]:
    """Each severity has steps that come, in order, and lead to a person."""
    for name in SEVERITIES:
        terms = policy.severities[name]
        where = f"severities.{name}.escalation"
        if not terms.escalation.steps:
            yield Finding(
                "no_steps", ERROR, where, f"{name} has no escalation step: nobody would ever be paged"
            )
            continue
        yield from _steps(week, terms.escalation.steps, f"{where}.steps", name)
        yield from _reaches(week, terms, where, name)
        yield from _ends(terms.escalation, where, name)
        yield from _repeats(week, terms, where, name)


def _steps(week: Week, steps: tuple[Step, ...], where: str, whose: str) -> Iterator[Finding]:
    for index, (before, step) in enumerate(pairwise(steps), 1):
        if not week.longer(step.after, before.after):
            yield Finding(
                "delays_not_increasing", ERROR, f"{where}.{index}",
                f"step {index + 1} of {whose} comes after {step.after.text}, no later than the one before it "
                f"({before.after.text}): put the steps in order",
                f"{where}.{index - 1}",
            )  # fmt: skip
        if set(step.targets) <= set(before.targets) and step.quiet == before.quiet:
            yield Finding(
                "step_without_effect", WARNING, f"{where}.{index}",
                f"step {index + 1} of {whose} pages only {', '.join(step.targets)}, whom the step before it paged already: "
                "name somebody else, or take it out",
                f"{where}.{index - 1}",
            )  # fmt: skip


def _reaches(week: Week, terms: Severity, where: str, name: str) -> Iterator[Finding]:
    """Somebody is interrupted, in time, and no step comes when all is over."""
    steps = terms.escalation.steps
    loud = [index for index, step in enumerate(steps) if not step.quiet]
    if not loud and name != SEVERITIES[-1]:
        yield Finding(
            "no_way_to_a_person", ERROR, f"{where}.steps",
            f"every step of {name} is quiet, so nobody is ever interrupted for it: let one step page",
        )  # fmt: skip
    if loud and week.longer(steps[loud[0]].after, terms.acknowledge):
        yield Finding(
            "paged_too_late", ERROR, f"{where}.steps.{loud[0]}",
            f"the first page of {name} leaves after {steps[loud[0]].after.text}, when the {terms.acknowledge.text} to acknowledge it "
            "are over: page earlier, or allow more time",
            f"severities.{name}.acknowledge",
        )  # fmt: skip
    for index, step in enumerate(steps):
        if week.comes_after((step.after,), terms.resolve, terms.respond):
            yield Finding(
                "step_unreachable", ERROR, f"{where}.steps.{index}",
                f"step {index + 1} of {name} comes after {step.after.text}, when the incident has been due to be resolved "
                f"({terms.resolve.text}): let it come earlier, or take it out",
                f"severities.{name}.resolve",
            )  # fmt: skip


def _ends(escalation: Escalation, where: str, name: str) -> Iterator[Finding]:
    if name not in URGENT:
        return
    if escalation.repeat_every is None:
        yield Finding(
            "goes_quiet", ERROR, where,
            f"after the last step of {name} nobody is paged any more: give repeat_every",
        )  # fmt: skip
    if escalation.steps[0].after.amount > 0 or escalation.steps[0].quiet:
        yield Finding(
            "nobody_at_once", WARNING, f"{where}.steps.0",
            f"nobody is interrupted at once for {name}: let the first step page after 0m",
        )  # fmt: skip
    if escalation.hours == "business":
        yield Finding(
            "asleep", ERROR, f"{where}.hours", f"{name} would wait for working hours: use hours: always"
        )
    if escalation.when_missed == "digest":
        yield Finding(
            "missed_and_left_lying", ERROR, f"{where}.when_missed",
            f"a missed {name} would wait for the digest of the next business day: use when_missed: page_again",
        )  # fmt: skip


def _repeats(week: Week, terms: Severity, where: str, name: str) -> Iterator[Finding]:
    escalation = terms.escalation
    every = escalation.repeat_every
    if every and week.comes_after((escalation.steps[-1].after, every), terms.resolve, terms.respond):
        yield Finding(
            "repeat_never_comes", WARNING, f"{where}.repeat_every",
            f"{name} pages again {every.text} after its last step, when it has been due to be resolved ({terms.resolve.text}): "
            "repeat earlier",
            f"severities.{name}.resolve",
        )  # fmt: skip


def notices(policy: Policy, week: Week) -> Iterator[Finding]:
    """Telling is not paging: those who must hear of it do, and hear something new."""
    for name in SEVERITIES:
        terms = policy.severities[name]
        notice = terms.notice
        where = f"severities.{name}.notice"
        if notice is None:
            if name in URGENT:
                yield Finding(
                    "nobody_told", ERROR, where,
                    f"nobody is told of a {name} beside those who are paged: give it a notice",
                )  # fmt: skip
            continue
        first = terms.escalation.steps[0] if terms.escalation.steps else None
        if (
            first is not None
            and terms.escalation.hours == "always"
            and not (first.quiet or first.after.amount)
            and set(notice.targets) <= set(first.targets)
        ):
            yield Finding(
                "notice_tells_nobody", WARNING, f"{where}.targets",
                f"the notice of {name} goes only to {', '.join(notice.targets)}, whom the first step pages at once: name somebody else",
                f"severities.{name}.escalation.steps.0",
            )  # fmt: skip
        if name == "P1" and notice.when == "confirmed" and notice.while_proposed_after is None:
            yield Finding(
                "told_only_when_confirmed", WARNING, f"{where}.when",
                "nobody is told of a P1 that a machine proposed until a person confirms it: give while_proposed_after",
            )  # fmt: skip
        leadership = [
            target for target in ("cto", "ceo") if target in policy.positions and target not in notice.targets
        ]
        if name == "P1" and leadership:
            yield Finding(
                "leadership_not_told", ERROR, f"{where}.targets",
                f"the notice of P1 leaves out the {' and the '.join(words(one) for one in leadership)}: name them, all of the company is concerned",
            )  # fmt: skip
        if terms.hours == "business" and notice.interrupts:
            yield Finding(
                "notice_interrupts", WARNING, f"{where}.interrupts",
                f"the notice of {name} interrupts, though {name} keeps business hours: use interrupts: false, what rings waits for its page",
                f"severities.{name}.hours",
            )  # fmt: skip


def commander(policy: Policy, week: Week) -> Iterator[Finding]:
    """The commander's own page comes for what needs a commander, and in time."""
    terms = policy.paging.commander
    where = "paging.commander"
    if not terms.steps and terms.severities:
        yield Finding(
            "no_steps", ERROR, where, "the commander's page has no step: name whom it pages", f"{where}.steps"
        )
    missing = [name for name in URGENT if name not in terms.severities]
    if missing:
        yield Finding(
            "no_commander_paged", ERROR, f"{where}.severities",
            f"no commander is paged for {' and '.join(missing)}, though the commander owes the response: add it",
            f"severities.{missing[0]}.respond",
        )  # fmt: skip
    yield from _steps(week, terms.steps, f"{where}.steps", "the commander's page")
    for name in terms.severities:
        promised = policy.severities[name]
        for index, step in enumerate(terms.steps):
            if index == 0 and week.longer(step.after, promised.respond):
                yield Finding(
                    "paged_too_late", ERROR, f"{where}.steps.0",
                    f"the commander of a {name} is paged after {step.after.text}, when the {promised.respond.text} to respond are over: "
                    "page earlier",
                    f"severities.{name}.respond",
                )  # fmt: skip
            elif week.comes_after((step.after,), promised.resolve, promised.respond):
                yield Finding(
                    "step_unreachable", ERROR, f"{where}.steps.{index}",
                    f"step {index + 1} of the commander's page comes after {step.after.text}, when a {name} has been due to be resolved "
                    f"({promised.resolve.text}): let it come earlier",
                    f"severities.{name}.resolve",
                )  # fmt: skip
        if (
            terms.steps
            and terms.repeat_every
            and week.comes_after(
                (terms.steps[-1].after, terms.repeat_every), promised.resolve, promised.respond
            )
        ):
            yield Finding(
                "repeat_never_comes", WARNING, f"{where}.repeat_every",
                f"the commander is paged again after {terms.repeat_every.text}, when a {name} has been due to be resolved "
                f"({promised.resolve.text}): repeat earlier",
                f"severities.{name}.resolve",
            )  # fmt: skip
    held = policy.paging.page_each_person_at_most_every
    if held.micros > LONGEST_HOLD:
        yield Finding(
            "page_held_too_long", ERROR, "paging.page_each_person_at_most_every",
            f"a new P1 could be held back for {held.text} behind another page: 60s at most, and P1 has {policy.severities['P1'].acknowledge.text} "
            "to be acknowledged",
            "severities.P1.acknowledge",
        )  # fmt: skip


OWNERS = {
    "respond": "incident_commander", "resolve": "incident_commander", "update": "communication_lead", "validation": "technical_lead",
}  # fmt: skip
"""who owes what is chased"""


def chasing(policy: Policy, week: Week) -> Iterator[Finding]:
    """Reminders that can be sent, chasing that takes place, and somebody else at its end."""
    lengths = _lengths(policy)
    for key, terms in policy.chasing.items():
        rules = [duty for duty in DUTIES if duty not in policy.chasing] if key == "default" else [key]
        yield from _reminders(
            week, key, terms, {where: lengths[duty][where] for duty in rules for where in lengths[duty]}
        )
        owner = _owner(policy, key)
        if owner and terms.escalate_to == owner:
            yield Finding(
                "escalates_to_its_owner", WARNING, f"chasing.{key}.escalate_to",
                f"a missed {words(key)} goes to the {words(owner)}, who owes it: name somebody else",
            )  # fmt: skip
    for duty in (
        "respond", "resolve", "update", "validation", "continuity", "post_mortem", "action", "action_verification",
    ):  # fmt: skip
        effective = policy.chase(duty)
        where = f"chasing.{duty if duty in policy.chasing else 'default'}"
        if effective.chase_every is None:
            yield Finding(
                "never_chased", WARNING, where,
                f"nobody is chased for a missed {words(duty)}: give chase_every",
            )  # fmt: skip
        if effective.escalate_after is None:
            yield Finding(
                "never_escalated", WARNING, where,
                f"a missed {words(duty)} never goes to somebody else: give escalate_after and escalate_to",
            )  # fmt: skip


def _owner(policy: Policy, duty: str) -> str:
    """Who owes all duties of that kind; empty where they are owed by several."""
    several: set[str] = set()
    match duty:
        case "policy_review":
            return policy.governance.owner
        case "action_verification":
            return policy.actions.verified_by
        case "continuity" if policy.continuity:
            several = {one.through for one in policy.continuity.hearing.values()}
        case "message":
            several = {one.through for one in policy.outside.parties.values() if one.within is not None}
    return several.pop() if len(several) == 1 else OWNERS.get(duty, "")


def _lengths(policy: Policy) -> Mapping[str, Mapping[str, Duration]]:
    """For each kind of duty, the place and the length of each of its promises."""
    found: dict[str, dict[str, Duration]] = {duty: {} for duty in DUTIES}
    for name in SEVERITIES:
        terms = policy.severities[name]
        for duty in ("acknowledge", "respond", "resolve", "update"):
            # what the escalation chases gets no reminder
            if duty != "acknowledge" or terms.escalation.when_missed == "digest":
                found[duty][f"severities.{name}.{duty}"] = terms.before_due(duty)
    for step in (
        "timeline",
        "root_cause",
        "meeting_booked",
        "meeting_held",
        "draft",
        "review",
        "publication",
    ):
        found["post_mortem"][f"post_mortem.{step}"] = getattr(policy.post_mortem, step)
    for name in ("immediate", "short_term", "long_term"):
        found["action"][f"actions.{name}.within"] = policy.actions.category(name).within
        found["action_status"][f"actions.{name}.status_every"] = policy.actions.category(name).status_every
    for name, party in policy.outside.parties.items():
        if party.within is not None:
            found["message"][f"outside.parties.{name}.within"] = party.within
    found["action_verification"]["actions.verified_within"] = policy.actions.verified_within
    for audience, one in (policy.continuity.hearing if policy.continuity else {}).items():
        found["continuity"][f"continuity.hearing.{audience}.within"] = one.within
        found["continuity"][f"continuity.hearing.{audience}.every"] = one.every
    found["policy_review"]["governance.review_every"] = policy.governance.review_every
    return found


def _reminders(week: Week, key: str, terms: Chase, lengths: Mapping[str, Duration]) -> Iterator[Finding]:
    for index, before in enumerate(terms.remind_before):
        where = f"chasing.{key}.remind_before.{index}"
        if not before.is_elapsed:
            yield Finding(
                "reminder_never_sent", ERROR, where,
                f"a reminder {before.text} before the end is never sent, because only elapsed time can be counted back: write it in hours or days",
            )  # fmt: skip
            continue
        early = [place for place, length in lengths.items() if week.longer(before, length)]
        if early:
            named = ", ".join(f"{place} ({lengths[place].text})" for place in early)
            yield Finding(
                "reminder_before_start", ERROR, where,
                f"a reminder {before.text} before the end would come before the start of {named}, and is never sent: remind later, or by "
                "remind_at_percent",
                early[0],
            )  # fmt: skip


CHECKS: tuple[Check, ...] = (promises, ranks, escalations, notices, commander, chasing)
