"""The ways in: one endpoint for each protocol. A 2xx follows the commit; a refused request is kept for the integration's owner."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tocsin.engine.receiving import Integration
from tocsin.identity.tokens import key_hash
from tocsin.intake import pagerduty
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Unauthenticated, Unusable
from tocsin.kernel.ports import RequestRow
from tocsin.kernel.randomness import dedup_key, ulid
from tocsin.web.base import Web


class Intake:
    """One method for each protocol."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self._integrations: dict[str, Integration] = {}
        self._mark = -1

    def routes(self) -> list[Route]:
        """The addresses of intake."""
        return [
            Route("/v2/enqueue", self.enqueue, methods=["POST"]),
            Route("/v2/change/enqueue", self.enqueue_change, methods=["POST"]),
        ]

    def integration(self, key: str) -> Integration:
        """The integration of a key; raises :class:`Unauthenticated`."""

        def find(reader):  # type: ignore[no-untyped-def]
            mark = reader.mark("records")
            if mark != self._mark:
                self._integrations, self._mark = {}, mark
            digest = key_hash(key, self.web.engine.secret)
            if digest not in self._integrations:
                row = reader.record_by("integration", digest)
                if row is None:
                    raise Unauthenticated(
                        "this integration key is not known; copy it from the integration's page"
                    )
                self._integrations[digest] = decode(row.body, Integration)
            return self._integrations[digest]

        return self.web.engine.store.read(find)

    async def keep(self, integration: Integration, status: int, reason: str, body: bytes) -> None:
        """Keeps a refused request for the integration's owner to see."""
        now = self.web.engine.clock.now()
        row = RequestRow(
            ulid(self.web.engine.randomness, now), integration.id, now, status, reason[:1000], body[:65536]
        )
        await run_in_threadpool(self.web.engine.store.write, lambda tx: tx.put_request(row))

    async def enqueue(self, request: Request) -> Response:
        body = await request.body()
        try:
            key, alert = pagerduty.parse_enqueue(body)
        except Unusable as error:
            await self._keep_refused(body, error)
            return JSONResponse(pagerduty.refused(error), 400)
        integration = await run_in_threadpool(self.integration, key)
        alert.dedup_key = alert.dedup_key or dedup_key(self.web.engine.randomness)
        await asyncio.wrap_future(self.web.engine.receive(integration, [alert]))
        return JSONResponse(pagerduty.accepted(alert.dedup_key), 202)

    async def enqueue_change(self, request: Request) -> Response:
        body = await request.body()
        try:
            key, change = pagerduty.parse_change(body)
        except Unusable as error:
            await self._keep_refused(body, error)
            return JSONResponse(pagerduty.refused(error), 400)
        integration = await run_in_threadpool(self.integration, key)
        await asyncio.wrap_future(self.web.engine.receive(integration, [], [change]))
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
