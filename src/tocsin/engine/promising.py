"""The commands by which promises are kept: the team called, stand-ups, validation, post-mortem, what leaves the company."""

from __future__ import annotations

from tocsin.engine import commands as c
from tocsin.engine.access import Answer, answer, load, text_of
from tocsin.engine.chasing import owner_people
from tocsin.engine.reactions import call_team
from tocsin.engine.work import Work
from tocsin.identity.principals import Principal
from tocsin.incidents import facts as f
from tocsin.incidents.duties import owed
from tocsin.incidents.incident import Incident, Outgoing
from tocsin.incidents.moves import require_open
from tocsin.incidents.promises import GATES, LEARNING
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable

VALIDATIONS = ("functional", "performance", "security", "limited_users")
OUTCOMES = ("passed", "failed", "not_applicable")


def activate(work: Work, principal: Principal, command: c.Activate) -> Answer:
    """Calls the response team; again it changes nothing."""
    incident = load(work, principal, command.incident, "step")
    require_open(incident, "activate")
    if "activate" not in incident.protocol:
        widens(work, incident)
        call_team(work, incident)
    return answer(incident)


def widens(work: Work, incident: Incident) -> None:
    """Refuses to widen the response before scope and impact were looked at, where the severity does not call at once."""
    at_once = work.policy(incident).severity(incident.severity).activate_team == "at_once"
    if not at_once and "assess" not in incident.protocol:
        raise Refused(
            f"scope and impact of {incident.name} come first: confirm or set the severity, or mark assess as done",
            ["severity", "protocol:assess"],
        )


def stand_up(work: Work, principal: Principal, command: c.StandUp) -> Answer:
    """Records the stand-up that is due now or next."""
    incident = load(work, principal, command.incident, "stand_up")
    require_open(incident, "stand_up")
    due = next((one for one in owed(incident, work.policy(incident)) if one.rule == "stand_up"), None)
    if due is None:
        raise Refused(f"a {incident.severity} has no stand-ups")
    work.record(incident, f.StandUpHeld(due.start, command.notes[:5000]))
    return answer(incident)


def validate(work: Work, principal: Principal, command: c.Validate) -> Answer:
    """Records a check of recovery; *not applicable* and *failed* say why."""
    incident = load(work, principal, command.incident, "validate")
    if command.kind not in VALIDATIONS:
        raise Unusable(f"{command.kind!r} is no validation; use {', '.join(VALIDATIONS)}", "kind")
    if command.outcome not in OUTCOMES:
        raise Unusable(f"{command.outcome!r} is no outcome; use {', '.join(OUTCOMES)}", "outcome")
    note = command.note[:5000] if command.outcome == "passed" else text_of(command.note, "note")[:5000]
    work.record(incident, f.ValidationDone(command.kind, command.outcome, note))
    return answer(incident)


def down_on_record(incident: Incident) -> list[str]:
    """Services that are down or degraded by the last word on record."""
    last: dict[str, str] = {}
    for service, state, _ in sorted(incident.service_states, key=lambda one: one[2]):
        last[service] = state
    return [service for service, state in last.items() if state != "up"]


def gate(work: Work, principal: Principal, incident: Incident, verb: str, override: str) -> None:
    """Refuses to resolve or close while the validation that the policy demands is missing.

    The commander may go on all the same, with a reason that the timeline keeps.
    """
    wanted = work.policy(incident).validation_gates(incident.severity, incident.kind)
    if wanted != ("resolved" if verb == "resolve" else "closed"):
        return
    shown = {
        kind for kind, one in incident.validations.items() if one.outcome in ("passed", "not_applicable")
    }
    missing = [kind for kind in GATES if kind not in shown]
    down = [
        work.directory.services[name].name
        for name in down_on_record(incident)
        if name in work.directory.services
    ]
    missing += [f"{name} up again" for name in down]
    if not missing or "validation" in incident.overridden:
        return
    if override.strip():
        work.record(incident, f.GateOverridden("validation", missing, text_of(override, "override")))
        return
    raise Refused(
        f"{incident.name} is not validated yet: {', '.join(missing)} missing or failed. Record the checks "
        "(passed, or not applicable with a reason), or go on with a reason of the commander's.",
        [f"validate:{kind}" for kind in missing],
    )


def post_mortem(work: Work, principal: Principal, command: c.PostMortem) -> Answer:
    """Records a step of the post-mortem, of an incident that was resolved."""
    incident = load(work, principal, command.incident, "post_mortem")
    if not incident.resolved_at:
        raise Refused(f"{incident.name} is not resolved yet; the post-mortem counts from its resolution")
    if command.step not in LEARNING:
        raise Unusable(f"{command.step!r} is no step of the post-mortem; use {', '.join(LEARNING)}", "step")
    if command.step not in incident.learned:
        work.record(incident, f.PostMortemStepDone(command.step, command.note[:5000]))
    return answer(incident)


def draft(work: Work, principal: Principal, command: c.DraftMessage) -> Answer:
    """Drafts a message; whoever owns its channel approves it before it leaves."""
    incident = load(work, principal, command.incident, "draft")
    approval = work.policy(incident).outside.approval
    if command.channel not in approval:
        raise Unusable(
            f"there is no channel {command.channel[:40]!r} to the outside; the policy has {', '.join(approval)}",
            "channel",
        )
    terms = approval[command.channel]
    message = work.new_id()
    text = text_of(command.text, "text")
    work.record(incident, f.MessageDrafted(message, command.channel, text, terms.approves, terms.sends))
    return answer(incident) | {"message": message}


def approve(work: Work, principal: Principal, command: c.ApproveMessage) -> Answer:
    """The owner of the channel approves; nobody approves in their place, an owner of the installation aside."""
    incident = load(work, principal, command.incident, "approve")
    message = _message(incident, command.message)
    _only(work, incident, principal, message.approver, "approve")
    if message.state == "drafted":
        work.record(incident, f.MessageApproved(message.id))
    return answer(incident)


def send(work: Work, principal: Principal, command: c.SendMessage) -> Answer:
    """Records that a message left; one that was not approved is refused."""
    incident = load(work, principal, command.incident, "send")
    message = _message(incident, command.message)
    _only(work, incident, principal, message.sender, "send")
    if message.state == "drafted":
        approver = message.approver.replace("_", " ")
        raise Refused(
            f"this message waits for the approval of the {approver}; have it approved, then send it"
        )
    if message.state == "approved":
        work.record(incident, f.MessageSent(message.id, message.channel, text_of(command.to, "to")[:1000]))
    return answer(incident)


def _message(incident: Incident, message_id: str) -> Outgoing:
    found = incident.outgoing.get(message_id)
    if found is None:
        raise NotFound(f"{incident.name} has no message {message_id[:40]}")
    return found


def _only(work: Work, incident: Incident, principal: Principal, role: str, verb: str) -> None:
    people = owner_people(work, incident, role)
    if principal.person in people or principal.role == "owner":
        return
    names = ", ".join(work.directory.name(person) for person in people) or "nobody yet"
    raise Forbidden(f"to {verb} this message is for the {role.replace('_', ' ')}: {names}")
