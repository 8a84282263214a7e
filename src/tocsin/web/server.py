"""The web application: intake, the page's own link, API, pages, live events, health. Storage is reached through the engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from fastapi import Body, FastAPI, Header, Query
from fastapi.openapi.docs import get_swagger_ui_html
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from tocsin import __version__
from tocsin.engine import delivery
from tocsin.engine.commands import COMMANDS, Command
from tocsin.engine.engine import Engine
from tocsin.engine.receiving import Integration
from tocsin.identity.principals import Principal
from tocsin.identity.tokens import key_hash
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.incident import Incident
from tocsin.incidents.timeline import line
from tocsin.intake import pagerduty
from tocsin.kernel.clock import humanize, to_iso
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Busy, NotFound, Refused, TocsinError, Unauthenticated, Unusable, UnusableMany
from tocsin.kernel.facts import Fact
from tocsin.kernel.ports import Message, RequestRow
from tocsin.kernel.randomness import dedup_key, ulid
from tocsin.kernel.redact import mask
from tocsin.web import auth

HERE = Path(__file__).parent
CSP = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


def problem(error: TocsinError) -> JSONResponse:
    """An error as RFC 9457 problem document."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": type(error).__name__,
        "status": error.status,
        "detail": error.sentence,
    }
    if isinstance(error, Unusable) and error.where:
        body["where"] = error.where
    if isinstance(error, Refused) and error.allowed:
        body["allowed"] = list(error.allowed)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Busy) else {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, error.status, headers, media_type="application/problem+json")


def incident_json(incident: Incident) -> dict[str, Any]:
    """An incident as the API shows it: times as RFC 3339."""
    body: dict[str, Any] = msgspec.to_builtins(incident)
    for name in ("policy", "reminded", "runs", "failed"):
        body.pop(name)
    for name in [name for name in body if name.endswith(("_at", "_from"))]:
        body[name] = to_iso(body[name]) if body[name] else None
    body["name"] = incident.name
    return body


class Web:
    """Holds the engine and the templates; one method for each address."""

    def __init__(self, engine: Engine, *, phone: Any = None, label: str = "") -> None:
        self.engine, self.phone, self.label = engine, phone, label
        self._integrations: dict[str, Integration] = {}
        self._mark = -1
        self.templates = Environment(
            loader=PackageLoader("tocsin.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters.update(
            iso=to_iso, human=humanize, words=lambda text: str(text).replace("_", " ")
        )
        self._wakers: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        engine.store.subscribe(self._committed)

    # helpers

    def _committed(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()

    def page(self, template: str, request: Request, status: int = 200, **values: Any) -> HTMLResponse:
        session = values.pop("session", None)
        html = self.templates.get_template(template).render(
            session=session,
            csrf=session.csrf if session else "",
            label=self.label,
            version=__version__,
            now=self.engine.clock.now(),
            **values,
        )
        return HTMLResponse(
            html,
            status,
            {
                "Content-Security-Policy": CSP,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            },
        )

    def integration(self, key: str) -> Integration:
        """The integration of a key; raises :class:`Unauthenticated`."""

        def find(reader):  # type: ignore[no-untyped-def]
            mark = reader.mark("records")
            if mark != self._mark:
                self._integrations, self._mark = {}, mark
            digest = key_hash(key, self.engine.secret)
            if digest not in self._integrations:
                row = reader.record_by("integration", digest)
                if row is None:
                    raise Unauthenticated(
                        "this integration key is not known; copy it from the integration's page"
                    )
                self._integrations[digest] = decode(row.body, Integration)
            return self._integrations[digest]

        return self.engine.store.read(find)

    async def keep(self, integration: Integration, status: int, reason: str, body: bytes) -> None:
        """Keeps a refused request for the integration's owner to see."""
        now = self.engine.clock.now()
        row = RequestRow(
            ulid(self.engine.randomness, now), integration.id, now, status, reason[:1000], body[:65536]
        )
        await run_in_threadpool(self.engine.store.write, lambda tx: tx.put_request(row))

    # intake

    async def enqueue(self, request: Request) -> Response:
        body = await request.body()
        try:
            key, alert = pagerduty.parse_enqueue(body)
        except Unusable as error:
            await self._keep_refused(body, error)
            return JSONResponse(pagerduty.refused(error), 400)
        integration = await run_in_threadpool(self.integration, key)
        alert.dedup_key = alert.dedup_key or dedup_key(self.engine.randomness)
        await asyncio.wrap_future(self.engine.receive(integration, [alert]))
        return JSONResponse(pagerduty.accepted(alert.dedup_key), 202)

    async def enqueue_change(self, request: Request) -> Response:
        body = await request.body()
        try:
            key, change = pagerduty.parse_change(body)
        except Unusable as error:
            await self._keep_refused(body, error)
            return JSONResponse(pagerduty.refused(error), 400)
        integration = await run_in_threadpool(self.integration, key)
        await asyncio.wrap_future(self.engine.receive(integration, [], [change]))
        return JSONResponse(pagerduty.accepted(None), 202)

    async def _keep_refused(self, body: bytes, error: Unusable) -> None:
        """Where the body still names a known key, its owner sees the request and what was wrong with it."""
        try:
            event = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        key = event.get("routing_key") if isinstance(event, dict) else None
        if not isinstance(key, str) or not key:
            return
        try:
            integration = await run_in_threadpool(self.integration, key)
        except Unauthenticated:
            return
        await self.keep(integration, 400, error.sentence, body)

    # the page's own link

    async def link(self, request: Request) -> Response:
        """A GET shows and never acknowledges: mail scanners follow links."""
        token = request.path_params["token"]
        try:
            if request.method == "POST":
                await run_in_threadpool(self.engine.acknowledge_link, token)
            link, incidents = await run_in_threadpool(self.engine.link, token)
        except NotFound as error:
            return self.page("message.html", request, 404, title="Link not found", text=error.sentence)
        directory = await run_in_threadpool(self.engine.directory)
        now = self.engine.clock.now()
        contexts = [
            (
                one,
                delivery.context_of(one, directory, self.engine.public_url, now),
                directory.name(one.holder) if one.holder else "",
            )
            for one in incidents
        ]
        open_ones = [one for one in incidents if one.open and not one.holder]
        return self.page(
            "ack.html",
            request,
            person=directory.name(link.person),
            contexts=contexts,
            waiting=bool(open_ones),
            token=token,
        )

    # pages

    async def signed_in(self, request: Request) -> tuple[Principal, Any] | Response:
        session = await run_in_threadpool(auth.session_of, self.engine, request)
        if session is None:
            return RedirectResponse("/sign-in", 303)
        form = await request.form() if request.method == "POST" else {}
        principal = await run_in_threadpool(
            lambda: auth.principal_of(self.engine, request, csrf=str(form.get("csrf", "")))
        )
        return principal, session

    def _principal(self, request: Request, csrf: str) -> Principal:
        return auth.principal_of(self.engine, request, csrf=csrf)

    async def sign_in(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page("sign_in.html", request, error="")
        form = await request.form()
        try:
            secret, _ = await run_in_threadpool(
                auth.sign_in, self.engine, str(form.get("login", "")), str(form.get("password", ""))
            )
        except Unauthenticated as error:
            return self.page("sign_in.html", request, 401, error=error.sentence)
        return self._with_cookie(request, secret)

    async def sign_in_link(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page("link.html", request, secret=request.path_params["secret"])
        try:
            secret, _ = await run_in_threadpool(auth.use_link, self.engine, request.path_params["secret"])
        except NotFound as error:
            return self.page("message.html", request, 404, title="Sign-in link", text=error.sentence)
        return self._with_cookie(request, secret)

    def _with_cookie(self, request: Request, secret: str) -> Response:
        answer = RedirectResponse("/", 303)
        secure = self.engine.public_url.startswith("https://")
        answer.set_cookie(
            auth.COOKIE, secret, httponly=True, samesite="lax", secure=secure, max_age=30 * 86400
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        found = await self.signed_in(request)
        if isinstance(found, Response):
            return found
        await run_in_threadpool(auth.sign_out, self.engine, found[1])
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(auth.COOKIE)
        return answer

    async def now(self, request: Request) -> Response:
        found = await self.signed_in(request)
        if isinstance(found, Response):
            return found
        principal, session = found
        rows = await run_in_threadpool(
            lambda: self.engine.incidents(principal, open=request.url.path == "/" or None)
        )
        directory = await run_in_threadpool(self.engine.directory)
        on_call = [
            (
                one.name,
                *(
                    directory.on_call(one.id, self.engine.clock.now(), position).person or ""
                    for position in ("primary", "secondary")
                ),
            )
            for one in directory.schedules.values()
        ]
        return self.page(
            "now.html",
            request,
            session=session,
            rows=rows,
            on_call=on_call,
            name=directory.name,
            me=principal.person,
            phone=self.phone is not None,
            all=request.url.path != "/",
        )

    async def incident(self, request: Request) -> Response:
        found = await self.signed_in(request)
        if isinstance(found, Response):
            return found
        principal, session = found
        reference, error = request.path_params["reference"], ""
        if request.method == "POST":
            form = {name: str(value) for name, value in (await request.form()).items()}
            try:
                command = command_from(
                    form.pop("verb", ""),
                    {k: v for k, v in form.items() if k != "csrf" and v != ""} | {"incident": reference},
                )
                await run_in_threadpool(lambda: self.engine.execute(principal, command, via="web"))
                return RedirectResponse(f"/incidents/{reference}", 303)
            except TocsinError as refused:
                error = refused.sentence
        values = await run_in_threadpool(self._incident_values, principal, reference)
        return self.page(
            "incident.html",
            request,
            409 if error else 200,
            session=session,
            error=error,
            me=principal.person,
            **values,
        )

    def _incident_values(self, principal: Principal, reference: str) -> dict[str, Any]:
        incident = self.engine.incident(principal, reference)
        facts = self.engine.facts(principal, reference)
        directory = self.engine.directory()
        policy = self.engine.store.read(lambda r: self.engine.policy_of(r, incident.policy)[0])
        names = names_of(self.engine, directory)
        clocks = [standing(duty, self.engine.clock.now()) for duty in duties(incident, policy)]
        return {
            "incident": incident, "lines": [line(fact, names) for fact in reversed(facts)], "clocks": clocks, "name": directory.name,
            "people": sorted(directory.people.values(), key=lambda person: person.name), "roles": {key: role.name for key, role in policy.roles.items()},
        }  # fmt: skip

    async def phone_pane(self, request: Request) -> Response:
        found = await self.signed_in(request)
        if isinstance(found, Response) or self.phone is None:
            return (
                found
                if isinstance(found, Response)
                else self.page(
                    "message.html",
                    request,
                    404,
                    title="No phone",
                    text="The phone belongs to the demonstration.",
                )
            )
        messages: list[Message] = list(self.phone.messages)[-30:]
        directory = await run_in_threadpool(self.engine.directory)
        return self.page(
            "phone.html", request, session=found[1], messages=list(reversed(messages)), name=directory.name
        )

    # live

    async def events(self, request: Request) -> Response:
        principal = await run_in_threadpool(auth.principal_of, self.engine, request)
        last = request.headers.get("last-event-id", "")
        start = (
            int(last)
            if last.isdigit() and len(last) < 19
            else await run_in_threadpool(lambda: self.engine.store.read(lambda r: r.last_position()))
        )
        return StreamingResponse(
            self._stream(principal, start),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def _facts_since(self, position: int) -> list[Fact]:
        return self.engine.store.read(lambda r: r.facts_since(position))

    async def _stream(self, principal: Principal, position: int) -> AsyncIterator[str]:
        self._loop = asyncio.get_running_loop()
        waker = asyncio.Event()
        self._wakers.add(waker)
        try:
            yield ": welcome\n\n"
            while True:
                waker.clear()
                facts = await run_in_threadpool(self._facts_since, position)
                for fact in facts:
                    position = fact.position
                    if fact.stream.kind != "incident":
                        continue
                    try:
                        incident = await run_in_threadpool(self.engine.incident, principal, fact.stream.id)
                    except NotFound:
                        continue
                    data = json.dumps(
                        {"incident": incident.name, "type": fact.type, "at": to_iso(fact.recorded_at)}
                    )
                    yield f"id: {position}\nevent: fact\ndata: {data}\n\n"
                if facts:
                    continue
                try:
                    await asyncio.wait_for(waker.wait(), 15)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._wakers.discard(waker)

    # health

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """Ready means: can accept and commit. Lateness does not make it red."""
        now = self.engine.clock.now()
        await run_in_threadpool(self.engine.store.write, lambda tx: tx.put_meta("ready", str(now).encode()))
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        timer, page = await run_in_threadpool(self.engine.lateness)
        firing = await run_in_threadpool(lambda: self.engine.store.read(lambda r: r.count_alerts()))
        lines = [
            "# HELP tocsin_oldest_overdue_timer_seconds Lateness of the oldest timer that is due.",
            "# TYPE tocsin_oldest_overdue_timer_seconds gauge",
            f"tocsin_oldest_overdue_timer_seconds {timer / 1e6}",
            "# HELP tocsin_oldest_undelivered_page_seconds Lateness of the oldest message that is due.",
            "# TYPE tocsin_oldest_undelivered_page_seconds gauge",
            f"tocsin_oldest_undelivered_page_seconds {page / 1e6}",
            "# HELP tocsin_alerts_firing Alerts that fire now.",
            "# TYPE tocsin_alerts_firing gauge",
            f"tocsin_alerts_firing {firing}",
            "# HELP tocsin_streams_set_aside Streams that failed and are tried again later.",
            "# TYPE tocsin_streams_set_aside gauge",
            f"tocsin_streams_set_aside {len(self.engine.poisoned)}",
        ]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def names_of(engine: Engine, directory: Directory) -> dict[str, str]:
    """person, service and integration ids → names."""
    rows = engine.store.read(lambda r: r.records("integration"))
    names = {f"integration:{row.id}": decode(row.body, Integration).name for row in rows}
    names |= {person.id: person.name for person in directory.people.values()}
    return names | {service.id: service.name for service in directory.services.values()}


def command_from(verb: str, values: Mapping[str, Any]) -> Command:
    """The command of a verb with its fields; raises :class:`Unusable` with what is wrong."""
    kind = COMMANDS.get(verb)
    if kind is None:
        raise NotFound(f"there is no verb {verb[:40]!r}; there are {', '.join(sorted(COMMANDS))}")
    try:
        return msgspec.convert(dict(values), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Unusable(f"the command {verb} cannot be read: {error}", "$") from None


def build_app(engine: Engine, *, phone: Any = None, label: str = "") -> FastAPI:
    """The application for one engine. ``label`` is shown on every page (the demonstration says that its clock runs fast)."""
    web = Web(engine, phone=phone, label=label)
    app = FastAPI(
        title="Tocsin", version=__version__, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )

    @app.exception_handler(TocsinError)
    async def refused(request: Request, error: TocsinError) -> Response:
        if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
            ("/api", "/v2", "/in")
        ):
            return web.page(
                "message.html", request, error.status, title="That did not work", text=mask(error.sentence)
            )
        if isinstance(error, UnusableMany):
            return problem(Unusable(mask(error.sentence), error.faults[0].where))
        return problem(error)

    @app.get("/api/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/api/openapi.json", title="Tocsin API", swagger_js_url="/static/vendor/swagger-ui-bundle.js",
            swagger_css_url="/static/vendor/swagger-ui.css", swagger_favicon_url="/static/icon.svg",
        )  # fmt: skip

    @app.get("/api/v1/incidents", tags=["incidents"], summary="Incidents, newest first")
    def incidents(
        request: Request, open: bool | None = None, severity: str = "", status: str = "", q: str = "", limit: int = Query(100, ge=1, le=500),
    ) -> dict[str, Any]:  # fmt: skip
        principal = auth.principal_of(engine, request)
        rows = engine.incidents(principal, open=open, severity=severity, status=status, search=q, limit=limit)
        return {
            "incidents": [
                {
                    "id": r.stream.id,
                    "name": f"{r.series}-{r.number}",
                    "title": r.title,
                    "status": r.status,
                    "severity": r.severity,
                    "opened_at": to_iso(r.opened_at),
                    "restricted": r.restricted,
                }
                for r in rows
            ]
        }

    @app.post("/api/v1/incidents", tags=["incidents"], summary="Declare an incident", status_code=201)
    def declare(
        request: Request, body: dict[str, Any] = Body(...), idempotency_key: str = Header("")
    ) -> dict[str, Any]:
        principal = auth.principal_of(engine, request)
        return engine.execute(principal, command_from("declare", body), idempotency_key=idempotency_key)

    @app.get("/api/v1/incidents/{reference}", tags=["incidents"], summary="One incident, by id or number")
    def incident(request: Request, reference: str) -> dict[str, Any]:
        return incident_json(engine.incident(auth.principal_of(engine, request), reference))

    @app.get("/api/v1/incidents/{reference}/timeline", tags=["incidents"], summary="What happened, in order")
    def timeline(request: Request, reference: str, after: int = Query(0, ge=0)) -> dict[str, Any]:
        principal = auth.principal_of(engine, request)
        names = names_of(engine, engine.directory())
        lines = [line(fact, names) for fact in engine.facts(principal, reference, after)]
        return {
            "timeline": [
                msgspec.to_builtins(one) | {"at": to_iso(one.at), "recorded_at": to_iso(one.recorded_at)}
                for one in lines
            ]
        }

    @app.get(
        "/api/v1/incidents/{reference}/duties",
        tags=["incidents"],
        summary="What is owed, by when, and how it stands",
    )
    def owed(request: Request, reference: str) -> dict[str, Any]:
        found = engine.incident(auth.principal_of(engine, request), reference)
        policy = engine.store.read(lambda r: engine.policy_of(r, found.policy)[0])
        now = engine.clock.now()
        clocks = [standing(duty, now) for duty in duties(found, policy)]
        return {
            "duties": [
                {
                    "id": c.duty.id, "rule": c.duty.rule, "owner": c.duty.owner, "start": to_iso(c.duty.start), "due": to_iso(c.duty.due),
                    "how": c.duty.how, "state": c.state, "left_seconds": c.left // 1_000_000, "missed": c.missed,
                }
                for c in clocks
            ]
        }  # fmt: skip

    @app.post(
        "/api/v1/incidents/{reference}/commands/{verb}",
        tags=["incidents"],
        summary="Do something: acknowledge, update, severity, move …",
    )
    def command(
        request: Request,
        reference: str,
        verb: str,
        body: dict[str, Any] = Body(default={}),
        idempotency_key: str = Header(""),
    ) -> dict[str, Any]:
        principal = auth.principal_of(engine, request)
        return engine.execute(
            principal, command_from(verb, body | {"incident": reference}), idempotency_key=idempotency_key
        )

    app.router.routes.extend(
        [
            Route("/v2/enqueue", web.enqueue, methods=["POST"]),
            Route("/v2/change/enqueue", web.enqueue_change, methods=["POST"]),
            Route("/a/{token}", web.link, methods=["GET", "POST"]),
            Route("/sign-in", web.sign_in, methods=["GET", "POST"]),
            Route("/sign-in/{secret}", web.sign_in_link, methods=["GET", "POST"]),
            Route("/sign-out", web.sign_out, methods=["POST"]),
            Route("/", web.now),
            Route("/incidents", web.now),
            Route("/incidents/{reference}", web.incident, methods=["GET", "POST"]),
            Route("/phone", web.phone_pane),
            Route("/api/v1/events", web.events),
            Route("/healthz", web.healthz),
            Route("/readyz", web.readyz),
            Route("/metrics", web.metrics),
        ]
    )
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    return app
