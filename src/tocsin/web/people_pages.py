"""People: who there is, how each is reached, *page me as a test*; one's own account."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from tocsin.catalogue.people import CONTACT_KINDS, ROLES, Person
from tocsin.engine import overview
from tocsin.engine.admin_access import FeedToken
from tocsin.engine.administration import administer
from tocsin.engine.changes import RuleWish, SetRules
from tocsin.engine.engine import Engine
from tocsin.engine.journal import entries
from tocsin.identity.sessions import Session
from tocsin.identity.tokens import SCOPES, ApiToken
from tocsin.identity.vault import unseal
from tocsin.kernel.clock import MINUTE
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.kernel.redact import mask
from tocsin.web.base import Visit, Web

CONTACT_FORMS = ("add_contact", "remove_contact", "move_contact", "test_contact", "confirm_contact")
SAYS = {
    "add_contact": "Added. Send a test, so that a page can wake you.", "remove_contact": "Removed.", "move_contact": "Moved.",
    "change_person": "Saved.", "set_rules": "Saved.", "test_contact": "Sent. Write the code of the message here.",
    "change_password": "The password is changed.", "revoke_session": "Ended.", "revoke_token": "Revoked.",
    "new_feed_token": "The calendar has a new address.", "confirm_contact": "Confirmed: a page reaches you here.",
}  # fmt: skip

JOURNALED = 100
"""changes on a page of the journal"""


class PeoplePages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of people and of one's own account."""
        route = self.web.route
        return [
            route("/people", self.people, form=True),
            route("/people/{person}", self.person, form=True),
            route("/account", self.account, form=True),
            route("/journal", self.journal),
        ]

    def people(self, visit: Visit) -> Response:
        """Everybody, and a form for one more."""
        error = ""
        if visit.posting:
            try:
                answer = visit.act("add_person")
                return visit.go(
                    f"/people/{answer['id']}",
                    f"{answer['name']} has an account; make a sign-in link and add to a team.",
                )
            except TocsinError as refused:
                error = visit.why(refused)
        directory, now = visit.directory, visit.now
        return visit.page(
            "people.html", 400 if error else 200, error=error, roles=ROLES, off=lambda one: directory.off(one.id, now),
            people=sorted(directory.people.values(), key=lambda one: (not one.active, one.name.casefold())),
            sleeping={one.person for one in directory.untested_on_call(now)},
            answering={directory.on_call(schedule, now).person for schedule in directory.schedules},
        )  # fmt: skip

    def journal(self, visit: Visit) -> Response:
        """Who changed people, schedules, services and ways in; for owners."""
        if not visit.may("configure"):
            return visit.refuse(
                "The journal is for owners", "Ask an owner of this installation who changed something."
            )
        before = visit.request.query_params.get("before", "")
        found = visit.engine.store.read(lambda r: entries(r, JOURNALED + 1, before))
        shown = found[:JOURNALED]
        return visit.page("journal.html", entries=shown, older=shown[-1].id if len(found) > JOURNALED else "")

    def person(self, visit: Visit) -> Response:
        """One person: contacts in order, rules, leave; for owners the account too."""
        id = visit.part("person")
        person = visit.directory.people.get(id)
        if person is None:
            raise NotFound(f"there is no person {id[:60]}")
        error, link = "", ""
        if visit.posting:
            verb = str(visit.form.get("verb", ""))
            try:
                if verb == "set_rules":
                    answer = administer(visit.engine, visit.principal, SetRules(id, _rules(visit)))
                else:
                    answer = visit.act(*CONTACT_FORMS, "change_person", "make_sign_in_link", person=id)
                link = str(answer.get("url", ""))
                if not link:
                    return visit.go(f"/people/{id}", str(answer.get("warning") or SAYS.get(verb, "Done.")))
            except TocsinError as refused:
                error = visit.why(refused)
        return visit.page(
            "person.html", 400 if error else 200, error=error, link=link, **self._values(visit, person)
        )

    def _values(self, visit: Visit, person: Person) -> dict[str, object]:
        own = person.id == visit.principal.person
        duty = [
            (schedule, position)
            for schedule in visit.directory.schedules.values()
            for position in ("primary", "secondary")
            if visit.directory.on_call(schedule.id, visit.now, position).person == person.id
        ]
        channels = set(visit.engine.channels)
        return {
            "person": person, "own": own, "duty": duty, "roles": ROLES, "minutes": lambda after: after // MINUTE,
            "kinds": [kind for kind in CONTACT_KINDS if kind in channels],
            "channels": channels,
            "failed": tests_that_failed(visit.engine, person.id),
            "edits": visit.may("own_contacts") if own else visit.may("contacts"),
            "tests": own or visit.may("test_contact"),
            "administers": visit.may("people"),
            "leaves": sorted(
                (one for one in visit.directory.leaves if one.person == person.id and one.end > visit.now),
                key=lambda one: one.start,
            ),
            "teams": [one for one in visit.directory.teams.values() if person.id in one.members],
        }  # fmt: skip

    def account(self, visit: Visit) -> Response:
        """Password, sessions, tokens, time zone, the calendar's address."""
        error, secret = "", ""
        if visit.posting:
            verb = str(visit.form.get("verb", ""))
            try:
                answer = visit.act(
                    "change_password", "revoke_session", "add_token", "revoke_token", "new_feed_token", "change_person",
                    person=visit.principal.person,
                )  # fmt: skip
                if verb != "add_token":
                    return visit.go("/account", SAYS.get(verb, "Done."))
                secret = str(answer["secret"])
            except TocsinError as refused:
                error = visit.why(refused)
        me = visit.principal.person
        sessions = [decode(row.body, Session) for row in overview.records_of(visit.engine, "session")]
        tokens = [decode(row.body, ApiToken) for row in overview.records_of(visit.engine, "token")]
        return visit.page(
            "account.html", 400 if error else 200, error=error, secret=secret, scopes=SCOPES, person=visit.directory.people[me],
            sessions=sorted((one for one in sessions if one.person == me), key=lambda one: -one.last_seen),
            tokens=[one for one in tokens if one.person == me], feeds=feed_addresses(visit),
            has_password=visit.engine.store.read(lambda r: r.record("password", me)) is not None,
        )  # fmt: skip


def tests_that_failed(engine: Engine, person: str) -> dict[str, str]:
    """Contact → why its last test has not left: it failed, or waits for another try."""
    last: dict[str, str] = {}
    for row in engine.store.read(lambda r: r.outbox(recipient=person)):  # the newest first
        if row.effect == "test":
            last.setdefault(
                str(decode(row.payload)["contact"]), "" if row.state == "done" else row.last_error
            )
    return {contact: mask(why) for contact, why in last.items() if why}


def _rules(visit: Visit) -> list[RuleWish]:
    """Rows of the rules form; one without a contact is left out."""
    rows = zip(
        visit.form.getlist("contact"),
        visit.form.getlist("after"),
        visit.form.getlist("severities"),
        strict=False,
    )
    return [
        RuleWish(str(contact), f"{after or 0} min", str(severities).split(",") if severities else ["*"])
        for contact, after, severities in rows
        if contact
    ]


def feed_addresses(visit: Visit) -> list[tuple[str, str]]:
    """The calendar feeds of whoever asks."""
    return feed_addresses_of(visit.engine, visit.principal.person)


def feed_addresses_of(engine: Engine, person: str) -> list[tuple[str, str]]:
    """(name, address) of a person's calendar feeds: their own shifts, and each schedule; empty without a token."""
    row = engine.store.read(lambda r: r.record("feed_token", person)) if person else None
    if row is None:
        return []
    feed = decode(row.body, FeedToken)
    secret = unseal(engine.secret, feed.sealed, f"feed/{feed.person}")
    found = [
        (one.name, f"{engine.public_url}/oncall/{one.id}.ics?token={secret}")
        for one in sorted(engine.directory().schedules.values(), key=lambda one: one.name.casefold())
    ]
    return [("My shifts", f"{engine.public_url}/oncall/mine.ics?token={secret}"), *found]
