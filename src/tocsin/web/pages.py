"""The pages people see, and the link in a page (``/a/TOKEN``)."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tocsin.engine import delivery
from tocsin.identity.principals import Principal
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.timeline import line
from tocsin.kernel.errors import NotFound, TocsinError, Unauthenticated
from tocsin.kernel.ports import Message
from tocsin.web import auth
from tocsin.web.base import Web, command_from, names_of


class Pages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of the pages."""
        return [
            Route("/a/{token}", self.link, methods=["GET", "POST"]),
            Route("/sign-in", self.sign_in, methods=["GET", "POST"]),
            Route("/sign-in/{secret}", self.sign_in_link, methods=["GET", "POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/", self.now),
            Route("/incidents", self.now),
            Route("/incidents/{reference}", self.incident, methods=["GET", "POST"]),
            Route("/phone", self.phone_pane),
        ]

    async def link(self, request: Request) -> Response:
        """A GET shows and never acknowledges: mail scanners follow links."""
        token = request.path_params["token"]
        try:
            if request.method == "POST":
                await run_in_threadpool(self.web.engine.acknowledge_link, token)
            link, incidents = await run_in_threadpool(self.web.engine.link, token)
        except NotFound as error:
            return self.web.page("message.html", request, 404, title="Link not found", text=error.sentence)
        directory = await run_in_threadpool(self.web.engine.directory)
        now = self.web.engine.clock.now()
        contexts = [
            (
                one,
                delivery.context_of(one, directory, self.web.engine.public_url, now),
                directory.name(one.holder) if one.holder else "",
            )
            for one in incidents
        ]
        open_ones = [one for one in incidents if one.open and not one.holder]
        return self.web.page(
            "ack.html",
            request,
            person=directory.name(link.person),
            contexts=contexts,
            waiting=bool(open_ones),
            token=token,
        )

    async def sign_in(self, request: Request) -> Response:
        if request.method == "GET":
            return self.web.page("sign_in.html", request, error="")
        form = await request.form()
        try:
            secret, _ = await run_in_threadpool(
                auth.sign_in, self.web.engine, str(form.get("login", "")), str(form.get("password", ""))
            )
        except Unauthenticated as error:
            return self.web.page("sign_in.html", request, 401, error=error.sentence)
        return self._with_cookie(request, secret)

    async def sign_in_link(self, request: Request) -> Response:
        if request.method == "GET":
            return self.web.page("link.html", request, secret=request.path_params["secret"])
        try:
            secret, _ = await run_in_threadpool(auth.use_link, self.web.engine, request.path_params["secret"])
        except NotFound as error:
            return self.web.page("message.html", request, 404, title="Sign-in link", text=error.sentence)
        return self._with_cookie(request, secret)

    def _with_cookie(self, request: Request, secret: str) -> Response:
        answer = RedirectResponse("/", 303)
        secure = self.web.engine.public_url.startswith("https://")
        answer.set_cookie(
            auth.COOKIE, secret, httponly=True, samesite="lax", secure=secure, max_age=30 * 86400
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        found = await self.web.signed_in(request)
        if isinstance(found, Response):
            return found
        await run_in_threadpool(auth.sign_out, self.web.engine, found[1])
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(auth.COOKIE)
        return answer

    async def now(self, request: Request) -> Response:
        found = await self.web.signed_in(request)
        if isinstance(found, Response):
            return found
        principal, session = found
        rows = await run_in_threadpool(
            lambda: self.web.engine.incidents(principal, open=request.url.path == "/" or None)
        )
        directory = await run_in_threadpool(self.web.engine.directory)
        on_call = [
            (
                one.name,
                *(
                    directory.on_call(one.id, self.web.engine.clock.now(), position).person or ""
                    for position in ("primary", "secondary")
                ),
            )
            for one in directory.schedules.values()
        ]
        return self.web.page(
            "now.html",
            request,
            session=session,
            rows=rows,
            on_call=on_call,
            name=directory.name,
            me=principal.person,
            phone=self.web.phone is not None,
            all=request.url.path != "/",
        )

    async def incident(self, request: Request) -> Response:
        found = await self.web.signed_in(request)
        if isinstance(found, Response):
            return found
        principal, session = found
        reference, error = request.path_params["reference"], ""
        if request.method == "POST":
            form = {name: str(value) for name, value in (await request.form()).items()}
            try:
                command = command_from(
                    form.pop("verb", ""),
                    {k: v for k, v in form.items() if k != "csrf" and v != ""} | {"incident": reference},
                )
                await run_in_threadpool(lambda: self.web.engine.execute(principal, command, via="web"))
                return RedirectResponse(f"/incidents/{reference}", 303)
            except TocsinError as refused:
                error = refused.sentence
        values = await run_in_threadpool(self._incident_values, principal, reference)
        return self.web.page(
            "incident.html",
            request,
            409 if error else 200,
            session=session,
            error=error,
            me=principal.person,
            **values,
        )

    def _incident_values(self, principal: Principal, reference: str) -> dict[str, Any]:
        incident = self.web.engine.incident(principal, reference)
        facts = self.web.engine.facts(principal, reference)
        directory = self.web.engine.directory()
        policy = self.web.engine.store.read(lambda r: self.web.engine.policy_of(r, incident.policy)[0])
        names = names_of(self.web.engine, directory)
        clocks = [standing(duty, self.web.engine.clock.now()) for duty in duties(incident, policy)]
        return {
            "incident": incident, "lines": [line(fact, names) for fact in reversed(facts)], "clocks": clocks, "name": directory.name,
            "people": sorted(directory.people.values(), key=lambda person: person.name), "roles": {key: role.name for key, role in policy.roles.items()},
        }  # fmt: skip

    async def phone_pane(self, request: Request) -> Response:
        found = await self.web.signed_in(request)
        if isinstance(found, Response) or self.web.phone is None:
            return (
                found
                if isinstance(found, Response)
                else self.web.page(
                    "message.html",
                    request,
                    404,
                    title="No phone",
                    text="The phone belongs to the demonstration.",
                )
            )
        messages: list[Message] = list(self.web.phone.messages)[-30:]
        directory = await run_in_threadpool(self.web.engine.directory)
        return self.web.page(
            "phone.html", request, session=found[1], messages=list(reversed(messages)), name=directory.name
        )
