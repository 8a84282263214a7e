"""Plans on an incident, pure: the recovery in its phases, what keeps the business going, and which gate stands before what.

Which steps there are follows from type and severity and the frozen policy; what was done is in the incident's facts.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.catalogue.services import Catalogue, dependencies, recovery_order
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import Instant
from tocsin.policy.model import Policy
from tocsin.policy.plans import PHASES, RECOVERY, Continuity, PlanStep


class Step(msgspec.Struct, frozen=True):
    """A step with its owner (a role or position). ``outcome``: done, not_applicable, or empty while it is open."""

    plan: str
    id: str
    part: str
    """its phase or strand"""
    text: str
    owner: str
    outcome: str = ""
    at: Instant = 0
    note: str = ""


class ServiceStep(msgspec.Struct, frozen=True):
    """A service on its way back. ``stage``: empty, ``limited`` (for a limited group of users), ``full``.

    ``waits_for``: services that come before it and are not fully back.
    """

    service: str
    stage: str
    waits_for: tuple[str, ...]


def has_recovery(incident: Incident, policy: Policy) -> bool:
    """Whether the incident gets the recovery plan: by severity, or by type at any severity."""
    terms = policy.recovery
    return terms is not None and (incident.severity in terms.severities or incident.kind in terms.types)


def recovery(incident: Incident, policy: Policy) -> list[Step]:
    """The steps of recovery in the order of their phases; none where the incident gets no plan."""
    if policy.recovery is None or not has_recovery(incident, policy):
        return []
    steps = [
        _step(incident, RECOVERY, step, step.phase)
        for step in policy.recovery.steps
        if not step.types or incident.kind in step.types
    ]
    return sorted(steps, key=lambda step: PHASES.index(step.part))


def continuity(incident: Incident, policy: Policy) -> dict[str, list[Step]]:
    """Plan → its steps for this type of incident, for every plan that has begun."""
    if policy.continuity is None:
        return {}
    return {
        name: [
            _step(incident, name, step, step.strand)
            for step in policy.continuity.plans[name].steps
            if not step.types or incident.kind in step.types
        ]
        for name in incident.plans
        if name in policy.continuity.plans
    }


def _step(incident: Incident, plan: str, step: PlanStep, part: str) -> Step:
    done = incident.steps.get(f"{plan}/{step.id}")
    if done is None:
        return Step(plan, step.id, part, step.text, step.owner)
    return Step(plan, step.id, part, step.text, step.owner, done.outcome, done.at, done.note)


def begins(plan: Continuity, incident: Incident, catalogue: Catalogue, policy: Policy) -> str:
    """Why ``plan`` begins for the incident as it stands; empty where it does not."""
    if incident.severity not in plan.severities or not incident.open:
        return ""
    if incident.subtype and incident.subtype in plan.subtypes:
        return f"the incident is of the subtype {incident.subtype.replace('_', ' ')}"
    for service in incident.services:
        known = catalogue.get(service)
        if known is None:
            continue
        component = policy.component(known.component)
        if component and any(policy.component(name) == component for name in plan.components):
            return f"{known.name} is affected, which is part of {known.component}"
        called = (known.id, known.name, *known.aliases)
        if plan.services_named and any(name.casefold() in plan.services_named for name in called):
            return f"{known.name} is affected"
    return ""


def services(incident: Incident, catalogue: Catalogue) -> list[ServiceStep]:
    """The affected services in the order in which they come back: what others need first, then the more critical."""
    order = recovery_order(catalogue, incident.services)
    return [
        ServiceStep(name, incident.restored.get(name, ""), waits_for(incident, catalogue, name, order))
        for name in order
    ]


def waits_for(
    incident: Incident, catalogue: Catalogue, service: str, order: Iterable[str] | None = None
) -> tuple[str, ...]:
    """Affected services that must be fully back before ``service``: those it needs, and the more critical ones.

    Services in a circle of dependencies wait for none of each other.
    """
    known = tuple(order) if order is not None else recovery_order(catalogue, incident.services)
    mine = catalogue[service]
    needed = set(dependencies(catalogue, service))
    before = known[: known.index(service)] if service in known else ()
    return tuple(
        name
        for name in before
        if incident.restored.get(name) != "full"
        and (name in needed or catalogue[name].criticality < mine.criticality)
    )


def open_data_steps(incident: Incident, policy: Policy) -> list[Step]:
    """Steps of the data's recovery that are neither done nor said not to apply: no service is fully back before them."""
    return [step for step in recovery(incident, policy) if step.part == "data_recovery" and not step.outcome]
