"""What follows from what: one table from fact to reactions, on one screen at the end of this file."""

from __future__ import annotations

from tocsin.catalogue.people import Contact
from tocsin.engine.placing import restrict_alerts
from tocsin.engine.work import Reaction, Work, counts_as_clear, notice_at, watch_key
from tocsin.incidents import facts as f
from tocsin.incidents.duties import calendar_of, owed
from tocsin.incidents.escalation import LATE, Due, chain_of, next_step
from tocsin.incidents.incident import Incident, Run
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import OutboxRow
from tocsin.notify.rules import next_contact, plan

URGENCY = {"P1": 0, "P2": 1, "P3": 2, "P4": 3}


def admit(work: Work, incident: Incident, body: f.Body, fact_id: str) -> None:
    """Lets those see a restricted incident whom the policy names for its type, beside whoever works on it."""
    kind = work.policy(incident).incident_type(incident.kind)
    if not incident.restricted or kind is None:
        return
    service = incident.services[0] if incident.services else ""
    people: dict[str, None] = {}
    for target in kind.members:
        found = work.directory.resolve(target, work.now, service=service, policy=incident.escalation_policy)
        people.update(dict.fromkeys(person for person in found.people if person not in incident.members))
    if people:
        work.record(incident, f.MembersAdded(list(people), f"the policy names them for {kind.name}"))


def start_paging(work: Work, incident: Incident, body: f.Body, fact_id: str) -> None:
    """A new incident pages the responders, and for P1 and P2 the commander on rotation."""
    start_responders(work, incident, incident.severity_reason)
    start_commander(work, incident, "the incident opened")
    activate(work, incident)
    tell_at_open(work, incident)


def activate(work: Work, incident: Incident) -> None:
    """What the severity wants at once: the war room, and the response team from the owners and rosters of the roles."""
    policy = work.policy(incident)
    terms = policy.severity(incident.severity)
    if terms.war_room and not incident.war_room_at:
        where = work.directory.settings.war_room.replace("{incident}", incident.name.lower())
        work.record(incident, f.WarRoomOpened(where or f"the page of {incident.name}"))
    if terms.activate_team == "at_once" and "activate" not in incident.protocol:
        call_team(work, incident)


def call_team(work: Work, incident: Incident) -> None:
    """Activates the response team: whoever is proposed for a role hears of it, and the step of the protocol is done."""
    policy = work.policy(incident)
    service = incident.services[0] if incident.services else ""
    proposed: list[str] = []
    people: dict[str, None] = {}
    for role in policy.roles:
        if role == "incident_commander" or role in incident.roles:
            continue
        found = work.directory.resolve(role, work.now, service=service, policy=incident.escalation_policy)
        for person in found.people[:1]:
            if not any(person in run.paged for run in incident.runs.values()):
                people[person] = None
            proposed.append(f"{role.replace('_', ' ')}: {work.directory.name(person)}")
    said = "; ".join(proposed) or "nobody is proposed for any role"
    work.record(incident, f.ProtocolStepDone("activate", said))
    if people:
        work.record(
            incident,
            f.Told("response team", list(people), f"team:{incident.acknowledge_from}", said, "you are proposed for the response team", True),
        )  # fmt: skip


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
    """Pages the commander on rotation where the severity asks for one and none is assigned."""
    if incident.severity in work.policy(incident).paging.commander.severities and not incident.commander:
        start_run(work, incident, "commander", incident.escalation_policy, "", reason, [])


def start_run(
    work: Work, incident: Incident, kind: str, policy: str, service: str, reason: str, first: list[str]
) -> str:
    """Records the start of a run, pages whoever comes first, and takes the steps that are due at once.

    Of the responders who come first those who are off are left out: the chain that follows finds who can be paged.
    """
    if kind == "responders":
        first = [person for person in first if not work.directory.off(person, work.now)]
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
        _take(work, incident, run, due, work.now - due.at if work.now - due.at > LATE else 0)
        if due.step == len(chain.steps) - 1 and not run.reached:
            work.record(
                incident,
                f.NobodyReachable(
                    run.id, run.round, f"no step of the {run.kind} chain found anybody who can be paged"
                ),
            )


def _take(work: Work, incident: Incident, run: Run, due: Due, late: int) -> None:
    meant = [
        (target, work.directory.resolve(target, work.now, service=run.service, policy=run.escalation_policy))
        for target in due.targets
    ]
    present = any(found.people and not found.anyway for _, found in meant)
    people: dict[str, None] = {}
    reasons: list[str] = []
    for target, found in meant:
        if found.anyway and present:
            reasons.append(f"{target.replace('_', ' ')}: on leave, and somebody else can be paged")
            continue
        people.update(dict.fromkeys(found.people))
        reasons.append(f"{target.replace('_', ' ')}: {found.reason}")
    reason = "; ".join(reasons)
    if not people:
        work.record(incident, f.StepSkipped(run.id, due.step, due.round, list(due.targets), reason))
        return
    again = "paged again, nobody has acknowledged: " if due.round > run.round else ""
    work.record(
        incident,
        page(
            work,
            incident,
            run,
            due.step,
            due.round,
            list(people),
            list(due.targets),
            again + reason,
            late,
            due.quiet,
            due.at,
        ),
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
                    {"run": body.run, "step": body.step, "round": body.round},
                )
            )


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


def notice(work: Work, incident: Incident, body: f.Told, fact_id: str) -> None:
    """Notices carry no acknowledge and go to quiet channels, except to those told of a P1 or P2."""
    for person_id in body.people:
        person = work.directory.people.get(person_id)
        if person is None:
            continue
        for attempt in plan(person, incident.severity, "nudge" if body.quiet else "notice"):
            work.send(
                message(
                    work,
                    incident,
                    fact_id,
                    "notice",
                    person_id,
                    attempt.contact,
                    work.now + attempt.after,
                    f"notice:{body.kind}",
                    {"notice": body.kind, "text": body.text, "reason": body.reason},
                )
            )


def tell_at_open(work: Work, incident: Incident) -> None:
    """Those whom the policy tells: at once when a person declared or confirmed it, or where it does not wait for that."""
    due = notice_at(incident, work.policy(incident))
    notice = work.policy(incident).severity(incident.severity).notice
    if due is None or notice is None or due > work.now:
        return
    people: list[str] = []
    service = incident.services[0] if incident.services else ""
    for target in notice.targets:
        people.extend(
            work.directory.resolve(
                target, work.now, service=service, policy=incident.escalation_policy
            ).people
        )
    kind, audience = f"opened:{incident.severity}", ", ".join(notice.targets)
    reason = f"{incident.severity} {incident.severity_state}" + (
        "" if people else "; nobody holds these posts"
    )
    work.record(incident, f.Told(audience, list(dict.fromkeys(people)), kind, reason))


def after_severity(work: Work, incident: Incident, body: f.SeverityChanged, fact_id: str) -> None:
    """Raising pages anew, the holder first; lowering withdraws what waits and tells everybody already told."""
    if body.direction == "raised":
        before = [
            person for run in incident.runs.values() if run.state == "acknowledged" for person in run.paged
        ]
        stop_runs(work, incident, "the severity was raised; paging begins anew")
        start_responders(work, incident, f"raised to {body.after}: {body.reason}", first=before[:1])
        start_commander(work, incident, f"raised to {body.after}")
    elif body.direction == "lowered":
        work.withdraw(incident)
        told = incident.everybody_told
        if told:
            work.record(
                incident,
                f.Told(
                    "everybody told",
                    told,
                    f"lowered:{body.after}:{fact_id}",
                    body.reason,
                    f"lowered from {body.before} to {body.after}",
                ),
            )
        running = any(run.state == "running" for run in incident.runs.values())
        stop_runs(work, incident, f"the severity was lowered to {body.after}")
        if running and not incident.holder:
            start_responders(work, incident, f"lowered to {body.after}, nobody has acknowledged")
    activate(work, incident)
    tell_at_open(work, incident)


def stop_runs(work: Work, incident: Incident, reason: str) -> None:
    """Stops every running escalation and withdraws its waiting messages."""
    for run in list(incident.runs.values()):
        if run.state == "running":
            work.withdraw(incident, tag=run.id)
            work.record(incident, f.RunStopped(run.id, reason))


def after_acknowledged(work: Work, incident: Incident, body: f.Acknowledged, fact_id: str) -> None:
    """Stops what still waits, tells the others paged, and fills the commander's seat for the time being."""
    others: dict[str, None] = {}
    commander = False
    for run_id in body.runs:
        run = incident.runs[run_id]
        work.withdraw(incident, tag=run_id)
        commander = commander or (run.kind == "commander" and body.person in run.paged)
        others.update(dict.fromkeys(person for person in run.paged if person != body.person))
    if others:
        name = work.directory.name(body.person)
        work.record(
            incident,
            f.Told(
                "others paged",
                list(others),
                f"acknowledged:{fact_id}",
                f"{name} acknowledged",
                f"{name} has it",
            ),
        )
    if commander:
        assign(work, incident, "incident_commander", body.person, acting=False)
    elif "incident_commander" not in incident.roles:
        assign(work, incident, "incident_commander", body.person, acting=True)


def assign(
    work: Work, incident: Incident, role: str, person: str, *, acting: bool = False, reason: str = ""
) -> None:
    """Gives a role, naming what is owed next and handing over the open tasks of the holder before."""
    due = [f"{duty.rule} due" for duty in owed(incident, work.policy(incident)) if duty.owner == role]
    before = incident.roles.get(role)
    tasks = [
        task.id
        for task in incident.tasks.values()
        if before and task.state == "open" and task.owner == before.person
    ]
    work.record(incident, f.RoleAssigned(role, person, acting, due, reason, tasks))
    if role == "incident_commander" and not acting:
        for run in list(incident.runs.values()):
            if run.kind == "commander" and run.state == "running":
                work.withdraw(incident, tag=run.id)
                work.record(incident, f.RunStopped(run.id, "a commander is assigned"))


def page_again(
    work: Work, incident: Incident, body: f.AcknowledgementLapsed | f.Declined, fact_id: str
) -> None:
    """A lapse pages its holder and the secondary; *can't take it* escalates at once to the next in the chain."""
    if isinstance(body, f.AcknowledgementLapsed):
        first = [
            body.person,
            *work.directory.resolve(
                "secondary", work.now, service=incident.services[0] if incident.services else ""
            ).people,
        ]
        start_responders(
            work, incident, f"the acknowledgement lapsed: {body.reason}", first=list(dict.fromkeys(first))
        )
        return
    for run in list(incident.runs.values()):
        if body.person in run.paged and run.state == "running":
            work.withdraw(incident, tag=run.id, recipient=body.person)
            following = next_step(
                run,
                chain_of(run, work.policy(incident), work.directory),
                calendar_of(incident, work.policy(incident)),
            )
            if following is not None:
                _take(work, incident, run, following, 0)
            return
    service = incident.services[0] if incident.services else ""
    secondary = [
        person
        for person in work.directory.resolve("secondary", work.now, service=service).people
        if person != body.person
    ]
    start_responders(work, incident, f"{work.directory.name(body.person)} can't take it", first=secondary)


def after_joined(
    work: Work, incident: Incident, body: f.AlertsAttached | f.AlertsRefired, fact_id: str
) -> None:
    """Joining never hides: another escalation policy pages its own people, joining one in monitoring pages again."""
    if incident.status == "monitoring":
        start_responders(work, incident, "an alert joined while monitoring")
        return
    paged = {run.escalation_policy for run in incident.runs.values()}
    for ref in body.alerts:
        if ref.policy and ref.policy not in paged and incident.runs:
            paged.add(ref.policy)
            start_responders(
                work,
                incident,
                f"an alert of another escalation policy joined: {ref.summary}",
                policy=ref.policy,
                service=ref.service,
            )


def after_cleared(work: Work, incident: Incident, body: f.AlertsCleared, fact_id: str) -> None:
    """All clear before the page left withdraws it; after, those paged are told."""
    if not counts_as_clear(incident, work.policy(incident)) or incident.acknowledged_at or not incident.open:
        return
    work.withdraw(incident)
    paged = [person for run in incident.runs.values() for person in run.paged]
    if paged:
        work.record(
            incident,
            f.Told(
                "people paged",
                list(dict.fromkeys(paged)),
                f"cleared:{fact_id}",
                "all alerts cleared",
                "it cleared",
            ),
        )


def after_status(work: Work, incident: Incident, body: f.StatusChanged, fact_id: str) -> None:
    """The end withdraws what waits and everybody told hears of it; what was just mended is watched by its services."""
    if incident.status == "monitoring" or (incident.status == "resolved" and incident.resolved_by_person):
        for service in incident.services:
            work.tx.put_group(watch_key(service), incident.id, work.now, work.now)
    if incident.open:
        return
    work.withdraw(incident)
    if incident.status == "closed":
        return
    told = incident.everybody_told
    if told:
        text = "false alarm, all clear" if incident.status == "false_alarm" else "resolved"
        work.record(incident, f.Told("everybody told", told, f"ended:{fact_id}", body.reason or text, text))


def after_reopened(work: Work, incident: Incident, body: f.Reopened, fact_id: str) -> None:
    """Reopening pages again."""
    start_responders(work, incident, f"reopened: {body.reason}")
    if incident.severity in ("P1", "P2"):
        start_commander(work, incident, "reopened")


def after_delivery(work: Work, incident: Incident, body: f.Delivery, fact_id: str) -> None:
    """What failed for good, or is not taken, goes to the person's next channel at once; a notice as well as a page."""
    row = work.tx.outbox_row(body.message)
    person = work.directory.people.get(body.person)
    if body.outcome not in ("failed", "gave_up", "delayed") or row is None or person is None:
        return
    run = incident.runs.get(body.run)
    if body.kind == "page" and (not incident.open or run is None or run.state != "running"):
        return
    contact = next_contact(person, incident.failed.get(body.person, []))
    if contact is not None:
        kept = {
            name: value for name, value in decode(row.payload).items() if name not in ("incident", "fact", "contact", "kind")
        }  # fmt: skip
        work.send(message(work, incident, fact_id, body.kind, body.person, contact, work.now, row.tag, kept))


def after_merge(work: Work, incident: Incident, body: f.MergedFrom, fact_id: str) -> None:
    """Who was told of the source is told the new number."""
    if body.told:
        work.record(
            incident,
            f.Told(
                "told of the merged",
                body.told,
                f"merged:{fact_id}",
                f"{body.source_name} goes on as {incident.name}",
                f"{body.source_name} goes on as {incident.name}",
            ),
        )


def after_split(work: Work, incident: Incident, body: f.SplitFrom, fact_id: str) -> None:
    """What stands on its own again is paged for again; a new incident was, when it was declared."""
    if incident.runs and all(run.state != "running" for run in incident.runs.values()):
        start_responders(work, incident, f"split from {body.source_name}: {body.reason}")
        start_commander(work, incident, f"split from {body.source_name}")


REACTIONS: dict[type[f.Body], tuple[Reaction, ...]] = {
    f.Declared: (admit, start_paging),
    f.TypeSet: (admit, restrict_alerts),
    f.AlertsAttached: (after_joined,),  # type: ignore[dict-item]
    f.AlertsRefired: (after_joined,),  # type: ignore[dict-item]
    f.AlertsCleared: (after_cleared,),  # type: ignore[dict-item]
    f.SeverityChanged: (after_severity,),  # type: ignore[dict-item]
    f.Paged: (send_pages,),  # type: ignore[dict-item]
    f.Told: (notice,),  # type: ignore[dict-item]
    f.Acknowledged: (after_acknowledged,),  # type: ignore[dict-item]
    f.AcknowledgementLapsed: (page_again,),  # type: ignore[dict-item]
    f.Declined: (page_again,),  # type: ignore[dict-item]
    f.StatusChanged: (after_status,),  # type: ignore[dict-item]
    f.Reopened: (after_reopened,),  # type: ignore[dict-item]
    f.Delivery: (after_delivery,),  # type: ignore[dict-item]
    f.MergedFrom: (after_merge,),  # type: ignore[dict-item]
    f.SplitFrom: (after_split,),  # type: ignore[dict-item]
}
