"""The desk: where commands are taken. Each handler loads, asks who may, decides, records; :func:`take` is the way in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from tocsin.alerts.shape import one_line
from tocsin.engine import acting, deciding, merging, promising, recording, recovering, redacting
from tocsin.engine import commands as c
from tocsin.engine.access import MAX_TEXT, Answer, allow, answer, load, text_of
from tocsin.engine.calling import answered_by, start_run
from tocsin.engine.reactions import assign
from tocsin.engine.work import Work
from tocsin.identity.principals import Principal
from tocsin.incidents import facts as f
from tocsin.incidents.duties import label, owed
from tocsin.incidents.incident import ALL_SEVERITIES, Incident, Run, worse
from tocsin.incidents.moves import move, require_open
from tocsin.kernel.codec import canonical, decode, encode
from tocsin.kernel.errors import KeyReused, NotFound, Refused, Unusable
from tocsin.policy.severity import kind_of, propose


def take(work: Work, principal: Principal, command: c.Command, idempotency_key: str = "") -> Answer:
    """Runs a command once. The same key with the same request answers as before; with another it is refused (422).

    Raises :class:`Forbidden`, :class:`NotFound`, :class:`Refused`, :class:`Unusable`, :class:`KeyReused`.
    """
    digest = hashlib.sha256(command.verb.encode() + b"\n" + canonical(msgspec.to_builtins(command))).digest()
    if idempotency_key:
        stored = work.tx.remembered(principal.id, idempotency_key)
        if stored is not None:
            if bytes(stored[0]) != digest:
                raise KeyReused(
                    "this Idempotency-Key was used for another request; use a new key for a new request"
                )
            answer: Answer = decode(stored[1])
            return answer
    answer = HANDLERS[type(command)](work, principal, command)
    work.flush()
    if idempotency_key:
        work.tx.remember(principal.id, idempotency_key, digest, encode(answer), work.now)
    return answer


def declare(work: Work, principal: Principal, command: c.Declare) -> Answer:
    """Declares by hand; a person's severity is confirmed from the start."""
    allow(work, principal, "declare", None)
    policy, policy_hash = work.current_policy()
    if command.kind and policy.incident_type(command.kind) is None:
        raise Unusable(
            f"there is no incident type {command.kind!r}; the policy has {', '.join(policy.types)}", "kind"
        )
    services = [
        name for wanted in command.services if (name := recording.known_service(work, wanted, "services"))
    ]
    facts: dict[str, str | int | bool] = {
        "summary": f"{command.title} {command.summary}", "subtype": command.subtype, "service": services[0] if services else "",
    }  # fmt: skip
    if command.kind:
        facts["type"] = command.kind
    proposal = propose(policy, facts)
    kind = kind_of(policy, facts, proposal)
    severity = check_severity(command.severity) if command.severity else proposal.severity
    series = "DRILL" if command.drill else "INC"
    incident = work.create(
        f.Declared(
            number=work.tx.next_number(series), series=series, title=text_of(one_line(command.title), "title")[:300],
            severity=severity, severity_state="confirmed" if command.severity else "proposed",
            reason="declared so" if command.severity else proposal.said, policy=policy_hash, rule=proposal.rule or "", kind=kind.name,
            subtype=kind.subtype, summary=command.summary[:MAX_TEXT], by=principal.person or principal.id,
            detected_how=command.detected_how, detected_by=command.detected_by or principal.person, services=services,
            calendar=work.directory.calendar_of(services[0]) if services else "", restricted=kind.restricted, drill=command.drill,
        )
    )  # fmt: skip
    for service in services[1:]:
        calendar = work.directory.calendar_of(service)
        if calendar not in incident.calendars:
            work.record(incident, f.CalendarJoined(calendar, service))
    if principal.person:
        work.record(incident, f.MembersAdded([principal.person], "declared it"))
    return answer(incident)


def check_severity(severity: str) -> str:
    """The severity as the policy writes it; raises :class:`Unusable`."""
    if severity.upper() not in ALL_SEVERITIES:
        raise Unusable(f"{severity[:20]!r} is no severity; use P1, P2, P3 or P4", "severity")
    return severity.upper()


def person_id(work: Work, name: str) -> str:
    """The id of an active person by id or login; raises :class:`Unusable`."""
    found = work.directory.people.get(name) or work.directory.person_by_login(name)
    if found is None or not found.active:
        raise Unusable(f"there is no active person {name[:60]!r}", "person")
    return found.id


def acknowledge(work: Work, principal: Principal, command: c.Acknowledge) -> Answer:
    """*I have it*: stops the escalations that this person can answer; again by the same person changes nothing."""
    incident = load(work, principal, command.incident, "acknowledge")
    require_open(incident, "acknowledge")
    person = principal.person or principal.id
    runs = answerable(work, incident, person)
    if not runs and incident.holder:
        if incident.holder != person and person not in incident.members:
            work.record(incident, f.MembersAdded([person], "joined"))
        return answer(incident) | {"message": f"{work.directory.name(incident.holder)} has it already"}
    work.record(incident, f.Acknowledged(person, work.actor.via, runs, command.note[:500]))
    return answer(incident) | {"message": "you have it"}


def answerable(work: Work, incident: Incident, person: str) -> list[str]:
    """The running escalations that an acknowledgement by ``person`` stops.

    Those that paged them. Whoever was not paged answers for their own team, and where nobody has it yet, for the
    responders called first. The commander's page is answered by whom it paged alone.
    """
    running = [run for run in incident.runs.values() if run.state == "running"]
    mine = [run.id for run in running if person in run.paged]
    responders = [run for run in running if run.kind == "responders"]
    if any(run.id in mine for run in responders) or (
        mine and all(incident.runs[run].kind == "commander" for run in mine)
    ):
        return mine

    def of_my_team(run: Run) -> bool:
        team, _ = work.directory.answering_team(service=run.service, policy=run.escalation_policy)
        return team is not None and person in team.members

    theirs = [run.id for run in responders if of_my_team(run)]
    if not mine and not theirs and not incident.holder:
        theirs = [run.id for run in responders[:1]]
    return [*mine, *theirs]


def decline(work: Work, principal: Principal, command: c.Decline) -> Answer:
    """*Can't take it*: escalates now. Whoever has nothing to pass on is told who has it."""
    incident = load(work, principal, command.incident, "decline")
    require_open(incident, "decline")
    person = principal.person
    paged = any(run.state == "running" and person in run.paged for run in incident.runs.values())
    has_it = incident.holder == person or bool(answered_by(work, incident, person))
    if incident.holder and not has_it and not paged:
        name = work.directory.name(incident.holder)
        return answer(incident) | {"message": f"{name} has it; there is nothing to pass on"}
    work.record(incident, f.Declined(person, command.reason[:500]))
    return answer(incident) | {"message": "passed on"}


def set_severity(work: Work, principal: Principal, command: c.SetSeverity) -> Answer:
    """Raises, lowers or confirms."""
    incident = work.load(command.incident)
    after = check_severity(command.severity)
    if after == incident.severity:
        direction, verb = "confirmed", "confirm_severity"
    elif worse(after, incident.severity):
        direction, verb = "raised", "raise_severity"
    else:
        direction, verb = "lowered", "lower_severity"
    allow(work, principal, verb, incident, command.break_glass)
    require_open(incident, verb)
    if direction == "confirmed" and incident.severity_state == "confirmed":
        return answer(incident)
    reason = (
        text_of(command.reason, "reason")
        if direction == "lowered"
        else command.reason or f"{direction} by {work.directory.name(principal.person)}"
    )
    work.record(incident, f.SeverityChanged(incident.severity, after, direction, reason[:2000], "confirmed"))
    if "assess" not in incident.protocol:
        work.record(incident, f.ProtocolStepDone("assess", f"severity {direction}"))
    return answer(incident)


def set_type(work: Work, principal: Principal, command: c.SetType) -> Answer:
    """Sets type and subtype; a type that is restricted restricts the incident."""
    incident = load(work, principal, command.incident, "set_type")
    known = work.policy(incident).incident_type(command.kind)
    if known is None:
        raise Unusable(
            f"there is no incident type {command.kind!r}; the policy has {', '.join(work.policy(incident).types)}",
            "kind",
        )
    work.record(incident, f.TypeSet(command.kind, command.subtype, "", known.restricted))
    return answer(incident)


def assign_role(work: Work, principal: Principal, command: c.AssignRole) -> Answer:
    """Gives or hands over a role."""
    incident = load(work, principal, command.incident, "assign_role")
    if command.role == "incident_commander":
        allow(work, principal, "hand_over_command", incident, command.break_glass)
    require_open(incident, "assign_role")
    if command.role not in work.policy(incident).roles:
        raise Unusable(
            f"there is no role {command.role!r}; the policy has {', '.join(work.policy(incident).roles)}",
            "role",
        )
    assign(work, incident, command.role, person_id(work, command.person), reason=command.reason)
    return answer(incident)


def post_update(work: Work, principal: Principal, command: c.PostUpdate) -> Answer:
    """Posts an update; for P3 and P4 the holder's first one is the response."""
    incident = load(work, principal, command.incident, "update")
    work.record(
        incident,
        f.UpdatePosted(text_of(command.text, "text"), command.audience, command.eta),
        at=backdated(work, incident, command.at),
    )
    return answer(incident)


def backdated(work: Work, incident: Incident, at: int) -> int | None:
    """A back-dated time: not in the future, not long before the incident."""
    if not at:
        return None
    if at > work.now:
        raise Unusable("the time lies in the future; leave it out for now", "at")
    return at


def add_note(work: Work, principal: Principal, command: c.AddNote) -> Answer:
    incident = load(work, principal, command.incident, "note")
    work.record(
        incident, f.NoteAdded(text_of(command.text, "text")), at=backdated(work, incident, command.at)
    )
    return answer(incident)


def add_decision(work: Work, principal: Principal, command: c.AddDecision) -> Answer:
    incident = load(work, principal, command.incident, "decision")
    work.record(
        incident, f.DecisionMade(text_of(command.text, "text")), at=backdated(work, incident, command.at)
    )
    return answer(incident)


def change_status(work: Work, principal: Principal, command: c.Move) -> Answer:
    """Moves through the table of legal moves."""
    incident = work.load(command.incident)
    verb = command.to if command.to in ("resolve", "close", "false_alarm", "reopen") else "update"
    allow(work, principal, verb, incident, command.break_glass)
    if command.to in ("merge", "split"):
        raise Refused(f"{command.to} has a command of its own")
    after = move(incident, command.to)
    if command.to == "reopen":
        away = work.now - (incident.resolved_at or incident.closed_at)
        work.record(incident, f.Reopened(text_of(command.reason, "reason"), True, away))
        return answer(incident)
    if command.to == "close":
        open_duties = [label(duty) for duty in owed(incident, work.policy(incident))]
        if open_duties:
            raise Refused(
                f"{incident.name} still owes {', '.join(open_duties)}; meet or waive them before it is closed"
            )
    if command.to in ("resolve", "close"):
        promising.gate(work, principal, incident, command.to, command.override)
    reason = text_of(command.reason, "reason") if command.to == "false_alarm" else command.reason[:2000]
    work.record(incident, f.StatusChanged(incident.status, after, reason))
    if after == "false_alarm":
        work.tx.drop_groups(incident.id)
    return answer(incident)


def protocol(work: Work, principal: Principal, command: c.Protocol) -> Answer:
    """Marks a protocol step as done."""
    incident = load(work, principal, command.incident, "step")
    require_open(incident, "protocol")
    if command.step not in ("assess", "activate", "mitigate"):
        raise Unusable(
            f"{command.step!r} is no step that is marked by hand; use assess, activate or mitigate", "step"
        )
    if command.step not in incident.protocol:
        if command.step == "activate":
            promising.widens(work, incident)
        work.record(incident, f.ProtocolStepDone(command.step, command.how[:500]))
    return answer(incident)


def add_task(work: Work, principal: Principal, command: c.AddTask) -> Answer:
    incident = load(work, principal, command.incident, "add_task")
    task = work.new_id()
    owner = person_id(work, command.owner) if command.owner else ""
    work.record(incident, f.TaskAdded(task, text_of(command.text, "text")[:2000], owner, command.due))
    return answer(incident) | {"task": task}


def change_task(work: Work, principal: Principal, command: c.ChangeTask) -> Answer:
    incident = load(work, principal, command.incident, "task_change")
    if command.task not in incident.tasks:
        raise NotFound(f"{incident.name} has no task {command.task[:40]}")
    if command.state not in ("open", "done", "dropped"):
        raise Unusable(f"{command.state!r} is no state of a task; use open, done or dropped", "state")
    reason = text_of(command.reason, "reason") if command.state == "dropped" else command.reason
    work.record(
        incident,
        f.TaskChanged(
            command.task, command.state, person_id(work, command.owner) if command.owner else "", reason
        ),
    )
    return answer(incident)


def page_someone(work: Work, principal: Principal, command: c.PageSomeone) -> Answer:
    """Pages any person, role or team at once."""
    incident = load(work, principal, command.incident, "page")
    require_open(incident, "page")
    service = incident.services[0] if incident.services else ""
    targets = [
        f"person:{target}" if target in work.directory.people else target for target in command.targets
    ]
    found = [work.directory.resolve(one, work.now, service=service, to_page=True) for one in targets]
    empty = [f"{one.target.removeprefix('person:')} ({one.reason})" for one in found if not one.people]
    if empty or not targets:
        raise Unusable(
            f"nobody can be paged as {', '.join(empty) or 'an empty list'}; name a person, a role or a team",
            "targets",
        )
    start_run(
        work,
        incident,
        "manual",
        incident.escalation_policy,
        service,
        command.reason or f"paged by {work.directory.name(principal.person)}",
        targets,
    )
    return answer(incident)


def pause(work: Work, principal: Principal, command: c.Pause) -> Answer:
    """P3 and P4 clocks pause with a reason and an end; P1 and P2 never."""
    incident = load(work, principal, command.incident, "pause_clock")
    require_open(incident, "pause_clock")
    if not work.policy(incident).severity(incident.severity).pausable:
        raise Refused(f"the clocks of a {incident.severity} never pause")
    if command.until <= work.now:
        raise Unusable("the end of a pause lies in the future", "until")
    work.record(incident, f.ClockPaused(text_of(command.reason, "reason"), command.until))
    return answer(incident)


def resume(work: Work, principal: Principal, command: c.Resume) -> Answer:
    """Lets paused clocks run again."""
    incident = load(work, principal, command.incident, "resume_clock")
    if incident.paused_until:
        work.record(incident, f.ClockResumed(f"resumed by {work.directory.name(principal.person)}"))
    return answer(incident)


HANDLERS: dict[type[c.Command], Callable[[Work, Principal, Any], Answer]] = {
    c.Declare: declare, c.Acknowledge: acknowledge, c.Decline: decline, c.SetSeverity: set_severity, c.SetType: set_type,
    c.AssignRole: assign_role, c.PostUpdate: post_update, c.AddNote: add_note, c.AddDecision: add_decision,
    c.Move: change_status, c.Protocol: protocol, c.Milestone: recording.milestone, c.Impact: recording.impact, c.AddTask: add_task,
    c.ChangeTask: change_task, c.PageSomeone: page_someone, c.Merge: merging.merge, c.Split: merging.split, c.Activate: promising.activate,
    c.StandUp: promising.stand_up, c.Validate: promising.validate, c.PostMortem: promising.post_mortem, c.DraftMessage: promising.draft,
    c.ApproveMessage: promising.approve, c.SendMessage: promising.send, c.Pause: pause, c.Resume: resume,
    c.Waive: deciding.waive, c.Ask: deciding.ask, c.SetServiceState: recording.service_state, c.Measure: recording.measure,
    c.AttachReport: recording.attach_report, c.Affect: recording.affect, c.PlanStep: recovering.step, c.RestoreService: recovering.restore_service, c.Rename: recording.rename, c.Redact: redacting.redact,
}  # fmt: skip
HANDLERS.update(acting.HANDLERS)
HANDLERS[c.AnswerRequest] = deciding.decide(HANDLERS)
