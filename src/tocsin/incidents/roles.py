"""Who is proposed for which role: the technical lead from the owners of what is affected, the others from their rosters."""

from __future__ import annotations

from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import Instant
from tocsin.policy.model import Policy


def proposals(incident: Incident, policy: Policy, directory: Directory, now: Instant) -> dict[str, str]:
    """Role → person, for every role that nobody holds and somebody can be found for. The commander has a page of their own."""
    service = incident.services[0] if incident.services else ""
    found = {}
    for role in policy.roles:
        if role == "incident_commander" or role in incident.roles:
            continue
        people = directory.resolve(role, now, service=service, policy=incident.escalation_policy).people
        if people:
            found[role] = people[0]
    return found


def attendees(incident: Incident, policy: Policy, directory: Directory, now: Instant) -> dict[str, str]:
    """Role or position → person, for everybody who must be at the post-mortem meeting; the product manager where users saw it."""
    terms = policy.post_mortem
    saw = bool(
        incident.impact.get("users_affected")
        or incident.impact.get("users_affected_percent")
        or incident.reports
    )
    wanted = [*terms.required, *(terms.required_when_users_saw if saw else ())]
    service = incident.services[0] if incident.services else ""
    found = {}
    for name in wanted:
        holder = incident.roles.get(name)
        people = (
            (holder.person,)
            if holder
            else directory.resolve(name, now, service=service, policy=incident.escalation_policy).people
        )
        if people:
            found[name] = people[0]
    return found
