"""The door that every way in goes through: a place in the gate, whose key it is, the body within its limits."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tocsin.alerts.shape import Parsed
from tocsin.engine.ways_in import UNKNOWN, Admitted, Came, WaysIn
from tocsin.intake.gate import Gate, Place
from tocsin.intake.limits import READ_SECONDS, TooSlow, check_headers, check_size, kept_headers
from tocsin.intake.sources import Source
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Forbidden, TocsinError, Unauthenticated
from tocsin.kernel.redact import mask
from tocsin.web.base import Web

LARGE = 256 * 1024
"""bytes from which a body is read in a thread, so that the others do not wait for it"""
PROMETHEUS = ("prometheus", "alertmanager")
"""sources whose keys open both of Alertmanager's protocols"""


class Call:
    """One request on its way in: whose it is, once its key was seen, and its body, once that was read."""

    def __init__(self, request: Request, place: Place) -> None:
        self.request, self.place = request, place
        self.admitted: Admitted | None = None
        self.key, self.body = "", b""

    def came(self) -> Came:
        """What is worth keeping of it."""
        return Came(self.body, partial(kept_headers, self.request.headers), self.key)

    async def read(self, limit: int) -> bytes:
        """The body; raises 413, 415, 408, or :class:`Busy`, before more of it is read than may be."""
        check_headers(self.request.headers, limit=limit)
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for piece in self.request.stream():
                    size += len(piece)
                    check_size(size, limit=limit)
                    self.place.add(len(piece))
                    pieces.append(piece)
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {READ_SECONDS} seconds; send it again") from None
        self.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self.body


Handler = Callable[[Call], Awaitable[Response]]
Refusal = Callable[[TocsinError], Response]


class Door:
    """The gate and who goes through it. ``gate`` bounds what is on its way in at once."""

    def __init__(self, web: Web, gate: Gate | None = None) -> None:
        self.web, self.gate = web, gate or Gate()
        self.ways = WaysIn(web.engine)

    def way(self, handler: Handler, refused: Refusal) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a handler: it holds a place in the gate, and words refusals as its protocol does."""

        async def endpoint(request: Request) -> Response:
            call: Call | None = None
            try:
                with self.gate.enter() as place:
                    call = Call(request, place)
                    return await handler(call)
            except TocsinError as error:
                if call is not None:
                    await self._keep(call, error)
                return refused(error)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it

        return endpoint

    async def _keep(self, call: Call, error: TocsinError) -> None:
        if call.admitted is None or error.status >= 500:
            return
        kept = self.ways.refuse(call.admitted, error.status, mask(error.sentence[:8000]), call.came())
        if kept is not None:
            await asyncio.wrap_future(kept)

    async def admit(self, call: Call, keys: Sequence[str], sources: Sequence[str]) -> Admitted:
        """The integration of the first key that is one; raises 401 for an unknown key, 403 for one of another kind."""
        for key in keys:
            admitted = self.ways.known(key)
            if admitted is None:
                try:
                    admitted = await run_in_threadpool(self.ways.find, key)
                except Unauthenticated:
                    continue
            call.key, call.admitted = key, admitted
            kind = admitted.integration.source
            if kind not in sources:
                raise Forbidden(f"this key is for {where(kind)}, and does not open this address")
            return admitted
        raise Unauthenticated(UNKNOWN)

    async def parse(self, source: Source, body: bytes, mapping: dict[str, str]) -> Parsed:
        """What a body holds; raises :class:`Unusable`."""
        now = self.web.engine.clock.now()
        if len(body) < LARGE:
            return source.parse(body, now, mapping)
        return await run_in_threadpool(source.parse, body, now, mapping)


def keys_of(request: Request) -> list[str]:
    """The keys a request shows: the one in its path, else a bearer token, else a Basic password or user."""
    if key := request.path_params.get("key"):
        return [key]
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return [rest]
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            return []
        return [one for one in (password, user) if one]
    return []


def where(source: str) -> str:
    """The address a key of ``source`` opens, in words."""
    addresses = {"pagerduty": "POST /v2/enqueue", "prometheus": "/in/alertmanager/KEY/api/v2/alerts"}
    return addresses.get(source, f"/in/{source}/KEY")


def answer(body: Any, status: int) -> Response:
    """A JSON answer."""
    return Response(encode(body), status, {"cache-control": "no-store"}, media_type="application/json")
