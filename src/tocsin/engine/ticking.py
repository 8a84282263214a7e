"""What falls due for one incident, decided at the moment it is looked at: nothing is replayed from a queue.

After a gap the same function runs once with the present time: what has cleared drops out, each escalation takes its
next step and keeps its spacing from now, and what was missed is recorded as missed.
"""

from __future__ import annotations

from tocsin.engine.chasing import chase, owner_people
from tocsin.engine.reactions import advance, page, tell_at_open
from tocsin.engine.work import Work, may_resolve_itself, notice_at, self_resolve_at, shift_change_at
from tocsin.incidents import facts as f
from tocsin.incidents.escalation import chain_of
from tocsin.incidents.incident import Incident


def tick(work: Work, incident: Incident) -> None:
    """Does everything that is due for ``incident`` at ``work.now``."""
    if not incident.open:
        chase(work, incident)
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
        chase(work, incident)


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
                quiet=True,
            ),
        )
    return True


def _change_of_shift(work: Work, incident: Incident) -> None:
    """An unacknowledged page goes to whoever is on call now; of an acknowledged one they are told."""
    for run in list(incident.runs.values()):
        if not run.on_call or run.state == "stopped":
            continue
        found = work.directory.resolve("on_call", work.now, service=run.service, policy=run.escalation_policy)
        if not found.people or found.anyway or found.people[0] == run.on_call:
            continue
        if shift_change_at(incident, work.directory, run.last_step_at) is None and run.state != "running":
            continue
        before, after = run.on_call, found.people[0]
        work.record(incident, f.ShiftChanged("on_call", before, after, run.state == "acknowledged"))
        if run.state == "running" and after not in run.paged:
            reason = "the shift changed and nobody has acknowledged"
            steps = chain_of(run, work.policy(incident), work.directory).steps
            quiet = bool(run.next and steps[run.next - 1].quiet)
            work.record(
                incident,
                page(work, incident, run, run.next - 1, run.round, [after], ["on_call"], reason, 0, quiet),
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
