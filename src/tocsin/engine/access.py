"""What every command shares: may this principal do it, is the text usable, what is answered."""

from __future__ import annotations

from typing import Any

from tocsin.engine.work import Work, no_incident
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident
from tocsin.kernel.errors import Forbidden, Unusable

MAX_TEXT = 20_000

LEADS_ON = frozenset({
    "acknowledge", "decline", "update", "note", "decision", "attach_report", "add_task", "page", "milestone", "impact", "measure",
    "service_state", "affect",
})  # fmt: skip
"""verbs that, said of a merged incident, are meant for the one that goes on; what decides about one is never led on"""

Answer = dict[str, Any]


def about(work: Work, incident: Incident | None) -> About:
    """What the table of who may needs to know."""
    rotation = work.directory.resolve("incident_commander", work.now).people
    if incident is None:
        return About(rotation_commander=rotation[0] if rotation else "")
    return About(
        incident.restricted, frozenset(incident.members), incident.commander, incident.acting_commander, incident.severity,
        rotation[0] if rotation else "", incident.drill,
    )  # fmt: skip


def allow(
    work: Work,
    principal: Principal,
    verb: str,
    incident: Incident | None,
    break_glass: str = "",
    asked: str = "",
) -> None:
    """Raises :class:`Forbidden` unless ``principal`` may; break-glass with a reason is recorded loudly. ``asked``: the name of the
    incident that was asked for, where it leads on to this one.
    """
    decision = authorize(principal, verb, about(work, incident))
    if decision.allowed:
        return
    if incident is not None and not authorize(principal, "view", about(work, incident)).allowed:
        raise no_incident(asked or incident.name)
    if decision.break_glass and break_glass.strip() and incident is not None:
        work.record(incident, f.BrokeGlass(principal.person, verb, text_of(break_glass, "break_glass")))
        return
    hint = " Give a break-glass reason to do it all the same." if decision.break_glass else ""
    raise Forbidden(f"{decision.reason}.{hint}")


def text_of(text: str, where: str) -> str:
    """A text a person wrote: not empty, not endless."""
    if not text.strip():
        raise Unusable(f"{where} is empty; write a sentence", where)
    if len(text) > MAX_TEXT or "\x00" in text:
        raise Unusable(
            f"{where} is longer than {MAX_TEXT} characters or has a NUL character; shorten it", where
        )
    return text.strip()


def answer(incident: Incident) -> Answer:
    """What every command about an incident answers."""
    return {
        "id": incident.id,
        "number": incident.name,
        "status": incident.status,
        "severity": incident.severity,
        "version": incident.version,
    }


def load(work: Work, principal: Principal, reference: str, verb: str, break_glass: str = "") -> Incident:
    """The incident, if the principal may ``verb`` it. What somebody has to say leads on to where a merged one goes on."""
    asked = work.load(reference)
    incident = work.leading(asked) if verb in LEADS_ON else asked
    allow(work, principal, verb, incident, break_glass, asked.name)
    return incident
