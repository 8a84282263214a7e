"""Where providers send what comes back: ``/in/reply/{sms,voice,status}/KEY``. The key and the provider's signature both have to fit."""

from __future__ import annotations

import hmac

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine import replies
from tocsin.kernel.errors import NotFound, Unauthenticated
from tocsin.kernel.ports import Replies as Reading
from tocsin.web.base import Web

LIMIT = 64 * 1024


class Replies:
    """One address for each kind of answer."""

    def __init__(self, web: Web, reading: Reading | None) -> None:
        self.web, self._reading = web, reading

    def routes(self) -> list[Route]:
        """The addresses."""
        return [Route("/in/reply/{kind}/{key}", self.reply, methods=["POST"])]

    async def reply(self, request: Request) -> Response:
        kind, key = request.path_params["kind"], request.path_params["key"]
        if self._reading is None or kind not in ("sms", "voice", "status"):
            raise NotFound("nothing is answered here: no provider that sends answers is configured")
        if not hmac.compare_digest(key.encode(), self.web.engine.reply_key.encode()):
            raise Unauthenticated("this reply key is not known")
        body = await request.body()
        if len(body) > LIMIT:
            raise Unauthenticated("this body is too large for an answer")
        form = [(name, str(value)) for name, value in (await request.form()).multi_items()]
        url = self.web.engine.public_url + request.url.path
        url += f"?{request.url.query}" if request.url.query else ""
        read = self._reading.read(kind, url, form, request.headers.get("x-twilio-signature", ""))
        said = await run_in_threadpool(replies.answer, self.web.engine, read)
        content_type, answer = self._reading.say(kind, said)
        return Response(answer, media_type=content_type)
