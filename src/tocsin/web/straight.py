"""The straight way of the alerts that Prometheus sends again and again: from the parser of a request to the store and back.

The answers are those of :class:`tocsin.web.alertmanager.AlertmanagerApi`, and anything out of the ordinary goes there: a key
that was not seen before, a body without a length or a large one, an encoding, a connection that ends with its request. What
is saved is a task, a scope, a route and a time-out for each request, which cost more than the alert.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

import structlog
from starlette.responses import Response

from tocsin.alerts.shape import Parsed
from tocsin.engine.together import Together
from tocsin.engine.ways_in import Admitted, Body, Came, WaysIn
from tocsin.intake.alertmanager_api import parse_alerts
from tocsin.intake.gate import Gate, Place
from tocsin.intake.limits import READ_SECONDS, TooSlow, kept_headers
from tocsin.kernel.errors import Busy, TocsinError
from tocsin.kernel.redact import mask
from tocsin.web.alertmanager import refusal, refused_some
from tocsin.web.door import LARGE, PROMETHEUS, Door

log = structlog.get_logger("tocsin.web")

Headers = Sequence[tuple[bytes, bytes]]

ROOT = b"/api/v2/alerts"
BELOW = b"/in/alertmanager/"
ELSEWHERE = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"))
"""headers that make a request one for the other way"""
END_OF_HEAD = b"\r\n\r\n"
MOST_HEADS = 2048
LONGEST_HEAD = 2048
"""heads of requests that are remembered, and how long each may be: a sender's are alike but for the length of the body"""
TOGETHER = 100
"""alerts of several requests that go to the store together"""
NOSNIFF = (b"x-content-type-options", b"nosniff")


class Connection(Protocol):
    """What is asked of the connection that a request came by."""

    loop: Any

    def respond(self, post: Post, status: int, headers: Headers, body: bytes) -> None:
        """Writes the answer of a post, unless nobody is there any more, and goes on with the next request."""
        ...


class Straight:
    """See the module; one for each application."""

    def __init__(self, door: Door, failed: Callable[[], Response]) -> None:
        self._clock = door.web.engine.clock
        self._gate: Gate = door.gate
        self._ways: WaysIn = door.ways
        self._failed = failed
        self._gathered: list[Post] = []
        self._waits: tuple[Group, Together[Body]] | None = None
        """what was given to the store last"""
        self._ready: deque[tuple[list[Post], Future[Any]]] = deque()
        self._woken = False
        self._heads: dict[bytes, tuple[int, str, Headers]] = {}
        """head of a request that went this way → the length of its body, its key, its headers"""

    def learn(self, data: bytes, post: Post) -> None:
        """Remembers the head of a request that ``data`` holds as a whole and alone."""
        head = data[: len(data) - len(post.body)]
        if len(head) <= LONGEST_HEAD and head.find(END_OF_HEAD) == len(head) - len(END_OF_HEAD):
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            self._heads[head] = (len(post.body), post.key, post.headers)

    def again(self, head: bytes, length: int) -> Post | None:
        """A request with a head that was seen before and a body of ``length``; None where it has to be parsed."""
        known = self._heads.get(head)
        if known is None or known[0] != length:
            return None
        _, key, headers = known
        admitted = self._ways.known(key)
        if admitted is None or admitted.integration.source not in PROMETHEUS:
            return None
        return Post(self, key, admitted, headers)

    def takes(self, url: bytes, headers: Headers) -> Post | None:
        """A request whose head this is, or None where it has to go the other way."""
        length, key, shown = b"", b"", False
        for name, value in headers:
            if name in ELSEWHERE:
                return None
            if name == b"content-length":
                length = value
            elif name == b"authorization":
                if shown:  # which of two counts is said there
                    return None
                key, shown = value, True
        if not (length.isdigit() and len(length) < 8 and 0 < int(length) < LARGE):
            return None
        if url == ROOT:
            scheme, _, key = key.partition(b" ")
            if scheme.lower() != b"bearer":
                return None
        elif url.startswith(BELOW) and url.endswith(ROOT):
            key = url[len(BELOW) : -len(ROOT)]
        else:
            return None
        said = key.strip().decode("latin-1")
        admitted = self._ways.known(said)
        if admitted is None or admitted.integration.source not in PROMETHEUS:
            return None
        return Post(self, said, admitted, headers)

    # one request

    def take(self, post: Post, connection: Connection) -> None:
        """Takes a body that is complete; the answer follows once it is on disk."""
        post.connection = connection
        try:
            post.place = self._gate.enter().__enter__()
            post.place.add(len(post.body))
            parsed = parse_alerts(post.body, self._clock.now())
            if parsed.refused:
                post.answer = refused_some(parsed)
        except TocsinError as error:
            self._refuse(post, error)
        except Exception as error:  # noqa: BLE001  # answered and logged as everywhere
            self._break(post, error)
        else:
            post.parsed = parsed
            if not self._gathered:
                connection.loop.call_soon(self._pass_on)
            self._gathered.append(post)

    def _pass_on(self) -> None:
        """What arrived in one turn of the loop goes to the store together, as far as it is of one integration."""
        gathered, self._gathered = self._gathered, []
        group: Group | None = None
        for post in gathered:
            keys = {alert.dedup_key for alert in post.parsed.alerts}
            if group is not None and group.takes(post.admitted, keys):
                group.take([post], keys)
                continue
            if group is not None:
                self._receive(group)
            group = Group(post, keys)
        if group is not None:
            self._receive(group)

    def _receive(self, group: Group, *, alone: bool = False) -> None:
        """Gives a group to the store, with the one before it where that still waits for its turn there."""
        admitted, before, self._waits = group.admitted, self._waits, None
        bodies = [
            self._ways.body(
                admitted, post.parsed, post.came(), post.answer.status_code if post.answer else 200
            )
            for post in group.posts
        ]
        if (
            not alone
            and before is not None
            and before[0].takes(admitted, group.keys)
            and before[1].add(bodies)
        ):
            before[0].take(group.posts, group.keys)
            self._waits = before
            return
        together = Together(bodies)
        try:
            future = self._ways.receive_several(admitted, together)
        except TocsinError as error:
            for post in group.posts:
                self._refuse(post, error)
        except Exception as error:  # noqa: BLE001  # answered and logged as everywhere
            for post in group.posts:
                self._break(post, error)
        else:
            self._waits = None if alone else (group, together)
            future.add_done_callback(partial(self._arrived, group.posts))

    def too_slow(self, post: Post, connection: Connection) -> None:
        """The body of an admitted request did not arrive in time."""
        post.connection = connection
        self._refuse(post, TooSlow(f"the body did not arrive within {READ_SECONDS} seconds; send it again"))

    def _refuse(self, post: Post, error: TocsinError) -> None:
        post.answer = refusal(error)
        kept = None
        if error.status < 500:
            kept = self._ways.refuse(post.admitted, error.status, mask(error.sentence[:8000]), post.came())
        if kept is None:
            self._respond(post)
        else:
            post.refused = True
            kept.add_done_callback(partial(self._arrived, [post]))

    def _break(self, post: Post, error: BaseException) -> None:
        log.error("a request failed in an unforeseen way", exc_info=error)
        post.answer = self._failed()
        self._respond(post)

    def _arrived(self, group: list[Post], done: Future[Any]) -> None:
        """Called by the thread that commits, for many requests at once: the loop is woken once for all of them."""
        self._ready.append((group, done))
        if not self._woken:
            self._woken = True
            group[0].connection.loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._woken = False
        while self._ready:
            group, done = self._ready.popleft()
            error = done.exception()
            if error is not None and len(group) > 1 and not isinstance(error, Busy):
                for post in group:  # one of them may be what is wrong: the others are taken
                    self._receive(Group(post, set()), alone=True)
                continue
            for post in group:
                if error is None or post.refused:
                    self._respond(post)
                elif isinstance(error, TocsinError):
                    self._refuse(post, error)
                else:
                    self._break(post, error)

    def _respond(self, post: Post) -> None:
        if post.place is not None:
            post.place.__exit__(None, None, None)
        found = post.answer
        if found is None:
            post.connection.respond(post, 200, OK, b"")
        else:
            post.connection.respond(post, found.status_code, [*found.raw_headers, NOSNIFF], bytes(found.body))


class Group:
    """Requests whose alerts go to the store together: ``keys`` are those of the alerts."""

    def __init__(self, first: Post, keys: set[str]) -> None:
        self.admitted, self.posts, self.keys = first.admitted, [first], keys

    def takes(self, admitted: Admitted, keys: set[str]) -> bool:
        """Whether a request may come along. What happens to one alert stays apart: one that fires and clears is told of twice."""
        few = len(self.keys) + len(keys) <= TOGETHER
        return few and admitted is self.admitted and self.keys.isdisjoint(keys)

    def take(self, posts: list[Post], keys: set[str]) -> None:
        """Takes requests along."""
        self.posts += posts
        self.keys |= keys


OK: Headers = ((b"content-length", b"0"), NOSNIFF)


_NOTHING = Parsed()


class Post:
    """One request on the straight way. To the protocol it looks like the cycle of any other."""

    def __init__(self, way: Straight, key: str, admitted: Admitted, headers: Headers) -> None:
        self.way, self.key, self.admitted, self.headers = way, key, admitted, headers
        self.connection: Connection = None  # type: ignore[assignment]  # known once the body is there
        self.pieces: list[bytes] = []
        self.place: Place | None = None
        self.parsed: Parsed = _NOTHING
        self.answer: Response | None = None
        """the answer where it is not the usual one"""
        self.refused = False
        """whether nothing of it was taken, and its owner is shown it"""
        self.response_complete = self.disconnected = False
        self.keep_alive = True
        self.message_event = _Nobody()

    @property
    def body(self) -> bytes:
        """What has arrived of the body."""
        if len(self.pieces) > 1:
            self.pieces = [b"".join(self.pieces)]
        return self.pieces[0] if self.pieces else b""

    def came(self) -> Came:
        """What is worth keeping of it."""
        return Came(self.body, self._kept, self.key)

    def _kept(self) -> str:
        return kept_headers({name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers})


class _Nobody:
    """Nobody waits for pieces of the body."""

    def set(self) -> None:
        return
