"""What is wrong between a policy and the people it meets, beside the coverage proof: names that mean nobody, roles that nobody
can take, plans of services that are not there, people on call whom nothing can wake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tocsin.catalogue.people import PROVIDERS, Person
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.incidents.plans import begins
from tocsin.incidents.sweep import Sweep
from tocsin.kernel.clock import WEEK, Instant
from tocsin.notify.policy_change import groups
from tocsin.oncall.schedules import POSITIONS
from tocsin.policy.check import ERROR, WARNING, Finding
from tocsin.policy.model import ROLES, Policy
from tocsin.policy.references import Path, named_targets
from tocsin.policy.saying import listed, target, words

LIGHT = ("types", "post_mortem", "roles")
"""parts in which a name that means nobody is a pity, and nobody waits for it"""


def people_findings(
    policy: Policy,
    directory: Directory,
    start: Instant,
    *,
    weeks: int = 13,
    kinds: Iterable[str] | None = None,
) -> list[Finding]:
    """Every finding of the coming ``weeks``, errors first. ``kinds``: of contact that can be used here; None: every one."""
    end = start + weeks * WEEK
    usable = frozenset(kinds) if kinds is not None else frozenset(PROVIDERS)
    found = [*_names(policy, directory, start, end), *_roles(policy, directory, start)]
    found += [*_begun(policy, directory), *_awake(directory, start, end, usable)]
    return sorted(found, key=lambda one: one.severity != ERROR)


def _names(policy: Policy, directory: Directory, start: Instant, end: Instant) -> Iterator[Finding]:
    """Names that mean nobody at any time, for some service at least; each is said once, at its first place."""
    sweep = Sweep(directory)
    alike = groups(directory, directory)
    places: dict[str, Path] = {}
    for path, name, _ in named_targets(policy):
        if name in ROLES or path[:2] == ("post_mortem", "optional"):
            continue
        if name not in places or (places[name][0] in LIGHT and path[0] not in LIGHT):
            places[name] = path
    for name, path in places.items():
        lost = [
            service
            for services in alike
            if not _means_anybody(sweep, name, services[0], start, end)
            for service in services
        ]
        if not lost:
            continue
        where = ".".join(str(step) for step in path)
        reason = directory.resolve(name, start, service=lost[0]).reason
        which = "" if len(lost) == sum(map(len, alike)) else f" for {_services(directory, lost)}"
        yield Finding(
            "means_nobody", WARNING if path[0] in LIGHT else ERROR, where,
            f"{target(name, policy)} means nobody{which}: {reason}",
        )  # fmt: skip


def _means_anybody(sweep: Sweep, name: str, service: str, start: Instant, end: Instant) -> bool:
    if sweep.resolve(name, start, service=service).people:
        return True
    return any(value.people for value in sweep.line(name, start, end, service=service).values)


def _services(directory: Directory, lost: list[str]) -> str:
    named = [directory.services[one].name for one in lost if one]
    shown = named[:3] + ([f"{len(named) - 3} more services"] if len(named) > 3 else [])
    return listed([*shown, "what names no service"] if "" in lost else shown)


def _roles(policy: Policy, directory: Directory, start: Instant) -> Iterator[Finding]:
    """Where the holder of a role comes from must not be empty; until somebody takes it, its duties are the commander's."""
    for name, role in policy.roles.items():
        where = f"roles.{name}.source"
        lacking = ""
        if role.source == "commander_rotation":
            schedule = directory.schedules.get(directory.commander_schedule)
            if schedule is None:
                lacking = "there is no rotation of commanders: name a commander_schedule"
            elif not any(rotation.members for rotation in schedule.rotations):
                lacking = f"nobody is in {schedule.name}: add senior engineers"
        elif role.source == "service_owners":
            without = [one for one in sorted(directory.services) if directory.team_of(one) is None]
            if without:
                lacking = f"no team owns {_services(directory, without)}: name its team"
            elif not directory.services:
                lacking = "there is no service yet: add one with its team"
        elif not directory.resolve(name, start).people:
            lacking = f"nobody is on its roster: give somebody the org role {name}"
        if lacking:
            yield Finding(
                "role_without_people", WARNING, where,
                f"the {words(name)} comes from {words(role.source)}, but {lacking}",
            )  # fmt: skip


def _begun(policy: Policy, directory: Directory) -> Iterator[Finding]:
    """Each plan of continuity stands in for something that there is: a plan of no service here never begins."""
    for name, plan in (policy.continuity.plans if policy.continuity else {}).items():
        if plan.subtypes or not plan.severities or not directory.services:
            continue
        incident = Incident("", severity=plan.severities[0], services=sorted(directory.services))
        if not begins(plan, incident, directory.services, policy):
            named = listed(
                [*plan.services, *(f"one of the component {words(one)}" for one in plan.components)], "or"
            )
            yield Finding(
                "never_begins_here", WARNING, f"continuity.plans.{name}",
                f"the plan for {plan.name} never begins, because there is no service {named}: give the service that it stands in for its "
                "component, or name it",
            )  # fmt: skip


def _awake(directory: Directory, start: Instant, end: Instant, usable: frozenset[str]) -> Iterator[Finding]:
    """Everybody on call in that time whom no tested channel can wake, each once."""
    seen: set[str] = set()
    for schedule in directory.schedules.values():
        for position in POSITIONS:
            at: Instant | None = start
            while at is not None and at < end:
                turn = directory.on_call(schedule.id, at, position)
                person = directory.people.get(turn.person or "")
                if person is not None and person.id not in seen:
                    why = _asleep(person, usable)
                    if why and not directory.off(person.id, at):
                        seen.add(person.id)
                        yield Finding(
                            "will_not_wake", ERROR, "",
                            f"a P1 will not wake {person.name} ({position} of {schedule.name}): {why}",
                        )  # fmt: skip
                at = turn.until


def _asleep(person: Person, usable: frozenset[str]) -> str:
    """Why nothing wakes them; empty where something does."""
    waking = [contact for contact in person.contacts if contact.interrupts and contact.kind in usable]
    if any(contact.tested_at for contact in waking):
        return ""
    if waking:
        return f"{waking[0].label or waking[0].kind} was never tested; send a test page"
    if person.contacts:
        kinds = listed(sorted({contact.kind for contact in person.contacts}))
        return f"there is only {kinds}, which wakes nobody here; add ntfy, SMS or voice"
    return "there is no contact at all; add ntfy, SMS or voice"
