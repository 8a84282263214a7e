"""What follows from what: one table from fact to reactions, on one screen at the end of this file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tocsin.engine.calling import (
    answered_by,
    call_teams,
    in_hours,
    is_called,
    message,
    send_pages,
    start_commander,
    start_responders,
    start_run,
    stop_runs,
    take_step,
    told_again_from,
    unanswered,
)
from tocsin.engine.placing import note_change, restrict_alerts, watch_key
from tocsin.engine.work import Reaction, Work
from tocsin.incidents import facts as f
from tocsin.incidents.actions import ActionItem, ActionRestricted
from tocsin.incidents.duties import calendar_of, label, owed
from tocsin.incidents.escalation import chain_of, next_step
from tocsin.incidents.incident import OPENED, Incident, Run, war_room_at
from tocsin.incidents.owing import counts_as_clear, notice_at, stands_down
from tocsin.incidents.plans import begins
from tocsin.incidents.roles import attendees, proposals
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import decode, encode
from tocsin.notify.rules import next_contact, plan

KEEP_STATE = ("pagerduty",)
"""channels whose receivers keep a state of their own"""
MOST_ACTIONS = 10_000


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


def restrict_actions(work: Work, incident: Incident, body: f.Body, fact_id: str) -> None:
    """What an incident hides its action items hide too, those that were agreed while everybody saw it.

    Not where it is only merged into what is hidden: they tell of nothing that was not seen before.
    """
    if isinstance(body, f.TypeSet) and body.reason == f.MERGED_RESTRICTED:
        return
    rows = work.tx.streams("action", limit=MOST_ACTIONS) if incident.restricted else []
    for row in rows:
        if not row.restricted and incident.name in row.search:
            item = work.load_other(ActionItem, row.stream.id)
            if item.incident == incident.id:
                work.record(item, ActionRestricted(list(incident.members)))


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
        where = war_room_at(work.directory.settings.war_room, incident.name)
        work.record(incident, f.WarRoomOpened(where))
    if terms.activate_team == "at_once" and "activate" not in incident.protocol:
        call_team(work, incident)


def call_team(work: Work, incident: Incident) -> None:
    """Activates the response team: whoever is proposed for a role hears of it, and the step of the protocol is done."""
    found = proposals(incident, work.policy(incident), work.directory, work.now)
    paged = incident.everybody_paged
    people = dict.fromkeys(person for person in found.values() if person not in paged)
    proposed = [f"{role.replace('_', ' ')}: {work.directory.name(person)}" for role, person in found.items()]
    said = "; ".join(proposed) or "nobody is proposed for any role"
    work.record(incident, f.ProtocolStepDone("activate", said))
    if people:
        work.record(
            incident,
            f.Told(
                "response team", list(people), f"team:{incident.acknowledge_from}", said, "you are proposed for the response team",
                quiet=incident.severity != "P1",
            ),
        )  # fmt: skip


def follow(work: Work, incident: Incident, action: str, fact_id: str) -> None:
    """Receivers that keep a state of their own hear what became of a page: ``acknowledge`` or ``resolve``."""
    told: set[str] = set()
    for row in work.tx.outbox_of(f"incident/{incident.id}"):
        left = row.effect == "page" and row.state in ("done", "leased")
        if not left or row.channel not in KEEP_STATE or row.address in told:
            continue
        told.add(row.address)
        body = {"incident": incident.id, "fact": fact_id, "contact": "", "kind": "follow", "action": action}
        work.send(
            msgspec.structs.replace(
                row, id=work.new_id(), key=f"{fact_id}:{action}:{row.recipient}:{row.channel}", effect="follow", tag=f"follow:{action}",
                state="waiting", not_before=work.now, created_at=work.now, attempts=0, lease_token="", lease_until=0, last_error="", finished_at=0,
                payload=encode(body),
            )
        )  # fmt: skip


def notice(work: Work, incident: Incident, body: f.Told, fact_id: str) -> None:
    """Notices carry no acknowledge and go to quiet channels, except to those told of a P1 or P2."""
    for person_id in body.people:
        person = work.directory.people.get(person_id)
        if person is None or not person.active:
            continue
        again = told_again_from(work, person_id) if body.kind.startswith(OPENED) else 0
        for attempt in plan(person, incident.severity, "nudge" if body.quiet else "notice"):
            work.send(
                message(
                    work,
                    incident,
                    fact_id,
                    "notice",
                    person_id,
                    attempt.contact,
                    max(work.now + attempt.after, in_hours(work, incident, attempt.contact), again),
                    f"notice:{body.kind}",
                    {"notice": body.kind, "text": body.text, "reason": body.reason, "quiet": body.quiet},
                )
            )


def still_here(work: Work, people: Iterable[str]) -> list[str]:
    """Those of them who are not deactivated, each once."""
    known = work.directory.people
    return [one for one in dict.fromkeys(people) if one not in known or known[one].active]


def tell_at_open(work: Work, incident: Incident) -> None:
    """Those whom the policy tells: at once when a person declared or confirmed it, or where it does not wait for that."""
    due = notice_at(incident, work.policy(incident))
    notice = work.policy(incident).severity(incident.severity).notice
    if due is None or notice is None or due > work.now:
        return
    service = incident.services[0] if incident.services else ""
    directory = work.directory
    found = [
        directory.resolve(target, work.now, service=service, policy=incident.escalation_policy)
        for target in notice.targets
    ]
    # whoever can be told nothing just now counts as told all the same: they see it, and hear what follows
    people = list(dict.fromkeys(person for one in found for person in one.people))
    silent = [directory.name(one) for one in people if directory.absent(one, work.now, to_page=True)]
    kind, audience = f"{OPENED}{incident.severity}", ", ".join(notice.targets)
    reason = f"{incident.severity} {incident.severity_state}"
    if not people:
        reason += "; nobody holds these posts"
    elif silent:
        reason += f"; nothing reaches {', '.join(silent)}: without any contact"
    work.record(incident, f.Told(audience, people, kind, reason, quiet=not notice.interrupts))


def after_severity(work: Work, incident: Incident, body: f.SeverityChanged, fact_id: str) -> None:
    """Raising pages anew, the holder first; lowering withdraws what waits and tells everybody already told."""
    if incident.paused_until and not work.policy(incident).severity(incident.severity).pausable:
        work.record(incident, f.ClockResumed(f"the clocks of a {incident.severity} never pause"))
    if body.direction == "raised":
        first, waiting = [incident.last_holder] if incident.last_holder else [], unanswered(incident)
        stop_runs(work, incident, "the severity was raised; paging begins anew")
        start_responders(work, incident, f"raised to {body.after}: {body.reason}", first=first)
        call_teams(work, incident, f"raised to {body.after}", waiting, incident.firing_refs)
        start_commander(work, incident, f"raised to {body.after}")
        if commander := still_here(work, [incident.commander] if incident.commander else []):
            said = f"raised from {body.before} to {body.after}"
            work.record(incident, f.Told("commander", commander, f"raised:{fact_id}", body.reason, said))
    elif body.direction == "lowered":
        work.withdraw(incident)
        told = still_here(work, incident.everybody_told)
        if told:
            said = f"lowered from {body.before} to {body.after}"
            work.record(
                incident, f.Told("everybody told", told, f"lowered:{body.after}:{fact_id}", body.reason, said)
            )
        waiting = unanswered(incident)
        kinds = {run.kind for run in incident.runs.values() if run.state == "running"}
        stop_runs(work, incident, f"the severity was lowered to {body.after}")
        said = f"lowered to {body.after}, nobody has acknowledged"
        if kinds and not incident.holder:
            start_responders(work, incident, said)
        call_teams(work, incident, said, waiting)
        if "commander" in kinds:
            start_commander(work, incident, f"lowered to {body.after}, no commander has taken it")
    activate(work, incident)
    tell_at_open(work, incident)


def after_acknowledged(work: Work, incident: Incident, body: f.Acknowledged, fact_id: str) -> None:
    """Stops what still waits, tells everybody else who was paged, and fills the commander's seat for the time being."""
    kinds = {incident.runs[run_id].kind for run_id in body.runs}
    for run_id in body.runs:
        work.withdraw(incident, tag=run_id)
    follow(work, incident, "acknowledge", fact_id)
    if kinds != {"commander"}:
        others = still_here(work, (one for one in incident.everybody_paged if one != body.person))
        if others:
            name = work.directory.name(body.person)
            reason, said = f"{name} acknowledged", f"{name} has it"
            work.record(incident, f.Told("others paged", others, f"acknowledged:{fact_id}", reason, said))
    answered = any(
        incident.runs[run_id].kind == "commander" and body.person in incident.runs[run_id].paged
        for run_id in body.runs
    )
    if answered:
        assign(work, incident, "incident_commander", body.person, acting=False)
    elif "incident_commander" not in incident.roles:
        assign(work, incident, "incident_commander", body.person, acting=True)


def assign(
    work: Work, incident: Incident, role: str, person: str, *, acting: bool = False, reason: str = ""
) -> None:
    """Gives a role, naming what is owed next and handing over the open tasks of the holder before."""
    due = [f"{label(duty)} due" for duty in owed(incident, work.policy(incident)) if duty.owner == role]
    held = incident.roles.get(role)
    before = (
        held.person if held else next((one[1] for one in reversed(incident.past_roles) if one[0] == role), "")
    )
    tasks = [
        task.id
        for task in incident.tasks.values()
        if before and task.state == "open" and task.owner == before
    ]
    work.record(incident, f.RoleAssigned(role, person, acting, due, reason, tasks))
    if role == "incident_commander" and not acting:
        for run in list(incident.runs.values()):
            if run.kind == "commander" and run.state == "running":
                work.withdraw(incident, tag=run.id)
                work.record(incident, f.RunStopped(run.id, "a commander is assigned"))


def page_again(work: Work, incident: Incident, body: f.AcknowledgementLapsed, fact_id: str) -> None:
    """A lapse pages its holder and the secondary."""
    service = incident.services[0] if incident.services else ""
    first = [body.person, *_stand_in(work, service, incident.escalation_policy, body.person)]
    start_responders(
        work, incident, f"the acknowledgement lapsed: {body.reason}", first=list(dict.fromkeys(first))
    )


def pass_on(work: Work, incident: Incident, body: f.Declined, fact_id: str) -> None:
    """*Can't take it*: whoever comes next is paged at once, and an acting commander is none any more."""
    if incident.acting_commander == body.person:
        work.record(incident, f.RoleReleased("incident_commander", body.person))
    name = work.directory.name(body.person)
    policy = work.policy(incident)
    held = answered_by(work, incident, body.person)
    mine = [run for run in incident.runs.values() if run.state == "running" and body.person in run.paged]
    for run in mine:
        work.withdraw(incident, tag=run.id, recipient=body.person)
        following = next_step(run, chain_of(run, policy, work.directory), calendar_of(incident, policy))
        if following is not None:
            take_step(work, incident, run, following, 0)
        elif run.kind == "manual":
            work.record(incident, f.RunStopped(run.id, f"{name} can't take it"))
            told = still_here(
                work, filter(None, (incident.commander or incident.acting_commander, incident.holder))
            )
            if told:
                work.record(
                    incident,
                    f.Told("who asked", told, f"declined:{fact_id}", body.reason, f"{name} can't take it"),
                )  # fmt: skip
    said = f"{name} can't take it"
    for run in held:
        others = _stand_in(work, run.service, run.escalation_policy, body.person)
        start_run(work, incident, "responders", run.escalation_policy, run.service, said, others)
    if not incident.holder and not is_called(incident, "responders"):
        service = incident.services[0] if incident.services else ""
        start_responders(
            work, incident, said, first=_stand_in(work, service, incident.escalation_policy, body.person)
        )


def _stand_in(work: Work, service: str, policy: str, instead_of: str) -> list[str]:
    found = work.directory.resolve("secondary", work.now, service=service, policy=policy)
    return [person for person in found.people if person != instead_of]


def after_joined(
    work: Work, incident: Incident, body: f.AlertsAttached | f.AlertsRefired, fact_id: str
) -> None:
    """Joining never hides: what fires while nobody holds it pages, and another team's alert pages its own people."""
    if not incident.open or not incident.runs:
        return
    first = body.alerts[0].summary if body.alerts else "an alert"
    if incident.status == "monitoring" and not is_called(incident, "responders"):
        start_responders(work, incident, f"it fires while it is being monitored: {first}")
    else:
        call_again(work, incident, f"it fires again: {first}", "it fires again")
    call_teams(work, incident, "an alert of another team joined", alerts=body.alerts)


def call_again(work: Work, incident: Incident, reason: str, briefly: str) -> None:
    """Pages anew what nobody holds and nobody is called for: its escalation had stopped because all was clear."""
    if not incident.holder and not is_called(incident, "responders"):
        start_responders(work, incident, reason)
        start_commander(work, incident, briefly)
        tell_at_open(work, incident)


def after_cleared(work: Work, incident: Incident, body: f.AlertsCleared, fact_id: str) -> None:
    """All clear: pages that have not left are withdrawn, those whom one reached are told, and nobody else is paged
    where it will end by itself. What must not end by itself goes on paging until somebody has it."""
    policy = work.policy(incident)
    if not counts_as_clear(incident, policy) or not incident.open:
        return
    if not incident.acknowledged_at:
        reached = work.reached(incident)
        work.withdraw(incident)
        if stands_down(incident, policy):
            stop_runs(work, incident, "all alerts cleared")
    else:
        reached = [who for who in (incident.holder, incident.commander or incident.acting_commander) if who]
    people = still_here(work, reached)
    if people:
        work.record(
            incident,
            f.Told("people paged", people, f"cleared:{fact_id}", "all alerts cleared", "it cleared", quiet=bool(incident.acknowledged_at)),
        )  # fmt: skip


def after_status(work: Work, incident: Incident, body: f.StatusChanged, fact_id: str) -> None:
    """The end withdraws what waits and everybody told hears of it; what was just mended is watched by its services."""
    mended = incident.status == "monitoring" or (
        incident.status == "resolved" and incident.resolved_by_person
    )
    if mended and not incident.drill:
        for service in incident.services:
            work.tx.put_group(watch_key(service), incident.id, work.now, work.now)
    if incident.open:
        return
    work.withdraw(incident)
    if incident.status == "closed":
        return
    follow(work, incident, "resolve", fact_id)
    told = still_here(work, incident.everybody_told)
    if told:
        text = "false alarm, all clear" if incident.status == "false_alarm" else "resolved"
        work.record(incident, f.Told("everybody told", told, f"ended:{fact_id}", body.reason or text, text))


def after_reopened(work: Work, incident: Incident, body: f.Reopened, fact_id: str) -> None:
    """Reopening pages again, calls what the severity wants at once, and tells everybody who heard that it was over."""
    told = still_here(work, incident.everybody_told)
    start_responders(work, incident, f"reopened: {body.reason}")
    call_teams(work, incident, "reopened, and it fires", alerts=incident.firing_refs)
    start_commander(work, incident, "reopened")
    activate(work, incident)
    paged = incident.everybody_paged
    others = [person for person in told if person not in paged or not _paged_now(incident, person, work.now)]
    if others:
        work.record(
            incident, f.Told("everybody told", others, f"reopened:{fact_id}", body.reason, "it is open again")
        )


def _paged_now(incident: Incident, person: str, now: Instant) -> bool:
    return any(run.paged.get(person) == now for run in incident.runs.values())


def after_delivery(work: Work, incident: Incident, body: f.Delivery, fact_id: str) -> None:
    """What failed for good, or is not taken, goes to the person's next channel at once; a notice as well as a page."""
    if body.outcome not in ("failed", "gave_up", "delayed"):
        return
    row = work.tx.outbox_row(body.message)
    person = work.directory.people.get(body.person)
    if row is None or person is None or body.kind == "follow":
        return  # what follows a page wakes nobody; whoever was paged there hears from Tocsin itself
    run = incident.runs.get(body.run)
    if body.kind == "page" and (not incident.open or run is None or run.state != "running"):
        return
    payload = decode(row.payload)
    failed = incident.failed.get(body.person, [])
    if payload.get("quiet"):  # what was to interrupt nobody does not begin to because a provider is away
        failed = [*failed, *(contact.id for contact in person.contacts if contact.interrupts)]
    contact = next_contact(person, failed)
    if contact is not None:
        kept = {
            name: value
            for name, value in payload.items()
            if name not in ("incident", "fact", "contact", "kind")
        }
        asked_for = run is not None and run.kind == "manual"
        start = work.now if asked_for else in_hours(work, incident, contact)
        work.send(message(work, incident, fact_id, body.kind, body.person, contact, start, row.tag, kept))


def after_learned(work: Work, incident: Incident, body: f.PostMortemStepDone, fact_id: str) -> None:
    """Who must be at the post-mortem meeting hears when it is booked."""
    if body.step == "meeting_booked":
        people = list(
            dict.fromkeys(attendees(incident, work.policy(incident), work.directory, work.now).values())
        )
        if people:
            said = f"the post-mortem meeting of {incident.name} is booked: {body.note or 'see the incident'}"
            work.record(
                incident,
                f.Told(
                    "post-mortem meeting", people, f"meeting:{fact_id}", "you are needed there", said, True
                ),
            )


def begin_continuity(work: Work, incident: Incident, body: f.Body, fact_id: str) -> None:
    """Plans that keep the business going begin as soon as what they stand in for is hit."""
    policy = work.policy(incident)
    for name, begun_by in (policy.continuity.plans if policy.continuity else {}).items():
        if name not in incident.plans:
            reason = begins(begun_by, incident, work.directory.services, policy)
            if reason:
                work.record(incident, f.ContinuityBegun(name, reason))


def after_told_outside(
    work: Work, incident: Incident, body: f.MessageSent | f.UpdatePosted, fact_id: str
) -> None:
    """An audience of continuity has heard how it goes when the message that is for it has left."""
    terms = work.policy(incident).continuity
    if terms is None or not incident.plans:
        return
    how = body.channel if isinstance(body, f.MessageSent) else "update"
    if isinstance(body, f.UpdatePosted) and body.audience != "internal":
        return
    audiences = [name for name, one in terms.hearing.items() if how in one.met_by]
    if audiences:
        work.record(incident, f.Heard(audiences, how))


def after_merge(work: Work, incident: Incident, body: f.MergedFrom, fact_id: str) -> None:
    """Who was told of the source is told the new number. Who is paged is decided once all of it has moved."""
    people = still_here(work, body.told)
    if people:
        said = f"{body.source_name} goes on as {incident.name}"
        work.record(incident, f.Told("told of the merged", people, f"merged:{fact_id}", said, said))


def go_on_paging(
    work: Work, incident: Incident, source: str, waiting: Sequence[Run], alerts: Sequence[f.AlertRef]
) -> None:
    """A merge takes no page away: teams whose page was ``waiting`` at the source, or whose ``alerts`` fire, are called here.

    What comes into one that is being monitored, or that nobody holds, pages as an alert that joins does.
    """
    if not incident.open:
        return
    said = f"merged from {source}"
    if incident.status == "monitoring" and (waiting or alerts) and not is_called(incident, "responders"):
        start_responders(work, incident, f"{said}, while it is being monitored")
    elif not counts_as_clear(incident, work.policy(incident)):
        call_again(work, incident, f"{said}, and nobody has it", said)
    call_teams(work, incident, said, waiting, alerts)


def after_split(work: Work, incident: Incident, body: f.SplitFrom, fact_id: str) -> None:
    """What stands on its own again is paged for again, each team whose alerts fire; what is clear stands down."""
    if stands_down(incident, work.policy(incident)):
        work.withdraw(incident)
        stop_runs(work, incident, "all alerts cleared")
        return
    said = f"split from {body.source_name}"
    told = still_here(work, incident.everybody_told if incident.acknowledge_from > incident.opened_at else ())
    if not is_called(incident, "responders"):
        start_responders(work, incident, f"{said}: {body.reason}")
        start_commander(work, incident, said)
        activate(work, incident)
        tell_at_open(work, incident)
    call_teams(work, incident, said, alerts=incident.firing_refs)
    others = [one for one in told if not _paged_now(incident, one, work.now)]
    if others:
        alone = f"{incident.name} stands on its own again"
        work.record(incident, f.Told("everybody told", others, f"split:{fact_id}", body.reason, alone))


REACTIONS: dict[type[f.Body], tuple[Reaction, ...]] = {
    f.Declared: (admit, note_change, start_paging, begin_continuity),
    f.TypeSet: (admit, restrict_alerts, restrict_actions, begin_continuity),
    f.ServicesAffected: (begin_continuity,),
    f.ServiceState: (begin_continuity,),
    f.PostMortemStepDone: (after_learned,),  # type: ignore[dict-item]
    f.MessageSent: (after_told_outside,),  # type: ignore[dict-item]
    f.UpdatePosted: (after_told_outside,),  # type: ignore[dict-item]
    f.AlertsAttached: (after_joined, begin_continuity),  # type: ignore[dict-item]
    f.AlertsRefired: (after_joined,),  # type: ignore[dict-item]
    f.AlertsCleared: (after_cleared,),  # type: ignore[dict-item]
    f.SeverityChanged: (after_severity, begin_continuity),  # type: ignore[dict-item]
    f.Paged: (send_pages,),  # type: ignore[dict-item]
    f.Told: (notice,),  # type: ignore[dict-item]
    f.Acknowledged: (after_acknowledged,),  # type: ignore[dict-item]
    f.AcknowledgementLapsed: (page_again,),  # type: ignore[dict-item]
    f.Declined: (pass_on,),  # type: ignore[dict-item]
    f.StatusChanged: (after_status,),  # type: ignore[dict-item]
    f.Reopened: (after_reopened,),  # type: ignore[dict-item]
    f.Delivery: (after_delivery,),  # type: ignore[dict-item]
    f.MergedFrom: (restrict_alerts, after_merge),  # type: ignore[dict-item]
    f.SplitFrom: (after_split,),  # type: ignore[dict-item]
}
