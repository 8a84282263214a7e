"""The ways in: webhooks, heartbeats and PagerDuty's Events API; with them the addresses of all of intake.

A 2xx follows the commit; what was refused is kept for the integration's owner. The Alertmanager API has a file of its
own (:mod:`tocsin.web.alertmanager`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from tocsin.alerts.shape import Parsed, fit_key
from tocsin.engine.receiving import Outcome
from tocsin.intake import pagerduty
from tocsin.intake.gate import Gate
from tocsin.intake.limits import MAX_EVENT_BODY, TooSlow
from tocsin.intake.sources import SOURCES
from tocsin.kernel.errors import (
    Busy,
    Forbidden,
    NotFound,
    TocsinError,
    Unauthenticated,
    Unusable,
    UnusableMany,
)
from tocsin.kernel.randomness import dedup_key
from tocsin.kernel.redact import shown
from tocsin.web.addresses import at
from tocsin.web.alertmanager import AlertmanagerApi
from tocsin.web.base import Web, problem
from tocsin.web.door import PROMETHEUS, Call, Door, answer, keys_of, where

SHOWN = 100
"""outcomes told in an answer; a large batch is counted"""
TAKEN = {"event": "taken", "reason": "taken"}
"""what a sender hears of an alert whose incident is restricted: owners see the rest with its request"""
MOST_SAID = 4000
"""characters of a refusal"""


class Intake:
    """The addresses. ``gate`` bounds what is on its way in at once."""

    def __init__(self, web: Web, gate: Gate | None = None) -> None:
        self.door = Door(web, gate)
        self.ways, self.randomness = self.door.ways, web.engine.randomness

    def routes(self) -> list[Route]:
        """The addresses of intake."""
        way = self.door.way
        return [
            *at("/v2/enqueue", way(self.enqueue, pagerduty_refusal), "POST"),
            *at("/v2/change/enqueue", way(self.enqueue_change, pagerduty_refusal), "POST"),
            *AlertmanagerApi(self.door).routes(),
            *at("/in/heartbeat/{key}", way(self.heartbeat, refusal), "GET", "POST"),
            *at("/in/heartbeat", way(self.heartbeat, refusal), "GET", "POST"),
            *at("/in/{source}/{key}", way(self.webhook, refusal), "POST"),
            *at("/in/{source}", way(self.webhook, refusal), "POST"),
        ]

    # webhooks and heartbeats

    async def webhook(self, call: Call) -> Response:
        name = call.request.path_params["source"]
        source = SOURCES.get(name)
        if source is None or source.kind != "webhook":
            ways = ", ".join(one.name for one in SOURCES.values() if one.kind == "webhook")
            other = f"; use {where(name)}" if source is not None else f"; there are {ways}"
            raise NotFound(f"no webhook is named {shown(name, 40)}{other}")
        admitted = await self.door.admit(
            call, keys_of(call.request), PROMETHEUS if name in PROMETHEUS else (name,)
        )
        body = await call.read(source.limit)
        if source.maps:  # a mended mapping works at once
            admitted = call.admitted = await run_in_threadpool(self.ways.fresh, admitted)
        parsed = await self.door.parse(source, body, admitted.integration.mapping)
        status = 400 if parsed.refused else 202
        outcomes = await asyncio.wrap_future(self.ways.receive(admitted, parsed, call.came(), status))
        return answer(told(parsed, outcomes, status), status)

    async def heartbeat(self, call: Call) -> Response:
        admitted = await self.door.admit(call, keys_of(call.request), ("heartbeat",))
        found = await asyncio.wrap_future(self.ways.beat(admitted, call.came()))
        return answer({"status": "accepted", "message": found.reason}, 202)

    # PagerDuty Events v2

    async def enqueue(self, call: Call) -> Response:
        body = await call.read(MAX_EVENT_BODY)
        parsed = Parsed()
        try:
            header = call.request.headers.get("x-routing-key", "").strip()
            key, alert = pagerduty.parse_enqueue(body, parsed.notes, routing_key=header)
        except Unusable:
            await self._whose(call)
            raise
        admitted = await self.door.admit(call, (key,), ("pagerduty",))
        sent = alert.dedup_key or dedup_key(self.randomness)
        alert.dedup_key = fit_key(sent)
        parsed.alerts.append(alert)
        await asyncio.wrap_future(self.ways.receive(admitted, parsed, call.came()))
        return answer(pagerduty.accepted(sent), 202)

    async def enqueue_change(self, call: Call) -> Response:
        body = await call.read(MAX_EVENT_BODY)
        parsed = Parsed()
        try:
            key, change = pagerduty.parse_change(body, parsed.notes)
        except Unusable:
            await self._whose(call)
            raise
        admitted = await self.door.admit(call, (key,), ("pagerduty",))
        parsed.changes.append(change)
        await asyncio.wrap_future(self.ways.receive(admitted, parsed, call.came()))
        return answer(pagerduty.accepted(None), 202)

    async def _whose(self, call: Call) -> None:
        """Where a refused body still names a known key, its owner is shown the request and what was wrong with it."""
        try:
            event = msgspec.json.decode(call.body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return
        key = event.get("routing_key") if isinstance(event, dict) else None
        if not isinstance(key, str) or not key:
            return
        try:
            await self.door.admit(call, (key,), ("pagerduty",))
        except (Unauthenticated, Forbidden):
            call.admitted = None


def told(parsed: Parsed, outcomes: list[Outcome], status: int) -> dict[str, Any]:
    """What became of each alert, with its reason; of a large batch the first hundred."""
    body: dict[str, Any] = {
        "status": "accepted" if status < 300 else "partly refused",
        "count": len(outcomes),
        "alerts": [
            {"dedup_key": one.dedup_key} | TAKEN
            if one.restricted
            else {"dedup_key": one.dedup_key, "event": one.event, "reason": one.reason}
            for one in outcomes[:SHOWN]
        ],
    }
    if parsed.changes:
        body["changes"] = len(parsed.changes)
    if parsed.notes:
        body["notes"] = parsed.notes[:20]
    if parsed.refused:
        body["refused"] = parsed.refused[:SHOWN]
    return body


def refusal(error: TocsinError) -> Response:
    """A refusal as a problem document; secrets that slipped into a body are not said back."""
    if isinstance(error, UnusableMany):
        return problem(Unusable(shown(error.sentence, MOST_SAID), error.faults[0].where))
    if isinstance(error, Unusable):
        return problem(Unusable(shown(error.sentence, MOST_SAID), error.where))
    return problem(error)


def pagerduty_refusal(error: TocsinError) -> Response:
    """A refusal as the Events API words it: 400 whatever is wrong with the event, 429 where the intake is full.

    Its clients wait at 429 and try again at 5xx; of other answers they know nothing.
    """
    if isinstance(error, Busy):
        body = {"status": "throttle exceeded", "message": error.sentence, "errors": [error.sentence]}
        response = answer(body, 429)
        response.headers["Retry-After"] = str(error.retry_after)
        return response
    if error.status >= 500 or isinstance(error, TooSlow):
        body = {"status": "refused", "message": error.sentence, "errors": [error.sentence]}
        return answer(body, max(error.status, 503))
    return answer(pagerduty.refused(error), 400)
