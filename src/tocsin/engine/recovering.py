"""Recovery and continuity: steps of the plans, services brought back in order, and the gates before each."""

from __future__ import annotations

from tocsin.engine import commands as c
from tocsin.engine.access import Answer, allow, answer, load, text_of
from tocsin.engine.recording import known_service
from tocsin.engine.work import Work
from tocsin.identity.principals import Principal
from tocsin.incidents import facts as f
from tocsin.incidents import plans
from tocsin.incidents.incident import Incident
from tocsin.incidents.moves import require_open
from tocsin.kernel.errors import NotFound, Refused, Unusable

OUTCOMES = ("done", "not_applicable")
STAGES = ("limited", "full")


def step(work: Work, principal: Principal, command: c.PlanStep) -> Answer:
    """Records a step of a plan; one that does not apply says why."""
    incident = load(work, principal, command.incident, "recovery_step")
    policy = work.policy(incident)
    known = {plans.RECOVERY: plans.recovery(incident, policy)} | plans.continuity(incident, policy)
    if command.plan not in known or not known[command.plan]:
        raise NotFound(
            f"{incident.name} has no plan {command.plan[:40]!r}; it has {', '.join(name for name, steps in known.items() if steps) or 'none'}"
        )
    if command.step not in [one.id for one in known[command.plan]]:
        raise Unusable(
            f"the plan {command.plan} has no step {command.step[:40]!r}; it has "
            f"{', '.join(one.id for one in known[command.plan])}",
            "step",
        )
    if command.outcome not in OUTCOMES:
        raise Unusable(f"{command.outcome[:40]!r} is no outcome; use {', '.join(OUTCOMES)}", "outcome")
    note = command.note[:5000] if command.outcome == "done" else text_of(command.note, "note")[:5000]
    work.record(incident, f.PlanStepDone(command.plan, command.step, command.outcome, note))
    return answer(incident)


def restore_service(work: Work, principal: Principal, command: c.RestoreService) -> Answer:
    """A service is back: for a limited group of users first, then in full, and after what it depends on.

    The commander may go on all the same, with a reason.
    """
    incident = load(work, principal, command.incident, "recovery_service")
    require_open(incident, "restore_service")
    service = known_service(work, command.service, "service")
    if command.stage not in STAGES:
        raise Unusable(f"{command.stage[:40]!r} is no stage; use {', '.join(STAGES)}", "stage")
    if service not in incident.services:
        name = work.directory.services[service].name
        raise Refused(f"{name} is not among the services of {incident.name}; add it, or name another")
    missing = _missing(work, incident, service, command.stage)
    if missing and not command.override.strip():
        raise Refused(
            f"{work.directory.services[service].name} cannot be marked so yet: {'; '.join(missing)}. "
            "The commander may go on with a reason.",
        )
    if missing:
        allow(work, principal, "resolve", incident)
        work.record(
            incident, f.GateOverridden(f"recovery:{service}", missing, text_of(command.override, "override"))
        )
    work.record(incident, f.ServiceRestored(service, command.stage, command.how[:2000]))
    if command.stage == "full":
        work.record(incident, f.ServiceState(service, "up", work.now))
    return answer(incident)


def _missing(work: Work, incident: Incident, service: str, stage: str) -> list[str]:
    """What stands before this stage of a service's recovery, in words."""
    catalogue = work.directory.services
    found = [
        f"{catalogue[name].name} is not fully back, and comes first" for name in plans.waits_for(incident, catalogue, service)
    ]  # fmt: skip
    if stage == "full":
        policy = work.policy(incident)
        found += [f"{step.text} is open" for step in plans.open_data_steps(incident, policy)]
        limited = incident.validations.get("limited_users")
        excused = limited is not None and limited.outcome == "not_applicable"
        if (
            plans.has_recovery(incident, policy)
            and incident.restored.get(service) != "limited"
            and not excused
        ):
            found.append("it was not tried by a limited group of users first")
    return found
