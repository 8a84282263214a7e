"""What every address shares: the engine, the templates, who is signed in, errors as problem documents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from tocsin import __version__
from tocsin.engine.commands import COMMANDS, Command
from tocsin.engine.engine import Engine
from tocsin.engine.receiving import Integration
from tocsin.identity.principals import Principal
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import humanize, to_iso
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Busy, NotFound, Refused, TocsinError, Unauthenticated, Unusable
from tocsin.web import auth

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
    """The engine, the templates and the ones who wait for news."""

    def __init__(self, engine: Engine, *, phone: Any = None, label: str = "") -> None:
        self.engine, self.phone, self.label = engine, phone, label
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
        self.wakers: set[asyncio.Event] = set()
        self.event_loop: asyncio.AbstractEventLoop | None = None
        engine.store.subscribe(self._committed)

    def _committed(self) -> None:
        loop = self.event_loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waker in self.wakers:
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

    async def signed_in(self, request: Request) -> tuple[Principal, Any] | Response:
        session = await run_in_threadpool(auth.session_of, self.engine, request)
        if session is None:
            return RedirectResponse("/sign-in", 303)
        form = await request.form() if request.method == "POST" else {}
        principal = await run_in_threadpool(
            lambda: auth.principal_of(self.engine, request, csrf=str(form.get("csrf", "")))
        )
        return principal, session


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
