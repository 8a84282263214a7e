"""What falls due for one incident, decided at the moment it is looked at: nothing is replayed from a queue.

After a gap the same function runs once with the present time: what has cleared drops out, each escalation takes its
next step and keeps its spacing from now, and what was missed is recorded as missed.
"""

from __future__ import annotations

from tocsin.engine.reactions import advance, tell_at_open
from tocsin.engine.work import Work, may_resolve_itself, notice_at, self_resolve_at, shift_change_at
from tocsin.incidents import facts as f
from tocsin.incidents.duties import Duty, owed, remind_at
from tocsin.incidents.incident import Incident


def tick(work: Work, incident: Incident) -> None:
    """Does everything that is due for ``incident`` at ``work.now``."""
    if not incident.open:
        return
    policy = work.policy(incident)
    if incident.paused_until and incident.paused_until <= work.now:
        work.record(incident, f.ClockResumed("the pause ended"))
    due = self_resolve_at(incident, policy)
    if due is not None and due <= work.now and not _ended_by_itself(work, incident):
        return
    due = notice_at(incident, policy)
    if due is not None and due <= work.now:
        tell_at_open(work, incident)
    _change_of_shift(work, incident)
    for run in list(incident.runs.values()):
        if run.state == "running":
            advance(work, incident, run)
    if not incident.paused_until:
        for duty in owed(incident, policy):
            _chase(work, incident, duty)


def _ended_by_itself(work: Work, incident: Incident) -> bool:
    """Resolves it or asks the commander; True while it is open afterwards."""
    policy = work.policy(incident)
    if may_resolve_itself(incident, policy):
        work.record(
            incident,
            f.StatusChanged(
                incident.status,
                "resolved",
                "all alerts cleared and stayed clear; nobody had taken it up",
                by_person=False,
            ),
        )
        return False
    people = owner_people(work, incident, "incident_commander")
    work.record(incident, f.Asked("resolve", people, "all alerts cleared and stayed clear"))
    if people:
        work.record(
            incident,
            f.Told(
                "commander",
                people,
                f"asked:resolve:{work.now}",
                "all alerts are clear",
                "all alerts are clear: resolve it if recovery is proved",
            ),
        )
    return True


def owner_people(work: Work, incident: Incident, role: str) -> list[str]:
    """Who owes what belongs to ``role`` now: its holder, else the commander, else who acknowledged, else those being paged."""
    holder = incident.roles.get(role) or incident.roles.get("incident_commander")
    if role != "on_call" and holder is not None:
        return [holder.person]
    if incident.holder:
        return [incident.holder]
    running = [run for run in incident.runs.values() if run.state == "running" and run.paged]
    return list(running[-1].paged)[-1:] if running else []


def _change_of_shift(work: Work, incident: Incident) -> None:
    """An unacknowledged page goes to whoever is on call now; of an acknowledged one they are told."""
    for run in list(incident.runs.values()):
        if not run.on_call or run.state == "stopped":
            continue
        found = work.directory.resolve(
            "on_call", work.now, service=run.service, policy=run.escalation_policy
        ).people
        if not found or found[0] == run.on_call:
            continue
        if shift_change_at(incident, work.directory, run.last_step_at) is None and run.state != "running":
            continue
        before, after = run.on_call, found[0]
        work.record(incident, f.ShiftChanged("on_call", before, after, run.state == "acknowledged"))
        if run.state == "running" and after not in run.paged:
            work.record(
                incident,
                f.Paged(
                    run.id,
                    run.next - 1,
                    run.round,
                    [after],
                    ["on_call"],
                    "the shift changed and nobody has acknowledged",
                ),
            )
        elif run.state == "acknowledged":
            name = work.directory.name(incident.holder) if incident.holder else "somebody"
            work.record(
                incident,
                f.Told(
                    "new on-call person",
                    [after],
                    f"shift:{work.now}",
                    "the shift changed",
                    f"{name} has it from the shift before",
                ),
            )


def _chase(work: Work, incident: Incident, duty: Duty) -> None:
    if duty.id in incident.missed:
        return
    people = owner_people(work, incident, duty.owner)
    if duty.due < work.now:
        work.record(incident, f.DutyMissed(duty.id, duty.rule, duty.due, duty.owner, people))
        if duty.rule == "respond" and incident.holder:
            work.record(
                incident, f.AcknowledgementLapsed(incident.holder, "the response fell due and was not met")
            )
        elif duty.rule != "acknowledge" and people:
            work.record(
                incident,
                f.Told(
                    "owner",
                    people,
                    f"missed:{duty.id}",
                    f"{duty.rule} is overdue",
                    f"{duty.rule} is overdue: {duty.how}",
                ),
            )
        if duty.rule == "update":
            # the next one counts from the miss, so that a silence of hours is recorded interval by interval
            return
    elif duty.rule != "acknowledge" and duty.id not in incident.reminded and remind_at(duty) <= work.now:
        work.record(incident, f.DutyReminded(duty.id, duty.rule, duty.due, people))
        if people:
            work.record(
                incident,
                f.Told(
                    "owner",
                    people,
                    f"due:{duty.id}",
                    f"{duty.rule} is due soon",
                    f"{duty.rule} is due soon: {duty.how}",
                ),
            )
