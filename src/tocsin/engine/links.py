"""The page's own link: what it serves, until when, and one tap that acknowledges exactly what the page listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tocsin.engine import commands as c
from tocsin.engine import delivery, desk
from tocsin.engine.work import find_row, read_incident
from tocsin.identity.principals import Principal, person_principal
from tocsin.incidents.incident import Incident
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.kernel.facts import Actor
from tocsin.kernel.ports import Reader, Transaction

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

log = structlog.get_logger("tocsin.links")

MAX_HOPS = 20
"""merges of merges that are followed"""


def leading(reader: Reader, incident: Incident) -> Incident:
    """The incident that goes on where ``incident`` was merged into another; itself where it was not."""
    for _ in range(MAX_HOPS):
        if incident.status != "merged" or not incident.merged_into:
            break
        incident = read_incident(reader, find_row(reader, incident.merged_into))
    return incident


def find(reader: Reader, reference: str) -> Incident:
    """The incident of an id or a number; numbers of merged incidents lead on. Raises :class:`NotFound`."""
    return leading(reader, read_incident(reader, find_row(reader, reference)))


def serve(engine: Engine, secret: str) -> tuple[delivery.Link, list[Incident]]:
    """What a page's link serves: its person and the incidents the page listed, what they were merged into in their place.

    Raises :class:`NotFound` with what to do where it serves nothing any more.
    """

    def work(reader: Reader) -> tuple[delivery.Link, list[Incident]]:
        row = reader.record_by("link", delivery.link_lookup(secret))
        if row is None:
            raise NotFound("this link is not known; sign in to see the incident")
        link = decode(row.body, delivery.Link)
        person = engine.directory(reader).people.get(link.person)
        if person is None or not person.active:
            raise NotFound(
                "this link belongs to an account that is no longer active; sign in with another, or ask whoever is on call"
            )
        found = {one.id: one for one in _listed(reader, link)}
        incidents = list(found.values())
        life = max(
            (engine.policy_of(reader, one.policy)[0].paging.link_lives_after_resolved.micros for one in incidents),
            default=0,
        )  # fmt: skip
        ends = [max(one.resolved_at, one.closed_at) + life for one in incidents if not one.open]
        if incidents and len(ends) == len(incidents) and max(ends) < engine.clock.now():
            raise NotFound("this link has ended with its incident; sign in to see it")
        return link, incidents

    return engine.store.read(work)


def _listed(reader: Reader, link: delivery.Link) -> list[Incident]:
    """The incidents that a page listed. One that cannot be read hides none of the others."""
    found, fault = [], None
    for id in link.incidents:
        try:
            found.append(find(reader, id))
        except TocsinError as error:
            fault = error
    if fault is not None and not found:
        raise fault
    return found


def acknowledge(engine: Engine, secret: str, via: str = "link") -> list[desk.Answer]:
    """One tap: acknowledges exactly the incidents the page listed that are still open.

    Each by itself: one that refuses leaves the others acknowledged. Raises what was refused where nothing else could be done.
    """
    link, incidents = serve(engine, secret)
    person = engine.directory().people[link.person]
    principal = person_principal(link.person, person.role, kind="link")
    answers: list[desk.Answer] = []
    fault: TocsinError | None = None
    for incident in incidents:
        if not incident.open:
            continue
        try:
            answers.append(_acknowledge(engine, principal, incident.id, via))
        except TocsinError as error:
            log.warning("not acknowledged by its link", incident=incident.name, why=error.sentence)
            fault = fault or error
    if fault is not None and not answers:
        raise fault
    return answers


def _acknowledge(engine: Engine, principal: Principal, incident: str, via: str) -> desk.Answer:
    def work(tx: Transaction) -> desk.Answer:
        return desk.take(engine.work(tx, Actor(principal.id, via)), principal, c.Acknowledge(incident))

    return engine.store.write(work)
