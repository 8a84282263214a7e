"""*Now*, the list of incidents, and declaring one; the pages of one incident stand in :mod:`tocsin.web.response_pages`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine import overview
from tocsin.engine.silencing import hidden
from tocsin.incidents.incident import ALL_SEVERITIES
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.web import now_view
from tocsin.web.action_pages import ActionPages
from tocsin.web.base import Visit, Web, execute
from tocsin.web.response_pages import ResponsePages, export_text, said_of

__all__ = ["IncidentPages", "export_text"]

PER_PAGE = 50
STATUSES = ("investigating", "identified", "monitoring", "resolved", "closed", "false_alarm", "merged")
DETECTED = ("monitor", "heartbeat", "user_report", "ticket", "social_media", "direct_contact", "responder")


class IncidentPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of incidents."""
        route = self.web.route
        return [
            route("/", self.now, form=True),
            route("/incidents", self.incidents),
            route("/declare", self.declare, form=True),
            *ResponsePages(self.web).routes(),
            *ActionPages(self.web).routes(),
        ]

    def now(self, visit: Visit) -> Response:
        """What needs me, what is open, who is on call; pages are acknowledged here."""
        error = ""
        if visit.posting:
            try:
                if visit.form.get("verb") != "acknowledge":
                    raise NotFound("this page acknowledges only; open the incident for the rest")
                answer = execute(visit, "acknowledge")
                incident = visit.engine.incident(visit.principal, answer["number"])
                said = said_of(visit, "acknowledge", answer, incident)
                return visit.go("/", f"{incident.name}: {said}")
            except TocsinError as refused:
                error = visit.why(refused)
        engine, directory = visit.engine, visit.directory
        on_call = [
            (one, *(directory.on_call(one.id, visit.now, position) for position in ("primary", "secondary")))
            for one in sorted(directory.schedules.values(), key=lambda one: one.name.casefold())
        ]
        everything = visit.principal.role == "owner"
        return visit.page(
            "now.html", 409 if error else 200, error=error, needs=now_view.needs(visit), rows=now_view.open_incidents(visit), on_call=on_call,
            quiet=engine.store.read(lambda r: hidden(r, restricted=everything, limit=30)), over=now_view.firing_but_over(visit),
            unrouted=overview.unrouted_alerts(engine, visit.principal, 20), sleeping=overview.will_not_wake(engine),
            default_team=directory.default_team(), nobody=now_view.nobody_to_page(visit), setup=now_view.setup(visit), can_acknowledge=now_view.may_acknowledge,
        )  # fmt: skip

    def incidents(self, visit: Visit) -> Response:
        """All of them: words, severity, status, drills; fifty a page."""
        asked = {
            name: visit.query(name).strip()[:200] for name in ("q", "severity", "status", "open", "drill")
        }
        stamp, _, last = visit.query("before").partition(".")
        rows = overview.incidents(
            visit.engine,
            visit.principal,
            open={"yes": True, "no": False}.get(asked["open"]),
            severity=asked["severity"] if asked["severity"] in ALL_SEVERITIES else "",
            status=asked["status"] if asked["status"] in STATUSES else "",
            search=asked["q"],
            drill={"yes": True, "no": False}.get(asked["drill"]),
            before=(int(stamp), last)
            if stamp.isascii() and stamp.isdigit() and len(stamp) < 18 and last
            else None,
            limit=PER_PAGE + 1,
        )
        more = rows[PER_PAGE - 1] if len(rows) > PER_PAGE else None
        return visit.page(
            "incidents.html", rows=rows[:PER_PAGE], asked=asked, severities=ALL_SEVERITIES, statuses=STATUSES,
            more=f"{more.opened_at}.{more.stream.id}" if more else "", first=not stamp,
        )  # fmt: skip

    def declare(self, visit: Visit) -> Response:
        """Declares by hand; the severity may be left to the rules."""
        error = ""
        if visit.posting:
            try:
                answer = execute(visit, "declare")
                return visit.go(
                    f"/incidents/{answer['number']}",
                    f"{answer['number']} is declared; people are being paged.",
                )
            except TocsinError as refused:
                error = visit.why(refused)
        elif not visit.may("declare"):
            return visit.refuse(
                "Declaring is for responders", "Report the problem instead: the people on call are told at once."
            )  # fmt: skip
        policy = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        return visit.page(
            "declare.html", 400 if error else 200, error=error, types=policy.types, detected=DETECTED,
            services=_sorted(visit.directory.services), severities=ALL_SEVERITIES, terms=policy.severities,
        )  # fmt: skip


def _sorted(things: Any) -> list[Any]:
    return sorted(things.values(), key=lambda one: one.name.casefold())
