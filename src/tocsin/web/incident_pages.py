"""*Now*, the list of incidents, one incident with everything that can be done to it, and its export."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine import desk, overview
from tocsin.engine.commands import Impact
from tocsin.engine.engine import Engine
from tocsin.engine.promising import VALIDATIONS
from tocsin.engine.silencing import hidden
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.incident import ALL_SEVERITIES, Incident
from tocsin.incidents.moves import MOVES
from tocsin.incidents.timeline import line
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.web.base import Visit, Web, command_kind, names_of
from tocsin.web.forms import from_form

PER_PAGE = 50
STATUSES = ("investigating", "identified", "monitoring", "resolved", "closed", "false_alarm", "merged")
MILESTONES = ("impact_began", "detected", "contained", "mitigated", "resolved")
IMPACT = (
    "users_affected_percent", "users_affected", "error_rate_percent", "latency_ms", "data_lost", "who", "workaround",
)  # fmt: skip
LEARNING = ("timeline", "root_cause", "meeting_booked", "meeting_held", "draft", "review", "publication")
DETECTED = ("monitor", "heartbeat", "user_report", "ticket", "social_media", "direct_contact", "responder")


class IncidentPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of incidents."""
        route = self.web.route
        return [
            route("/", self.now),
            route("/incidents", self.incidents),
            route("/declare", self.declare, form=True),
            route("/incidents/{reference}", self.incident, form=True),
            route("/incidents/{reference}/export", self.export),
        ]

    def now(self, visit: Visit) -> Response:
        """What needs me, what is open, who is on call."""
        engine, directory = visit.engine, visit.directory
        on_call = [
            (one, *(directory.on_call(one.id, visit.now, position) for position in ("primary", "secondary")))
            for one in directory.schedules.values()
        ]
        everything = visit.principal.role == "owner"
        return visit.page(
            "now.html",
            rows=sorted(
                overview.incidents(engine, visit.principal, open=True),
                key=lambda row: (row.severity, -row.opened_at),
            ),
            owed=overview.owed_by(engine, visit.principal),
            on_call=on_call,
            quiet=engine.store.read(lambda r: hidden(r, restricted=everything, limit=30)),
            unrouted=overview.unrouted_alerts(engine, visit.principal, 20),
            sleeping=overview.will_not_wake(engine),
        )

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
                answer = self._do(visit, "declare")
                return visit.go(
                    f"/incidents/{answer['number']}",
                    f"{answer['number']} is declared; people are being paged.",
                )
            except TocsinError as refused:
                error = refused.sentence
        policy = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        return visit.page(
            "declare.html", 400 if error else 200, error=error, types=policy.types, detected=DETECTED,
            services=_sorted(visit.directory.services), severities=ALL_SEVERITIES,
        )  # fmt: skip

    def _do(self, visit: Visit, verb: str, **fixed: Any) -> desk.Answer:
        command = from_form(command_kind(verb), visit.form, zone=visit.zone, now=visit.now, **fixed)
        return visit.engine.execute(visit.principal, command, via="web")

    def incident(self, visit: Visit) -> Response:
        """One incident; every verb is a form where it is legal and allowed now."""
        reference, error = visit.part("reference"), ""
        if visit.posting:
            verb = str(visit.form.get("verb", ""))
            try:
                if verb == "impact":
                    command = Impact(reference, impact_of(visit))
                    answer = visit.engine.execute(visit.principal, command, via="web")
                else:
                    answer = self._do(visit, verb, incident=reference)
                return visit.go(f"/incidents/{reference}", str(answer.get("message", "")))
            except TocsinError as refused:
                error = refused.sentence
        return visit.page(
            "incident.html", 409 if error else 200, error=error, **self._values(visit, reference)
        )

    def _values(self, visit: Visit, reference: str) -> dict[str, Any]:
        engine, directory = visit.engine, visit.directory
        incident = engine.incident(visit.principal, reference)
        names = names_of(engine, directory)
        policy = engine.store.read(lambda r: engine.policy_of(r, incident.policy)[0])
        commander = directory.resolve("incident_commander", visit.now).people
        about = overview.about_of(incident)
        about = type(about)(
            about.restricted, about.members, about.commander, about.acting_commander, about.severity,
            commander[0] if commander else "", incident.drill,
        )  # fmt: skip
        allowed = lambda verb: authorize(visit.principal, verb, about)  # noqa: E731
        targets = [
            row
            for row in overview.incidents(engine, visit.principal, open=True)
            if row.stream.id != incident.id
        ]
        linked = _linked(visit, incident)
        return {
            "incident": incident,
            "lines": [line(fact, names) for fact in reversed(engine.facts(visit.principal, reference))],
            "clocks": [standing(duty, visit.now) for duty in duties(incident, policy)],
            "owners": directory.name,
            "roles": {key: role.name for key, role in policy.roles.items()},
            "people": sorted(
                (one for one in directory.people.values() if one.active), key=lambda one: one.name.casefold()
            ),
            "teams": _sorted(directory.teams),
            "types": policy.types,
            "pausable": policy.severity(incident.severity).pausable,
            "moves": MOVES[incident.status],
            "allowed": allowed,
            "next_pages": overview.next_pages(engine, incident),
            "changes": overview.changes_near(engine, incident),
            "rows": overview.alerts_of(engine, incident),
            "services": [directory.services[one] for one in incident.services if one in directory.services],
            "names": names,
            "merge_into": targets,
            "linked": linked,
            "severities": ALL_SEVERITIES,
            "milestones": MILESTONES,
            "impacts": IMPACT,
            "checks": VALIDATIONS,
            "outside": list(policy.outside.approval),
            "learning": LEARNING,
        }

    def export(self, visit: Visit) -> Response:
        """The facts as they are stored, one a line: ``tocsin verify`` checks them offline."""
        reference = visit.part("reference")
        incident = visit.engine.incident(visit.principal, reference)
        text = export_text(visit.engine, visit.principal, reference)
        return Response(
            text,
            media_type="application/x-ndjson",
            headers={"content-disposition": f'attachment; filename="{incident.name}.jsonl"'},
        )


def export_text(engine: Engine, principal: Principal, reference: str) -> str:
    """An incident as lines of header, body and hash, head and seals last; the principal must be able to see it."""
    return engine.export(principal, reference).decode()


def impact_of(visit: Visit) -> dict[str, int | str]:
    """The impact form: figures as whole numbers, words as words; empty fields are left out."""
    found: dict[str, int | str] = {}
    for name in IMPACT:
        text = str(visit.form.get(name, "")).strip()
        if text:
            found[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text[:500]
    return found


def _linked(visit: Visit, incident: Incident) -> dict[str, str]:
    """Incidents that this one points at, id → number, as far as they may be seen."""
    found = {}
    for other in filter(None, (incident.merged_into, incident.linked, *incident.merged_from)):
        try:
            found[other] = visit.engine.incident(visit.principal, other).name
        except NotFound:
            continue  # restricted: for this person it does not exist
    return found


def _sorted(things: Any) -> list[Any]:
    return sorted(things.values(), key=lambda one: one.name.casefold())
