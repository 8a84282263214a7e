"""Answers to pages that come back without the page's link: a text message, a key on a telephone, a provider's delivery state."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from tocsin.catalogue.people import Person
from tocsin.engine import commands as c
from tocsin.engine import desk, links
from tocsin.engine.delivery import listed_key
from tocsin.engine.settling import paged_key
from tocsin.identity.principals import person_principal
from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.kernel.facts import SYSTEM, Actor
from tocsin.kernel.ports import Reader, Reply, Transaction

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

log = structlog.get_logger("tocsin.replies")

ACKNOWLEDGING = ("ack", "acknowledge", "ok", "yes", "y", "4")
DECLINING = ("no", "n", "decline", "escalate", "6")
PLAIN = ("ack", "acknowledge")
"""words that say what is meant whatever follows: "ack, on it" is one; "ok what is this" and "no problem" are not"""
HELP = "Answer ACK to take everything your last page listed, ACK and a number for one incident, NO if you cannot take it."
STRANGER = "This number belongs to nobody here. Nothing was changed."


def answer(engine: Engine, reply: Reply) -> str:
    """Does what the reply asks for and answers the sentence that its sender hears or reads."""
    if reply.kind == "status":
        delivered(engine, reply)
        return ""
    if reply.token and reply.kind == "voice":
        return _pressed(engine, reply)
    person = by_number(engine, reply.sender)
    if person is None:
        log.info("an answer came from a number that belongs to nobody here", kind=reply.kind)
        # a text is not answered: two machines would go on for ever, and each message costs
        return "" if reply.kind == "sms" else STRANGER
    words = [word for part in reply.text.lower().split() if (word := re.sub(r"[^\w-]", "", part).strip("-"))]
    if not words or words[0] not in (*ACKNOWLEDGING, *DECLINING):
        return HELP
    number = words[1] if len(words) > 1 and any(letter.isdigit() for letter in words[1]) else ""
    if len(words) > 1 and not number and words[0] not in PLAIN:
        return HELP
    verb = "acknowledge" if words[0] in ACKNOWLEDGING else "decline"
    return _take(engine, person, [number] if number else _listed(engine, person.id), verb, reply.kind)


def by_number(engine: Engine, number: str) -> Person | None:
    """The active person who has this number as a contact."""
    wanted = re.sub(r"\D", "", number)
    if len(wanted) < 7:
        return None
    return next(
        (
            person
            for person in engine.directory().people.values()
            if person.active
            for contact in person.contacts
            if contact.kind in ("sms", "voice") and re.sub(r"\D", "", contact.address) == wanted
        ),
        None,
    )


def _listed(engine: Engine, person: str) -> list[str]:
    body = engine.store.read(lambda r: r.meta(listed_key(person)))
    return list(decode(body)) if body else []


def _pressed(engine: Engine, reply: Reply) -> str:
    if reply.digits not in ("4", "6"):
        return "That key does nothing. The page goes on."
    try:
        link, incidents = engine.link(reply.token)
    except NotFound as gone:
        return gone.sentence
    person = engine.directory().people.get(link.person)
    if person is None:
        return STRANGER
    verb = "acknowledge" if reply.digits == "4" else "decline"
    return _take(engine, person, [one.id for one in incidents], verb, "voice")


def _take(engine: Engine, person: Person, references: list[str], verb: str, via: str) -> str:
    """Acknowledges or declines each incident that is still open, as the person; answers what happened.

    Each by itself: one that refuses leaves the others answered.
    """
    principal = person_principal(person.id, person.role, kind="link")
    command = c.Acknowledge if verb == "acknowledge" else c.Decline

    def work(reference: str) -> Callable[[Transaction], Incident | None]:
        def take(tx: Transaction) -> Incident | None:
            incident = links.find(tx, reference)
            if not incident.open:
                return None
            desk.take(engine.work(tx, Actor(principal.id, via)), principal, command(incident.id))
            return incident

        return take

    done: dict[str, None] = {}
    refused = ""
    for reference in references:
        try:
            incident = engine.store.write(work(reference))
        except TocsinError as error:
            log.warning("not answered by a reply", incident=reference, why=error.sentence)
            refused = refused or error.sentence[:300]
        else:
            done |= {incident.name: None} if incident else {}
    if not done:
        return refused or "There is nothing open to answer."
    names = ", ".join(done)
    return f"You have {names}." if verb == "acknowledge" else f"Passed on: {names}."


def delivered(engine: Engine, reply: Reply) -> bool:
    """What a provider says later of a message: a failure goes on to the person's next channel. Answers whether it was news."""

    def of(reader: Reader) -> tuple[str, str, str, str, str, str] | None:
        row = reader.outbox_row(reply.message) if reply.message else None
        if row is None or not reply.state:
            return None
        body = decode(row.payload)
        incident = body.get("incident", "")
        return (
            (incident, row.recipient, row.channel, body.get("contact", ""), body.get("run", ""), row.effect)
            if incident
            else None
        )

    found = engine.store.read(of)
    if found is None:
        return False
    incident_id, person, channel, contact, run, effect = found
    engine.settle_gathered()

    def work(tx: Transaction) -> bool:
        unit = engine.work(tx, SYSTEM)
        incident = unit.load(incident_id)
        if reply.state == "failed" and contact in incident.failed.get(person, []):
            return False
        if reply.state == "failed":
            tx.put_meta(paged_key(person, channel), None)
        unit.record(
            incident,
            f.Delivery(
                reply.message, person, channel, contact, reply.state, reply.detail[:500], 1, run, effect
            ),
        )
        unit.flush()
        return True

    return engine.store.write(work)
