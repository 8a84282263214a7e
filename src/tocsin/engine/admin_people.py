"""People and their contacts: accounts, order of channels, *page me as a test*, the person's own rules."""

from __future__ import annotations

import hmac
import re

import msgspec

from tocsin.catalogue.people import (
    CONTACT_KINDS,
    ROLES,
    Contact,
    NotificationRule,
    Person,
    contact_by_id,
)
from tocsin.engine import changes as c
from tocsin.engine.admin_desk import Answer, Desk, check_id, code_hash, name_of, require, slug, text_of
from tocsin.engine.admin_escalation import naming
from tocsin.kernel.clock import MINUTE, Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import NotFound, Refused, Unusable
from tocsin.kernel.ports import OutboxRow
from tocsin.oncall.relative import parse_duration
from tocsin.oncall.walltime import zone_of

CODE_LIFE = 15 * MINUTE
CODE_TRIES = 5
MOST_CONTACTS = 20
_ADDRESS = {
    "email": (re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+"), "a mail address such as anna@example.com"),
    "sms": (re.compile(r"\+[1-9]\d{5,14}"), "a number in international form such as +4915112345678"),
    "voice": (re.compile(r"\+[1-9]\d{5,14}"), "a number in international form such as +4915112345678"),
    "ntfy": (
        re.compile(r"[A-Za-z0-9_-]{1,64}|https?://[^\s]+/[A-Za-z0-9_-]{1,64}"),
        "a topic, or the address of a topic on another server",
    ),
    "webhook": (re.compile(r"https?://[^\s]+"), "a URL that begins with https://"),
    "apprise": (re.compile(r"[A-Za-z0-9]+://[^\s,?]+"), "one address such as tgram://token/chat"),
}
DEMONSTRATED = ("console",)
"""kinds that a demonstration alone has"""
_SEVERITIES = ("P1", "P2", "P3", "P4", "*")


class ContactCheck(msgspec.Struct):
    """A code on its way to a contact."""

    hash: str
    expires: Instant
    tries: int = 0


def person_of(desk: Desk, id: str) -> Person:
    """The person as stored; raises :class:`NotFound`."""
    person = desk.directory.people.get(id)
    if person is None:
        raise NotFound(f"there is no person {id[:60]}")
    return person


def contact_of(desk: Desk, person_id: str, contact_id: str) -> tuple[Person, Contact]:
    """A person and one of their contacts; raises :class:`NotFound`."""
    person = person_of(desk, person_id)
    contact = contact_by_id(person, contact_id)
    if contact is None:
        raise NotFound(f"{person.name} has no contact {contact_id[:60]}")
    return person, contact


def add_person(desk: Desk, change: c.AddPerson) -> Answer:
    desk.allow("people")
    id = check_id(change.id) if change.id else slug(change.name, desk.directory.people)
    require(id not in desk.directory.people, f"there is a person {id} already; choose another id")
    person = Person(
        id, name_of(change.name), text_of(change.email, "email", 254), text_of(change.login, "login", 120) or id,
        _zone(change.zone), "en", _role(change.role), org_roles=tuple(change.org_roles), senior=change.senior,
    )  # fmt: skip
    _unique(desk, person)
    desk.put(person)
    return {"id": id, "name": person.name}


def change_person(desk: Desk, change: c.ChangePerson) -> Answer:
    """Whoever leaves keeps nothing: sessions and tokens of a deactivated person end at once."""
    person = person_of(desk, change.person)
    wanted = {
        name: value
        for name in ("name", "email", "login", "role", "zone", "locale", "org_roles", "senior", "active")
        if (value := getattr(change, name)) is not None
    }
    if set(wanted) <= {"zone", "locale"}:
        desk.allow_for(person.id, "own_profile", "people")
    else:
        desk.allow("people")
    if "zone" in wanted:
        _zone(wanted["zone"])
    if "role" in wanted:
        _role(wanted["role"])
    if "name" in wanted:
        wanted["name"] = name_of(wanted["name"])
    if "org_roles" in wanted:
        wanted["org_roles"] = tuple(wanted["org_roles"])
    after = msgspec.structs.replace(person, **wanted)
    _unique(desk, after)
    owners = [one for one in desk.directory.people.values() if one.role == "owner" and one.active]
    if [one.id for one in owners] == [person.id] and (after.role != "owner" or not after.active):
        raise Refused(f"{person.name} is the last owner; make somebody else owner first")
    desk.put(after)
    if person.active and not after.active:
        _end_access(desk, person.id)
    return {"id": after.id, "name": after.name} | (
        {"warning": warning} if (warning := _still_on(desk, after)) else {}
    )


def _end_access(desk: Desk, person: str) -> None:
    for kind in ("session", "token", "sign_in_link", "feed_token"):
        for row in desk.tx.records(kind):
            if decode(row.body).get("person") == person:
                desk.tx.delete_record(kind, row.id)


def _still_on(desk: Desk, person: Person) -> str:
    """Schedules and escalation policies that still name somebody who is no longer active."""
    if person.active:
        return ""
    names = [
        one.name
        for one in desk.directory.schedules.values()
        if any(person.id in rotation.members for rotation in (*one.rotations, *one.secondary))
    ]
    said = [f"still in {', '.join(names)}: the turns go to nobody"] if names else []
    said += [f"still meant by {one}" for one in naming(desk.directory, "person", person.id)]
    return f"{person.name} is {'; '.join(said)}" if said else ""


def add_contact(desk: Desk, change: c.AddContact) -> Answer:
    """A new contact is neither verified nor tested: it wakes nobody until its code came back."""
    person = person_of(desk, change.person)
    desk.allow_for(person.id, "own_contacts", "contacts")
    kinds = [one for one in CONTACT_KINDS if one in desk.channels or one not in DEMONSTRATED]
    if change.kind not in kinds:
        raise Unusable(f"{change.kind[:30]!r} is no kind of contact here; use {', '.join(kinds)}", "kind")
    address = text_of(change.address, "address", 500)
    pattern, hint = _ADDRESS.get(change.kind, (re.compile(r"\S.*"), "an address"))
    if not pattern.fullmatch(address):
        raise Unusable(f"{address[:60]!r} is not an address for {change.kind}: write {hint}", "address")
    require(
        len(person.contacts) < MOST_CONTACTS, f"{person.name} has {MOST_CONTACTS} contacts; remove one first"
    )
    if any((one.kind, one.address) == (change.kind, address) for one in person.contacts):
        raise Refused(f"{person.name} has this contact already")
    contact = Contact(
        slug(change.label or change.kind, [one.id for one in person.contacts]), change.kind, address,
        text_of(change.label, "label", 60),
    )  # fmt: skip
    desk.put(msgspec.structs.replace(person, contacts=(*person.contacts, contact)))
    return {"id": contact.id}


def remove_contact(desk: Desk, change: c.RemoveContact) -> Answer:
    person, contact = contact_of(desk, change.person, change.contact)
    desk.allow_for(person.id, "own_contacts", "contacts")
    desk.put(
        msgspec.structs.replace(
            person,
            contacts=tuple(one for one in person.contacts if one is not contact),
            rules=tuple(rule for rule in person.rules if rule.contact != contact.id),
        )
    )
    return {"id": contact.id}


def move_contact(desk: Desk, change: c.MoveContact) -> Answer:
    person, contact = contact_of(desk, change.person, change.contact)
    desk.allow_for(person.id, "own_contacts", "contacts")
    rest = [one for one in person.contacts if one is not contact]
    rest.insert(max(0, min(len(rest), change.position - 1)), contact)
    desk.put(msgspec.structs.replace(person, contacts=tuple(rest)))
    return {"id": contact.id}


def test_contact(desk: Desk, change: c.TestContact) -> Answer:
    """A message with a code to one contact or to all; the code confirms it."""
    person = person_of(desk, change.person)
    desk.allow_for(person.id, "own_contacts", "test_contact")
    wanted = [contact_of(desk, person.id, change.contact)[1]] if change.contact else list(person.contacts)
    require(bool(wanted), f"{person.name} has no contact to test; add one first")
    missing = sorted({one.kind for one in wanted} - desk.channels)
    wanted = [one for one in wanted if one.kind in desk.channels]
    if not wanted:
        raise Refused(
            f"no {' or '.join(missing)} channel is configured here; ask whoever runs this installation"
        )
    rows = []
    for contact in wanted:
        code = f"{desk.randomness.bits(40) % 1_000_000:06d}"
        check = ContactCheck(code_hash(desk.secret, person.id, contact.id, code), desk.now + CODE_LIFE)
        desk.keep("contact_check", f"{person.id}/{contact.id}", "", check, check.expires)
        shown = contact.label or contact.kind
        text = f"Tocsin can reach {person.name} by {shown}. The code is {code}: write it on your page to confirm."
        rows.append(
            OutboxRow(
                desk.new_id(), f"test:{desk.new_id()}", "test", contact.kind, person.id, contact.address, "", "test", 0,
                desk.now, desk.now, encode({"contact": contact.id, "text": text}),
            )
        )  # fmt: skip
    desk.tx.put_outbox(rows)
    return {"id": person.id, "sent": len(rows)} | (
        {"warning": f"no {', '.join(missing)} channel is configured here"} if missing else {}
    )


def confirm_contact(desk: Desk, change: c.ConfirmContact) -> Answer:
    """The code came back: verified and tested at this moment. Five wrong codes end it."""
    person, contact = contact_of(desk, change.person, change.contact)
    desk.allow_for(person.id, "own_contacts", "contacts")
    key = f"{person.id}/{contact.id}"
    row = desk.tx.record("contact_check", key)
    check = decode(row.body, ContactCheck) if row else None
    if check is None or check.expires <= desk.now or check.tries >= CODE_TRIES:
        raise Refused("there is no code waiting for this contact; send a test first")
    given = code_hash(desk.secret, person.id, contact.id, change.code.strip())
    if not hmac.compare_digest(given, check.hash):
        check.tries += 1
        desk.keep("contact_check", key, "", check, check.expires)
        return {"id": contact.id, "confirmed": False, "warning": "that is not the code in the message"}
    desk.tx.delete_record("contact_check", key)
    tested = msgspec.structs.replace(contact, verified_at=desk.now, tested_at=desk.now)
    contacts = tuple(tested if one is contact else one for one in person.contacts)
    desk.put(msgspec.structs.replace(person, contacts=contacts))
    return {"id": contact.id, "confirmed": True}


def set_rules(desk: Desk, change: c.SetRules) -> Answer:
    person = person_of(desk, change.person)
    desk.allow_for(person.id, "own_contacts", "contacts")
    rules = []
    for wish in change.rules[:50]:
        contact_of(desk, person.id, wish.contact)
        strange = [one for one in wish.severities if one not in _SEVERITIES]
        if strange or not wish.severities:
            raise Unusable(f"severities {strange} are not known; use P1 to P4, or * for all", "severities")
        rules.append(NotificationRule(tuple(wish.severities), parse_duration(wish.after), wish.contact))
    desk.put(msgspec.structs.replace(person, rules=tuple(rules)))
    return {"id": person.id, "rules": len(rules)}


def _unique(desk: Desk, person: Person) -> None:
    mine = {name.casefold() for name in (person.login, person.email) if name}
    for other in desk.directory.people.values():
        if other.id != person.id and mine & {other.login.casefold(), other.email.casefold()}:
            raise Refused(f"{other.name} signs in with that name or address already")


def _zone(zone: str) -> str:
    zone_of(zone)
    return zone


def _role(role: str) -> str:
    if role not in ROLES:
        raise Unusable(f"{role[:30]!r} is no role; use {', '.join(ROLES)}", "role")
    return role
