"""The report form: for everybody who is signed in, and behind a link with a key for those who have no account."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine.administration import administer
from tocsin.engine.changes import Report
from tocsin.engine.reporting import HOW, ReportKey
from tocsin.identity.principals import Principal
from tocsin.identity.tokens import key_hash
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Busy, NotFound, TocsinError
from tocsin.web.base import Visit, Web
from tocsin.web.forms import from_form
from tocsin.web.refill import Refused as RefusedForm
from tocsin.web.security import read_form, same_site


class ReportPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of the report form."""
        return [
            self.web.route("/report", self.report, form=True),
            Route("/report/{key}", self.keyed, methods=["GET", "POST"]),
        ]

    def report(self, visit: Visit) -> Response:
        """Answers with the number and what happens next."""
        error, done = "", None
        if visit.posting:
            try:
                with self.web.reports.turn(visit.principal.id):
                    change = from_form(Report, visit.form)
                    done = administer(visit.engine, visit.principal, change)
            except TocsinError as refused:
                error = visit.why(refused)
        services = sorted(visit.directory.services.values(), key=lambda one: one.name.casefold())
        return visit.page(
            "report.html",
            400 if error else 200,
            error=error,
            done=done,
            services=services,
            hows=HOW,
            keyed=False,
        )

    async def keyed(self, request: Request) -> Response:
        """Without an account: a number, and no names of people."""
        form = await read_form(request) if request.method == "POST" else FormData()
        if request.method == "POST":
            same_site(request, self.web.engine.public_url)
        return await run_in_threadpool(self._keyed, request, form)

    def _keyed(self, request: Request, form: FormData) -> Response:
        engine = self.web.engine
        lookup = key_hash(request.path_params["key"], engine.secret)
        row = engine.store.read(lambda r: r.record_by("report_key", lookup))
        if row is None:
            raise NotFound("this link is not known or was withdrawn; ask whoever gave it to you")
        key, error, done, status = decode(row.body, ReportKey), "", None, 200
        headers: dict[str, str] = {}
        if request.method == "POST":
            throttled = (key.id, self.web.from_where(request))
            try:
                with self.web.reports.turn(throttled):
                    change = from_form(Report, form)
                    done = administer(
                        engine, Principal(f"report:{key.id}", role="integration", kind="integration"), change
                    )
            except TocsinError as refused:
                error, status = refused.sentence, refused.status
                if isinstance(refused, Busy):
                    headers["retry-after"] = str(refused.retry_after)
        services = sorted(engine.directory().services.values(), key=lambda one: one.name.casefold())
        answer = self.web.page(
            "report.html",
            request,
            status,
            refused=RefusedForm(form, error) if error else None,
            done=done,
            services=services,
            hows=HOW,
            keyed=True,
        )
        answer.headers.update(headers)
        return answer
