"""Live changes as server-sent events, and what machines ask: health, readiness, metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal
from tocsin.incidents.facts import TypeSet, read
from tocsin.kernel.clock import to_iso
from tocsin.kernel.errors import Busy, Forbidden, TocsinError, Unauthenticated
from tocsin.kernel.facts import Fact
from tocsin.web import auth
from tocsin.web.base import Web

BEAT = 15.0
"""seconds without a word after which a listener hears that the stream lives, however much happens that is not for them"""
AGAIN = 2.0
"""seconds until a store that did not answer is asked again"""
FRESH = {"cache-control": "no-store"}
"""how things stand is asked anew each time, whatever caches are in between"""
GATHER = 0.1
"""seconds in which a burst of commits becomes one look: a flood of alerts must not work for each listener each time"""


HIDDEN = "hidden"
"""what somebody hears, without a name, when an incident that everybody saw is hidden from them: their page has to let it go"""


def hides(fact: Fact) -> bool:
    """Whether an incident that everybody saw is restricted by this fact."""
    if fact.type != TypeSet.type or fact.visibility == "restricted" or fact.body is None:
        return False
    body = read(fact)
    return isinstance(body, TypeSet) and body.restricted


class News(msgspec.Struct, frozen=True):
    """``events`` as they are sent, empty for none; ``position`` of the last fact that was looked at."""

    events: str
    position: int


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
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":  # an answer without a body would never end
            return Response(media_type="text/event-stream", headers=headers)
        start = await run_in_threadpool(self._start, request.headers.get("last-event-id", ""))
        return StreamingResponse(
            self._stream(request, start), media_type="text/event-stream", headers=headers
        )

    def _viewer(self, request: Request) -> Principal:
        principal = auth.principal_of(self.web.engine, request)
        decision = authorize(principal, "view")
        if not decision.allowed:
            raise Forbidden(decision.reason)
        return principal

    def _start(self, last: str) -> int:
        """Where to go on: after the last event that was seen, at the present end where there is none.

        One beyond the end was seen before the database was restored.
        """
        end = self.web.engine.store.read(lambda r: r.last_position())
        return min(int(last), end) if last.isascii() and last.isdigit() and len(last) < 19 else end

    def _news(self, request: Request, position: int) -> News | None:
        """What happened since, for who asks as of now; None where they may ask no longer. Raises :class:`Busy`."""
        try:
            principal = self._viewer(request)
        except (Unauthenticated, Forbidden):
            return None
        facts = self.web.engine.store.read(lambda r: r.facts_since(position))
        names: dict[str, str] = {}
        events = []
        for fact in facts:
            if fact.stream.kind != "incident":
                continue
            if fact.stream.id not in names:
                names[fact.stream.id] = self._name(principal, fact.stream.id)
            name, kind = names[fact.stream.id], fact.type
            if not name and hides(fact):
                kind = HIDDEN
            elif not name:
                continue
            data = json.dumps({"incident": name, "type": kind, "at": to_iso(fact.recorded_at)})
            events.append(f"id: {fact.position}\nevent: fact\ndata: {data}\n\n")
        return News("".join(events), facts[-1].position if facts else position)

    def _name(self, principal: Principal, incident: str) -> str:
        """The number of an incident; empty for one that is none of the principal's business, or cannot be read."""
        try:
            return self.web.engine.incident(principal, incident).name
        except Busy:
            raise
        except TocsinError:
            return ""

    async def _stream(self, request: Request, position: int) -> AsyncIterator[str]:
        loop = self.web.event_loop = asyncio.get_running_loop()
        waker = asyncio.Event()
        self.web.wakers.add(waker)
        try:
            # an id without data is no event, and says from where to go on before anything has happened
            yield f"id: {position}\n: welcome\n\n"
            spoke = loop.time()
            while True:
                waker.clear()
                try:
                    news = await run_in_threadpool(self._news, request, position)
                    patience = BEAT
                except Busy:  # the listener stays, and hears afterwards what it missed
                    news, patience = News("", position), AGAIN
                if news is None:
                    return
                if news.events:
                    yield news.events
                    spoke = loop.time()
                if news.position != position:
                    position = news.position
                    continue
                if loop.time() >= spoke + BEAT:
                    yield f"id: {position}\n: still here\n\n"
                    spoke = loop.time()
                try:
                    await asyncio.wait_for(waker.wait(), min(patience, spoke + BEAT - loop.time()))
                except TimeoutError:
                    continue
                await asyncio.sleep(GATHER)
        finally:
            self.web.wakers.discard(waker)

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n", headers=FRESH)

    async def readyz(self, request: Request) -> Response:
        """Ready means: can accept and commit. Lateness does not make it red."""
        now = self.web.engine.clock.now()
        await run_in_threadpool(
            self.web.engine.store.write, lambda tx: tx.put_meta("ready", str(now).encode())
        )
        return PlainTextResponse("ready\n", headers=FRESH)

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
        return PlainTextResponse(
            "\n".join(lines) + "\n", headers=FRESH, media_type="text/plain; version=0.0.4"
        )
