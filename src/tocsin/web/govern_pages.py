"""Insights, drills, and looking at a policy before it is applied."""

from __future__ import annotations

import threading

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine.figures import Figures
from tocsin.identity.authorize import authorize
from tocsin.kernel.clock import DAY, Instant, to_iso
from tocsin.kernel.errors import Forbidden, NotFound, TocsinError
from tocsin.learn.score import RULES
from tocsin.policy.guide import guide_body, guide_html, guide_markdown
from tocsin.web.base import Visit, Web

PERIODS = {"30": "30 days", "90": "90 days", "365": "a year"}
WEEKS = 4


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
            route("/incidents/{reference}/score", self.score),
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
            "insights.html", live=False, figures=found, days=days, periods=PERIODS, rules=RULES, kinds=policy.types, rows=_by_severity(found),
            bars=_months(visit, start),
        )  # fmt: skip

    def score(self, visit: Visit) -> Response:
        """How the promises of one incident were kept, with the time that counted."""
        reference = visit.part("reference")
        incident = visit.engine.incident(visit.principal, reference)
        kept, metric = visit.engine.score_of(visit.principal, reference)
        return visit.page("score.html", live=False, incident=incident, kept=kept, metric=metric)

    def drills(self, visit: Visit) -> Response:
        """The scenarios, and what a drill is."""
        names = self.web.rooms.names() if self.web.rooms is not None else ()
        return visit.page("drills.html", names=names)

    def drill(self, visit: Visit) -> Response:
        """Plays one and shows its report; one at a time."""
        name = visit.part("drill")
        if self.web.rooms is None or name not in dict(self.web.rooms.names()):
            raise NotFound("there is no such scenario")
        may = authorize(visit.principal, "drill")
        report, error = None, ""
        if visit.posting:
            if not may.allowed:
                raise Forbidden(may.reason)
            policy = bytes(visit.engine.policy_in_force().document.body).decode()
            try:
                with self._playing:
                    report = self.web.rooms.play(name, policy)
            except TocsinError as refused:
                error = refused.sentence
        title = dict(self.web.rooms.names())[name]
        return visit.page(
            "drill.html",
            409 if error else 200,
            error=error,
            scenario=name,
            title=title,
            report=report,
        )

    def guide(self, visit: Visit) -> Response:
        """The policy as a guide to read, made from what is enforced."""
        found = visit.engine.policy_in_force()
        policy = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        since = f"In force since {to_iso(found.record.applied_at if found.record else found.document.created_at)[:10]}."
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
            body=Markup(body),
        )

    def check(self, visit: Visit) -> Response:
        """The checker's findings on the policy in force, and the proof with the people and channels there are."""
        text = bytes(visit.engine.policy_in_force().document.body).decode()
        found = visit.engine.look_at_policy(text, weeks=WEEKS)
        proof = visit.engine.prove(WEEKS)
        return visit.page("policy_check.html", live=False, found=found, proof=proof, weeks=WEEKS)

    def apply(self, visit: Visit) -> Response:
        """Another version: looked at first, then put in force."""
        may = authorize(visit.principal, "policy_apply")
        if not may.allowed:
            raise Forbidden(may.reason)
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
                        raise Forbidden("another version was applied meanwhile; look at the difference again")
                    moved = visit.engine.apply_policy(
                        visit.principal, text, found, adopt=visit.form.get("adopt") == "yes", force=str(visit.form.get("force", "")), via="web"
                    )  # fmt: skip
                    said = f"Version {found.number} is in force." + (
                        f" Moved: {', '.join(moved)}." if moved else ""
                    )
                    return visit.go("/policy", said)
            except TocsinError as refused:
                error = refused.sentence
        return visit.page(
            "policy_apply.html", 409 if error else 200, error=error, live=False, text=text, found=found
        )


def _by_severity(found: Figures) -> dict[str, dict[str, object]]:
    """severity → rule → its attainment, for a table."""
    rows: dict[str, dict[str, object]] = {}
    for one in found.attainment:
        rows.setdefault(one.severity, {})[one.rule] = one
    return rows


def _months(visit: Visit, start: Instant) -> list[tuple[Instant, int, int]]:
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
