"""One incident, worked on: response, communication, recovery, post-mortem, each a page of its own; and the export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from tocsin.alerts.shape import AlertBody
from tocsin.catalogue.services import Service
from tocsin.engine import desk, overview
from tocsin.engine.commands import COMMANDS, Ask, Impact
from tocsin.engine.engine import Engine
from tocsin.engine.promising import down_on_record
from tocsin.engine.recording import METRICS, MILESTONES, REPORTED, STATES
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.incidents import plans
from tocsin.incidents.actions import CATEGORIES
from tocsin.incidents.incident import ALL_SEVERITIES, Incident
from tocsin.incidents.moves import MOVES
from tocsin.incidents.promises import LEARNING
from tocsin.incidents.timeline import entries, for_people
from tocsin.incidents.wording import IMPACT, STEPS, duty_label, post_label
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import NotFound, Refused, TocsinError
from tocsin.kernel.facts import Fact
from tocsin.kernel.ports import AlertRow
from tocsin.learn.score import Kept
from tocsin.policy.model import Policy
from tocsin.policy.plans import PHASES
from tocsin.web import alert_content
from tocsin.web.action_pages import items_of
from tocsin.web.base import Visit, Web, execute, names_of
from tocsin.web.forms import fields_of
from tocsin.web.govern_pages import METRIC_NAMES
from tocsin.web.incident_drafts import draft_for, next_word
from tocsin.web.incident_view import (
    Owed,
    is_paged,
    last_word,
    next_steps,
    noticed,
    owed_rows,
    owners_of,
    parties_of,
    posts_of,
    protocol_steps,
    role_rows,
    told_rows,
    unproved,
    updates_of,
    wishes,
)

LINES = 50
"""lines of the timeline that are shown before somebody asks for more"""
TABS = {
    "": "Response",
    "communication": "Communication",
    "recovery": "Recovery",
    "post-mortem": "Post-mortem",
}
PAGEABLE = (
    "secondary", "engineering_lead", "engineering_manager", "incident_commander", "cto", "architect",
)  # fmt: skip
AUDIENCES = ("internal", "stakeholders", "customers")
CHECKS = {
    "functional": "It works: the functions that broke", "performance": "It is as fast as before",
    "security": "Nothing was left open", "limited_users": "A limited group of users confirms it",
}  # fmt: skip
"""check of recovery → what it asks"""
MOVED = {
    "investigate": "Investigating again.", "identify": "The cause is identified.", "monitor": "Monitoring: alerts that join page at once.",
    "resolve": "Resolved. Everybody who was told hears of it.", "close": "Closed.", "reopen": "Reopened; people are being paged.",
    "false_alarm": "A false alarm. Everybody who was told hears the all-clear.",
}  # fmt: skip
SAID = {
    "update": "The update is posted.", "note": "The note is on the timeline.", "decision": "The decision is on the timeline.",
    "decline": "Said so; the next in line is being paged.", "set_type": "The type is set.", "page": "They are being paged.",
    "impact": "The impact is recorded.", "milestone": "The milestone is recorded.", "task_add": "The task is added.",
    "activate": "The response team is called.", "stand_up": "The stand-up is recorded.", "validate": "The check is recorded.",
    "send": "Recorded as sent.", "approve": "Approved; it can be sent now.", "pause_clock": "The clocks are paused.",
    "ask": "Asked; whoever decides is told.", "resume_clock": "The clocks run again.", "rename": "It has its new title.", "redact": "The words are gone; the chain still proves the rest.",
    "affect": "The services are added.", "attach_report": "The report is added.", "service_state": "The state is recorded.",
    "measure": "The figure is recorded.", "plan_step": "The step is recorded.", "restore_service": "Recorded.",
    "action_add": "The action item is made; its owner is told.",
}  # fmt: skip
"""verb → what is said when it is done; the others need more than a fixed sentence"""


class ResponsePages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of an incident."""
        route = self.web.route
        return [
            route("/incidents/{reference}", self.response, form=True),
            route("/incidents/{reference}/export", self.export),
            route("/incidents/{reference}/communication", self.communication, form=True),
            route("/incidents/{reference}/recovery", self.recovery, form=True),
            route("/incidents/{reference}/post-mortem", self.post_mortem, form=True),
            route("/incidents/{reference}/score", self.score),
        ]

    # the pages

    def response(self, visit: Visit) -> Response:
        """What is next, what broke, what is owed, who does what, what happened; every verb that is legal and allowed now."""
        return self._page(visit, "", "incident.html", self._response)

    def communication(self, visit: Visit) -> Response:
        """What has been said to whom, what is due, and the drafts on their way out."""
        return self._page(visit, "communication", "communication.html", self._communication)

    def recovery(self, visit: Visit) -> Response:
        """The checks of recovery, the milestones, the way to the end."""
        return self._page(visit, "recovery", "recovery.html", self._recovery)

    def post_mortem(self, visit: Visit) -> Response:
        """The steps that are owed after the resolution."""
        return self._page(visit, "post-mortem", "post_mortem.html", self._post_mortem)

    def score(self, visit: Visit) -> Response:
        """How the promises of the incident were kept, with the time that counted."""
        return self._page(visit, "score", "score.html", self._score)

    def _page(
        self, visit: Visit, tab: str, template: str, more: Callable[[View], dict[str, Any]]
    ) -> Response:
        error = ""
        if visit.posting:
            try:
                return visit.go(visit.request.url.path, self._done(visit))
            except TocsinError as refused:
                error = visit.why(refused)
        view = View(visit, visit.part("reference"))
        return visit.page(
            template, 409 if error else 200, error=error, tab=tab, **view.common(), **more(view)
        )

    def _done(self, visit: Visit) -> str:
        """Does what the form says; answers the sentence for whoever sent it."""
        reference, verb = visit.part("reference"), str(visit.form.get("verb", ""))
        incident = visit.engine.incident(visit.principal, reference)
        resolves = verb == "move" and visit.form.get("to") == "resolve"
        if resolves and incident.firing and not str(visit.form.get("reason", "")).strip():
            count = len(incident.firing)
            what = "an alert still fires" if count == 1 else f"{count} of its alerts still fire"
            raise Refused(f"{what}: say why it is resolved all the same")
        if verb == "ask":
            answer = visit.engine.execute(visit.principal, wish_of(visit, reference), via="web")
        elif verb == "impact":
            answer = visit.engine.execute(visit.principal, Impact(reference, impact_of(visit)), via="web")
        else:
            answer = execute(visit, verb, incident=reference)
        return said_of(visit, verb, answer, visit.engine.incident(visit.principal, reference))

    def _response(self, view: View) -> dict[str, Any]:
        visit, incident = view.visit, view.incident
        everything, missing = visit.query("timeline") == "all", unproved(incident, view.policy, lambda one: view.names.get(one, one))  # fmt: skip
        lines = visit.query("lines")
        shown = int(lines) if lines.isascii() and lines.isdigit() and len(lines) < 6 else LINES
        told = entries(view.facts, view.names, visit.zone, view.posts)
        wanted = told if everything else [one for one in told if for_people(one)]
        targets = [
            row
            for row in overview.incidents(visit.engine, visit.principal, open=True)
            if row.stream.id != incident.id
        ]
        alerts = view.alerts()
        return {
            "steps": protocol_steps(view.rows, incident, view.facts, view.name),
            "todo": next_steps(incident, view.rows, view.may, visit.principal.person, missing), "missing": missing, "checks": CHECKS,
            "wishes": wishes(incident, view.name, view.may, visit.principal.person), "catalogue": _sorted(view.directory.services),
            "reported": REPORTED,
            "paged_me": is_paged(incident, visit.principal.person),
            "roles": role_rows(incident, view.policy, view.directory, view.rows, visit.now),
            "timeline": wanted[:shown], "rest": max(0, len(wanted) - shown), "shown": shown, "everything": everything, "hidden": len(told) - len(wanted),
            "next_pages": overview.next_pages(visit.engine, incident) if incident.open else [],
            "changes": overview.changes_near(visit.engine, incident),
            "alerts": alerts, "contents": view.contents(alerts), "services": view.services(), "merge_into": targets, "noticed": noticed(incident, view.names),
            "closing": [row for row in view.rows if row.running],
            "severities": ALL_SEVERITIES, "milestones": MILESTONES, "impacts": IMPACT, "audiences": AUDIENCES,
            "pageable": [(one, post_label(one, view.posts)) for one in PAGEABLE], "types": view.policy.types,
            "pausable": view.policy.severity(incident.severity).pausable,
        }  # fmt: skip

    def _communication(self, view: View) -> dict[str, Any]:
        visit, incident, policy = view.visit, view.incident, view.policy
        update = next((row for row in view.rows if row.running and row.clock.duty.rule == "update"), None)
        due = next_word(incident, policy, update.clock.duty.due if update else 0, visit.now)
        word = last_word(view.facts, view.name)
        wanted = visit.query("draft")
        approval = policy.outside.approval
        owners = owners_of(
            visit.engine,
            incident,
            {one for terms in approval.values() for one in (terms.approves, terms.sends)},
        )
        people = {post: [view.name(person) for person in found] for post, found in owners.items()}
        return {
            "channels": {key: (terms, people[terms.approves], people[terms.sends]) for key, terms in approval.items()},
            "mine": {post for post, found in owners.items() if visit.principal.person in found or visit.principal.role == "owner"},
            "wanted": wanted if wanted in approval else "", "audiences": AUDIENCES,
            "draft": draft_for(wanted, incident, policy, view.directory, word, visit.zone, visit.now, due) if wanted in approval else "",
            "told": told_rows(view.facts, view.name, view.posts), "updates": updates_of(view.facts, view.name),
            "owed": [row for row in view.rows if row.clock.duty.rule in ("update", "message", "tell", "stand_up", "war_room")],
        }  # fmt: skip

    def _recovery(self, view: View) -> dict[str, Any]:
        incident, policy = view.incident, view.policy
        begun = plans.continuity(incident, policy)
        owners = owners_of(
            view.visit.engine, incident, {one.owner for steps in (plans.recovery(incident, policy), *begun.values()) for one in steps}
        )  # fmt: skip
        return {
            "checks": CHECKS, "gate": policy.validation_gates(incident.severity, incident.kind), "milestones": MILESTONES, "phases": PHASES,
            "alerts": view.alerts(), "closing": [row for row in view.rows if row.running], "plan": plans.recovery(incident, policy),
            "continuity": begun, "plan_names": {key: plan.name for key, plan in policy.continuity.plans.items()} if policy.continuity else {},
            "back": plans.services(incident, view.directory.services), "down": down_on_record(incident), "states": STATES, "metrics": METRICS,
            "who": {post: ", ".join(view.name(one) for one in found) for post, found in owners.items()},
            "affected": view.services(),
        }  # fmt: skip

    def _post_mortem(self, view: View) -> dict[str, Any]:
        return {
            "steps": view.learning(), "items": items_of(view.visit, incident=view.incident.id), "categories": CATEGORIES,
            "terms": {one: view.policy.actions.category(one) for one in CATEGORIES},
        }  # fmt: skip

    def _score(self, view: View) -> dict[str, Any]:
        visit = view.visit
        kept, metric = visit.engine.score_of(visit.principal, view.incident.id)
        together: dict[str, dict[str, list[Kept]]] = {
            state: {} for state in ("missed", "running", "met", "waived", "moot")
        }
        for one in kept:
            label = duty_label(
                one.rule, one.id, zone=visit.zone, near=one.start, parties=parties_of(view.policy)
            )
            together[one.state].setdefault(label, []).append(one)
        return {"kept": together, "metric": metric, "metrics": METRIC_NAMES}

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


class View:
    """An incident as one person sees it at one moment: state, facts, clocks, names, and what they may do."""

    def __init__(self, visit: Visit, reference: str) -> None:
        engine, self.visit, self.directory = visit.engine, visit, visit.directory
        self.incident = engine.incident(visit.principal, reference)
        self.facts: list[Fact] = engine.facts(visit.principal, reference)
        self.policy: Policy = engine.store.read(lambda r: engine.policy_of(r, self.incident.policy)[0])
        self.posts, self.names = posts_of(self.policy), names_of(engine, self.directory)
        self.name = self.directory.name
        self.rows: list[Owed] = owed_rows(engine, self.incident, self.policy, self.directory, visit.zone, visit.now)  # fmt: skip
        commander = self.directory.resolve("incident_commander", visit.now).people
        self.about: About = overview.about_of(self.incident)
        self.about = About(
            self.about.restricted, self.about.members, self.about.commander, self.about.acting_commander, self.about.severity,
            commander[0] if commander else "", self.incident.drill,
        )  # fmt: skip

    def may(self, verb: str) -> bool:
        """Whether the verb is theirs as things stand."""
        return authorize(self.visit.principal, verb, self.about).allowed

    def glass(self, verb: str) -> bool:
        """Whether they may do it only with a break-glass reason: nobody commands yet."""
        decision = authorize(self.visit.principal, verb, self.about)
        taken = {"merge": "merge", "lower_severity": "severity", "hand_over_command": "assign_role"}
        takes = "break_glass" in fields_of(COMMANDS[taken.get(verb, "move")])
        return not decision.allowed and decision.break_glass and takes

    def common(self) -> dict[str, Any]:
        """What every tab shows."""
        visit, incident = self.visit, self.incident
        pressing = next((row for row in self.rows if row.running), None)
        learns = self.policy.post_mortem_for(incident.severity, incident.kind) != "none"
        tabs = {key: name for key, name in TABS.items() if key != "post-mortem" or (incident.resolved_at and learns)}  # fmt: skip
        return {
            "incident": incident, "rows": self.rows, "pressing": pressing, "tabs": tabs, "moves": MOVES[incident.status],
            "can": self.may, "glass": self.glass, "names": self.names, "posts": self.posts, "post": lambda one: post_label(one, self.posts),
            "asks": lambda verb: self.may("ask") and not self.may(verb) and not self.glass(verb), "linked": _linked(visit, incident), "word": last_word(self.facts, self.name),
            "people": sorted(
                (one for one in self.directory.people.values() if one.active), key=lambda one: one.name.casefold()
            ),
            "teams": sorted(self.directory.teams.values(), key=lambda one: one.name.casefold()),
            "ended_at": incident.resolved_at or incident.closed_at or (self.facts[-1].recorded_at if incident.status == "merged" else 0),
        }  # fmt: skip

    def alerts(self) -> list[tuple[Any, AlertRow | None, AlertBody]]:
        """(the alert as the incident remembers it, its row, what the row keeps), those that fire first.

        What the row keeps is read of as many as a page shows in full.
        """
        rows = overview.alerts_of(self.visit.engine, self.incident)
        known = [(one, one.ref) for one in self.incident.alerts.values()]
        known.sort(key=lambda each: (bool(each[0].cleared_at), -each[1].received_at))
        found: list[tuple[Any, AlertRow | None, AlertBody]] = []
        for one, ref in known:
            row = rows.get((ref.integration, ref.key))
            kept = row is not None and len(found) < alert_content.ALERTS
            found.append((one, row, decode(row.body, AlertBody) if row and kept else AlertBody()))
        return found

    def contents(
        self, alerts: list[tuple[Any, AlertRow | None, AlertBody]]
    ) -> list[alert_content.Content | None]:
        """What the first of the alerts say; nothing of one that is hidden from those who see the incident."""
        return [
            alert_content.content_of(f"{row.integration}/{row.dedup_key}", body)
            if row and (self.incident.restricted or not row.restricted)
            else None
            for _, row, body in alerts[: alert_content.ALERTS]
        ]

    def services(self) -> list[Service]:
        """The services affected, as the catalogue knows them."""
        return [
            self.directory.services[one] for one in self.incident.services if one in self.directory.services
        ]

    def learning(self) -> list[tuple[str, str, Owed | None, int, str]]:
        """(step, what it is called, its clock, when it was done, how it is met) of the post-mortem."""
        clocks = {
            row.clock.duty.id.split(":")[1]: row for row in self.rows if row.clock.duty.rule == "post_mortem"
        }
        return [
            (step, STEPS[step], clocks.get(step), self.incident.learned.get(step, 0), how)
            for step, (_, how) in LEARNING.items()
        ]  # fmt: skip


def said_of(visit: Visit, verb: str, answer: desk.Answer, incident: Incident) -> str:
    """What was just done, as a sentence."""
    form, name = visit.form, visit.directory.name
    if verb == "acknowledge":
        mine = incident.holder == visit.principal.person
        return "You have it." if mine else str(answer.get("message", "")).capitalize() + "."
    if verb == "move":
        return MOVED.get(str(form.get("to", "")), "Done.")
    if verb == "severity":
        return f"The severity is {incident.severity}, {incident.severity_state}."
    if verb == "protocol":
        return f"{duty_label(str(form.get('step', '')))}: done."
    if verb == "assign_role":
        return f"{name(str(form.get('person', '')))} is {str(form.get('role', '')).replace('_', ' ')} now."
    if verb == "task_change":
        return f"The task is {form.get('state', 'changed')}."
    if verb == "merge":
        return f"{incident.name} goes on in {answer['number']}."
    if verb == "split":
        return f"{answer['number']} stands on its own; people are being paged for it."
    if verb == "post_mortem":
        return f"Done: {STEPS.get(str(form.get('step', '')), 'the step')}."
    if verb == "waive":
        return (
            "Asked: this takes a second person who agrees."
            if "request" in answer
            else "Waived, with your reason."
        )
    if verb == "answer_request":
        return "Granted, and done." if form.get("grant") == "yes" else "Refused; whoever asked is told."
    if verb == "draft":
        drafted = incident.outgoing.get(str(answer.get("message", "")))
        approver = drafted.approver if drafted else ""
        return (
            f"The draft is kept; it waits for the {post_label(approver)}."
            if approver
            else "The draft is kept."
        )
    return SAID.get(verb) or "Done."


def export_text(engine: Engine, principal: Principal, reference: str) -> str:
    """An incident as lines of header, body and hash, head and seals last; the principal must be able to see it."""
    return engine.export(principal, reference).decode()


def wish_of(visit: Visit, reference: str) -> Ask:
    """The form that asks for a decision: what is wanted stands in the fields ``with-…``, its reason is the reason asked with."""
    wanted, reason = str(visit.form.get("verb_wanted", "")), str(visit.form.get("reason", ""))
    fields = {
        key.removeprefix("with-"): str(value)
        for key, value in visit.form.items()
        if key.startswith("with-") and value
    }
    if wanted in COMMANDS and "reason" in fields_of(COMMANDS[wanted]):
        fields["reason"] = reason
    return Ask(reference, wanted, fields, reason)


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
