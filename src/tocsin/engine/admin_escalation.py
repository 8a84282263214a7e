"""Escalation policies: whom the names in the policy's chain mean for one team, and steps of its own for a severity."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from tocsin.catalogue.reading import did_you_mean
from tocsin.engine import changes as c
from tocsin.engine.admin_desk import Answer, Desk, check_id, known, name_of, require
from tocsin.incidents.directory import MAX_HOPS, Directory
from tocsin.kernel.clock import DAY, MINUTE, humanize
from tocsin.kernel.errors import Unusable
from tocsin.oncall.escalation import TARGETS, EscalationPolicy, EscalationStep, parse_reference
from tocsin.oncall.relative import parse_duration
from tocsin.policy.model import Severity

MOST_STEPS, MOST_TARGETS = 20, 50
LATEST_FIRST = 15 * MINUTE
"""until the first page of a severity that is answered for at any hour"""
TARGET = re.compile(r"\w{1,60}")
LONGEST = 7 * DAY
"""until a step: whoever comes later is told by what is owed, not paged"""


def put_escalation_policy(desk: Desk, change: c.PutEscalationPolicy) -> Answer:
    desk.allow("schedules")
    known([change.team], desk.directory.teams, "team")
    names = target_names(desk, change)
    if len(change.targets) > MOST_TARGETS:
        raise Unusable(
            f"{len(change.targets)} names are given a meaning; {MOST_TARGETS} are possible", "targets"
        )
    for name, meant in change.targets.items():
        if not TARGET.fullmatch(name):
            raise Unusable(
                f"{name[:60]!r} is no name: use letters, digits and _, such as night_lead", "targets"
            )
        _check_target(desk, meant, names, f"targets.{name}")
        _check_way(name, change.targets)
    rules = desk.policy_of(desk.tx, "")[0]
    known(change.steps, rules.severities, "severity")
    policy = EscalationPolicy(
        check_id(change.id), name_of(change.name), change.team, dict(change.targets),
        {
            severity: _steps(desk, rules.severity(severity), severity, steps, names)
            for severity, steps in change.steps.items()
            if steps
        },
    )  # fmt: skip
    desk.put(policy)
    return {"id": policy.id, "name": policy.name}


def remove_escalation_policy(desk: Desk, change: c.RemoveEscalationPolicy) -> Answer:
    """Not while a team, a route or an integration names it: their pages would silently go another way."""
    desk.allow("schedules")
    id = change.escalation_policy
    users = [f"the team {one}" for one in teams_of(desk.directory, id)]
    for kind in ("route", "integration"):
        users += [
            f"the {kind} {one['name']}" for one in desk.bodies(kind) if one.get("escalation_policy") == id
        ]
    require(
        not users, f"{', '.join(users)} would be paged another way; give them another escalation policy first"
    )
    desk.remove("escalation_policy", id)
    return {"id": id}


def teams_of(directory: Directory, id: str) -> list[str]:
    """The names of the teams that are paged by an escalation policy, whether they name it or it names them."""
    found = ((team.name, directory.escalation_policy_for(team=team.id)) for team in directory.teams.values())
    return [name for name, one in found if one is not None and one.id == id]


def naming(directory: Directory, kind: str, id: str) -> list[str]:
    """The escalation policies that mean a person, schedule, team or service, for whoever would remove it."""
    found = []
    for one in directory.escalation_policies.values():
        meant = [
            *one.targets.values(),
            *(target for steps in one.steps.values() for step in steps for target in step.targets),
        ]
        references = [reference for text in meant if (reference := parse_reference(text)) is not None]
        if any((reference.kind, reference.id) == (kind, id) for reference in references) or (
            kind == "team" and one.team == id
        ):
            found.append(f"the escalation policy {one.name}")
    return found


def target_names(desk: Desk, change: c.PutEscalationPolicy) -> set[str]:
    """The names that mean somebody without being a reference."""
    held = {role for person in desk.directory.people.values() for role in person.org_roles}
    return {*TARGETS, *held, *change.targets}


def _check_way(name: str, targets: Mapping[str, str]) -> None:
    """Raises :class:`Unusable` where names mean each other in a circle, or through more names than are followed."""
    way = [name]
    while (meant := targets.get(way[-1])) is not None:
        way.append(meant)
        if meant in way[:-1] or len(way) > MAX_HOPS:
            raise Unusable(
                f"{' means '.join(way)}: give one of them a person, a schedule or a team", f"targets.{name}"
            )


def _steps(
    desk: Desk, terms: Severity, severity: str, steps: list[c.ChainStep], names: Collection[str]
) -> tuple[EscalationStep, ...]:
    if len(steps) > MOST_STEPS:
        raise Unusable(
            f"the chain of {severity} has {len(steps)} steps; {MOST_STEPS} are possible", f"steps.{severity}"
        )
    found: list[EscalationStep] = []
    for number, step in enumerate(steps):
        where = f"steps.{severity}[{number}]"
        after = parse_duration(step.after)
        if after > LONGEST:
            raise Unusable(f"a step comes {step.after} after the alert; 7 days are the most", where)
        if not step.page:
            raise Unusable(f"step {number + 1} of {severity} names nobody to page", where)
        for target in step.page:
            _check_target(desk, target, names, where)
        if len(step.page) > MOST_TARGETS:
            raise Unusable(
                f"step {number + 1} of {severity} names {len(step.page)}; {MOST_TARGETS} are possible", where
            )
        if found and found[-1].business and not step.business:
            raise Unusable(
                f"step {number + 1} of {severity} comes behind one that waits for working hours, and would wait with it: put it before",
                where,
            )
        if found and found[-1].business == step.business and after < found[-1].after:
            raise Unusable(
                f"step {number + 1} of {severity} is earlier than the one before it; write them in their order",
                where,
            )
        found.append(EscalationStep(after, tuple(dict.fromkeys(step.page)), step.business))
    if terms.hours == "always" and (found[0].business or found[0].after > LATEST_FIRST):
        raise Unusable(
            f"the first step of {severity} comes within {humanize(LATEST_FIRST)} at any hour: nobody would know of it until then",
            f"steps.{severity}[0]",
        )
    return tuple(found)


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
