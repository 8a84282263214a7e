"""The handlers of what can be read through the API; each answers with a view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tocsin.alerts.routing import Route
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine import overview
from tocsin.engine.engine import Engine
from tocsin.engine.journal import entries
from tocsin.engine.receiving import Integration
from tocsin.engine.reporting import ReportKey
from tocsin.engine.silencing import hidden
from tocsin.engine.ways_in import WaysIn
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal
from tocsin.identity.sessions import Session
from tocsin.identity.tokens import ApiToken
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.moves import MOVES
from tocsin.incidents.timeline import line
from tocsin.kernel.clock import DAY, SECOND, check_instant, parse_instant, to_iso
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Forbidden, NotFound, Unusable
from tocsin.kernel.ports import Rooms
from tocsin.oncall.schedules import gaps, shifts
from tocsin.policy.model import SEVERITIES
from tocsin.web import govern_views as g
from tocsin.web import views as v
from tocsin.web.base import names_of
from tocsin.web.forms import is_whole
from tocsin.web.people_pages import feed_addresses_of


class Asked(msgspec.Struct):
    """A request to read: who, the pieces of the address, the parameters."""

    principal: Principal
    path: Mapping[str, Any]
    query: Mapping[str, str]

    def flag(self, name: str) -> bool | None:
        text = self.query.get(name, "").lower()
        if text not in ("", "true", "false", "1", "0", "yes", "no"):
            raise Unusable(f"{name} is true or false", name)
        return None if not text else text in ("true", "1", "yes")

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.query.get(name, "")
        if not text:
            return default
        if not is_whole(text) or not least <= int(text) <= most:
            raise Unusable(f"{name} is a number from {least} to {most}", name)
        return int(text)

    def choice(self, name: str, choices: Sequence[str], form: Callable[[str], str] = str) -> str:
        text = form(self.text(name))
        if text and text not in choices:
            raise Unusable(f"{name} is {', '.join(choices[:-1])} or {choices[-1]}", name)
        return text

    def text(self, name: str) -> str:
        return self.query.get(name, "")[:500]


class Readings:
    """One method for each address. All of them have been asked whether the principal may ``view``."""

    def __init__(self, engine: Engine, rooms: Rooms | None = None) -> None:
        self.engine, self.ways_in, self.rooms = engine, WaysIn(engine), rooms

    def incidents(self, asked: Asked) -> v.IncidentList:
        limit = asked.number("limit", 100, 1, 500)
        stamp, _, last = asked.text("before").partition(".")
        if asked.text("before") and not (is_whole(stamp) and last):
            raise Unusable("before is the next of the page before", "before")
        rows = overview.incidents(
            self.engine, asked.principal, open=asked.flag("open"), severity=asked.choice("severity", SEVERITIES, str.upper),
            status=asked.choice("status", tuple(MOVES)),
            search=asked.text("q"), drill=asked.flag("drill"), before=(int(stamp), last) if last else None, limit=limit + 1,
        )  # fmt: skip
        more = rows[limit - 1] if len(rows) > limit else None
        return v.IncidentList(
            [v.incident_row(row) for row in rows[:limit]],
            f"{more.opened_at}.{more.stream.id}" if more else None,
        )

    def timeline(self, asked: Asked) -> v.Timeline:
        names = names_of(self.engine, self.engine.directory())
        after = asked.number("after", 0, 0, 2**53)
        facts = self.engine.facts(asked.principal, asked.path["reference"], after)
        return v.Timeline([v.timeline_line(line(fact, names)) for fact in facts])

    def duties(self, asked: Asked) -> v.Duties:
        found = self.engine.incident(asked.principal, asked.path["reference"])
        policy = self.engine.store.read(lambda r: self.engine.policy_of(r, found.policy)[0])
        now = self.engine.clock.now()
        return v.Duties([v.duty(standing(one, now), found.name) for one in duties(found, policy)])

    def escalation(self, asked: Asked) -> v.Escalation:
        incident = self.engine.incident(asked.principal, asked.path["reference"])
        return v.Escalation(
            [
                v.NextPageView(one.kind, to_iso(one.at), one.names, one.again, one.quiet)
                for one in overview.next_pages(self.engine, incident)
            ]
        )

    def actions(self, asked: Asked) -> g.ActionList:
        found = self.engine.actions(asked.principal, incident=asked.text("incident"), open=asked.flag("open"))
        return g.ActionList([g.action(one) for one in found])

    def action(self, asked: Asked) -> g.ActionView:
        return g.action(self.engine.action(asked.principal, asked.path["action"]))

    def policy(self, asked: Asked) -> g.PolicyView:
        return g.policy(self.engine.policy_in_force())

    def proof(self, asked: Asked) -> g.ProofView:
        return g.proof(self.engine.prove(asked.number("weeks", 4, 1, 52)))

    def figures(self, asked: Asked) -> g.FiguresView:
        now = self.engine.clock.now()
        start = (
            check_instant(parse_instant(asked.text("from")), "from") if asked.text("from") else now - 90 * DAY
        )
        end = check_instant(parse_instant(asked.text("to")), "to") if asked.text("to") else now + 1
        if end <= start:
            raise Unusable("the period ends before it begins", "to")
        return g.figures(self.engine.figures(asked.principal, start, end))

    def score(self, asked: Asked) -> g.ScoreView:
        return g.score(*self.engine.score_of(asked.principal, asked.path["reference"]))

    def drills(self, asked: Asked) -> g.DrillList:
        found = self.rooms.names() if self.rooms is not None else ()
        return g.DrillList([g.DrillLine(name, title) for name, title in found])

    def owed(self, asked: Asked) -> v.Duties:
        return v.Duties([v.owed(one) for one in overview.owed_by(self.engine, asked.principal)])

    def people(self, asked: Asked) -> v.People:
        directory = self.engine.directory()
        return v.People([self._person(asked, one.id) for one in directory.people.values()])

    def person(self, asked: Asked) -> v.PersonView:
        return self._person(asked, asked.path["person"])

    def _person(self, asked: Asked, id: str) -> v.PersonView:
        directory = self.engine.directory()
        one = directory.people.get(id)
        if one is None:
            raise NotFound(f"there is no person {id[:60]}")
        own = asked.principal.person == id
        addresses = authorize(asked.principal, "own_contacts" if own else "contacts").allowed
        return v.person(one, directory, self.engine.clock.now(), addresses=addresses)

    def on_call(self, asked: Asked) -> v.OnCallNow:
        directory = self.engine.directory()
        asked_at = asked.text("at")
        now = check_instant(parse_instant(asked_at), "at") if asked_at else self.engine.clock.now()
        return v.OnCallNow(
            [
                v.holding(schedule, position, directory.on_call(schedule.id, now, position))
                for schedule in directory.schedules.values()
                for position in ("primary", "secondary")
            ]
        )

    def schedules(self, asked: Asked) -> v.Schedules:
        return v.Schedules([v.schedule(one) for one in self.engine.directory().schedules.values()])

    def schedule(self, asked: Asked) -> v.ScheduleView:
        directory = self.engine.directory()
        one = directory.schedules.get(asked.path["schedule"])
        if one is None:
            raise NotFound(f"there is no schedule {asked.path['schedule'][:60]}")
        start = self.engine.clock.now()
        end = start + asked.number("days", 14, 1, 90) * DAY
        overrides = directory.overrides_of(one.id)
        view = v.schedule(one)
        view.shifts = [
            v.shift(position, shift)
            for position in ("primary", "secondary")
            for shift in shifts(one, start, end, overrides, position)
        ]
        view.overrides = [v.override(each) for each in overrides if each.end > start]
        view.gaps = [v.gap(one.id, gap) for gap in gaps(one, start, end, overrides, directory.leaves)]
        return view

    def leave(self, asked: Asked) -> v.Leaves:
        now = self.engine.clock.now()
        return v.Leaves([v.leave(one) for one in self.engine.directory().leaves if one.end > now])

    def services(self, asked: Asked) -> v.Services:
        health = overview.health(self.engine, asked.principal)
        return v.Services([self._service(id, health) for id in self.engine.directory().services])

    def service(self, asked: Asked) -> v.ServiceView:
        if asked.path["service"] not in self.engine.directory().services:
            raise NotFound(f"there is no service {asked.path['service'][:60]}")
        return self._service(asked.path["service"], overview.health(self.engine, asked.principal))

    def _service(self, id: str, health: dict[str, overview.Health]) -> v.ServiceView:
        found = health.get(id, overview.Health())
        return v.ServiceView(
            self.engine.directory().services[id],
            [f"{row.series}-{row.number}" for row in found.incidents],
            found.worst,
        )

    def escalation_policies(self, asked: Asked) -> v.EscalationPolicies:
        directory, now = self.engine.directory(), self.engine.clock.now()
        return v.EscalationPolicies(
            [v.escalation_policy(one, directory, now) for one in directory.escalation_policies.values()]
        )

    def teams(self, asked: Asked) -> v.Teams:
        return v.Teams(list(self.engine.directory().teams.values()))

    def integrations(self, asked: Asked) -> v.Integrations:
        return v.Integrations([v.integration(one) for one in overview.integration_rows(self.engine).values()])

    def _integration(self, asked: Asked) -> Integration:
        found = overview.integration_rows(self.engine).get(asked.path["integration"])
        if found is None:
            raise NotFound(f"there is no integration {asked.path['integration'][:60]}")
        return found

    def integration(self, asked: Asked) -> v.IntegrationView:
        one = self._integration(asked)
        shows = one.sealed_key and authorize(asked.principal, "integrations").allowed
        return v.integration(one, self.ways_in.snippet(one) if shows else "")

    def requests(self, asked: Asked) -> v.Requests:
        whole = authorize(asked.principal, "integrations").allowed
        return v.Requests(
            [v.request(row, whole=whole) for row in self.ways_in.requests(self._integration(asked).id)]
        )

    def routes(self, asked: Asked) -> v.Routes:
        rows = overview.records_of(self.engine, "route")
        return v.Routes([v.route(decode(row.body, Route)) for row in rows])

    def silences(self, asked: Asked) -> v.Silences:
        found = [decode(row.body, Silence) for row in overview.records_of(self.engine, "silence")]
        return v.Silences([v.silence(one) for one in found if one.ends_at > self.engine.clock.now()])

    def maintenance(self, asked: Asked) -> v.MaintenanceWindows:
        found = [decode(row.body, Maintenance) for row in overview.records_of(self.engine, "maintenance")]
        return v.MaintenanceWindows(
            [v.maintenance(one) for one in found if one.ends_at > self.engine.clock.now()]
        )

    def quiet_alerts(self, asked: Asked) -> v.Quiet:
        everything = asked.principal.role == "owner"
        rows = self.engine.store.read(lambda r: hidden(r, restricted=everything))
        return v.Quiet([v.quiet(one) for one in rows])

    def tokens(self, asked: Asked) -> v.Tokens:
        found = [decode(row.body, ApiToken) for row in overview.records_of(self.engine, "token")]
        return v.Tokens([v.token(one) for one in found if one.person == asked.principal.person])

    def sessions(self, asked: Asked) -> v.Sessions:
        found = [decode(row.body, Session) for row in overview.records_of(self.engine, "session")]
        return v.Sessions([v.session(one) for one in found if one.person == asked.principal.person])

    def feeds(self, asked: Asked) -> v.Feeds:
        if not authorize(asked.principal, "own_tokens").allowed:
            raise Forbidden(
                "the addresses of calendar feeds are secrets; this token lacks the scope configure"
            )
        return v.Feeds(dict(feed_addresses_of(self.engine, asked.principal.person)))

    def report_links(self, asked: Asked) -> v.ReportLinks:
        if not authorize(asked.principal, "integrations").allowed:
            raise Forbidden("links to the report form are for owners of this installation")
        found = [decode(row.body, ReportKey) for row in overview.records_of(self.engine, "report_key")]
        return v.ReportLinks([v.ReportLink(one.id, one.name) for one in found])

    def journal(self, asked: Asked) -> v.Journal:
        if not authorize(asked.principal, "configure").allowed:
            raise Forbidden("the journal is for owners of this installation")
        limit, before = asked.number("limit", 200, 1, 500), asked.text("before")
        found = self.engine.store.read(lambda r: entries(r, limit + 1, before))
        older = found[limit - 1].id if len(found) > limit else ""
        return v.Journal([v.journal_entry(one) for one in found[:limit]], older)

    def state(self, asked: Asked) -> v.State:
        timer, message = self.engine.lateness()
        return v.State(
            overview.banner(self.engine),
            overview.will_not_wake(self.engine),
            timer // SECOND,
            message // SECOND,
        )
