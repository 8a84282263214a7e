"""People, how they are reached, and what they do in the organisation. Pure data; nothing here reads a clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from tocsin.kernel.clock import Instant

INTERRUPTING_KINDS = frozenset({"ntfy", "sms", "voice", "pagerduty", "console"})
"""Those that can wake a sleeping person. E-mail, chat, web hooks and the application wait to be looked at. The console
stands for a telephone in demonstrations and drills."""

PROVIDERS = {
    "ntfy": "the push server", "email": "the mail server", "sms": "the telephone provider", "voice": "the telephone provider",
    "slack": "Slack", "webhook": "the web hook", "pagerduty": "PagerDuty", "apprise": "Apprise", "console": "the console",
    "app": "Tocsin itself",
}  # fmt: skip
"""Kind of contact, by the name of the channel that delivers it → who delivers it. Kinds with the same provider fail together."""

CONTACT_KINDS = tuple(PROVIDERS)
"""Ways to reach somebody."""

ROLES = ("owner", "responder", "stakeholder")
"""What a person may do in this installation: everything; respond to incidents; read, report and subscribe."""

ANY_SEVERITY = "*"


class Contact(msgspec.Struct, frozen=True):
    """One way to reach one person.

    ``address`` is what the channel needs: a topic, a number in E.164, a mail address, a URL. ``verified_at`` and
    ``tested_at`` are instants, 0 for never: *verified* means that the person proved that it is theirs, *tested* that a
    test page reached them.
    """

    id: str
    kind: str
    address: str
    label: str = ""
    verified_at: Instant = 0
    tested_at: Instant = 0

    @property
    def interrupts(self) -> bool:
        """Whether it can wake somebody."""
        return self.kind in INTERRUPTING_KINDS


class NotificationRule(msgspec.Struct, frozen=True):
    """A person's own wish: for these severities use ``contact``, ``after`` microseconds from the page.

    ``severities`` holds severity ids, or ``*`` for all.
    """

    severities: tuple[str, ...]
    after: int
    contact: str

    def covers(self, severity: str) -> bool:
        """Whether the rule speaks about ``severity``."""
        return ANY_SEVERITY in self.severities or severity in self.severities


class Person(msgspec.Struct, frozen=True):
    """Somebody who can be paged, told or asked.

    ``zone`` is an IANA name; times in messages to this person are shown in it. ``org_roles`` names what the person is
    in the company (``cto``, ``ceo``, ``engineering_manager``, ``architect``, ``public_relations`` …). ``senior`` marks
    those fit for the commander rotation. A person who is not ``active`` is never paged.
    """

    id: str
    name: str
    email: str = ""
    login: str = ""
    zone: str = "UTC"
    locale: str = "en"
    role: str = "responder"
    contacts: tuple[Contact, ...] = ()
    rules: tuple[NotificationRule, ...] = ()
    active: bool = True
    org_roles: tuple[str, ...] = ()
    senior: bool = False


def interrupting_contacts(person: Person) -> tuple[Contact, ...]:
    """Those contacts that can wake the person: tested ones first, otherwise in the person's own order."""
    waking = [contact for contact in person.contacts if contact.interrupts]
    return tuple(sorted(waking, key=lambda contact: contact.tested_at == 0))


def is_wakeable(person: Person, kinds: Collection[str] | None = None) -> bool:
    """Whether at least one interrupting contact has been tested; of the ``kinds`` that can be delivered to, where given."""
    return any(
        contact.tested_at
        for contact in person.contacts
        if contact.interrupts and (kinds is None or contact.kind in kinds)
    )


def contact_by_id(person: Person, contact_id: str) -> Contact | None:
    """The person's contact of that id, or None."""
    return next((contact for contact in person.contacts if contact.id == contact_id), None)


def rules_for(person: Person, severity: str) -> tuple[NotificationRule, ...]:
    """The person's own rules that speak about ``severity``, earliest first."""
    return tuple(
        sorted((rule for rule in person.rules if rule.covers(severity)), key=lambda rule: rule.after)
    )


def with_org_role(people: Sequence[Person], org_role: str) -> tuple[Person, ...]:
    """Everybody who holds ``org_role`` in the company, deactivated people too."""
    return tuple(person for person in people if org_role in person.org_roles)
