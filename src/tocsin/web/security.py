"""What every answer carries, where a request came from, and how often somebody may try."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from starlette.datastructures import FormData, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.kernel.clock import MINUTE, SECOND, Clock, Instant
from tocsin.kernel.errors import Busy, Forbidden, TocsinError, Unusable
from tocsin.kernel.redact import mask
from tocsin.web.forms import check_charset

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
DOCS_CSP = CSP.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""The API's documentation page writes style attributes of its own."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
PRIVATE = ("text/html", "text/markdown", "application/problem+json", "application/x-ndjson")
"""content types that no cache keeps unless the answer says so: pages, the guide, errors, exports"""
MAX_FORM = 512 * 1024
HSTS = "max-age=31536000"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TooMany(Busy):
    """Somebody tries too often; ``retry_after`` says when again."""

    status = 429


class SecurityHeaders:
    """Adds the headers to every answer that does not set them itself; HSTS where the public address is https."""

    def __init__(self, app: ASGIApp, https: bool = False) -> None:
        self.app = app
        self.extra = dict(HEADERS) | ({"strict-transport-security": HSTS} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.extra.items():
                    headers.setdefault(name, value)
                kind = headers.get("content-type", "")
                if kind.startswith("text/html"):
                    headers.setdefault("content-security-policy", CSP)
                if kind.startswith(PRIVATE):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, marked)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of ``TOCSIN_TRUSTED_PROXIES``; raises :class:`Unusable` for one that cannot be read."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise Unusable(f"{text[:60]!r} is no address or network", "trusted_proxies") from None
    return tuple(found)


def client_address(request: Request, trusted: Sequence[Network]) -> str:
    """Where a request came from: the nearest hop of ``X-Forwarded-For`` that is no trusted proxy, else the peer."""
    peer = request.client.host if request.client else ""
    hops = [
        hop.strip() for hop in ",".join(request.headers.getlist("x-forwarded-for")).split(",") if hop.strip()
    ]
    while hops and _within(peer, trusted):
        peer = hops.pop()
    return peer


def _within(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found.version == network.version and found in network for network in trusted)


async def read_form(request: Request) -> FormData:
    """The posted fields; raises :class:`Unusable` before a body is read that no form of ours could have sent."""
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > MAX_FORM:
        raise Unusable(f"a form has at most {MAX_FORM} bytes and says how many", "Content-Length")
    check_charset(request.headers.get("content-type", ""))
    return await request.form(max_files=0, max_fields=500)


def same_site(request: Request, public_url: str = "") -> None:
    """Refuses a form of another site where there is no session yet to carry a token. Browsers say where a form came from.

    Those of the day say it in ``Sec-Fetch-Site``, except over plain HTTP; there, and in older ones, ``Origin`` must be this
    site: the host that was asked for, or that of ``public_url``. What says neither is no browser.
    """
    site, origin = request.headers.get("sec-fetch-site", ""), request.headers.get("origin", "")
    if site in ("same-origin", "none") or (
        not site and (not origin or _is_ours(origin, request, public_url))
    ):
        return
    raise Forbidden(
        f"this form came from another site ({mask(origin)[:100] or site}); open the page here and send it again. If that is"
        " the address of this installation, set TOCSIN_PUBLIC_URL to it"
    )


def _is_ours(origin: str, request: Request, public_url: str) -> bool:
    theirs = urlsplit(origin).netloc.lower()
    return bool(theirs) and theirs in (
        request.headers.get("host", "").lower(),
        urlsplit(public_url).netloc.lower(),
    )


class Throttle:
    """At most ``limit`` counts for one key within ``window``. In memory: each process counts for itself."""

    def __init__(self, clock: Clock, limit: int, window: int = 15 * MINUTE, keys: int = 10_000) -> None:
        self.clock, self.limit, self.window, self.keys = clock, limit, window, keys
        self._counted: dict[Hashable, list[Instant]] = {}
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> None:
        """Checks and counts at once, before the try is made: many at the same moment are counted one by one.

        Raises :class:`TooMany` where the key has used up its tries.
        """
        now = self.clock.now()
        with self._lock:
            self._check(key, now)
            self._count(key, now)

    def takes(self, key: Hashable) -> bool:
        """Takes a try, or answers that the key has none left."""
        try:
            self.take(key)
        except TooMany:
            return False
        return True

    def give_back(self, key: Hashable) -> None:
        """The last try of the key does not count."""
        with self._lock:
            counted = self._counted.get(key)
            if counted:
                counted.pop()
            if not counted:
                self._counted.pop(key, None)

    @contextmanager
    def turn(self, key: Hashable) -> Iterator[None]:
        """Takes a try for what is done within; one that is refused there does not count."""
        self.take(key)
        try:
            yield
        except TocsinError:
            self.give_back(key)
            raise

    def _check(self, key: Hashable, now: Instant) -> None:
        recent = self._recent(key, now)
        if len(recent) >= self.limit:
            wait = max(1, (recent[-self.limit] + self.window - now) // SECOND)
            raise TooMany(f"too many tries; try again in {-(-wait // 60)} min", wait)

    def _count(self, key: Hashable, now: Instant) -> None:
        if len(self._counted) >= self.keys:
            self._counted = {
                one: times for one, times in self._counted.items() if times[-1] > now - self.window
            }
        self._counted[key] = [*self._recent(key, now), now][-self.limit :]

    def forget(self, key: Hashable) -> None:
        """Whoever got in starts anew."""
        with self._lock:
            self._counted.pop(key, None)

    def _recent(self, key: Hashable, now: Instant) -> list[Instant]:
        return [at for at in self._counted.get(key, ()) if now - self.window < at <= now]
