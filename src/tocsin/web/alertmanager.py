"""Alertmanager's API v2, so that Prometheus and amtool use Tocsin as they are: at the root with a key in the header, and
below ``/in/alertmanager/KEY``. Either form sees its own integration's alerts and silences, and no others.

Source: https://github.com/prometheus/alertmanager, ``api/v2/openapi.yaml``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tocsin import __version__
from tocsin.alerts.shape import Parsed
from tocsin.engine.ways_in import Admitted
from tocsin.intake import alertmanager_api as api
from tocsin.intake import alertmanager_views as views
from tocsin.intake.limits import MAX_BODY
from tocsin.intake.sources import SOURCES
from tocsin.kernel.errors import Busy, Refused, TocsinError, Unauthenticated
from tocsin.kernel.redact import mask, shown
from tocsin.web.addresses import at, one_for_each
from tocsin.web.door import PROMETHEUS, Call, Door, Handler, answer, keys_of

PREFIX = "/in/alertmanager/{key}"


class AlertmanagerApi:
    """The addresses of the API."""

    def __init__(self, door: Door) -> None:
        self.door, self.ways = door, door.ways

    def routes(self) -> list[Route]:
        """Each address in both forms."""
        found: list[Route] = []
        addresses: tuple[tuple[str, Handler, str], ...] = (
            ("/api/v2/alerts", self.alerts, "GET"),
            ("/api/v2/alerts", self.post_alerts, "POST"),
            ("/api/v2/alerts/groups", self.groups, "GET"),
            ("/api/v2/receivers", self.receivers, "GET"),
            ("/api/v2/status", self.status, "GET"),
            ("/api/v2/silences", self.silences, "GET"),
            ("/api/v2/silences", self.post_silence, "POST"),
            ("/api/v2/silence/{id}", self.silence, "GET"),
            ("/api/v2/silence/{id}", self.delete_silence, "DELETE"),
        )
        for path, handler, method in addresses:
            for prefix in ("", PREFIX):
                found += at(prefix + path, self.door.way(handler, refusal), method)
        for path in ("/-/ready", "/-/healthy"):
            found += at(path, self.well, "GET")
            found += at(PREFIX + path, self.door.way(self.well_with_key, refusal), "GET")
        return one_for_each(found)

    async def admit(self, call: Call) -> Admitted:
        return await self.door.admit(call, keys_of(call.request), PROMETHEUS)

    def now(self) -> int:
        return self.door.web.engine.clock.now()

    # alerts

    async def post_alerts(self, call: Call) -> Response:
        admitted = await self.admit(call)
        source = SOURCES["prometheus"]
        parsed = await self.door.parse(source, await call.read(source.limit), {})
        status = 400 if parsed.refused else 200
        await asyncio.wrap_future(self.ways.receive(admitted, parsed, call.came(), status))
        return refused_some(parsed) if parsed.refused else Response(status_code=200)

    async def alerts(self, call: Call) -> Response:
        return await self._shown(call, views.gettable_alerts)

    async def groups(self, call: Call) -> Response:
        return await self._shown(call, views.gettable_groups)

    async def _shown(self, call: Call, view: Any) -> Response:
        admitted = await self.admit(call)
        query = views.parse_query(call.request.query_params.multi_items())

        def read() -> Response:
            rows, silences = self.ways.firing(admitted)
            return answer(view(rows, self.now(), silences, query), 200)

        return await run_in_threadpool(read)

    async def receivers(self, call: Call) -> Response:
        await self.admit(call)
        return answer(views.receivers(views.parse_query(call.request.query_params.multi_items())), 200)

    async def status(self, call: Call) -> Response:
        await self.admit(call)
        return answer(views.status(__version__, self.ways.started_at), 200)

    # silences

    async def silences(self, call: Call) -> Response:
        admitted = await self.admit(call)
        query = views.parse_query(call.request.query_params.multi_items())
        found = await run_in_threadpool(self.ways.silences, admitted)
        return answer(views.gettable_silences(found, self.now(), query), 200)

    async def post_silence(self, call: Call) -> Response:
        admitted = await self.admit(call)
        body = await call.read(MAX_BODY)
        id = await asyncio.wrap_future(self.ways.put_silence(admitted, body))
        return answer({"silenceID": id}, 200)

    async def silence(self, call: Call) -> Response:
        admitted = await self.admit(call)
        found = await run_in_threadpool(self.ways.silence, admitted, call.request.path_params["id"])
        return answer(views.gettable_silence(found, self.now()), 200)

    async def delete_silence(self, call: Call) -> Response:
        admitted = await self.admit(call)
        await asyncio.wrap_future(self.ways.end_silence(admitted, call.request.path_params["id"]))
        return Response(status_code=200)

    # health

    async def well(self, request: Request) -> Response:
        await run_in_threadpool(self.door.web.engine.store.read, lambda reader: reader.mark("records"))
        return PlainTextResponse("OK")

    async def well_with_key(self, call: Call) -> Response:
        await self.admit(call)
        return await self.well(call.request)


def refused_some(parsed: Parsed) -> Response:
    """The answer where some alerts could not be taken; the others were."""
    return _string(mask("; ".join(parsed.refused[:20])[:8000]), 400)


def refusal(error: TocsinError) -> Response:
    """A refusal as the API's description has it: the reason as a JSON text."""
    response = _string(shown(error.sentence, 4000), 400 if isinstance(error, Refused) else error.status)
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer, Basic realm="Tocsin"'
    return response


def _string(sentence: str, status: int) -> Response:
    return Response(api.error_body(sentence), status, media_type="application/json")
