"""Escalation policies: whom the names in the policy's chain mean for one team, and steps of its own for a severity."""

from __future__ import annotations

from collections.abc import Collection

from tocsin.catalogue.reading import did_you_mean
from tocsin.engine import changes as c
from tocsin.engine.admin_desk import Answer, Desk, check_id, known, name_of, require
from tocsin.kernel.clock import DAY
from tocsin.kernel.errors import Unusable
from tocsin.oncall.escalation import TARGETS, EscalationPolicy, EscalationStep, parse_reference
from tocsin.oncall.relative import parse_duration

MOST_STEPS = 20
LONGEST = 7 * DAY
"""until a step: whoever comes later is told by what is owed, not paged"""


def put_escalation_policy(desk: Desk, change: c.PutEscalationPolicy) -> Answer:
    desk.allow("schedules")
    known([change.team], desk.directory.teams, "team")
    names = target_names(desk, change)
    for name, meant in change.targets.items():
        if meant == name:
            raise Unusable(
                f"{name!r} means itself; leave it out, or give a reference such as schedule:ID", "targets"
            )
        _check_target(desk, meant, names, f"targets.{name}")
    severities = desk.policy_of(desk.tx, "")[0].severities
    known(change.steps, severities, "severity")
    policy = EscalationPolicy(
        check_id(change.id), name_of(change.name), change.team, dict(change.targets),
        {severity: _steps(desk, severity, steps, names) for severity, steps in change.steps.items() if steps},
    )  # fmt: skip
    desk.put(policy)
    return {"id": policy.id, "name": policy.name}


def remove_escalation_policy(desk: Desk, change: c.RemoveEscalationPolicy) -> Answer:
    """Not while a team, a route or an integration names it: their pages would silently go another way."""
    desk.allow("schedules")
    id = change.escalation_policy
    users = [f"the team {one.name}" for one in desk.directory.teams.values() if one.escalation_policy == id]
    for kind in ("route", "integration"):
        users += [
            f"the {kind} {one['name']}" for one in desk.bodies(kind) if one.get("escalation_policy") == id
        ]
    require(
        not users, f"{', '.join(users)} would be paged another way; give them another escalation policy first"
    )
    desk.remove("escalation_policy", id)
    return {"id": id}


def target_names(desk: Desk, change: c.PutEscalationPolicy) -> set[str]:
    """The names that mean somebody without being a reference."""
    held = {role for person in desk.directory.people.values() for role in person.org_roles}
    return {*TARGETS, *held, *change.targets}


def _steps(
    desk: Desk, severity: str, steps: list[c.ChainStep], names: Collection[str]
) -> tuple[EscalationStep, ...]:
    if len(steps) > MOST_STEPS:
        raise Unusable(
            f"the chain of {severity} has {len(steps)} steps; {MOST_STEPS} are possible", f"steps.{severity}"
        )
    found = []
    for number, step in enumerate(steps):
        where = f"steps.{severity}[{number}]"
        after = parse_duration(step.after)
        if after > LONGEST:
            raise Unusable(f"a step comes {step.after} after the alert; 7 days are the most", where)
        if not step.page:
            raise Unusable(f"step {number + 1} of {severity} names nobody to page", where)
        for target in step.page:
            _check_target(desk, target, names, where)
        found.append(EscalationStep(after, tuple(dict.fromkeys(step.page)), step.business))
    return tuple(sorted(found, key=lambda one: one.after))


def _check_target(desk: Desk, text: str, names: Collection[str], where: str) -> None:
    reference = parse_reference(text)
    if reference is None:
        if text not in names:
            hint = did_you_mean(text, names)
            raise Unusable(
                f"{text[:60]!r} is neither a target nor a reference such as person:anna or schedule:payments{hint}",
                where,
            )
        return
    directory = desk.directory
    places = {
        "person": directory.people, "schedule": directory.schedules, "team": directory.teams, "service": directory.services,
    }  # fmt: skip
    if reference.kind in places:
        known([reference.id], places[reference.kind], reference.kind)
