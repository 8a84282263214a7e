"""The page behind the link in a message: what broke, one tap to take it or to say that one can't, and what comes next."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tocsin.engine import commands as c
from tocsin.engine import delivery
from tocsin.engine.engine import Engine
from tocsin.identity.principals import person_principal
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.notify.texts import PageContext
from tocsin.web.base import Web
from tocsin.web.incident_view import is_paged


class Shown(msgspec.Struct):
    """An incident as its link shows it. ``mine``: this person has it; ``waits``: their answer is still waited for."""

    incident: Incident
    context: PageContext
    holder: str
    mine: bool
    waits: bool
    others: list[str]
    """who else was paged, names"""
    commands: bool = False
    """they are paged as commander"""
    runbook: str = ""
    """of the alert, else of the first service that has one"""


def ack_page(web: Web, request: Request, token: str) -> Response:
    """The page as it stands now; raises :class:`NotFound` for a link that is not known or has ended."""
    engine = web.engine
    link, incidents = engine.link(token)
    directory, now = engine.directory(), engine.clock.now()
    person = directory.people.get(link.person)
    shown = [_shown(engine, one, link.person) for one in incidents]
    return web.page(
        "ack.html", request, person=directory.name(link.person), shown=shown, token=token,
        waits=any(one.waits for one in shown), mine=any(one.mine for one in shown), zone=person.zone if person else "UTC",
        can_decline=any(one.incident.open and (one.waits or one.mine) for one in shown), at=now,
    )  # fmt: skip


def _shown(engine: Engine, incident: Incident, person: str) -> Shown:
    directory = engine.directory()
    paged = dict.fromkeys(one for run in incident.runs.values() for one in run.paged if one != person)
    holder = directory.name(incident.holder) if incident.holder else ""
    answered = is_paged(incident, person)
    return Shown(
        incident, delivery.context_of(incident, directory, engine.public_url, engine.clock.now()), holder,
        incident.open and (incident.holder == person or incident.commander == person) and not answered,
        incident.open and (not incident.holder or answered), [] if incident.restricted else [directory.name(one) for one in paged],
        any(run.kind == "commander" and run.state == "running" and person in run.paged for run in incident.runs.values()),
        "" if incident.restricted else _runbook(incident, directory),
    )  # fmt: skip


def _runbook(incident: Incident, directory: Directory) -> str:
    alerts = (one.ref.runbook_url for one in incident.firing)
    services = (directory.services[one].runbook_url for one in incident.services if one in directory.services)
    return next((url for url in (*alerts, *services) if url), "")


def acknowledge(engine: Engine, token: str) -> None:
    """One tap: acknowledges exactly what the page listed."""
    engine.acknowledge_link(token)


def decline(engine: Engine, token: str) -> None:
    """*Can't take it*: whatever the page listed and still waits for this person, or is theirs, escalates now."""
    link, incidents = engine.link(token)
    person = engine.directory().people.get(link.person)
    principal = person_principal(link.person, person.role if person else "responder", kind="link")
    for incident in incidents:
        if incident.open and (is_paged(incident, link.person) or incident.holder in ("", link.person)):
            engine.execute(principal, c.Decline(incident.id), via="link")
