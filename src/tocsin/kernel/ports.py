"""The ports: what the engine asks of a store and of a channel. Rows here know nothing of incidents or people.

A store runs functions inside transactions. ``write`` functions receive a :class:`Transaction`, may be run again after a
conflict, and therefore touch nothing outside it. All times are instants (UTC microseconds) given by the caller: no
statement asks the database what time it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import Fact, Stream

T = TypeVar("T")


class StreamRow(msgspec.Struct):
    """The head of a stream, its folded snapshot, and the columns lists are made of; written with its facts.

    ``number`` is the human number within ``series`` (``INC`` 123, ``DRILL`` 7). ``members``: space-separated principals
    who may see it when ``restricted``. ``search`` is the text that full-text search looks through.
    """

    stream: Stream
    series: str
    number: int
    version: int
    head: bytes
    fold: int
    """version of the fold that made ``snapshot``; another one means fold again"""
    snapshot: bytes
    """the state after some version, the stream's or an earlier one"""
    status: str = ""
    severity: str = ""
    title: str = ""
    open: bool = True
    restricted: bool = False
    drill: bool = False
    members: str = ""
    opened_at: Instant = 0
    updated_at: Instant = 0
    search: str = ""


class AlertRow(msgspec.Struct):
    """One alert: mutable, keyed (integration, dedup_key), ``episode`` counts its firings.

    ``status``: ``firing``, ``resolved``, ``expired``. ``state`` of routing: ``attached``, ``held`` (flapping hold-off),
    ``silenced``, ``maintenance``, ``logged`` (below what opens an incident), ``withdrawn``, ``ending`` (its
    source resolved it, and its incident could not be told yet). ``ends_at`` is when it expires unless sent
    again (0: never). ``body`` is the JSON of everything else the page shows (labels, links, details).
    """

    integration: str
    dedup_key: str
    episode: int
    status: str
    state: str
    severity: str
    summary: str
    service: str
    incident: str
    group_key: str
    reason: str
    started_at: Instant
    """by the source's clock"""
    received_at: Instant
    """first receipt of this episode"""
    last_at: Instant
    """last receipt"""
    source_at: Instant
    """the source's own time of the last event, for ordering; 0 where it has none"""
    ends_at: Instant
    cleared_at: Instant
    repeats: int
    body: bytes
    restricted: bool = False


class OutboxRow(msgspec.Struct):
    """An effect that must leave: delivered at least once, under ``key`` (fact, effect, recipient, channel).

    ``state``: ``waiting``, ``leased``, ``done``, ``failed``, ``withdrawn``, ``held`` (restored copy). ``scope`` is the stream
    it belongs to (``incident/01J…``) or empty, ``tag`` groups rows that are withdrawn together (a page's id).
    """

    id: str
    key: str
    effect: str
    channel: str
    recipient: str
    address: str
    scope: str
    tag: str
    urgency: int
    """0 is the most urgent"""
    not_before: Instant
    created_at: Instant
    payload: bytes
    state: str = "waiting"
    attempts: int = 0
    lease_until: Instant = 0
    lease_token: str = ""
    last_error: str = ""
    finished_at: Instant = 0


class Ended(NamedTuple):
    """How an outbox row that was leased under ``token`` ends: ``done``, ``failed``, ``withdrawn``."""

    id: str
    token: str
    state: str
    error: str = ""


class Stuck(NamedTuple):
    """Messages of a channel that it was given and did not take, ``since`` the first of them was due; ``error`` is the last one's.

    ``lost``: pages that failed for good and reached nobody; else they are tried again.
    """

    channel: str
    lost: bool
    messages: int
    since: Instant
    error: str


class TimerRow(msgspec.Struct):
    """The earliest thing that falls due for ``(kind, key)``: one row each, leased while it is worked on."""

    kind: str
    key: str
    due_at: Instant
    lease_until: Instant = 0
    lease_token: str = ""


class RequestRow(msgspec.Struct):
    """A request to an integration as it came, kept for its owner to see."""

    id: str
    integration: str
    received_at: Instant
    status: int
    reason: str
    body: bytes
    headers: str = ""


class ChangeRow(msgspec.Struct):
    """A deployment or configuration change, shown beside the onset of an incident."""

    id: str
    integration: str
    service: str
    at: Instant
    received_at: Instant
    summary: str
    body: bytes


class RecordRow(msgspec.Struct):
    """A live record (person, contact, schedule, override, token, session, silence …) as JSON, with one look-up column."""

    kind: str
    id: str
    lookup: str
    body: bytes
    updated_at: Instant
    expires_at: Instant = 0


class DocumentRow(msgspec.Struct):
    """One version of a document (the policy), kept for ever by content hash. ``current`` marks the one in force."""

    kind: str
    name: str
    version: int
    hash: str
    body: bytes
    created_at: Instant
    created_by: str
    reason: str
    current: bool


ALL_FACTS = 2**62
"""a state that is folded of less than all of its facts is a wrong one"""


class Reader(Protocol):
    """What can be asked of one consistent view of the store."""

    # facts and streams
    def facts(self, stream: Stream, after: int = 0, limit: int = ALL_FACTS) -> list[Fact]: ...
    def facts_since(self, position: int, limit: int = 500) -> list[Fact]:
        """Facts of all streams after ``position`` in an order that cannot skip one that commits later."""
        ...

    def last_position(self) -> int: ...
    def stream(self, stream: Stream) -> StreamRow | None: ...
    def stream_by_number(self, series: str, number: int) -> StreamRow | None: ...
    def last_fact(self) -> tuple[int, bytes]:
        """(position, hash) of the newest fact of all; (0, b"") where there is none."""
        ...

    def fact_hash(self, position: int) -> bytes | None:
        """The hash of the fact at a position, or None where there is none."""
        ...

    def changed_streams(self, kind: str, after: int, limit: int) -> dict[str, bytes] | None:
        """The streams of a kind that gained facts after a position, id → the hash of its last; None where there are over
        ``limit`` facts.
        """
        ...

    def streams(
        self,
        kind: str,
        *,
        open: bool | None = None,
        principal: str | None = None,
        severity: str = "",
        status: str = "",
        search: str = "",
        drill: bool | None = None,
        before: tuple[Instant, str] | None = None,
        limit: int = 100,
    ) -> list[StreamRow]:
        """Newest first. ``principal``: None sees all; otherwise restricted rows only where it is a member.

        ``before``: (opened_at, id) of the last row of the page before. ``search``: words, all must match.
        """
        ...

    def heads_of(self, kind: str, ids: Collection[str]) -> dict[str, tuple[int, bytes]]:
        """id → (version, head hash) of those of the streams that exist."""
        ...

    def heads(self, kind: str | None = None) -> dict[str, tuple[int, bytes]]:
        """``kind/id`` → (version, head hash) of every stream; for seals."""
        ...

    # alerts
    def alerts_by_key(self, integration: str, keys: Sequence[str]) -> dict[str, AlertRow]: ...
    def alerts_of(self, incident: str) -> list[AlertRow]: ...
    def alerts(
        self,
        *,
        integration: str | None = None,
        status: str | None = None,
        state: str | None = None,
        include_restricted: bool = True,
        after: tuple[str, str] | None = None,
        limit: int = 1000,
    ) -> list[AlertRow]: ...
    def alerts_ending(self, until: Instant, limit: int = 500) -> list[AlertRow]:
        """Firing alerts whose ``ends_at`` is set and not after ``until``, earliest first."""
        ...

    def next_end(self) -> Instant | None:
        """A moment before which no firing alert ends, and at which one may; None where none ever does."""
        ...

    def count_alerts(self, status: str = "firing", *, include_restricted: bool = True) -> int: ...
    def group(self, group_key: str) -> tuple[str, Instant, Instant] | None:
        """(incident id, opened_at, last_joined_at) of the open group, or None."""
        ...

    def changes(
        self,
        *,
        services: Sequence[str] | None = None,
        since: Instant = 0,
        until: Instant | None = None,
        limit: int = 100,
    ) -> list[ChangeRow]:
        """Newest first; ``services`` also matches changes that name none."""
        ...

    # timers and outbox
    def timer(self, kind: str, key: str) -> TimerRow | None: ...
    def next_timer(self) -> Instant | None:
        """When the earliest timer that is not leased falls due; a lease that ends later counts from its end."""
        ...

    def next_outbox(self) -> Instant | None: ...
    def outbox_of(self, scope: str) -> list[OutboxRow]: ...
    def outbox(
        self, *, state: str | None = None, recipient: str | None = None, limit: int = 200
    ) -> list[OutboxRow]:
        """The newest first, by their ids."""
        ...

    def outbox_row(self, id: str) -> OutboxRow | None: ...
    def oldest_waiting(self, now: Instant) -> tuple[Instant | None, Instant | None]:
        """(due_at of the oldest overdue timer, first due moment of the oldest undelivered row); None where nothing is late."""
        ...

    def oldest_unreached(self, effect: str) -> Instant | None: ...
    def stuck(self) -> list[Stuck]:
        """What channels did not take, of each channel those that are tried again before those that failed for good."""
        ...

    # records and documents
    def record(self, kind: str, id: str) -> RecordRow | None: ...
    def record_by(self, kind: str, lookup: str) -> RecordRow | None: ...
    def records(self, kind: str) -> list[RecordRow]: ...
    def newest_records(self, kind: str, limit: int, before: str = "") -> list[RecordRow]:
        """The last by their ids, the greatest first; ``before``: with a smaller one."""
        ...

    def mark(self, name: str) -> int:
        """A counter; ``records`` counts every change of a record, so that caches can be checked."""
        ...

    def meta(self, name: str) -> bytes | None: ...
    def metas(self, prefix: str) -> dict[str, bytes]: ...
    def metas_named(self, names: Collection[str]) -> dict[str, bytes]:
        """Those of ``names`` that there are."""
        ...

    def document(self, kind: str, name: str) -> DocumentRow | None:
        """The current version."""
        ...

    def document_by_hash(self, hash: str) -> DocumentRow | None: ...
    def document_versions(self, kind: str, name: str) -> list[DocumentRow]: ...
    def requests(self, integration: str, limit: int = 50) -> list[RequestRow]: ...


class Transaction(Reader, Protocol):
    """A unit of work: everything it writes is committed together or not at all."""

    def next_number(self, series: str) -> int: ...
    def append(self, facts: Sequence[Fact]) -> None:
        """Appends one stream's facts; raises :class:`~tocsin.kernel.errors.Conflict` where a version exists already."""
        ...

    def put_stream(self, row: StreamRow, *, behind: bool = False) -> None:
        """Writes head, snapshot and list columns (insert or update). ``behind``: the snapshot that is stored stays."""
        ...

    def move_head(self, stream: Stream, version: int, head: bytes, now: Instant) -> None:
        """Notes that a stream has gone on where nothing that its row shows has changed; its snapshot lies behind then."""
        ...

    def redact(self, stream: Stream, fact_id: str, stand_in: bytes | None = None) -> bool:
        """Drops a fact's body, or puts ``stand_in`` in its place; the digest stays in the header.

        False where there is no such fact. What is overwritten from here on does not stay behind in the file.
        """
        ...

    def put_alerts(self, rows: Sequence[AlertRow]) -> None: ...
    def touch_alerts(self, rows: Sequence[AlertRow]) -> None:
        """Writes what a mere repeat changes: times of receipt and expiry, and the count of repeats. None may end sooner than
        before.
        """
        ...

    def look_later(self, now: Instant, limit: int = 500) -> None:
        """Of the alerts that might have ended by ``now`` and did not, notes when they do; of ``limit`` of them."""
        ...

    def move_alerts(self, source: str, target: str, keys: Sequence[tuple[str, str]] | None = None) -> None:
        """Points alerts (and open groups) of one incident at another; ``keys`` limits it to some (integration, key)."""
        ...

    def put_group(self, group_key: str, incident: str, opened_at: Instant, joined_at: Instant) -> None: ...
    def look_up_groups(self, group_keys: Collection[str]) -> None:
        """Reads the groups that will be asked for, all in one query."""
        ...

    def drop_groups(self, incident: str) -> None: ...
    def put_changes(self, rows: Sequence[ChangeRow]) -> None: ...
    def put_request(self, row: RequestRow, keep: int = 50) -> None:
        """Keeps a request; the oldest beyond ``keep`` of that integration may be dropped."""
        ...

    @property
    def due(self) -> bool:
        """Whether this unit of work has written anything that may fall due: whoever waits for that is woken after its commit."""
        ...

    @due.setter
    def due(self, due: bool) -> None: ...

    def set_timer(self, kind: str, key: str, due_at: Instant | None) -> None:
        """Writes the one timer row of (kind, key), or removes it where ``due_at`` is None. Clears a lease."""
        ...

    def wake_streams(self, kind: str, at: Instant) -> None:
        """Every open stream of a kind has a timer due at ``at`` or before. Clears leases.

        For what changes under all of them: people and schedules, or the clock itself.
        """
        ...

    def lease_timers(
        self, now: Instant, lease_until: Instant, token: str, limit: int, kinds: Sequence[str] | None = None
    ) -> list[TimerRow]:
        """Due timers that nobody holds, marked as held by ``token``; earliest first."""
        ...

    def complete_timer(self, kind: str, key: str, token: str, next_due: Instant | None) -> bool:
        """Re-arms or removes a leased timer; False where the token no longer holds it."""
        ...

    def put_outbox(self, rows: Sequence[OutboxRow]) -> None:
        """Adds rows; one whose key exists already is left as it is."""
        ...

    def lease_outbox(
        self, now: Instant, lease_until: Instant, token: str, limit: int, exclude_channels: Sequence[str] = ()
    ) -> list[OutboxRow]: ...
    def lease_sent(
        self, now: Instant, lease_until: Instant, token: str, limit: int
    ) -> list[OutboxRow] | None:
        """Leases what this unit of work itself has put into the outbox and is due; None where that is more than ``limit``."""
        ...

    def complete_outbox(self, id: str, token: str, state: str, now: Instant, error: str = "") -> bool: ...
    def complete_several(self, ends: Sequence[Ended], now: Instant) -> set[Ended]:
        """Ends rows, each under its own lease; answers those that were still held under it."""
        ...

    def retry_outbox(self, id: str, token: str, not_before: Instant, error: str) -> bool:
        """Back to waiting after one attempt more; ``withdrawn`` where it was withdrawn while it was on its way."""
        ...

    def put_back(self, ids: Collection[str], token: str, not_before: Instant | None = None) -> None:
        """Leased rows that were not tried wait again: for when they were due before, or from ``not_before``; ``withdrawn`` where
        they were withdrawn meanwhile.
        """
        ...

    def reword_outbox(self, id: str, payload: bytes) -> None:
        """Writes a row's payload over, whatever its state; what it held before does not stay behind in the file."""
        ...

    def withdraw_outbox(
        self, scope: str, now: Instant, *, tag: str | None = None, recipient: str | None = None
    ) -> int:
        """Withdraws what has not left and says how many rows that were.

        A row whose lease runs is on its way: it is not counted, its worker reports as usual, it is not tried again.
        """
        ...

    def release_leases(self) -> int:
        """Frees what was leased. For a store that one process uses, at its start: whoever held the leases is gone."""
        ...

    def release_held(self) -> int:
        """Lets a restored copy's outbox and timers go (foundation 25)."""
        ...

    def hold_all(self) -> None: ...
    def put_record(self, row: RecordRow) -> None: ...
    def put_records(self, rows: Sequence[RecordRow]) -> None: ...
    def delete_record(self, kind: str, id: str) -> bool: ...
    def put_meta(self, name: str, value: bytes | None) -> None: ...
    def put_metas(self, values: Mapping[str, bytes]) -> None: ...
    def put_document(self, row: DocumentRow) -> None:
        """Adds a version; where ``current``, the one before stops being so."""
        ...

    def remembered(self, principal: str, key: str) -> tuple[bytes, bytes] | None:
        """(digest of the request, stored answer) of an idempotency key, or None."""
        ...

    def remember(self, principal: str, key: str, digest: bytes, answer: bytes, now: Instant) -> None: ...
    def forget_before(
        self, now: Instant, *, keys: Instant, requests: Instant, alerts: Instant, outbox: Instant
    ) -> int:
        """Retention: drops what is older than each given instant; says how many rows went."""
        ...


class Store(Protocol):
    """SQLite and PostgreSQL behind one face. Every method may be called from any thread."""

    dialect: str

    serial: bool
    """whether units of work run one after another, so that none meets another one's rows"""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs ``work`` in a transaction and answers after its commit; conflicts are retried a few times."""
        ...

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """The same without waiting; on SQLite many submissions share one fsync. Raises ``Busy`` when the queue is full."""
        ...

    def read(self, work: Callable[[Reader], T]) -> T: ...
    def subscribe(self, listener: Callable[[], None], *, due_only: bool = False) -> Callable[[], None]:
        """``listener()`` is called (from some thread, must not block) after commits, of other processes too where the
        store can tell. ``due_only``: after those alone that wrote timers or messages, where the store can tell. Returns a
        function that ends the subscription."""
        ...

    def now(self) -> Instant | None:
        """The database's clock where several machines share it (PostgreSQL), else None: use the process's."""
        ...

    def migrate(self) -> list[str]: ...
    def check(self) -> list[str]:
        """What is wrong with this store, a sentence each; empty when well."""
        ...

    def backup(self, target: str) -> None: ...
    def restore(self, source: str) -> None: ...
    def close(self) -> None: ...


class Message(msgspec.Struct, frozen=True):
    """What a channel is given to deliver: texts are finished, secrets are not in them.

    ``key`` is the idempotency key to pass on. ``ack_url`` is the page's own link (empty for notices). ``actions`` maps
    labels to URLs. ``data`` is the structured form for machines (webhooks, PagerDuty).
    """

    key: str
    to: str
    title: str
    text: str
    short: str
    """one line for SMS and speech"""
    urgency: int
    kind: str = "page"
    ack_url: str = ""
    page_url: str = ""
    html: str = ""
    thread: str = ""
    id: str = ""
    """of the outbox row: a provider gives it back when it says what became of the message"""
    action: str = "trigger"
    """``trigger``, ``acknowledge``, ``resolve`` for receivers that keep state"""
    data: dict[str, Any] = {}


class Receipt(msgspec.Struct, frozen=True):
    """What the provider said: ``accepted`` (on its way), ``delivered`` (it reached the person). ``reference`` is the provider's id."""

    outcome: str = "accepted"
    reference: str = ""
    detail: str = ""


class Channel(Protocol):
    """One way to reach somebody. ``wakes`` says whether it can wake a sleeping person (semantics 15)."""

    name: str
    wakes: bool

    def deliver(self, message: Message) -> Receipt:
        """Hands the message over; raises :class:`~tocsin.kernel.errors.DeliveryFailed`."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """What somebody, or the provider itself, sent back.

    ``kind``: sms, voice, status. ``sender``: the number, as the provider writes it. ``text``: what was written. ``digits``: keys
    that were pressed. ``token``: of the page's link, where it was passed on. ``message``: the id of the message it is about.
    ``state``: what became of that message: delivered, failed, or empty for anything in between.
    """

    kind: str
    sender: str = ""
    text: str = ""
    digits: str = ""
    token: str = ""
    message: str = ""
    state: str = ""
    detail: str = ""


class Rooms(Protocol):
    """Where drills are played: the engine's twin on a virtual clock, which the web application reaches only so."""

    def names(self) -> Sequence[tuple[str, str]]:
        """(name, title) of every scenario."""
        ...

    def play(self, name: str, policy: str) -> dict[str, Any]:
        """The report of a scenario under a policy's text, as plain data; raises :class:`NotFound` for an unknown name."""
        ...


class Replies(Protocol):
    """A provider's side of what comes back: reads it, once the signature fits, and says something in return."""

    def read(self, kind: str, url: str, form: Sequence[tuple[str, str]], signature: str) -> Reply:
        """Raises :class:`~tocsin.kernel.errors.Unauthenticated` unless the provider itself signed it."""
        ...

    def say(self, kind: str, text: str) -> tuple[str, bytes]:
        """(content type, body) of an answer that tells the sender ``text``."""
        ...


def chunks(items: Iterable[T], size: int) -> Iterable[list[T]]:
    """``items`` in lists of at most ``size``."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
