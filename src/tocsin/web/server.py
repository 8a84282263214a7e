"""The web application put together: intake, pages, API, live events, health. Storage is reached through the engine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from tocsin import __version__
from tocsin.engine.engine import Engine
from tocsin.kernel.errors import Busy, TocsinError, Unauthenticated, Unusable, UnusableMany
from tocsin.kernel.ports import Replies as Reading
from tocsin.kernel.ports import Rooms
from tocsin.kernel.redact import shown
from tocsin.web.api import add_api
from tocsin.web.base import Web, problem
from tocsin.web.escalation_pages import EscalationPages
from tocsin.web.govern_pages import GovernPages
from tocsin.web.incident_pages import IncidentPages
from tocsin.web.intake import Intake
from tocsin.web.integration_pages import IntegrationPages
from tocsin.web.live import Live
from tocsin.web.oncall_pages import OncallPages
from tocsin.web.pages import Pages
from tocsin.web.people_pages import PeoplePages
from tocsin.web.quiet_pages import QuietPages
from tocsin.web.replies import Replies
from tocsin.web.report_pages import ReportPages
from tocsin.web.security import CSP, DOCS_CSP, HEADERS, SecurityHeaders, networks
from tocsin.web.service_pages import ServicePages
from tocsin.web.straight import Straight

HERE = Path(__file__).parent
WAYS_IN = ("/in/", "/v2/", "/api/v2/")
NOSNIFF = (b"x-content-type-options", b"nosniff")
MACHINES = ("/api", "/v2", "/in/")
"""addresses whose errors are for programs, whatever they accept"""
FAILED = "Something is wrong in Tocsin itself, and its log says what. Try again; if it stays so, run `tocsin doctor` or tell whoever runs this server."


class Site(FastAPI):
    """Takes the ways in straight to their endpoints: a flood of alerts passes none of what pages and the API need.

    Their endpoints word their own refusals, so that nothing is lost by it.
    """

    straight: Straight | None = None
    """what does not even need that"""

    def add_ways_in(self, routes: Sequence[Route]) -> None:
        """Adds their routes; those that take something are asked before anything else is."""
        self.router.routes.extend(routes)
        self._ways_in = [route for route in routes if "POST" in (route.methods or ())]
        self._straight = ServerErrorMiddleware(self._answer, handler=self._failed)

    @staticmethod
    async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response = await scope["endpoint"](Request(scope, receive, send))
        answer.raw_headers.append(NOSNIFF)
        await answer(scope, receive, send)

    async def _failed(self, request: Request, error: Exception) -> Response:
        found: Response = await self.exception_handlers[Exception](request, error)  # type: ignore[misc]
        return found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and "//" in scope["path"]:
            # a base that ends with a slash was joined to a path: after a 404 the sender would give the alert up
            path = re.sub("/{2,}", "/", scope["path"])
            if path.startswith(WAYS_IN):
                scope = {**scope, "path": path}
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith(WAYS_IN):
            for route in self._ways_in:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await self._straight(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


def broken() -> Response:
    """What a program is told of an error that nobody foresaw."""
    headers = dict(HEADERS) | {"cache-control": "no-store"}
    body = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "detail": FAILED}
    return JSONResponse(body, 500, headers, media_type="application/problem+json")


UNKNOWN = {
    404: "there is nothing at this address; /api/docs has those that there are",
    405: "this address does not take that method; Allow has those that it takes",
}
"""status → what a program is told of an address or a method that there is not"""
TITLES = {403: "This is for others", 404: "Not here"}
"""status → the heading of the page that refuses"""


def sentence(text: str) -> str:
    """What is wrong, as a page says it: with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def without_slash(app: FastAPI, request: Request) -> str:
    """The address without the slash at its end where there is one by that name, on this host whatever the request calls it."""
    path = request.scope["path"].rstrip("/")
    if not path or path == request.scope["path"]:
        return ""
    scope = dict(request.scope) | {"path": path}
    if all(route.matches(scope)[0] is Match.NONE for route in app.router.routes):
        return ""
    query = f"?{request.url.query}" if request.url.query else ""
    return "/" + quote(path.lstrip("/\\")) + query


def build_app(
    engine: Engine,
    *,
    phone: Any = None,
    label: str = "",
    trusted_proxies: Sequence[str] = (),
    answers: Reading | None = None,
    rooms: Rooms | None = None,
) -> FastAPI:
    """The application for one engine. ``label`` is shown on every page (the demonstration says that its clock runs fast).

    ``trusted_proxies``: networks whose ``X-Forwarded-For`` is believed; empty: nobody's. ``answers``: reads what a
    telephony provider sends back. ``rooms``: plays drills.
    """
    web = Web(engine, phone=phone, label=label, trusted=networks(trusted_proxies), rooms=rooms)
    app = Site(
        title="Tocsin", version=__version__, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    # Starlette's redirect names the host that the request named, whoever wrote that
    app.router.redirect_slashes = False
    app.add_middleware(SecurityHeaders, https=web.secure)

    _answer_errors(app, web)

    async def docs(request: Request) -> Response:
        answer = web.page("api_docs.html", request)
        answer.headers["content-security-policy"] = DOCS_CSP
        return answer

    app.router.routes[:0] = Replies(web, answers).routes()
    intake = Intake(web)
    app.add_ways_in(intake.routes())
    app.straight = Straight(intake.door, broken)
    add_api(app, web)
    parts = (
        Pages(web), IncidentPages(web), PeoplePages(web), OncallPages(web), EscalationPages(web), ServicePages(web), IntegrationPages(web),
        QuietPages(web), ReportPages(web), GovernPages(web), Live(web),
    )  # fmt: skip
    for part in parts:
        app.router.routes.extend(part.routes())
    app.router.routes.append(Route("/api/docs", docs))
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    return app


def for_people(request: Request) -> bool:
    """Whether a page is wanted: machines are answered in JSON."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(MACHINES)


def _answer_errors(app: Site, web: Web) -> None:
    """What is refused, not there or broken is said in a page to people and as a problem (RFC 9457) to machines."""

    @app.exception_handler(TocsinError)
    async def refused(request: Request, error: TocsinError) -> Response:
        if for_people(request):
            if isinstance(error, Unauthenticated):
                return web.page("sign_in.html", request, 401, error=shown(error.sentence, 4000), next="")
            page = web.page(
                "message.html",
                request,
                error.status,
                title=TITLES.get(error.status, "That did not work"),
                text=sentence(shown(error.sentence, 4000)),
            )
            if isinstance(error, Busy):
                page.headers["retry-after"] = str(error.retry_after)
            return page
        if isinstance(error, UnusableMany):
            return problem(Unusable(shown(error.sentence, 4000), error.faults[0].where))
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(Unusable(f"{where[:60]}: {first['msg'][:300]}", where[:60]))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody is there to read it

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        """What nobody foresaw. It is answered outside of all else, asks the store for nothing, and is logged after this."""
        if for_people(request):
            headers = dict(HEADERS) | {"cache-control": "no-store"}
            page = web.page(
                "message.html", request, 500, title="That did not work", text=FAILED, session=None
            )
            page.headers.update(headers | {"content-security-policy": CSP})
            return page
        return broken()

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and (shorter := without_slash(app, request)):
            return RedirectResponse(shorter, 307)
        if for_people(request):
            text = "There is no such page." if error.status_code == 404 else str(error.detail)
            return web.page("message.html", request, error.status_code, title="Not here", text=text)
        body = {
            "type": "about:blank",
            "title": HTTPStatus(error.status_code).phrase,
            "status": error.status_code,
            "detail": UNKNOWN.get(error.status_code, str(error.detail)),
        }
        return JSONResponse(body, error.status_code, error.headers, media_type="application/problem+json")
