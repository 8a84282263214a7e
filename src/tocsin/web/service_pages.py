"""Services and teams: what can break, who owns it, how it stands, what depends on it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from tocsin.catalogue.services import Service, dependencies, dependents
from tocsin.catalogue.teams import Team
from tocsin.engine import overview
from tocsin.engine.admin_desk import slug
from tocsin.engine.administration import administer
from tocsin.engine.changes import PutService, PutTeam
from tocsin.kernel.clock import DAY
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.web.base import Visit, Web
from tocsin.web.forms import from_form


class ServicePages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of services and teams."""
        route = self.web.route
        return [
            route("/services", self.services),
            route("/services/{service}", self.service),
            route("/services/{service}/edit", self.edit, form=True),
            route("/teams/{team}", self.team, form=True),
        ]

    def services(self, visit: Visit) -> Response:
        """Worst first, then the more critical."""
        health = overview.health(visit.engine, visit.principal)
        ordered = sorted(
            visit.directory.services.values(),
            key=lambda one: (
                health[one.id].worst if one.id in health else "P9",
                one.criticality,
                one.name.casefold(),
            ),
        )
        return visit.page(
            "services.html", services=ordered, health=health, teams=visit.directory.teams,
            all_teams=sorted(visit.directory.teams.values(), key=lambda one: one.name.casefold()), catalogue=visit.directory.services,
            schedules=visit.directory.schedules,
        )  # fmt: skip

    def _found(self, visit: Visit) -> Service:
        service = visit.directory.services.get(visit.part("service"))
        if service is None:
            raise NotFound(f"there is no service {visit.part('service')[:60]}")
        return service

    def service(self, visit: Visit) -> Response:
        """One service: open incidents, what it needs, what needs it, who owns it, recent changes."""
        service, directory = self._found(visit), visit.directory
        team = directory.team_of(service.id)
        on_call = directory.resolve("on_call", visit.now, service=service.id)
        recent = overview.incidents(visit.engine, visit.principal, search=service.id, limit=20)
        health = overview.health(visit.engine, visit.principal)
        return visit.page(
            "service.html", service=service, team=team, on_call=on_call, health=health, catalogue=directory.services,
            needs=dependencies(directory.services, service.id), needed_by=dependents(directory.services, service.id),
            past=[row for row in recent if not row.open],
            changes=visit.engine.store.read(lambda r: r.changes(services=[service.id], since=visit.now - 7 * DAY, limit=10)),
        )  # fmt: skip

    def edit(self, visit: Visit) -> Response:
        """Makes (``new``) or changes a service."""
        new, error = visit.part("service") == "new", ""
        if not visit.may("services_edit"):
            return visit.refuse("The catalogue is changed by owners", "Ask an owner of this installation to change a service.")  # fmt: skip
        service = Service("", "") if new else self._found(visit)
        if visit.posting:
            try:
                if visit.form.get("verb") == "remove_service":
                    visit.act("remove_service", service=service.id)
                    return visit.go("/services", f"{service.name} is removed.")
                id = slug(str(visit.form.get("name", "")), visit.directory.services) if new else service.id
                kept: dict[str, Any] = {"dashboards": list(service.dashboards), "links": list(service.links), "contacts": list(service.contacts)}  # fmt: skip
                change = from_form(PutService, visit.form, id=id)
                for name, value in kept.items():
                    setattr(change, name, value)
                administer(visit.engine, visit.principal, change)
                return visit.go(f"/services/{id}", "Saved.")
            except TocsinError as refused:
                error = visit.why(refused)
        return visit.page(
            "service_edit.html", 400 if error else 200, error=error, service=service,
            others=[one for one in _sorted(visit.directory.services) if one.id != service.id],
            teams=_sorted(visit.directory.teams),
        )  # fmt: skip

    def team(self, visit: Visit) -> Response:
        """Makes (``new``) or changes a team; everybody else sees who is in it."""
        new, error = visit.part("team") == "new", ""
        if new and not visit.may("services_edit"):
            return visit.refuse(
                "Teams are made by owners", "Ask an owner of this installation to make a team."
            )
        team = Team("", "") if new else visit.directory.teams.get(visit.part("team"))
        if team is None:
            raise NotFound(f"there is no team {visit.part('team')[:60]}")
        if visit.posting:
            try:
                if visit.form.get("verb") == "remove_team":
                    visit.act("remove_team", team=team.id)
                    return visit.go("/services", f"{team.name} is removed.")
                id = slug(str(visit.form.get("name", "")), visit.directory.teams) if new else team.id
                change = from_form(PutTeam, visit.form, id=id)
                administer(visit.engine, visit.principal, change)
                return visit.go(f"/teams/{id}", "Saved.")
            except TocsinError as refused:
                error = visit.why(refused)
        policy = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        return visit.page(
            "team.html", 400 if error else 200, error=error, team=team, schedules=_sorted(visit.directory.schedules),
            people=[one for one in _sorted(visit.directory.people) if one.active or one.id in team.members],
            calendars=list(policy.calendars), policies=_sorted(visit.directory.escalation_policies),
            owned=[one for one in _sorted(visit.directory.services) if one.team == team.id and team.id],
        )  # fmt: skip


def _sorted(things: Any) -> list[Any]:
    return sorted(things.values(), key=lambda one: one.name.casefold())
