"""What only somebody else may decide: asked for, answered with one click, and what needs two.

A request keeps the command that was wanted. Whoever may do it grants it, and the command runs at once in their name;
the timeline says who asked. Waiving what executives, customers or evidence are owed always takes a second person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tocsin.engine import commands as c
from tocsin.engine.access import Answer, about, allow, answer, load, text_of
from tocsin.engine.chasing import owner_people
from tocsin.engine.reactions import still_here
from tocsin.engine.work import Work
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal, person_principal
from tocsin.incidents import facts as f
from tocsin.incidents.duties import owed
from tocsin.incidents.incident import Incident, Request
from tocsin.incidents.wording import asked_for
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable

PROTECTED = ("tell", "message", "evidence")
"""rules of duties that are never waived by one person alone"""

VERBS = {
    "severity": "lower_severity",
    "move": "",
    "merge": "merge",
    "waive": "waive",
    "pause_clock": "pause_clock",
    "assign_role": "hand_over_command",
}
"""commands that can be asked for → the verb that is authorized; a move is authorized by where it leads"""

Handler = Callable[[Work, Principal, Any], Answer]


def ask(work: Work, principal: Principal, command: c.Ask) -> Answer:
    """Asks whoever may for a command that the principal may not do alone."""
    incident = load(work, principal, command.incident, "note")
    wanted = _command(incident, command.verb_wanted, command.fields)
    if authorize(principal, _verb(wanted), about(work, incident)).allowed and not _protected(
        work, incident, wanted
    ):
        raise Refused("you may do this yourself; there is no need to ask")
    return _record(
        work, incident, principal, command.verb_wanted, command.fields, text_of(command.reason, "reason")
    )


def _record(
    work: Work, incident: Incident, principal: Principal, verb: str, fields: dict[str, Any], reason: str
) -> Answer:
    request = work.new_id()
    body = {name: value for name, value in fields.items() if name != "incident"}
    work.record(incident, f.Requested(request, verb, body, principal.person, reason))
    people = [
        person for person in owner_people(work, incident, "incident_commander") if person != principal.person
    ]
    if not people:  # whoever commands asked: the second person is anybody else who works on it
        people = still_here(work, (one for one in incident.everybody_paged if one != principal.person))
    if people:
        said = f"{work.directory.name(principal.person)} asks to {_in_words(work, verb, body)}: {reason}"
        work.record(
            incident, f.Told("who decides", people, f"request:{request}", "a decision is asked for", said)
        )
    return answer(incident) | {"message": "asked", "request": request}


def _in_words(work: Work, verb: str, fields: dict[str, Any]) -> str:
    names = {person.id: person.name for person in work.directory.people.values()}
    return asked_for(verb, fields, names)


def decide(handlers: dict[type[c.Command], Handler]) -> Handler:
    """The handler that grants or refuses a request; ``handlers`` run what is granted."""

    def handler(work: Work, principal: Principal, command: c.AnswerRequest) -> Answer:
        incident = load(work, principal, command.incident, "note")
        request = _open(incident, command.request)
        wanted = _command(incident, request.verb, request.fields)
        _may_answer(work, incident, principal, request, wanted)
        reason = command.reason[:2000] if command.grant else text_of(command.reason, "reason")[:2000]
        work.record(incident, f.RequestAnswered(request.id, command.grant, principal.person, reason))
        if not command.grant:
            if request.by:
                said = f"refused to {_in_words(work, request.verb, request.fields)}: {reason}"
                work.record(
                    incident,
                    f.Told("who asked", [request.by], f"answered:{request.id}", "refused", said, True),
                )
            return answer(incident) | {"message": "refused"}
        if isinstance(wanted, c.Waive):
            return waive(work, principal, wanted, second=request.by)
        return handlers[type(wanted)](work, principal, wanted) | {"message": "granted"}

    return handler


def _may_answer(
    work: Work, incident: Incident, principal: Principal, request: Request, wanted: c.Command
) -> None:
    """Raises :class:`Forbidden` unless the principal decides this, and is somebody else than who asked."""
    if principal.person == request.by and not (
        not _protected(work, incident, wanted)
        and authorize(principal, _verb(wanted), about(work, incident)).allowed
    ):
        raise Forbidden("whoever asks does not answer: this is for somebody else")
    if _protected(work, incident, wanted):
        _two(work, incident, principal, request.by)
    else:
        allow(work, principal, _verb(wanted), incident)


def _two(work: Work, incident: Incident, principal: Principal, other: str) -> None:
    """Two people who work on it, one of them in command or an owner of this installation."""
    known = work.directory.people.get(other)
    second = person_principal(other, known.role if known else "stakeholder")
    for one, seconding in ((principal, other), (second, principal.person)):
        seconded = msgspec.structs.replace(about(work, incident), seconded_by=seconding)
        if authorize(one, "waive_protected", seconded).allowed:
            return
    raise Forbidden("this takes the commander and a second person: neither of you commands")


def waive(work: Work, principal: Principal, command: c.Waive, second: str = "") -> Answer:
    """Waives a duty with a reason. What executives, customers or evidence are owed is asked of a second person first."""
    incident = work.load(command.incident)
    duty = next(
        (one for one in owed(incident, work.policy(incident)) if command.duty in (one.id, one.rule)), None
    )
    reason = text_of(command.reason, "reason")
    if duty is not None and duty.rule in PROTECTED:
        if not second:
            load(work, principal, command.incident, "note")
            fields = {"duty": duty.id, "reason": command.reason}
            asked = _record(work, incident, principal, "waive", fields, reason)
            return asked | {"message": "asked: this takes a second person who agrees"}
        reason = f"{reason} (agreed by {work.directory.name(second)})"
    else:
        load(work, principal, command.incident, "waive")
    if duty is None:
        raise NotFound(f"{incident.name} owes no {command.duty[:40]}")
    work.record(incident, f.DutyWaived(duty.id, duty.rule, reason))
    return answer(incident)


def _protected(work: Work, incident: Incident, wanted: c.Command) -> bool:
    return isinstance(wanted, c.Waive) and any(
        one.rule in PROTECTED
        for one in owed(incident, work.policy(incident))
        if wanted.duty in (one.id, one.rule)
    )


def _open(incident: Incident, request_id: str) -> Request:
    request = incident.requests.get(request_id)
    if request is None:
        raise NotFound(f"{incident.name} has no request {request_id[:40]}")
    if request.state != "open":
        raise Refused(f"this request was {request.state} already")
    return request


def _verb(wanted: c.Command) -> str:
    if isinstance(wanted, c.Move):
        return wanted.to if wanted.to in ("resolve", "close", "false_alarm") else "update"
    return VERBS[wanted.verb]


def _command(incident: Incident, verb: str, fields: dict[str, Any]) -> c.Command:
    if verb not in VERBS:
        raise Unusable(f"{verb[:40]!r} is nothing to ask for; use {', '.join(VERBS)}", "verb_wanted")
    try:
        return msgspec.convert({**fields, "incident": incident.id}, c.COMMANDS[verb])
    except msgspec.ValidationError as error:
        raise Unusable(f"what is asked for cannot be done so: {error}", "fields") from None
