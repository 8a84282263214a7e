"""What is wrong with a policy that can be read: promises that contradict each other, steps and rules without effect.

This looks at the policy alone; whether people, contacts and schedules can keep it is another question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from tocsin.kernel.clock import DAY, HOUR, Instant, parse_instant
from tocsin.policy.calendar import Duration
from tocsin.policy.conditions import Condition
from tocsin.policy.model import FILLED_BLANKS, SEVERITIES, Escalation, Policy, Rule, Step, Template

ERROR, WARNING = "error", "warning"


class Finding(msgspec.Struct, frozen=True):
    """``rule``: the check's own name. ``severity``: ``error`` (it cannot be kept) or ``warning``. ``where``: a dotted
    place in the file (:func:`tocsin.policy.load.locate` gives its line). ``sentence``: what is wrong and what to do.
    """

    rule: str
    severity: str
    where: str
    sentence: str


def check(policy: Policy) -> list[Finding]:
    """Every finding, errors first, in the order of the file."""
    found = [*_promises(policy), *_ranks(policy), *_escalations(policy), *_afterwards(policy)]
    found += [*_templates(policy), *_channels(policy), *_rules(policy)]
    return sorted(found, key=lambda finding: finding.severity != ERROR)


_MONDAY = parse_instant("2026-03-02T00:00:00Z")
_STARTS = tuple(_MONDAY + day * DAY + hour * HOUR for day in range(7) for hour in range(24))
"""An ordinary week, hour by hour: durations of different kinds are compared by when they would fall due."""


def _always_longer(policy: Policy, one: Duration, other: Duration) -> bool:
    """Whether ``one`` is over after ``other`` from wherever in a week both start."""
    calendar = policy.calendar()

    def later(start: Instant) -> bool:
        return calendar.add(start, one) > calendar.add(start, other)

    return all(later(start) for start in _STARTS)


def _promises(policy: Policy) -> Iterator[Finding]:
    for name in SEVERITIES:
        terms = policy.severities[name]
        for early, late in (("acknowledge", "respond"), ("respond", "resolve")):
            first, second = terms.before_due(early), terms.before_due(late)
            if _always_longer(policy, first, second):
                yield Finding(
                    f"{early}_after_{late}", ERROR, f"severities.{name}.{early}",
                    f"{name} has {first.text} to {early} but only {second.text} to {late}: the first must not be longer",
                )  # fmt: skip


def _ranks(policy: Policy) -> Iterator[Finding]:
    for severe, mild in pairwise(SEVERITIES):
        for duty in ("acknowledge", "respond", "resolve", "update"):
            first, second = (policy.severities[name].before_due(duty) for name in (severe, mild))
            if _always_longer(policy, first, second):
                yield Finding(
                    "more_severe_but_slower", WARNING, f"severities.{severe}.{duty}",
                    f"{severe} allows {first.text} to {duty}, the milder {mild} only {second.text}: exchange them, or say why",
                )  # fmt: skip


def _escalations(policy: Policy) -> Iterator[Finding]:
    for name in SEVERITIES:
        escalation = policy.severities[name].escalation
        where = f"severities.{name}.escalation"
        if not escalation.steps:
            yield Finding(
                "no_steps", ERROR, where, f"{name} has no escalation step: nobody would ever be paged"
            )
            continue
        yield from _steps(policy, escalation.steps, f"{where}.steps", name)
        yield from _ends(escalation, where, name)
    if not policy.paging.commander.steps and policy.paging.commander.severities:
        yield Finding(
            "no_steps", ERROR, "paging.commander", "the commander's page has no step: name whom it pages"
        )
    yield from _steps(policy, policy.paging.commander.steps, "paging.commander.steps", "the commander's page")


def _steps(policy: Policy, steps: tuple[Step, ...], where: str, whose: str) -> Iterator[Finding]:
    for index, (before, step) in enumerate(pairwise(steps), 1):
        if not _always_longer(policy, step.after, before.after):
            yield Finding(
                "delays_not_increasing", ERROR, f"{where}.{index}",
                f"step {index + 1} of {whose} comes after {step.after.text}, no later than the one before it "
                f"({before.after.text}): put the steps in order",
            )  # fmt: skip
        if set(step.targets) <= set(before.targets) and step.quiet == before.quiet:
            yield Finding(
                "step_without_effect", WARNING, f"{where}.{index}",
                f"step {index + 1} of {whose} pages only {', '.join(step.targets)}, whom the step before it paged already: "
                "name somebody else, or take it out",
            )  # fmt: skip


def _ends(escalation: Escalation, where: str, name: str) -> Iterator[Finding]:
    if name not in ("P1", "P2"):
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


def _afterwards(policy: Policy) -> Iterator[Finding]:
    terms = policy.post_mortem
    for early, late in (
        ("timeline", "root_cause"), ("root_cause", "draft"), ("meeting_booked", "meeting_held"), ("draft", "review"),
        ("review", "publication"),
    ):  # fmt: skip
        first, second = getattr(terms, early), getattr(terms, late)
        if _always_longer(policy, first, second):
            yield Finding(
                "post_mortem_order", ERROR, f"post_mortem.{early}",
                f"the {early.replace('_', ' ')} is due after {first.text}, later than the {late.replace('_', ' ')} "
                f"({second.text}): the one comes before the other",
            )  # fmt: skip


def _templates(policy: Policy) -> Iterator[Finding]:
    for name in ("first_notice", "progress_update", "resolution_notice"):
        template: Template = getattr(policy.templates, name)
        places = {"everybody": template.everybody} | {
            f"audiences.{audience}": wording for audience, wording in template.audiences.items()
        }
        for place, wording in places.items():
            for blank in wording.blanks:
                if blank not in FILLED_BLANKS:
                    yield Finding(
                        "blank_nothing_fills", ERROR, f"templates.{name}.{place}",
                        f"nothing fills the blank {blank!r}, so everybody would read its fallback for ever: take it out; "
                        f"there are {', '.join(sorted(FILLED_BLANKS))}",
                    )  # fmt: skip


def _channels(policy: Policy) -> Iterator[Finding]:
    primary = [name for name, channel in policy.channels.items() if channel.primary]
    if len(primary) != 1:
        named = ", ".join(primary) if primary else "none"
        yield Finding(
            "one_primary_channel", ERROR, "channels",
            f"exactly one channel is primary, where the response takes place; here: {named}",
        )  # fmt: skip


def _rules(policy: Policy) -> Iterator[Finding]:
    shapes = [_branches(rule.when) for rule in policy.rules]
    for index, (rule, mine) in enumerate(zip(policy.rules, shapes, strict=True)):
        for other_index, (other, theirs) in enumerate(zip(policy.rules, shapes, strict=True)):
            if index == other_index or not mine <= theirs:
                continue
            if mine == theirs and other_index > index:
                continue  # said once, at the later of the two
            if mine == theirs or _wins(other, other_index, rule, index):
                yield _idle(rule, index, other, same=mine == theirs)
                break


def _wins(one: Rule, at: int, other: Rule, other_at: int) -> bool:
    return (SEVERITIES.index(one.severity), at) < (SEVERITIES.index(other.severity), other_at)


def _idle(rule: Rule, index: int, other: Rule, *, same: bool) -> Finding:
    where = f"rules.{index}"
    if same and rule.severity != other.severity:
        sentence = (
            f"the rules {other.name!r} ({other.severity}) and {rule.name!r} ({rule.severity}) ask the same and answer "
            "differently: keep one of them"
        )
        return Finding("rules_contradict", ERROR, where, sentence)
    sentence = (
        f"the rule {rule.name!r} never decides, because {other.name!r} ({other.severity}) always fires with it: "
        "narrow one of them, or take this one out"
    )
    return Finding("rule_shadowed", WARNING, where, sentence)


def _branches(condition: Condition) -> frozenset[str]:
    """The alternatives of a condition, each in one spelling."""
    if condition.any is not None:
        return frozenset().union(*(_branches(part) for part in condition.any))
    if condition.all is not None and len(condition.all) == 1:
        return _branches(condition.all[0])
    return frozenset((_spelling(condition),))


def _spelling(condition: Condition) -> str:
    return json.dumps(condition.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=True)
