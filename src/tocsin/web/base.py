"""What every address shares: the engine, the templates, who is signed in, errors as problem documents."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tocsin import __version__
from tocsin.engine import desk, overview
from tocsin.engine.administration import administer
from tocsin.engine.changes import CHANGES
from tocsin.engine.commands import COMMANDS, Command
from tocsin.engine.engine import Engine
from tocsin.engine.receiving import Integration
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal, person_principal
from tocsin.identity.sessions import Session
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.incidents.wording import clocked, plain
from tocsin.kernel.clock import MILLISECOND, SECOND, Instant, humanize, to_datetime, to_iso
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import Busy, NotFound, Refused, TocsinError, Unauthenticated, Unusable
from tocsin.kernel.ports import Rooms
from tocsin.kernel.redact import mask
from tocsin.oncall.walltime import zone_of
from tocsin.web import auth
from tocsin.web.forms import fields_of, from_form, from_json
from tocsin.web.refill import Refused as RefusedForm
from tocsin.web.refill import opened
from tocsin.web.security import Network, Throttle, client_address, read_form

SAID = "tocsin_said"
"""The cookie with a sentence for the next page: what was just done."""
SAID_AS_SUCH = frozenset((403, 404, 429, 503))
"""statuses of errors that a page answers with whatever it has for forms that are refused"""
PARTS = dict.fromkeys(("communication.html", "recovery.html", "post_mortem.html", "score.html"), "#head,#page") | {
    "incident.html": "#head,#next,#facts,#later,#write,#happened",
}  # fmt: skip
"""template → the parts of its page that follow what happens, each by itself; the others have one, ``#page``"""
NOW_HEADER = "x-tocsin-now"
"""The server's time in milliseconds, on every page."""


_WORD = re.compile("(?<=[a-z])(?=[A-Z])")
"""between two words of a class's name"""


def problem(error: TocsinError) -> JSONResponse:
    """An error as RFC 9457 problem document; ``code`` is its kind, for programs."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": mask(error.sentence),
        "code": _WORD.sub("_", type(error).__name__).lower(),
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
    body: dict[str, Any] = decode(encode(incident))
    for name in ("policy", "reminded", "runs", "failed"):
        body.pop(name)
    for name in [name for name in body if name.endswith(("_at", "_from")) and isinstance(body[name], int)]:
        body[name] = to_iso(body[name]) if body[name] else None
    body["name"] = incident.name
    return body


class Visit:
    """One request to a page by somebody who is signed in: who, which form, and how to answer."""

    def __init__(
        self, web: Web, request: Request, principal: Principal, session: Session, form: FormData
    ) -> None:
        self.web, self.request, self.principal, self.session, self.form = (
            web,
            request,
            principal,
            session,
            form,
        )
        self.engine = web.engine
        self.now = self.engine.clock.now()
        self.directory = self.engine.directory()
        person = self.directory.people.get(principal.person)
        self.zone = person.zone if person else "UTC"
        self._error: TocsinError | None = None
        """why the form is refused"""

    @property
    def posting(self) -> bool:
        return self.request.method == "POST"

    def part(self, name: str) -> str:
        """A piece of the address."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        """A parameter of the address."""
        return self.request.query_params.get(name, "")

    def may(self, verb: str) -> bool:
        """Whether the page offers something; the change itself asks again."""
        return authorize(self.principal, verb).allowed

    def why(self, error: TocsinError) -> str:
        """What a page says of a form that is refused; what kind of error it is shows in the page's status."""
        self._error = error
        return error.sentence

    def page(self, template: str, status: int = 200, *, error: str = "", **values: Any) -> Response:
        """A page of the signed-in part: with navigation, banner, and what was just said.

        ``error``: why the form that was sent is refused; the form comes back as it was filled in, the sentence above it.
        ``status`` gives way to that of an error which says who may, what is not there, or when to come again.
        """
        if error and self._error is not None and self._error.status in SAID_AS_SUCH:
            status = self._error.status
        said = unquote(self.request.cookies.get(SAID, ""))[:500]
        answer = self.web.page(
            template, self.request, status, session=self.session, said=said, me=self.principal, zone=self.zone, name=self.directory.name,
            may=self.may, banner=overview.banner(self.engine), refused=RefusedForm(self.form, error) if error else None, **values,
        )  # fmt: skip
        if said:
            answer.delete_cookie(SAID)
        if error and isinstance(self._error, Busy):
            answer.headers["retry-after"] = str(self._error.retry_after)
        return answer

    def refuse(self, title: str, text: str) -> Response:
        """A page that is for others: says so before anybody fills in a form."""
        return self.page("message.html", 403, title=title, text=text)

    def go(self, path: str, said: str = "") -> Response:
        """Sends the browser on, with a sentence for the next page; a page that stays keeps its parameters."""
        if path == self.request.url.path and self.request.url.query:
            path = f"{path}?{self.request.url.query}"
        answer = RedirectResponse(path, 303)
        if said:
            answer.set_cookie(
                SAID, quote(said[:500]), max_age=60, httponly=True, samesite="lax", secure=self.web.secure
            )
        return answer

    def act(self, *verbs: str, **fixed: Any) -> dict[str, Any]:
        """Makes the change that the form names, if the page has such a form; ``fixed`` comes from the address."""
        verb = str(self.form.get("verb", ""))
        if verb not in verbs:
            raise NotFound(f"this page has no form {verb[:40]!r}")
        kind = CHANGES[verb]
        change = from_form(kind, self.form, zone=self.zone, now=self.now, **{
            name: value for name, value in fixed.items() if name in fields_of(kind)
        })  # fmt: skip
        return administer(self.engine, self.principal, change)


NO_DOOR = (
    "this is a page for people, and nobody is signed in. Senders of alerts post to /v2/enqueue (PagerDuty's clients), "
    "/in/alertmanager/KEY/api/v2/alerts (Prometheus) or /in/SOURCE/KEY (web hooks); programs use /api/v1 with a token."
)
Handler = Callable[[Visit], Response]


class Web:
    """The engine, the templates and the ones who wait for news. ``trusted`` are the proxies whose word counts."""

    def __init__(
        self, engine: Engine, *, phone: Any = None, label: str = "", trusted: Sequence[Network] = (), rooms: Rooms | None = None
    ) -> None:  # fmt: skip
        self.engine, self.phone, self.label, self.trusted = engine, phone, label, tuple(trusted)
        self.rooms = rooms
        self.secure = engine.public_url.startswith("https://")
        self.templates = Environment(
            loader=PackageLoader("tocsin.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters.update(
            iso=iso_text, human=humanize, words=lambda text: plain(str(text)), local=local_text, field=field_text, ms=lambda at: at // MILLISECOND,
            day=lambda at, zone: local_text(at, zone)[:-6], today=today_text, countdown=countdown, utc=utc_text, clocked=clocked, channel=channel_text, date=date_text, zoned=zone_text, linked=linked_text,
            secure=lambda url: str(url).startswith(("http://", "https://")),
        )  # fmt: skip
        self.wakers: set[asyncio.Event] = set()
        self.event_loop: asyncio.AbstractEventLoop | None = None
        self.sign_ins = Throttle(engine.clock, 10)
        self.sign_ins_as = Throttle(engine.clock, 10)
        self.sign_ins_from = Throttle(engine.clock, 60)
        self.reports = Throttle(engine.clock, 5)
        engine.store.subscribe(self._committed)

    def _committed(self) -> None:
        loop = self.event_loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waker in self.wakers:
            waker.set()

    def from_where(self, request: Request) -> str:
        """The address a request came from, trusted proxies seen through."""
        return client_address(request, self.trusted)

    def page(self, template: str, request: Request, status: int = 200, **values: Any) -> HTMLResponse:
        """A page; one without ``session`` has no navigation. What says that something is not here keeps the navigation."""
        if "session" not in values and template == "message.html":
            values = self._known(request) | values
        session, now = values.pop("session", None), self.engine.clock.now()
        query = f"?{request.url.query}" if request.url.query else ""
        html = self.templates.get_template(template).render(
            session=session,
            csrf=session.csrf if session else "",
            label=self.label,
            version=__version__,
            now=now,
            path=request.url.path,
            here=request.url.path + query,
            parts=PARTS.get(template, "#page"),
            speed=getattr(self.engine.clock, "factor", 1),
            phone_pane=self.phone is not None,
            **(
                {
                    "said": "",
                    "banner": [],
                    "me": None,
                    "may": lambda verb: False,
                    "zone": "UTC",
                    "refused": None,
                    "live": True,
                }
                | values
            ),
        )
        if values.get("refused"):
            html = opened(html)
        # whoever shows clocks corrects its own by this: they tick between two loads, and the demonstration's run fast
        return HTMLResponse(html, status, {NOW_HEADER: str(now // MILLISECOND)})

    def _known(self, request: Request) -> dict[str, Any]:
        """Who asks, where somebody signed in does: for pages that are made outside a visit.

        Nobody where the store cannot say: such a page often tells just that.
        """
        try:
            session = auth.session_of(self.engine, request)
            directory = self.engine.directory()
            banner = overview.banner(self.engine) if session else []
        except Busy:
            return {}
        person = directory.people.get(session.person) if session else None
        if session is None or person is None or not person.active:
            return {}
        principal = person_principal(person.id, person.role)
        return {
            "session": session, "me": principal, "zone": person.zone, "name": directory.name,
            "may": lambda verb: authorize(principal, verb).allowed, "banner": banner,
        }  # fmt: skip

    def route(self, path: str, handler: Handler, *, form: bool = False) -> Route:
        """The address of a signed-in page; ``handler`` runs in a thread, ``form`` lets it take POST."""

        async def answer(request: Request) -> Response:
            posted = await read_form(request) if request.method == "POST" else FormData()
            return await run_in_threadpool(self._visit, request, posted, handler)

        return Route(path, answer, methods=["GET", "POST"] if form else ["GET"])

    def _visit(self, request: Request, form: FormData, handler: Handler) -> Response:
        session = auth.session_of(self.engine, request)
        if session is None:
            if request.method == "POST" and not _from_a_page(request):
                raise Unauthenticated(
                    NO_DOOR
                )  # a sender that followed a redirect would take the sign-in page for success
            if request.method != "GET":  # the form is gone with the session; the page says so
                return RedirectResponse(f"/sign-in?next={quote(request.url.path)}&unsaved=yes", 303)
            return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", 303)
        principal = auth.principal_of(self.engine, request, csrf=str(form.get("csrf", "")))
        return handler(Visit(self, request, principal, session, form))

    async def signed_in(self, request: Request) -> tuple[Principal, Any] | Response:
        """(principal, session), or the way to the sign-in page."""
        session = await run_in_threadpool(auth.session_of, self.engine, request)
        if session is None:
            return RedirectResponse("/sign-in", 303)
        form = await read_form(request) if request.method == "POST" else FormData()
        principal = await run_in_threadpool(
            lambda: auth.principal_of(self.engine, request, csrf=str(form.get("csrf", "")))
        )
        return principal, session


def _from_a_page(request: Request) -> bool:
    """Whether a browser sent it: only they ask for pages, or for parts of one."""
    said = request.headers
    return (
        "text/html" in said.get("accept", "").lower()
        or "hx-request" in said
        or said.get("sec-fetch-mode") == "navigate"
    )


def local_text(at: Instant, zone: str) -> str:
    """``Mon 2 Mar 09:00`` in a zone."""
    moment = to_datetime(at, zone_of(zone))
    return f"{moment:%a} {moment.day} {moment:%b %H:%M}"


def iso_text(at: Instant) -> str:
    """An instant as the ``datetime`` of a ``time`` element, to the second: HTML takes three digits of one, and not six."""
    return to_iso(at - at % SECOND)


def today_text(at: Instant, zone: str, now: Instant) -> str:
    """``09:00`` today, else ``Mon 2 Mar 09:00``; with the year where it is another one."""
    place = zone_of(zone)
    moment, present = to_datetime(at, place), to_datetime(now, place)
    if moment.date() == present.date():
        return f"{moment:%H:%M}"
    if moment.year != present.year:
        return f"{moment.day} {moment:%b %Y %H:%M}"
    return local_text(at, zone)


def date_text(at: Instant, zone: str) -> str:
    """``2 March 2026`` in a zone."""
    moment = to_datetime(at, zone_of(zone))
    return f"{moment.day} {moment:%B %Y}"


CHANNELS = {
    "ntfy": "ntfy push", "email": "e-mail", "sms": "SMS", "voice": "call", "slack": "Slack", "webhook": "web hook", "pagerduty": "PagerDuty",
    "apprise": "Apprise", "console": "push",
}  # fmt: skip
"""kind of a contact → what it is called; the demonstration's console shows what would be pushed"""


def channel_text(kind: str) -> str:
    """What a kind of contact is called."""
    return CHANNELS.get(kind, plain(kind))


def utc_text(at: Instant) -> str:
    """``2026-03-02 09:00 UTC``: what stands behind every time on a page."""
    return f"{to_datetime(at):%Y-%m-%d %H:%M} UTC"


def zone_text(zone: str, at: Instant) -> str:
    """``Europe/Rome, UTC+1``: a zone and how far from UTC its clocks are at a moment."""
    if zone == "UTC":
        return zone
    offset = to_datetime(at, zone_of(zone)).utcoffset()
    minutes = int(offset.total_seconds()) // 60 if offset else 0
    hours, rest = divmod(abs(minutes), 60)
    return f"{zone}, UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "")


def linked_text(text: str) -> Markup:
    """A text with the addresses in it as links."""
    parts = re.split(r"(https?://[^\s<>\"']+)", text)
    return Markup("").join(
        Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def countdown(duration: int) -> str:
    """A clock that ticks: ``45 s``, ``4 min 05 s``, ``2 h 05 min``, ``3 d 4 h``; the script in the browser writes the same."""
    seconds = abs(duration) // SECOND
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def field_text(at: Instant, zone: str) -> str:
    """An instant as the value of a date-and-time field."""
    return f"{to_datetime(at, zone_of(zone)):%Y-%m-%dT%H:%M}"


def names_of(engine: Engine, directory: Directory) -> dict[str, str]:
    """person, service and integration ids → names."""
    rows = engine.store.read(lambda r: r.records("integration"))
    names = {f"integration:{row.id}": decode(row.body, Integration).name for row in rows}
    names |= {person.id: person.name for person in directory.people.values()}
    return names | {service.id: service.name for service in directory.services.values()}


def command_from(verb: str, values: Mapping[str, Any], **fixed: Any) -> Command:
    """The command of a verb from JSON; raises :class:`Unusable` with what is wrong."""
    return from_json(command_kind(verb), values, **fixed)


def command_kind(verb: str) -> type[Command]:
    """The struct of a verb; raises :class:`NotFound` with those there are."""
    kind = COMMANDS.get(verb)
    if kind is None:
        raise NotFound(f"there is no verb {verb[:40]!r}; there are {', '.join(sorted(COMMANDS))}")
    return kind


def execute(visit: Visit, verb: str, **fixed: Any) -> desk.Answer:
    """Takes the command that the form names; fields that belong to another button of the same form are left out."""
    kind = command_kind(verb)
    known = fields_of(kind)
    if verb == "milestone" and not visit.form.get("at"):
        fixed["at"] = visit.now
    wanted = FormData([(key, value) for key, value in visit.form.multi_items() if key in known])
    command = from_form(kind, wanted, zone=visit.zone, now=visit.now, **fixed)
    return visit.engine.execute(visit.principal, command, via="web")
