"""Who is called for an incident, and by which messages: escalations begin, take the steps that are due, and stop."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.catalogue.people import Contact
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.duties import calendar_of
from tocsin.incidents.escalation import LATE, Due, chain_of, is_turn, next_step
from tocsin.incidents.incident import Incident, Run
from tocsin.incidents.sweep import held
from tocsin.kernel.clock import MINUTE, Instant
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import OutboxRow
from tocsin.notify.rules import plan

URGENCY = {"P1": 0, "P2": 1, "P3": 2, "P4": 3}
"""severity → which messages leave first"""


NOTICES_TOGETHER = MINUTE
"""incidents that open within this of each other are told to one person in one notice"""


def told_key(person: str) -> str:
    """Where it is kept when a person was last told of an incident that opened."""
    return f"told/{person}"


def told_again_from(work: Work, person: str) -> Instant:
    """From when a person is told of one more incident that opened; it would be put back until then as often as it is looked at."""
    last = int(work.tx.meta(told_key(person)) or 0)
    return last + NOTICES_TOGETHER if last < work.now else 0


def start_responders(
    work: Work,
    incident: Incident,
    reason: str,
    *,
    policy: str = "",
    service: str = "",
    first: list[str] | None = None,
) -> str:
    """Begins an escalation to the responders and takes its first step; answers the run's id."""
    service = service or (incident.services[0] if incident.services else "")
    return start_run(
        work, incident, "responders", policy or incident.escalation_policy, service, reason, first or []
    )


def start_commander(work: Work, incident: Incident, reason: str) -> None:
    """Pages the commander on rotation where the severity asks for one, and none is there and none is being paged."""
    wanted = incident.severity in work.policy(incident).paging.commander.severities
    there = incident.commander and not work.directory.off(incident.commander, work.now)
    if wanted and not there and not is_called(incident, "commander"):
        start_run(work, incident, "commander", incident.escalation_policy, "", reason, [])


def is_called(incident: Incident, kind: str) -> bool:
    """Whether an escalation of the kind runs."""
    return any(run.kind == kind and run.state == "running" for run in incident.runs.values())


def start_run(
    work: Work, incident: Incident, kind: str, policy: str, service: str, reason: str, first: list[str]
) -> str:
    """Records the start of a run, pages whoever comes first, and takes the steps that are due at once.

    Of the responders who come first those who are off, or have no contact, are left out: the chain that follows finds who can be
    paged.
    """
    if kind == "responders":
        first = [person for person in first if not work.directory.absent(person, work.now, to_page=True)]
    run_id = work.new_id()
    work.record(
        incident, f.RunStarted(run_id, kind, policy, incident.severity, reason, work.now, first, service)
    )
    if first and kind == "responders":
        work.record(
            incident, page(work, incident, incident.runs[run_id], -1, 0, first, ["holder"], reason, 0)
        )
    advance(work, incident, incident.runs[run_id])
    return run_id


def advance(work: Work, incident: Incident, run: Run) -> None:
    """Takes every step of a run that is due; an empty one is skipped at once and said so."""
    policy = work.policy(incident)
    calendar = calendar_of(incident, policy)
    chain = chain_of(run, policy, work.directory)
    while (due := next_step(run, chain, calendar)) is not None and due.at <= work.now:
        take_step(work, incident, run, due, work.now - due.at if work.now - due.at > LATE else 0)
        if due.step == len(chain.steps) - 1 and not run.reached:
            work.record(
                incident,
                f.NobodyReachable(
                    run.id, run.round, f"no step of the {run.kind} chain found anybody who can be paged"
                ),
            )


def take_step(work: Work, incident: Incident, run: Run, due: Due, late: int) -> None:
    """Pages whoever the step of a run means now; one that means nobody is skipped and said so. ``late``: by how much it is."""
    meant = [
        (
            target,
            held(work.directory, target, work.now, service=run.service, policy=run.escalation_policy).meant,
        )
        for target in due.targets
    ]
    present = any(
        not found.anyway and any(person not in incident.declined for person in found.people)
        for _, found in meant
    )
    people: dict[str, None] = {}
    reasons: list[str] = []
    for target, found in meant:
        if found.anyway and present:
            reasons.append(f"{target.replace('_', ' ')}: on leave, and somebody else can be paged")
            continue
        people.update(dict.fromkeys(found.people))
        reasons.append(f"{target.replace('_', ' ')}: {found.reason}")
    willing = [person for person in people if person not in incident.declined]
    others = any(person not in incident.declined for person in run.paged)
    if len(willing) < len(people) and (willing or others or _others_follow(work, incident, run, due)):
        away = [work.directory.name(person) for person in people if person not in willing]
        reasons.append(f"not {', '.join(away)}, who cannot take it")
        people = dict.fromkeys(willing)
    reason = "; ".join(reasons)
    # whoever is found later where nobody is now is paged at once, as at a change of shift
    turns = {
        target: found.people[0] if found.people else ""
        for target, found in meant
        if not found.people or (is_turn(target) and not found.anyway)
    }
    if not people:
        work.record(
            incident, f.StepSkipped(run.id, due.step, due.round, list(due.targets), reason, turns=turns)
        )
        return
    unanswered = "no commander has taken it" if run.kind == "commander" else "nobody has acknowledged"
    again = f"paged again, {unanswered}: " if due.round > run.round else ""
    taken = page(
        work, incident, run, due.step, due.round, list(people), list(due.targets), again + reason, late, due.quiet, due.at
    )  # fmt: skip
    taken.turns = turns
    work.record(incident, taken)


def _others_follow(work: Work, incident: Incident, run: Run, due: Due) -> bool:
    """Whether a step of the run after the one that is ``due`` means somebody who has not declined."""
    steps = chain_of(run, work.policy(incident), work.directory).steps[due.step + 1 :]
    return any(
        person not in incident.declined
        for target in dict.fromkeys(target for step in steps for target in step.targets)
        for person in held(
            work.directory, target, work.now, service=run.service, policy=run.escalation_policy
        ).meant.people
    )


def page(
    work: Work, incident: Incident, run: Run, step: int, round: int, people: list[str], targets: list[str], reason: str, late: int,
    quiet: bool = False, due: Instant = 0,
) -> f.Paged:  # fmt: skip
    """The fact of a page that was due at ``due``: outside the hours of its severity what interrupts waits for the next opening.

    A page that a person asked for by hand does not wait.
    """
    policy = work.policy(incident)
    wait = 0
    if policy.severity(run.severity).escalation.hours == "business" and run.kind != "manual":
        moment = work.now if late or not due else due
        opening = calendar_of(incident, policy).in_hours(moment)
        wait = opening if opening > work.now else 0
    return f.Paged(run.id, step, round, people, targets, reason, late, quiet, wait)


def send_pages(work: Work, incident: Incident, body: f.Paged, fact_id: str) -> None:
    """Outbox rows for everybody a step names: the first interrupting contact now, the person's own additions after."""
    for person_id in body.people:
        person = work.directory.people.get(person_id)
        if person is None:
            continue
        purpose = "nudge" if body.quiet else "page"
        for attempt in plan(person, incident.severity, purpose):
            start = work.now + attempt.after
            if body.interrupt_from and attempt.contact.interrupts:
                start = max(start, body.interrupt_from)
            work.send(
                message(
                    work,
                    incident,
                    fact_id,
                    "page",
                    person_id,
                    attempt.contact,
                    start,
                    body.run,
                    {"run": body.run, "step": body.step, "round": body.round, "quiet": body.quiet},
                )
            )


def in_hours(work: Work, incident: Incident, contact: Contact) -> Instant:
    """From when ``contact`` may be used: what interrupts waits for business hours where the severity keeps them."""
    policy = work.policy(incident)
    if not contact.interrupts or policy.severity(incident.severity).hours != "business":
        return work.now
    return calendar_of(incident, policy).in_hours(work.now)


def message(
    work: Work,
    incident: Incident,
    fact_id: str,
    kind: str,
    person: str,
    contact: Contact,
    not_before: Instant,
    tag: str,
    extra: dict[str, object],
) -> OutboxRow:
    """One outbox row; its key is (fact, effect, recipient, channel)."""
    return OutboxRow(
        id=work.new_id(), key=f"{fact_id}:{kind}:{person}:{contact.id}", effect=kind, channel=contact.kind, recipient=person,
        address=contact.address, scope=f"incident/{incident.id}", tag=tag, urgency=URGENCY[incident.severity],
        not_before=not_before, created_at=work.now,
        payload=encode({"incident": incident.id, "fact": fact_id, "contact": contact.id, "kind": kind, **extra}),
    )  # fmt: skip


def stop_runs(work: Work, incident: Incident, reason: str) -> None:
    """Stops every running escalation and withdraws its waiting messages."""
    for run in list(incident.runs.values()):
        if run.state == "running":
            work.withdraw(incident, tag=run.id)
            work.record(incident, f.RunStopped(run.id, reason))


def to_responders(incident: Incident) -> list[Run]:
    """The escalations to responders, over or not."""
    return [run for run in incident.runs.values() if run.kind == "responders"]


def unanswered(incident: Incident) -> list[Run]:
    """The escalations to responders that still run."""
    return [run for run in to_responders(incident) if run.state == "running"]


def answered_by(work: Work, incident: Incident, person: str) -> list[Run]:
    """The escalations to responders that the person answered and that are theirs still: the last one of each team."""
    last = {whose(work, run.service, run.escalation_policy): run for run in to_responders(incident)}
    return [
        run for run in last.values()
        if run.state == "acknowledged" and run.answered_by == person and run.started_at >= incident.acknowledge_from
    ]  # fmt: skip


def whose(work: Work, service: str, policy: str, owner: str = "") -> tuple[str, str]:
    """The team that answers for it, and the escalation policy by which it is called."""
    team, _ = work.directory.answering_team(service=service, policy=policy)
    named = work.directory.escalation_policy_for(service=service, policy=policy)
    return owner or (team.id if team else ""), named.id if named else ""


def call_teams(
    work: Work, incident: Incident, reason: str, waiting: Sequence[Run] = (), alerts: Sequence[f.AlertRef] = ()
) -> None:  # fmt: skip
    """Pages the people of every team whose page is ``waiting`` or whose ``alerts`` fire; its hours count too.

    Not those who are being called already, or have answered since the clocks last began: unless it is being monitored,
    where what fires pages again.
    """
    asked = {
        whose(work, run.service, run.escalation_policy)
        for run in to_responders(incident)
        if run.state == "running"
        or (
            run.state == "acknowledged"
            and run.started_at >= incident.acknowledge_from
            and incident.status != "monitoring"
        )
    }
    wanted = [(run.service, run.escalation_policy, "", reason) for run in waiting]
    for ref in alerts:
        calendar = work.directory.calendar_of(ref.service)
        if ref.service and calendar not in incident.calendars:
            work.record(incident, f.CalendarJoined(calendar, ref.service))
        if ref.policy or ref.service or ref.team:
            wanted.append((ref.service, ref.policy, ref.team, f"{reason}: {ref.summary}"))
    for service, policy, owner, said in wanted:
        theirs = whose(work, service, policy, owner)
        if theirs not in asked:
            asked.add(theirs)
            start_run(work, incident, "responders", policy, service, said, [])
