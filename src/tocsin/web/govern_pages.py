"""Insights, drills, and looking at a policy before it is applied."""

from __future__ import annotations

import re
import threading

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine.figures import Figures
from tocsin.incidents.wording import duty_label, post_label
from tocsin.kernel.clock import DAY, Instant
from tocsin.kernel.errors import NotFound, Refused, TocsinError
from tocsin.learn.score import RULES
from tocsin.policy.guide import guide_body, guide_html, guide_markdown
from tocsin.web.base import Visit, Web, date_text

PERIODS = {"30": "30 days", "90": "90 days", "365": "a year"}
WEEKS = 4
MANY_COLUMNS = 4
METRIC_NAMES = {
    "uptime_percent": "uptime", "integration_availability": "availability of the integration", "response_time_p95": "response time, p95",
    "time_to_containment": "time to containment", "data_recovered": "of the data recovered",
}  # fmt: skip
"""primary metric → what it is called"""
STATES = {
    "met": "met", "met_late": "met late", "missed": "missed", "running": "still running", "soon": "still running", "overdue": "missed",
    "waived": "waived", "moot": "ended with the incident",
}  # fmt: skip
"""how a duty stands → what is said of it once a drill is over"""


class GovernPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self._playing = threading.Semaphore(1)

    def routes(self) -> list[Route]:
        """The addresses of insights, drills and the checks of the policy."""
        route = self.web.route
        return [
            route("/insights", self.insights),
            route("/drills", self.drills),
            route("/drills/{drill}", self.drill, form=True),
            route("/policy/guide", self.guide),
            route("/policy/check", self.check),
            route("/policy/apply", self.apply, form=True),
        ]

    def insights(self, visit: Visit) -> Response:
        """How promises were kept over a period, and what each type of incident is judged by."""
        days = visit.query("days") if visit.query("days") in PERIODS else "90"
        start = visit.now - int(days) * DAY
        found = visit.engine.figures(visit.principal, start, visit.now + 1)
        policy = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        return visit.page(
            "insights.html", live=False, figures=found, days=days, periods=PERIODS, rules={one: duty_label(one) for one in RULES},
            kinds=policy.types, rows=_by_severity(found), bars=_parts(visit, start), metrics=METRIC_NAMES,
        )  # fmt: skip

    def drills(self, visit: Visit) -> Response:
        """The scenarios, and what a drill is."""
        names = self.web.rooms.names() if self.web.rooms is not None else ()
        return visit.page("drills.html", names=names)

    def drill(self, visit: Visit) -> Response:
        """Plays one and shows its report; one at a time."""
        name = visit.part("drill")
        if self.web.rooms is None or name not in dict(self.web.rooms.names()):
            raise NotFound("there is no such scenario")
        report, error = None, ""
        if visit.posting:
            if not visit.may("drill"):
                return visit.refuse(
                    "Responders play drills", "Ask an owner of this installation to make you one."
                )
            policy = bytes(visit.engine.policy_in_force().document.body).decode()
            try:
                with self._playing:
                    report = self.web.rooms.play(name, policy)
            except TocsinError as refused:
                error = visit.why(refused)
        title = dict(self.web.rooms.names())[name]
        return visit.page(
            "drill.html",
            409 if error else 200,
            error=error,
            scenario=name,
            title=title,
            report=report,
            post=post_label,
            state=STATES,
        )

    def guide(self, visit: Visit) -> Response:
        """The policy as a guide to read, made from what is enforced."""
        found = visit.engine.policy_in_force()
        policy = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        applied = found.record.applied_at if found.record else found.document.created_at
        since = f"In force since {date_text(applied, visit.zone)}."
        if visit.query("as") in ("md", "html"):
            html = visit.query("as") == "html"
            text = guide_html(policy, since) if html else guide_markdown(policy, since)
            kind = "text/html" if html else "text/markdown"
            name = f"incident-response-guide.{'html' if html else 'md'}"
            return Response(
                text, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'}
            )
        contents, body = guide_body(policy, since)
        return visit.page(
            "policy_guide.html",
            live=False,
            title=policy.governance.title,
            contents=Markup(contents),
            body=Markup(_scrolling(body)),
        )

    def check(self, visit: Visit) -> Response:
        """The checker's findings on the policy in force, and the proof with the people and channels there are."""
        text = bytes(visit.engine.policy_in_force().document.body).decode()
        found = visit.engine.look_at_policy(text, weeks=WEEKS)
        proof = visit.engine.prove(WEEKS)
        return visit.page("policy_check.html", live=False, found=found, proof=proof, weeks=WEEKS)

    def apply(self, visit: Visit) -> Response:
        """Another version: looked at first, then put in force."""
        if not visit.may("policy_apply"):
            return visit.refuse("The policy is changed by owners", "Ask an owner of this installation to put another version in force.")  # fmt: skip
        current = visit.engine.policy_in_force().document
        text = (
            str(visit.form.get("text", "")).replace("\r\n", "\n")
            if visit.posting
            else bytes(current.body).decode()
        )
        found, error = None, ""
        if visit.posting:
            try:
                found = visit.engine.look_at_policy(text, weeks=WEEKS)
                if visit.form.get("verb") == "policy_apply":
                    if visit.form.get("before") != found.before:
                        raise Refused("another version was applied meanwhile; look at the difference again")
                    moved = visit.engine.apply_policy(
                        visit.principal, text, found, adopt=visit.form.get("adopt") == "yes", force=str(visit.form.get("force", "")), via="web"
                    )  # fmt: skip
                    said = f"Version {found.number} is in force." + (
                        f" Moved: {', '.join(moved)}." if moved else ""
                    )
                    return visit.go("/policy", said)
            except TocsinError as refused:
                error = visit.why(refused)
        return visit.page(
            "policy_apply.html", 409 if error else 200, error=error, live=False, text=text, found=found
        )


def _scrolling(html: str) -> str:
    """Tables within something that scrolls by itself; those of many columns would be too narrow to read on a telephone."""

    def wrapped(found: re.Match[str]) -> str:
        columns = found[0].count("<th>")
        if columns < 3:
            return found[0]
        many = " many" if columns >= MANY_COLUMNS else ""
        return f'<div class="scrolls{many}" role="group" tabindex="0" aria-label="Table, scrolls sideways">{found[0]}</div>'

    return re.sub(r"<table>.*?</table>", wrapped, html, flags=re.DOTALL)


def _by_severity(found: Figures) -> dict[str, dict[str, object]]:
    """severity → rule → its attainment, for a table."""
    rows: dict[str, dict[str, object]] = {}
    for one in found.attainment:
        rows.setdefault(one.severity, {})[one.rule] = one
    return rows


def _parts(visit: Visit, start: Instant) -> list[tuple[Instant, int, int]]:
    """(beginning, met, missed) of each of twelve equal parts of the period: how attainment went."""
    part = max(1, (visit.now - start) // 12)
    found = []
    for number in range(12):
        low = start + number * part
        figures = visit.engine.figures(visit.principal, low, low + part)
        met, missed = (
            sum(one.met for one in figures.attainment),
            sum(one.missed for one in figures.attainment),
        )
        found.append((low, met, missed))
    return found
