"""The HTTP protocol of the server, bounded where uvicorn is not: how large the head of a request is, and how long it and
the body take; and a request names one host (RFC 9112, section 3.2).

What is refused here never reaches the application; how large a body may be is bounded there, by address.

And a request that offers another protocol beside its own (``Upgrade: h2c``: Java's client does so with each, curl with
``--http2``) is read as what it is besides: uvicorn would pass it on without its body.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tocsin.intake.limits import READ_SECONDS
from tocsin.web.straight import END_OF_HEAD, OK, Headers, Post, Straight

MAX_HEAD = 64 * 1024
"""bytes of a request's first line and headers together"""
HEAD_SECONDS = 30.0
"""within which the head must have arrived: whoever opens connections and says nothing must not fill the places of others"""
BODY_SECONDS = 60.0
"""within which the body must have arrived after its head, whether anybody reads it or it is answered already. The ways in
say so themselves, and earlier (:data:`tocsin.intake.limits.READ_SECONDS`)"""
MAX_CONNECTIONS = 2000
"""at once; more are answered 503. Live pages hold one each, senders one while they send"""

_TOO_LARGE = (
    b"431 Request Header Fields Too Large",
    b"the first line and the headers have more than %d kB" % (MAX_HEAD // 1024),
)
_NO_ONE_HOST = (b"400 Bad Request", b"a request of HTTP/1.1 names its host, in one Host header")


class _Unacceptable(Exception):
    """Ends the parsing of a request."""


class BoundedProtocol(HttpToolsProtocol):
    """See the module."""

    _head = 0
    """bytes of the head that were parsed"""
    _unparsed = 0
    """bytes that arrived since anything was parsed: a header that never ends is parsed only at its end"""
    _between = True
    """whether nothing of a request has arrived since the last one"""
    _in_head = False
    _wrong: tuple[bytes, bytes] | None = None
    """status and words for a request that is refused although it can be parsed"""
    _timer: asyncio.TimerHandle | None = None
    _declined = b""
    """the head of a request without the protocol that it offered, to be read once more"""

    _made: ClassVar[tuple[object, bytes]] = (None, b"")
    _straight: Straight | None = None
    """takes what needs nothing of the application; see :mod:`tocsin.web.straight`"""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._straight = getattr(self.config.app, "straight", None)
        self._start_timer(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        went_on, between, before = self._in_head, self._between, self.cycle
        self._unset_keepalive_if_required()
        if between and self._again(data):
            return
        self._parse(data)
        if between and self._between and self.cycle is not before and isinstance(self.cycle, Post):
            self.cycle.way.learn(data, self.cycle)
        if self._in_head and went_on and not self.transport.is_closing():
            self._unparsed += len(data)
            if self._unparsed > MAX_HEAD:
                self._refuse(_TOO_LARGE)

    def _again(self, data: bytes) -> bool:
        """Takes a whole request whose head is, byte for byte, one that was parsed and went the straight way before."""
        if self._straight is None or not self._free():
            return False
        end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
        post = self._straight.again(data[:end], len(data) - end)
        if post is None:
            return False
        self._stop_timer()
        post.pieces.append(data[end:])
        self.cycle = post  # type: ignore[assignment]
        self._straight.take(post, self)
        return True

    def _free(self) -> bool:
        """Whether what came before is answered, and there are not too many."""
        before = self.cycle
        return (before is None or before.response_complete) and len(self.connections) < (
            self.limit_concurrency or MAX_CONNECTIONS
        )

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while True:
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as stop:
                    head, self._declined = self._declined, b""
                    if not head:  # a CONNECT: this is no proxy
                        return
                    rest = rest[stop.args[0] :]
                    self.parser.feed_data(head)
        except httptools.HttpParserError:
            said = "Invalid HTTP request received."
            self.logger.warning(said)
            self.send_400_response(said)

    def on_message_begin(self) -> None:
        self._in_head, self._head, self._unparsed, self._between = True, 0, 0, False
        if self._timer is None:
            self._start_timer(HEAD_SECONDS)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._declined = self._without_offer()
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._wrong = _NO_ONE_HOST
            raise _Unacceptable  # the parser stops, and asks for a refusal
        self._in_head = False
        self._stop_timer()
        post = self._post()
        if post is not None:
            self.cycle = post  # type: ignore[assignment]  # what uvicorn asks of a cycle, a post answers
            self._timer = self.loop.call_later(READ_SECONDS, self._too_slow, post)
            return
        self._start_timer(BODY_SECONDS)
        super().on_headers_complete()

    def _post(self) -> Post | None:
        """The request where it can go the straight way."""
        parser = self.parser
        if (
            self._straight is None
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or not self._free()
            or self.root_path
        ):
            return None
        return self._straight.takes(self.url, self.headers)

    def _too_slow(self, post: Post) -> None:
        self._timer = None
        post.keep_alive = False
        post.way.too_slow(post, self)

    def on_body(self, body: bytes) -> None:
        if isinstance(self.cycle, Post):
            if not self.cycle.response_complete:
                self.cycle.pieces.append(body)
            return
        super().on_body(body)

    def respond(self, post: Post, status: int, headers: Headers, body: bytes) -> None:
        """Writes the answer of a post, unless nobody is there any more, and goes on with the next request."""
        post.response_complete = True
        if post.disconnected or self.transport.is_closing():
            return
        if headers is OK and post.keep_alive:
            self.transport.write(self._usual())
        else:
            self.transport.write(self._written(status, headers, body, post.keep_alive))
        if not post.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _written(self, status: int, headers: Headers, body: bytes, keep_alive: bool) -> bytes:
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        return b"".join((*lines, b"\r\n" if keep_alive else b"connection: close\r\n\r\n", body))

    def _usual(self) -> bytes:
        """The answer that nearly all get, made once for each date that the server writes."""
        defaults, answer = BoundedProtocol._made
        if defaults is not self.server_state.default_headers:
            defaults, answer = self.server_state.default_headers, self._written(200, OK, b"", True)
            BoundedProtocol._made = (defaults, answer)
        return answer

    def _without_offer(self) -> bytes:
        offers = (b"upgrade", b"http2-settings")
        lines = [
            b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        ]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(
                    one for part in value.split(b",") if (one := part.strip()).lower() not in offers
                )
                if not value:
                    continue
            if name not in offers:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_complete(self) -> None:
        if self._declined:
            return
        self._between = True
        self._stop_timer()
        if isinstance(self.cycle, Post):
            if not (self.cycle.response_complete or self.cycle.refused):
                self.cycle.way.take(self.cycle, self)
            return
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._wrong is not None:
            self._refuse(self._wrong)
        else:
            self._end_with(b"400 Bad Request", msg.encode())

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            self._wrong = _TOO_LARGE
            raise _Unacceptable  # as above

    def _refuse(self, wrong: tuple[bytes, bytes]) -> None:
        self._in_head = False
        self._end_with(*wrong)

    def _end_with(self, status: bytes, said: bytes) -> None:
        """The last answer of a connection whose request did not reach the application."""
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (status, len(said), said)
        )
        self.transport.close()

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
