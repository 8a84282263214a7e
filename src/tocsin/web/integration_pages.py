"""Integrations: each with its snippet to paste, its last requests, a test; routes; links to the report form."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route as Address

from tocsin.alerts.routing import Route
from tocsin.alerts.shape import Parsed
from tocsin.engine import overview
from tocsin.engine.administration import administer
from tocsin.engine.changes import ChangeIntegration
from tocsin.engine.receiving import Integration
from tocsin.engine.reporting import ReportKey
from tocsin.engine.ways_in import Kept, Tested, WaysIn, source_of
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal
from tocsin.identity.vault import unseal
from tocsin.intake.mapping import read_mapping, write_mapping
from tocsin.intake.sources import SOURCES
from tocsin.kernel.clock import humanize
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Forbidden, NotFound, TocsinError, Unusable
from tocsin.web.base import Visit, Web


class IntegrationPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.ways_in = WaysIn(web.engine)

    def routes(self) -> list[Address]:
        """The addresses of integrations."""
        route = self.web.route
        return [
            route("/integrations", self.integrations, form=True),
            route("/integrations/{integration}", self.integration, form=True),
        ]

    def integrations(self, visit: Visit) -> Response:
        """Every way in, routes in their order, links to the report form."""
        error = ""
        if visit.posting:
            try:
                answer = visit.act(
                    "add_integration", "add_route", "remove_route", "add_report_key", "remove_report_key"
                )
                if visit.form.get("verb") == "add_integration":
                    return visit.go(
                        f"/integrations/{answer['id']}", "Made. Paste this at the sender, then send a test."
                    )
                return visit.go("/integrations", "Saved.")
            except TocsinError as refused:
                error = visit.why(refused)
        everything = overview.integration_rows(visit.engine)
        routes = [decode(row.body, Route) for row in overview.records_of(visit.engine, "route")]
        keys = [decode(row.body, ReportKey) for row in overview.records_of(visit.engine, "report_key")]
        owns = visit.may("integrations")
        return visit.page(
            "integrations.html", 400 if error else 200, error=error, owns=owns, sources=SOURCES, integrations=everything,
            states={id: self._state(one) for id, one in everything.items()}, routes=routes, shown=str, names={one.id: one.name for one in visit.directory.services.values()},
            services=sorted(visit.directory.services.values(), key=lambda one: one.name.casefold()),
            policies=list(visit.directory.escalation_policies.values()),
            report_links=[(one, self._report_link(visit, one)) for one in keys] if owns else [],
            replies=self._reply_address(visit) if owns else "",
        )  # fmt: skip

    def _reply_address(self, visit: Visit) -> str:
        """Where text messages that people answer have to be sent; empty where no provider brings any."""
        if "sms" not in visit.engine.channels or self.web.phone is not None:
            return ""
        return f"{visit.engine.public_url}/in/reply/sms/{visit.engine.reply_key}"

    def _state(self, integration: Integration) -> str:
        rows = self.ways_in.requests(integration.id, 1)
        return (
            f"last heard of {humanize(self.web.engine.clock.now() - rows[0].received_at)} ago"
            if rows
            else "never heard of"
        )

    def _report_link(self, visit: Visit, key: ReportKey) -> str:
        return (
            f"{visit.engine.public_url}/report/{unseal(visit.engine.secret, key.sealed, f'report/{key.id}')}"
        )

    def integration(self, visit: Visit) -> Response:
        """One way in. The key and the bodies of requests are for owners: they are secrets."""
        id, error, tested, tried = visit.part("integration"), "", None, None
        integration = overview.integration_rows(visit.engine).get(id)
        if integration is None:
            raise NotFound(f"there is no integration {id[:60]}")
        if visit.posting:
            verb = str(visit.form.get("verb", ""))
            try:
                if verb == "test_integration":
                    tested = send_test(
                        self.ways_in, visit.principal, id, page=visit.form.get("page") == "yes"
                    )
                elif verb == "try_mapping":
                    tried = self._try(visit, integration)
                elif verb == "save_mapping":
                    self._save(visit, integration)
                    return visit.go(f"/integrations/{id}", "Saved. It counts from the next request on.")
                else:
                    visit.act("change_integration", "rotate_key", "remove_integration", integration=id)
                    if verb == "remove_integration":
                        return visit.go("/integrations", f"{integration.name} is removed.")
                    return visit.go(
                        f"/integrations/{id}",
                        "The old key is refused from now on." if verb == "rotate_key" else "Saved.",
                    )
            except TocsinError as refused:
                error = visit.why(refused)
        owns = visit.may("integrations")
        source = source_of(integration)
        requests = self.ways_in.requests(id, 20)
        return visit.page(
            "integration.html", 400 if error else 200, error=error, tested=tested, one=integration, source=source, owns=owns,
            requests=requests, tried=tried, sample=self._sample(visit, integration, requests) if owns and source.maps else "",
            mapping=str(visit.form.get("mapping", "")) if tried else write_mapping(integration.mapping), snippet=self._snippet(integration) if owns else "",
            services=sorted(visit.directory.services.values(), key=lambda one: one.name.casefold()),
            teams=sorted(visit.directory.teams.values(), key=lambda one: one.name.casefold()),
            policies=list(visit.directory.escalation_policies.values()),
        )  # fmt: skip

    def _try(self, visit: Visit, integration: Integration) -> Parsed:
        """What the mapping of the form makes of the body of the form."""
        allow(visit.principal, "integrations")
        mappable(integration)
        body = str(visit.form.get("sample", "")).encode("utf-8", "replace")
        return self.ways_in.try_mapping(integration, read_mapping(str(visit.form.get("mapping", ""))), body)

    def _save(self, visit: Visit, integration: Integration) -> None:
        mappable(integration)
        mapping = read_mapping(str(visit.form.get("mapping", "")))
        administer(visit.engine, visit.principal, ChangeIntegration(integration.id, mapping=mapping))

    def _sample(self, visit: Visit, integration: Integration, requests: list[Kept]) -> str:
        """A body to try a mapping with: the one that was tried, or the last that came and has one, or the usual names."""
        if visit.posting and "sample" in visit.form:
            return str(visit.form["sample"])
        came = next((row.body for row in requests if row.body.lstrip()[:1] in ("{", "[")), "")
        return came or source_of(integration).sample(visit.now, "KEY").decode()

    def _snippet(self, integration: Integration) -> str:
        try:
            return self.ways_in.snippet(integration)
        except Unusable:
            return ""  # made before copies of keys were kept: the page offers a new key


def send_test(ways_in: WaysIn, principal: Principal, integration: str, *, page: bool) -> Tested:
    """Sends an integration's own test body through its door; raises :class:`Forbidden` unless the principal may."""
    allow(principal, "test_integration")
    return ways_in.send_test(integration, page=page)


def allow(principal: Principal, action: str) -> None:
    """Raises :class:`Forbidden` unless the principal may."""
    decision = authorize(principal, action)
    if not decision.allowed:
        raise Forbidden(decision.reason)


def mappable(integration: Integration) -> None:
    """Raises :class:`NotFound` for an integration that reads no mapping: its page has no such form."""
    if not source_of(integration).maps:
        raise NotFound("this integration reads no mapping")
