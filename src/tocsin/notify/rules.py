"""Which of a person's contacts is used, when, and which comes next when one fails for good."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tocsin.catalogue.people import Contact, Person, contact_by_id, interrupting_contacts, rules_for
from tocsin.kernel.clock import MINUTE

FALL_OVER = MINUTE
"""A provider that did not take a page twice has the person's next contact tried beside it: within this."""


class Attempt(msgspec.Struct, frozen=True):
    """Use ``contact`` this many microseconds after the page."""

    contact: Contact
    after: int


def plan(person: Person, severity: str, purpose: str) -> list[Attempt]:
    """The contacts for a ``page``, a ``notice`` or a ``nudge``, the first at once.

    A page begins with the first contact that can wake the person; the person's own rules add to it and never delay it.
    Quiet purposes use what does not interrupt, and what interrupts only where there is nothing else. A notice of a P1 or
    P2 may interrupt.
    """
    waking = interrupting_contacts(person)
    quiet = [contact for contact in person.contacts if not contact.interrupts]
    if purpose == "page" or (purpose == "notice" and severity in ("P1", "P2")):
        first = waking[0] if waking else (quiet[0] if quiet else None)
    else:
        first = quiet[0] if quiet else (waking[0] if waking else None)
    if first is None:
        return []
    attempts = [Attempt(first, 0)]
    if purpose == "page":
        for rule in rules_for(person, severity):
            contact = contact_by_id(person, rule.contact)
            if contact is not None and contact.id != first.id:
                attempts.append(Attempt(contact, rule.after))
    return attempts


def in_order(person: Person, without: Collection[str] = ()) -> list[Contact]:
    """The contacts in the order in which they stand in for each other: what wakes first, then the rest."""
    waking = interrupting_contacts(person)
    rest = [contact for contact in person.contacts if not contact.interrupts]
    return [contact for contact in (*waking, *rest) if contact.id not in without]


def next_contact(person: Person, failed: Collection[str]) -> Contact | None:
    """The next contact to try when those in ``failed`` cannot be used."""
    return next(iter(in_order(person, failed)), None)
