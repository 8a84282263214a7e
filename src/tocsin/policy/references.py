"""Names in the policy that must lead somewhere: positions, calendars, roles, types, blanks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from tocsin.policy.conditions import Condition
from tocsin.policy.model import FILLED_BLANKS, ROLES, Policy, Template
from tocsin.policy.plans import PlanStep

Path = tuple[str | int, ...]
Fault = tuple[Path, str]


def references(policy: Policy) -> Iterator[Fault]:
    """(path, sentence) for every name that leads nowhere."""
    if policy.default_calendar not in policy.calendars:
        yield ("default_calendar",), _unknown("calendar", policy.default_calendar, policy.calendars)
    yield from _targets(policy)
    yield from _kinds(policy)
    yield from _plans(policy)
    yield from _blanks(policy)
    yield from _rules(policy)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names) or 'none yet'}"
    return f"there is no {what} {name!r}: {hint}"


def _targets(policy: Policy) -> Iterator[Fault]:
    for path, target, role_too in named_targets(policy):
        if not policy.knows_target(target) and not (role_too and target in ROLES):
            known = [*policy.positions, *(ROLES if role_too else ())]
            yield (
                path,
                _unknown("position", target, known)
                + " (or a reference such as person:anna, schedule:payments)",
            )


def named_targets(policy: Policy) -> Iterator[tuple[Path, str, bool]]:
    """(path, target, whether a role of the response would do as well) wherever the policy names somebody."""
    yield ("governance", "owner"), policy.governance.owner, False
    for name, severity in policy.severities.items():
        base: Path = ("severities", name)
        escalation = severity.escalation
        for index, step in enumerate(escalation.steps):
            for place, target in enumerate(step.targets):
                yield (*base, "escalation", "steps", index, "targets", place), target, False
        if escalation.digest_to is not None:
            yield (*base, "escalation", "digest_to"), escalation.digest_to, False
        for place, target in enumerate(severity.notice.targets if severity.notice else ()):
            yield (*base, "notice", "targets", place), target, False
    for index, step in enumerate(policy.paging.commander.steps):
        for place, target in enumerate(step.targets):
            yield ("paging", "commander", "steps", index, "targets", place), target, False
    for duty, chase in policy.chasing.items():
        if chase.escalate_to is not None:
            yield ("chasing", duty, "escalate_to"), chase.escalate_to, True
    for kind, terms in policy.types.items():
        for place, target in enumerate(terms.members):
            yield ("types", kind, "members", place), target, False
    for name, role in policy.roles.items():
        for place, target in enumerate(role.may_escalate_to):
            yield ("roles", name, "may_escalate_to", place), target, True
        if role.standby is not None:
            yield ("roles", name, "standby"), role.standby, False
    for name, party in policy.outside.parties.items():
        yield ("outside", "parties", name, "through"), party.through, True
    for name, approval in policy.outside.approval.items():
        yield ("outside", "approval", name, "approves"), approval.approves, True
        yield ("outside", "approval", name, "sends"), approval.sends, True
    yield from _planned(policy)
    yield ("actions", "verified_by"), policy.actions.verified_by, True
    for field in ("required", "required_when_users_saw", "optional"):
        for place, target in enumerate(getattr(policy.post_mortem, field)):
            yield ("post_mortem", field, place), target, True


def _planned(policy: Policy) -> Iterator[tuple[Path, str, bool]]:
    """Owners of the steps of plans."""
    for place, step in enumerate(policy.recovery.steps if policy.recovery else ()):
        yield ("recovery", "steps", place, "owner"), step.owner, True
    if policy.continuity is not None:
        for name, plan in policy.continuity.plans.items():
            for place, part in enumerate(plan.steps):
                yield ("continuity", "plans", name, "steps", place, "owner"), part.owner, True
        for audience, terms in policy.continuity.hearing.items():
            yield ("continuity", "hearing", audience, "through"), terms.through, True


def _subtypes(policy: Policy) -> list[str]:
    return sorted({subtype for terms in policy.types.values() for subtype in terms.subtypes})


def _kinds(policy: Policy) -> Iterator[Fault]:
    subtypes = _subtypes(policy)
    for place, subtype in enumerate(policy.outside.customer_mail.at_any_share):
        if subtype not in subtypes:
            yield (
                ("outside", "customer_mail", "at_any_share", place),
                _unknown("subtype", subtype, subtypes),
            )
    for place, subtype in enumerate(policy.outside.major.subtypes):
        if subtype not in subtypes:
            yield ("outside", "major", "subtypes", place), _unknown("subtype", subtype, subtypes)
    for name, party in policy.outside.parties.items():
        yield from _types(policy, party.types, ("outside", "parties", name, "types"))
    for name, channel in policy.channels.items():
        yield from _types(policy, channel.for_types, ("channels", name, "for_types"))


def _plans(policy: Policy) -> Iterator[Fault]:
    """Types, subtypes and components that plans are for; steps that are called alike."""
    if policy.recovery is not None:
        yield from _types(policy, policy.recovery.types, ("recovery", "types"))
        yield from _steps(policy, policy.recovery.steps, ("recovery", "steps"))
    if policy.continuity is None:
        return
    subtypes = _subtypes(policy)
    components = [*policy.outside.components, *(one.name for one in policy.outside.components.values())]
    for name, plan in policy.continuity.plans.items():
        base: Path = ("continuity", "plans", name)
        for place, subtype in enumerate(plan.subtypes):
            if subtype not in subtypes:
                yield (*base, "subtypes", place), _unknown("subtype", subtype, subtypes)
        for place, component in enumerate(plan.components):
            if not policy.component(component):
                yield (*base, "components", place), _unknown("component", component, components)
        yield from _steps(policy, plan.steps, (*base, "steps"))


def _steps(policy: Policy, steps: Iterable[PlanStep], path: Path) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, step in enumerate(steps):
        if step.id in seen:
            yield (*path, place, "id"), f"two steps are called {step.id}: give one of them another id"
        seen.add(step.id)
        yield from _types(policy, step.types, (*path, place, "types"))


def _types(policy: Policy, kinds: Iterable[str], path: Path) -> Iterator[Fault]:
    for place, kind in enumerate(kinds):
        if kind not in policy.types:
            yield (*path, place), _unknown("type", kind, policy.types)


def _blanks(policy: Policy) -> Iterator[Fault]:
    for name in ("first_notice", "progress_update", "resolution_notice"):
        template: Template = getattr(policy.templates, name)
        wordings = {("everybody",): template.everybody} | {
            ("audiences", audience): wording for audience, wording in template.audiences.items()
        }
        for path, wording in wordings.items():
            for blank in wording.blanks:
                if blank not in policy.blanks:
                    hint = _unknown("blank", blank, policy.blanks)
                    if blank in FILLED_BLANKS:
                        hint = f"the blank {blank!r} has no fallback: add it under blanks"
                    yield ("templates", name, *path, "text"), hint


def _rules(policy: Policy) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, rule in enumerate(policy.rules):
        if rule.name in seen:
            yield (
                ("rules", index, "name"),
                f"two rules are called {rule.name!r}: give each its own name, people read it",
            )
        seen.add(rule.name)
        if rule.type and rule.type not in policy.types:
            yield ("rules", index, "type"), _unknown("type", rule.type, policy.types)
        for path, condition in _questions(rule.when, ("rules", index, "when")):
            yield from _values(policy, path, condition)


def _questions(condition: Condition, path: Path) -> Iterator[tuple[Path, Condition]]:
    if condition.fact is not None:
        yield path, condition
    for name in ("all", "any"):
        for index, part in enumerate(getattr(condition, name) or ()):
            yield from _questions(part, (*path, name, index))
    if condition.not_ is not None:
        yield from _questions(condition.not_, (*path, "not"))


def _values(policy: Policy, path: Path, condition: Condition) -> Iterator[Fault]:
    """What a rule compares a component, type or subtype with must exist."""
    known = {
        "component": [component.name for component in policy.outside.components.values()]
        + list(policy.outside.components),
        "type": list(policy.types),
        "subtype": [subtype for terms in policy.types.values() for subtype in terms.subtypes],
    }.get(condition.fact or "")
    if known is None:
        return
    wanted = [*(condition.one_of or ()), *([condition.equals] if isinstance(condition.equals, str) else [])]
    for value in wanted:
        if value.casefold() not in [name.casefold() for name in known]:
            yield (
                (*path, "equals" if condition.equals is not None else "one_of"),
                _unknown(condition.fact or "", value, known),
            )
