"""The doors: signing in and out, the link in a page (``/a/TOKEN``), and the phone of the demonstration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tocsin.kernel.errors import NotFound, Unauthenticated
from tocsin.web import auth
from tocsin.web.ack_view import ack_page, acknowledge, decline
from tocsin.web.base import Visit, Web
from tocsin.web.phone_view import rung
from tocsin.web.security import TooMany, read_form, same_site

FORM = "application/x-www-form-urlencoded"

T = TypeVar("T")

AT_ONCE = 3
"""passwords that are looked at together"""
WAITING = 50
"""sign-ins that may wait for their turn"""
UNSAVED = "you were signed out meanwhile, and what you sent was not saved; sign in and send it again"


class Pages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self._few: anyio.CapacityLimiter | None = None

    def routes(self) -> list[Route]:
        """The addresses of the doors."""
        return [
            Route("/a/{token}", self.link, methods=["GET", "POST"]),
            Route("/sign-in", self.sign_in, methods=["GET", "POST"]),
            Route("/sign-in/{secret}", self.sign_in_link, methods=["GET", "POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            self.web.route("/phone", self.phone),
        ]

    async def link(self, request: Request) -> Response:
        """A GET shows and never acknowledges: mail scanners follow links."""
        token = request.path_params["token"]
        try:
            if request.method == "POST":
                # the button of a push message sends no form at all
                sent = await read_form(request) if request.headers.get("content-type") == FORM else FormData()
                declines = sent.get("verb") == "decline"
                await run_in_threadpool(decline if declines else acknowledge, self.web.engine, token)
            return await run_in_threadpool(ack_page, self.web, request, token)
        except NotFound as error:
            return self.web.page("message.html", request, 404, title="Link not found", text=error.sentence)

    async def sign_in(self, request: Request) -> Response:
        """Ten tries in a quarter of an hour for one name from one address, and for one person by whichever of their names; the
        links in pages need no sign-in.

        A try counts before it is made, and few passwords are looked at together: each takes tens of megabytes.
        """
        if request.method != "POST":
            return self.web.page(
                "sign_in.html",
                request,
                error=UNSAVED if "unsaved" in request.query_params else "",
                next=_local(request.query_params.get("next", "")),
            )
        same_site(request, self.web.engine.public_url)
        form = await read_form(request)
        login, following = str(form.get("login", "")), _local(str(form.get("next", "")))
        address = self.web.from_where(request)
        key = (address, login.strip().casefold()[:120])
        try:
            self.web.sign_ins.take(key)
            self.web.sign_ins_from.take(address)
            secret, session = await self._one_of_few(
                lambda: auth.sign_in(
                    self.web.engine,
                    login,
                    str(form.get("password", "")),
                    auth.device(request),
                    lambda person: self.web.sign_ins_as.takes((address, person)),
                )
            )
        except (Unauthenticated, TooMany) as error:
            answer = self.web.page(
                "sign_in.html",
                request,
                error.status,
                error=error.sentence,
                next=following,
                login=login[:120],
            )
            if isinstance(error, TooMany):
                answer.headers["retry-after"] = str(error.retry_after)
            return answer
        self.web.sign_ins.forget(key)
        self.web.sign_ins_as.forget((address, session.person))
        self.web.sign_ins_from.give_back(address)
        return self._with_cookie(secret, following or "/")

    async def _one_of_few(self, work: Callable[[], T]) -> T:
        """Runs what takes a lot of memory in one of few threads; those who wait hold none. Refuses where too many wait."""
        if self._few is None:
            self._few = anyio.CapacityLimiter(AT_ONCE)
        if self._few.statistics().tasks_waiting >= WAITING:
            raise TooMany("too many people sign in at this moment; try again in a few seconds", 5)
        return await anyio.to_thread.run_sync(work, limiter=self._few)

    async def sign_in_link(self, request: Request) -> Response:
        """A GET shows a button only: what follows links in mails must not use it up."""
        secret = request.path_params["secret"]
        if request.method != "POST":
            return self.web.page("link.html", request, secret=secret)
        same_site(request, self.web.engine.public_url)
        try:
            cookie, session = await run_in_threadpool(
                auth.use_link, self.web.engine, secret, auth.device(request)
            )
        except NotFound as error:
            return self.web.page("message.html", request, 404, title="Sign-in link", text=error.sentence)
        new = await run_in_threadpool(
            lambda: self.web.engine.store.read(lambda r: r.record("password", session.person)) is None
        )
        return self._with_cookie(cookie, "/account" if new else "/")

    def _with_cookie(self, secret: str, path: str) -> Response:
        answer = RedirectResponse(path, 303)
        answer.set_cookie(
            auth.COOKIE, secret, httponly=True, samesite="lax", secure=self.web.secure, max_age=90 * 86400
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        found = await self.web.signed_in(request)
        if isinstance(found, Response):
            return found
        await run_in_threadpool(auth.sign_out, self.web.engine, found[1])
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(auth.COOKIE)
        answer.headers["clear-site-data"] = '"cache", "storage"'
        return answer

    def phone(self, visit: Visit) -> Response:
        """Everybody's messages, in a demonstration."""
        if self.web.phone is None:
            raise NotFound("The phone belongs to the demonstration.")
        return visit.page("phone.html", messages=rung(visit, self.web.phone.messages))


def _local(path: str) -> str:
    """Where to go after signing in: an address of this site, or nothing."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path[:300] if plain and "\\" not in path else ""
