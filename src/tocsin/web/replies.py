"""Where providers send what comes back: ``/in/reply/{sms,voice,status}/KEY``. The key and the provider's signature both have to fit."""

from __future__ import annotations

import hmac

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from tocsin.engine import replies
from tocsin.intake.limits import check_headers, check_size
from tocsin.kernel.errors import NotFound, Unauthenticated
from tocsin.kernel.ports import Replies as Reading
from tocsin.web.base import Web
from tocsin.web.forms import check_charset

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
        form = await self._form(request)
        url = self.web.engine.public_url + request.url.path
        url += f"?{request.url.query}" if request.url.query else ""
        read = self._reading.read(kind, url, form, request.headers.get("x-twilio-signature", ""))
        said = await run_in_threadpool(replies.answer, self.web.engine, read)
        content_type, answer = self._reading.say(kind, said)
        return Response(answer, media_type=content_type)

    @staticmethod
    async def _form(request: Request) -> list[tuple[str, str]]:
        """The posted fields in their order; raises 413 before more of a body is read than an answer can have."""
        check_headers(request.headers, limit=LIMIT)
        check_charset(request.headers.get("content-type", ""))
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            check_size(size, limit=LIMIT)
            pieces.append(piece)

        async def whole() -> Message:
            return {"type": "http.request", "body": b"".join(pieces), "more_body": False}

        form = await Request(request.scope, whole).form(max_files=0, max_fields=200)
        return [(name, str(value)) for name, value in form.multi_items()]
