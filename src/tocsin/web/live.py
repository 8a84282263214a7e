"""Live changes as server-sent events, and what machines ask: health, readiness, metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal
from tocsin.kernel.clock import to_iso
from tocsin.kernel.errors import Forbidden, TocsinError, Unauthenticated
from tocsin.kernel.facts import Fact
from tocsin.web import auth
from tocsin.web.base import Web


class Live:
    """The event stream and the probes."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of the stream and the probes."""
        return [
            Route("/api/v1/events", self.events),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def events(self, request: Request) -> Response:
        """Whoever may view incidents; a stream ends once its principal is no longer who they were."""
        await run_in_threadpool(self._viewer, request)
        last = request.headers.get("last-event-id", "")
        start = (
            int(last)
            if last.isascii() and last.isdigit() and len(last) < 19
            else await run_in_threadpool(lambda: self.web.engine.store.read(lambda r: r.last_position()))
        )
        return StreamingResponse(
            self._stream(request, start),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def _viewer(self, request: Request) -> Principal:
        principal = auth.principal_of(self.web.engine, request)
        decision = authorize(principal, "view")
        if not decision.allowed:
            raise Forbidden(decision.reason)
        return principal

    def _look(self, request: Request, position: int) -> tuple[Principal, list[Fact]] | None:
        """Who asks as of now, and what happened since; None where they may ask no longer."""
        try:
            principal = self._viewer(request)
        except (Unauthenticated, Forbidden):
            return None
        return principal, self.web.engine.store.read(lambda r: r.facts_since(position))

    def _event(self, principal: Principal, fact: Fact) -> str:
        """One event; empty for what is none of the principal's business, or cannot be read."""
        if fact.stream.kind != "incident":
            return ""
        try:
            incident = self.web.engine.incident(principal, fact.stream.id)
        except TocsinError:
            return ""
        data = json.dumps({"incident": incident.name, "type": fact.type, "at": to_iso(fact.recorded_at)})
        return f"id: {fact.position}\nevent: fact\ndata: {data}\n\n"

    async def _stream(self, request: Request, position: int) -> AsyncIterator[str]:
        self.web.event_loop = asyncio.get_running_loop()
        waker = asyncio.Event()
        self.web.wakers.add(waker)
        try:
            yield ": welcome\n\n"
            while True:
                waker.clear()
                found = await run_in_threadpool(self._look, request, position)
                if found is None:
                    return
                principal, facts = found
                for fact in facts:
                    position = fact.position
                    event = await run_in_threadpool(self._event, principal, fact)
                    if event:
                        yield event
                if facts:
                    continue
                try:
                    await asyncio.wait_for(waker.wait(), 15)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self.web.wakers.discard(waker)

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """Ready means: can accept and commit. Lateness does not make it red."""
        now = self.web.engine.clock.now()
        await run_in_threadpool(
            self.web.engine.store.write, lambda tx: tx.put_meta("ready", str(now).encode())
        )
        return PlainTextResponse("ready\n")

    def _firing(self) -> int:
        """What anybody may count who can ask for figures."""
        return self.web.engine.store.read(lambda r: r.count_alerts(include_restricted=False))

    async def metrics(self, request: Request) -> Response:
        timer, page = await run_in_threadpool(self.web.engine.lateness)
        firing = await run_in_threadpool(self._firing)
        lines = [
            "# HELP tocsin_oldest_overdue_timer_seconds Lateness of the oldest timer that is due.",
            "# TYPE tocsin_oldest_overdue_timer_seconds gauge",
            f"tocsin_oldest_overdue_timer_seconds {timer / 1e6}",
            "# HELP tocsin_oldest_undelivered_page_seconds Since when the oldest message that is due has not left or reached nobody.",
            "# TYPE tocsin_oldest_undelivered_page_seconds gauge",
            f"tocsin_oldest_undelivered_page_seconds {page / 1e6}",
            "# HELP tocsin_alerts_firing Alerts that fire now, those of restricted incidents left out.",
            "# TYPE tocsin_alerts_firing gauge",
            f"tocsin_alerts_firing {firing}",
            "# HELP tocsin_streams_set_aside Streams, messages and channels that failed and are tried again later.",
            "# TYPE tocsin_streams_set_aside gauge",
            f"tocsin_streams_set_aside {len(self.web.engine.poisoned)}",
        ]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
