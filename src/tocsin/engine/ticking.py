"""What falls due for one incident, decided at the moment it is looked at: nothing is replayed from a queue.

After a gap the same function runs once with the present time: what has cleared drops out, each escalation takes its
next step and keeps its spacing from now, and what was missed is recorded as missed.
"""

from __future__ import annotations

from tocsin.engine.calling import advance, answered_by, page, start_commander, start_responders, start_run
from tocsin.engine.chasing import chase, owner_people
from tocsin.engine.reactions import tell_at_open
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.escalation import chain_of
from tocsin.incidents.incident import Incident
from tocsin.incidents.owing import may_resolve_itself, notice_at, self_resolve_at, turns_of
from tocsin.incidents.promises import GATES


def tick(work: Work, incident: Incident) -> None:
    """Does everything that is due for ``incident`` at ``work.now``."""
    if not incident.open:
        chase(work, incident)
        return
    policy = work.policy(incident)
    _who_left(work, incident)
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


def _who_left(work: Work, incident: Incident) -> None:
    """Whoever was deactivated has nothing any more: what they had acknowledged pages again, and so does an empty command."""
    gone = [one.id for one in work.directory.people.values() if not one.active]
    for role, had in list(incident.roles.items()):
        if had.person in gone:
            work.record(incident, f.RoleReleased(role, had.person))
            if role == "incident_commander":
                start_commander(work, incident, f"{work.directory.name(had.person)} is deactivated")
    if incident.holder in gone:
        work.record(incident, f.AcknowledgementLapsed(incident.holder, "the account is deactivated"))
    for person in gone:
        said = f"{work.directory.name(person)} had it and is deactivated"
        for run in answered_by(work, incident, person):
            start_run(work, incident, "responders", run.escalation_policy, run.service, said, [])


def _ended_by_itself(work: Work, incident: Incident) -> bool:
    """Resolves it or asks the commander; True while it is open afterwards."""
    policy = work.policy(incident)
    if may_resolve_itself(incident, policy):
        for kind in GATES:
            if kind not in incident.validations:
                work.record(
                    incident,
                    f.ValidationDone(kind, "not_applicable", "it resolved itself and nobody had taken it up"),
                )
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
    running = any(run.state == "running" for run in incident.runs.values())
    if not incident.holder and not running and not incident.nobody:
        start_responders(work, incident, "all alerts are clear, and nobody has it: see that it is over")
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
    """An unacknowledged page goes to whoever has the turn now; of an acknowledged one they are told.

    So does one that found nobody, as soon as there is somebody: those on leave count as long as nobody at all was paged.
    """
    for run, target, before in turns_of(incident):
        turn, found = (
            work.directory.resolve(
                target, work.now, service=run.service, policy=run.escalation_policy, to_page=to_page
            )
            for to_page in (False, True)
        )
        anyway = found.anyway and (before or run.reached)
        # whoever was paged and has no contact any more has the turn still: a number may be about to be replaced
        if not found.people or anyway or before in (found.people[0], *turn.people[:1]):
            continue
        after = found.people[0]
        work.record(incident, f.ShiftChanged(target, before, after, run.held))
        called = [one for one in ([after] if before else found.people) if one not in run.paged]
        if run.state == "running" and called:
            steps = chain_of(run, work.policy(incident), work.directory).steps
            quiet = bool(run.next and steps[min(run.next, len(steps)) - 1].quiet)
            reason = (
                "the shift changed and nobody has acknowledged"
                if before
                else f"nobody could be paged until now: {found.reason}"
            )
            work.record(
                incident,
                page(work, incident, run, -1, run.round, called, [target], reason, 0, quiet),
            )
        elif run.held:
            told = (
                f"{work.directory.name(run.answered_by)} has it{' from the shift before' if before else ''}"
            )
            work.record(
                incident,
                f.Told(
                    "whoever takes over", [after], f"shift:{target}:{work.now}", "the shift changed", told
                ),
            )
