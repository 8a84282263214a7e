"""Addresses as senders and programs find them: with or without a slash at the end, and one route for each, whatever the method."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Endpoint = Callable[[Request], Awaitable[Response]]

_NAME = re.compile(r"\{(\w+)(?::\w+)?\}")


def at(path: str, endpoint: Endpoint, *methods: str) -> list[Route]:
    """The routes of an address, with a slash at its end too.

    Starlette would answer that with a redirect to whatever host the request names, which senders do not follow and which is
    not ours to say.
    """
    return [Route(one, endpoint, methods=list(methods)) for one in (path, f"{path}/")]


def one_for_each(routes: Iterable[Route]) -> list[Route]:
    """One route for each address, in the order in which they came first, that knows all of its methods.

    So that the answer to another method (405) names every one that may be used, and not only those of the first route.
    """
    found: dict[str, _Address] = {}
    for route in routes:
        shape = _NAME.sub("{}", route.path)
        found.setdefault(shape, _Address(route.path)).add(route)
    return [Route(address.path, address.answer, methods=list(address.methods)) for address in found.values()]


class _Address:
    """The endpoints of one address by method. Their names for the pieces of the address may differ."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names = _NAME.findall(path)
        self.methods: dict[str, tuple[list[str], Endpoint]] = {}

    def add(self, route: Route) -> None:
        for method in sorted(route.methods or ()):
            self.methods.setdefault(method, (_NAME.findall(route.path), route.endpoint))

    async def answer(self, request: Request) -> Response:
        names, endpoint = self.methods[request.method]
        if names != self.names:
            given = request.scope["path_params"]
            request.scope["path_params"] = {
                name: given[own] for name, own in zip(names, self.names, strict=True)
            }
        return await endpoint(request)
