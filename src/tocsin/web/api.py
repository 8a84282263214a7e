"""The API: everything a page can do, for programs. Bearer tokens with scopes, RFC 9457 problem documents, idempotency keys.

What there is stands in the tables of :mod:`tocsin.web.endpoints`; :mod:`tocsin.web.openapi` writes the document from them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine.administration import administer
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal
from tocsin.intake.limits import check_headers, check_size
from tocsin.kernel.codec import decode_foreign
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable
from tocsin.kernel.redact import shown
from tocsin.web import auth
from tocsin.web import govern_views as g
from tocsin.web.addresses import one_for_each
from tocsin.web.base import Web, command_from, incident_json
from tocsin.web.endpoints import READS, WRITES, Apply, Preview, Read, Test, Write
from tocsin.web.forms import from_json
from tocsin.web.incident_pages import export_text
from tocsin.web.integration_pages import send_test
from tocsin.web.openapi import document
from tocsin.web.readings import Asked, Readings
from tocsin.web.views import OutcomeView, TestResult, as_json

MAX_BODY = 1024 * 1024
MAX_KEY = 200

Work = Callable[[Request, Principal, dict[str, Any]], Response]


def add_api(app: FastAPI, web: Web) -> None:
    """Adds the addresses under /api/v1, and the document that describes them."""
    api = Api(web)
    app.router.routes.extend(api.routes())
    app.openapi = lambda: document(app.title, app.version)  # type: ignore[method-assign]


class Api:
    """The addresses under /api/v1."""

    def __init__(self, web: Web) -> None:
        self.web, self.engine = web, web.engine
        self.readings = Readings(web.engine, web.rooms)

    def routes(self) -> list[Route]:
        """Incidents first, then the tables."""
        base = "/api/v1/incidents"
        return one_for_each(self._every(base))

    def _every(self, base: str) -> list[Route]:
        return [
            *(self._read(one) for one in READS),
            self._route("POST", base, self._declare),
            self._route("GET", f"{base}/{{reference}}", self._incident),
            self._route("GET", f"{base}/{{reference}}/export", self._export),
            self._route("POST", f"{base}/{{reference}}/commands/{{verb}}", self._command),
            self._route("POST", "/api/v1/integrations/{integration}/test", self._test),
            self._route("POST", "/api/v1/actions/{action}/commands/{verb}", self._action),
            self._route("POST", "/api/v1/policy/commands/policy_review", self._review),
            self._route("POST", "/api/v1/policy/preview", self._preview),
            self._route("PUT", "/api/v1/policy", self._apply),
            self._route("POST", "/api/v1/drills/{drill}", self._drill),
            *(self._write(one) for one in WRITES),
        ]

    def _route(self, method: str, path: str, work: Work, query: Collection[str] = ()) -> Route:
        async def write(request: Request) -> Response:
            # who asks is known before anything that strangers send is read
            principal = await run_in_threadpool(auth.principal_of, self.engine, request)
            return await run_in_threadpool(work, request, principal, await read_body(request))

        def reading(request: Request) -> Response:
            principal = auth.principal_of(self.engine, request)
            check_query(request.query_params.multi_items(), query)
            return work(request, principal, {})

        async def read(request: Request) -> Response:
            return await run_in_threadpool(reading, request)

        return Route(path, read if method == "GET" else write, methods=[method])

    # incidents

    def _declare(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        answer = self.engine.execute(
            principal, command_from("declare", body), idempotency_key=key_of(request)
        )
        return reply(answer, 201)

    def _incident(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        return reply(incident_json(self.engine.incident(principal, request.path_params["reference"])))

    def _export(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        incident = self.engine.incident(principal, request.path_params["reference"])
        return Response(
            export_text(self.engine, principal, incident.id),
            media_type="application/x-ndjson",
            headers={"content-disposition": f'attachment; filename="{incident.name}.jsonl"'},
        )

    def _command(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        path = request.path_params
        if path["verb"] == "declare":
            raise Refused("declare has an address of its own: POST /api/v1/incidents")
        command = command_from(path["verb"], body, incident=path["reference"])
        return reply(self.engine.execute(principal, command, idempotency_key=key_of(request)))

    # action items, policy, drills

    def _action(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        path = request.path_params
        command = command_from(path["verb"], body, action=path["action"])
        return reply(self.engine.execute(principal, command, idempotency_key=key_of(request)))

    def _review(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        command = command_from("policy_review", body)
        return reply(self.engine.execute(principal, command, idempotency_key=key_of(request)))

    def _preview(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        decision = authorize(principal, "view")
        if not decision.allowed:
            raise Forbidden(decision.reason)
        asked = from_json(Preview, body)
        looked = self.engine.look_at_policy(_text(asked.text), weeks=_weeks(asked.weeks), principal=principal)
        return reply(g.preview(looked))

    def _apply(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        asked = from_json(Apply, body)
        text = _text(asked.text)
        looked = self.engine.look_at_policy(text, weeks=_weeks(asked.weeks))
        if asked.before and asked.before != looked.before:
            raise Refused("another version was applied meanwhile; look at the difference again")
        moved = self.engine.apply_policy(principal, text, looked, adopt=asked.adopt, force=asked.force)
        return reply(g.Applied(looked.hash, looked.number, moved))

    def _drill(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        decision = authorize(principal, "drill")
        if not decision.allowed:
            raise Forbidden(decision.reason)
        if self.web.rooms is None:
            raise NotFound("drills are not played on this server")
        policy = bytes(self.engine.policy_in_force().document.body).decode()
        return reply(self.web.rooms.play(request.path_params["drill"], policy))

    def _test(self, request: Request, principal: Principal, body: dict[str, Any]) -> Response:
        tested = send_test(
            self.readings.ways_in,
            principal,
            request.path_params["integration"],
            page=from_json(Test, body).page,
        )
        outcomes = [
            OutcomeView(one.dedup_key, one.event, one.reason, one.incident) for one in tested.outcomes
        ]
        return reply(TestResult(outcomes, tested.notes))

    # the tables

    def _read(self, one: Read) -> Route:
        handler = getattr(self.readings, one.handler)

        def work(request: Request, principal: Principal, body: dict[str, Any]) -> Response:
            decision = authorize(principal, "view")
            if not decision.allowed:
                raise Forbidden(decision.reason)
            return reply(handler(Asked(principal, request.path_params, request.query_params)))

        return self._route("GET", one.path, work, one.query)

    def _write(self, one: Write) -> Route:
        def work(request: Request, principal: Principal, body: dict[str, Any]) -> Response:
            change = from_json(one.change, body, **one.fixed, **request.path_params)
            key = key_of(request)
            if one.verb != "report":
                return reply(administer(self.engine, principal, change, idempotency_key=key))
            with self.web.reports.turn(principal.id):
                return reply(administer(self.engine, principal, change, idempotency_key=key), 201)

        return self._route(one.method, one.path, work)


def check_query(given: Sequence[tuple[str, str]], known: Collection[str]) -> None:
    """Refuses a parameter that the address does not have, or has twice: whoever mistypes one would take all for what they asked."""
    names = [name for name, _ in given]
    for name in names:
        if name not in known:
            may = f"it takes {', '.join(known)}" if known else "it takes none"
            raise Unusable(f"this address has no parameter {shown(name)!r}; {may}", shown(name))
        if names.count(name) > 1:
            raise Unusable(f"{name} is given {names.count(name)} times; say it once", name)


def _text(text: str) -> str:
    if not text.strip():
        raise Unusable("text is the policy as it is written in its file", "text")
    return text


def _weeks(weeks: int) -> int:
    if not 1 <= weeks <= 52:
        raise Unusable("weeks is a number from 1 to 52", "weeks")
    return weeks


async def read_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; nothing counts as an empty one.

    Raises :class:`Unusable`, 413 for a body of more than ``MAX_BODY`` bytes, 415 for a compressed one.
    """
    check_headers(request.headers, limit=MAX_BODY)
    size, pieces = 0, []
    async for piece in request.stream():
        size += len(piece)
        check_size(size, limit=MAX_BODY)
        pieces.append(piece)
    raw = b"".join(pieces)
    if not raw.strip():
        return {}
    value = decode_foreign(raw)
    if not isinstance(value, dict):
        raise Unusable("the body is a JSON object", "$")
    return value


def key_of(request: Request) -> str:
    """The idempotency key; raises :class:`Unusable` for one that is too long."""
    key: str = request.headers.get("idempotency-key", "")
    if len(key) > MAX_KEY:
        raise Unusable(f"the Idempotency-Key is longer than {MAX_KEY} characters", "Idempotency-Key")
    return key


def reply(value: Any | Mapping[str, Any], status: int = 200) -> Response:
    """JSON, not to be kept by caches."""
    return Response(as_json(value), status, {"cache-control": "no-store"}, media_type="application/json")
