"""The ways in, as the engine sees them: whose key it is, what is taken in one transaction, and what an owner is shown.

The hot path is one look into a dictionary and one transaction: alerts, the row of the request and the sender's last
sign of life are written together. Inside it the integration is looked at again only where a record has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import msgspec

from tocsin.alerts.shape import Parsed
from tocsin.alerts.silences import Silence
from tocsin.engine import heartbeats, receiving, silencing
from tocsin.engine.engine import Engine
from tocsin.engine.receiving import Integration, Outcome
from tocsin.engine.together import Together
from tocsin.engine.work import Work
from tocsin.identity.tokens import key_hash
from tocsin.identity.vault import unseal
from tocsin.incidents.timeline import line
from tocsin.intake.alertmanager_api import parse_silence, settle, silence_id
from tocsin.intake.heartbeat import Overdue
from tocsin.intake.limits import MAX_KEPT_BODY
from tocsin.intake.sources import SOURCES, Source
from tocsin.kernel.clock import MINUTE, SECOND, Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Busy, Forbidden, NotFound, Refused, Unauthenticated, Unusable
from tocsin.kernel.facts import Actor, Stream
from tocsin.kernel.ports import AlertRow, Reader, RequestRow, Transaction
from tocsin.kernel.randomness import ulid
from tocsin.kernel.redact import MASK, mask

UNKNOWN = "this integration key is not known; copy it from the integration's page"
KEPT_REQUESTS = 50
"""requests of an integration that its owner can look at"""
KEPT_ACCEPTED_BODY = 16 * 1024
"""bytes kept of the body of an accepted request; its alerts are kept in full anyway"""
SHOWN_BODY = 16 * 1024
"""bytes of a kept body that are shown"""
MOST_SILENCES = 1000
"""silences one integration may have that have not ended"""
PAGE = 1000
MOST_DIGESTS = 10_000
"""keys whose digests are remembered"""
TEST_LASTS = 4 * MINUTE
"""a test that pages ends by itself, before an escalation would take its second step"""
STEPS = ("paged", "told", "step_skipped", "nobody_reachable")


class Admitted(msgspec.Struct, frozen=True):
    """An integration that showed its key. ``digest`` is the key's hash, ``mark`` the count of changed records when it was read."""

    integration: Integration
    digest: str
    mark: int


class Came(msgspec.Struct, frozen=True):
    """What is worth keeping of a request. ``key`` is taken out of the body before that is kept.

    ``body`` and ``headers`` are shown to owners alone; private notes of the parser stand above the headers, which are
    written out only where the request is kept.
    """

    body: bytes = b""
    headers: Callable[[], str] = str
    key: str = ""


class Body(NamedTuple):
    """What a request held, the status of its answer, and whether it is kept for its owner to see."""

    parsed: Parsed
    came: Came
    status: int
    kept: bool


class Kept(msgspec.Struct, frozen=True):
    """One of the last requests, as its owner sees it: secrets are masked in ``body``."""

    received_at: Instant
    status: int
    reason: str
    body: str
    headers: str
    id: str = ""


class Tested(msgspec.Struct, frozen=True):
    """What became of a test: the outcome of each alert with its reason, and what the parser noted.

    ``paged``: whether an incident marked TEST opened; else it was a rehearsal of which nothing is kept.
    """

    outcomes: list[Outcome]
    notes: list[str] = []
    paged: bool = False


class Rehearsed(Exception):
    """Ends the transaction of a rehearsal, so that nothing of it is kept."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__("a rehearsal")
        self.outcomes = outcomes


def _private(parsed: Parsed, came: Came) -> Came:
    """What is kept of a request, with the parser's private notes above its headers."""
    if not parsed.private:
        return came
    return Came(came.body, lambda: "\n".join([*parsed.private, came.headers()]), came.key)


class Sampler:
    """Says which requests are kept: ``burst`` at once, then one each ``every`` microseconds, for each integration.

    A sender of a hundred requests a second must neither pay for keeping each of them nor push everything else out.
    """

    def __init__(self, burst: int, every: int) -> None:
        self.burst, self.every = burst, every
        self._full_at: dict[str, Instant] = {}

    def allows(self, integration: str, now: Instant) -> bool:
        """Whether this one is kept."""
        full_at = max(self._full_at.get(integration, 0), now)
        if full_at - now > (self.burst - 1) * self.every:
            return False
        self._full_at[integration] = full_at + self.every
        return True


class WaysIn:
    """See the module. One for a web application; it holds nothing but caches."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.started_at = engine.clock.now()
        self._known: dict[str, Admitted] = {}
        self._digests: dict[str, str] = {}
        """key → digest, of keys that were found once"""
        self._accepted, self._refused = Sampler(25, SECOND), Sampler(50, SECOND // 5)

    # who it is

    def known(self, key: str) -> Admitted | None:
        """The integration of a key that was seen before, without looking into the store."""
        digest = self._digests.get(key)
        return self._known.get(digest) if digest is not None else None

    def find(self, key: str) -> Admitted:
        """The integration of a key; raises :class:`Unauthenticated`."""
        digest = key_hash(key, self.engine.secret)
        found = self._find(digest)
        if len(self._digests) >= MOST_DIGESTS:
            self._digests.clear()
        self._digests[key] = digest
        return found

    def _find(self, digest: str) -> Admitted:
        def read(reader: Reader) -> Admitted:
            mark, row = reader.mark("records"), reader.record_by("integration", digest)
            if row is None:
                raise Unauthenticated(UNKNOWN)
            return Admitted(decode(row.body, Integration), digest, mark)

        self._known.pop(digest, None)
        found = self._known[digest] = self.engine.store.read(read)
        return found

    def fresh(self, admitted: Admitted) -> Admitted:
        """The integration as it stands now, where its settings matter before the transaction (its mapping).

        Raises :class:`Unauthenticated` where its key was taken away.
        """
        if self.engine.store.read(lambda r: r.mark("records")) == admitted.mark:
            return admitted
        return self._find(admitted.digest)

    def current(self, reader: Reader, admitted: Admitted) -> Integration:
        """The integration as it stands in this transaction; raises :class:`Unauthenticated` where its key was taken away."""
        if reader.mark("records") == admitted.mark:
            return admitted.integration
        self._known.pop(
            admitted.digest, None
        )  # the next request reads it anew, outside a transaction that may fail
        row = reader.record_by("integration", admitted.digest)
        if row is None:
            raise Unauthenticated(UNKNOWN)
        return decode(row.body, Integration)  # type: ignore[no-any-return]

    # what it sends

    def receive(
        self, admitted: Admitted, parsed: Parsed, came: Came, status: int = 202
    ) -> Future[list[Outcome]]:
        """Takes what a body held; done once it is on disk. Raises :class:`Busy` when the store's queue is full."""
        return self.receive_several(admitted, Together([self.body(admitted, parsed, came, status)]))

    def body(self, admitted: Admitted, parsed: Parsed, came: Came, status: int) -> Body:
        """What a body held, and what is kept of the request: most are not kept where there are very many."""
        kept = self._accepted.allows(admitted.integration.id, self.engine.clock.now()) or parsed.private
        return Body(parsed, came, status, bool(kept))

    def receive_several(self, admitted: Admitted, bodies: Together[Body]) -> Future[list[Outcome]]:
        """:meth:`receive` for bodies that come together, in one unit of work: either all of them are taken or none is."""

        def work(tx: Transaction) -> list[Outcome]:
            integration = self.current(tx, admitted)
            unit, outcomes = self._unit(tx, integration), list[Outcome]()
            # where others write, what comes later is judged by what is there later
            rounds = bodies.rounds() if self.engine.store.serial else [bodies.begin()]
            for taken in rounds:
                outcomes += self._take_in(unit, integration, taken)
            if integration.interval:
                heartbeats.heard(unit, integration, self.engine.rules(tx))
            return outcomes

        future = self.engine.submit(work)
        bodies.ends_with(future)
        return future

    def _take_in(self, unit: Work, integration: Integration, taken: Sequence[Body]) -> list[Outcome]:
        outcomes = self.engine.take_in(
            unit,
            integration,
            [alert for body in taken for alert in body.parsed.alerts],
            [change for body in taken for change in body.parsed.changes],
            requests=len(taken),
        )
        at = 0
        for parsed, came, status, kept in taken:
            own, at = outcomes[at : at + len(parsed.alerts)], at + len(parsed.alerts)
            if kept:
                row = self._row(
                    integration.id, status, said(parsed, own), _private(parsed, came), KEPT_ACCEPTED_BODY
                )
                unit.tx.put_request(row, KEPT_REQUESTS)
        return outcomes

    def beat(self, admitted: Admitted, came: Came) -> Future[Overdue]:
        """Takes a heartbeat; answers when the next one is late."""
        keep = self._accepted.allows(admitted.integration.id, self.engine.clock.now())

        def work(tx: Transaction) -> Overdue:
            integration = self.current(tx, admitted)
            found = heartbeats.beat(self._unit(tx, integration), integration, self.engine.rules(tx))
            if keep:
                row = self._row(integration.id, 202, f"a beat: {found.reason}", came, KEPT_ACCEPTED_BODY)
                tx.put_request(row, KEPT_REQUESTS)
            return found

        return self.engine.store.submit(work)

    def refuse(self, admitted: Admitted, status: int, reason: str, came: Came) -> Future[None] | None:
        """Keeps a refused request for the integration's owner to see; None where it is not kept because there are too many."""
        now = self.engine.clock.now()
        if not self._refused.allows(admitted.integration.id, now):
            return None
        row = self._row(admitted.integration.id, status, reason, came, MAX_KEPT_BODY)
        try:
            return self.engine.store.submit(lambda tx: tx.put_request(row, KEPT_REQUESTS))
        except Busy:
            return None  # the sender hears of it; the store has more important things to write

    def _row(self, integration: str, status: int, reason: str, came: Came, most: int) -> RequestRow:
        now = self.engine.clock.now()
        body = came.body[:most]
        if came.key:
            body = body.replace(came.key.encode(errors="replace"), MASK.encode())
        clean = reason.encode("utf-8", "replace").decode().replace("\x00", "�")
        headers = came.headers().encode("utf-8", "replace").decode().replace("\x00", "�")
        return RequestRow(
            ulid(self.engine.randomness, now), integration, now, status, clean[:2000], body, headers
        )

    def _unit(self, tx: Transaction, integration: Integration) -> Work:
        return self.engine.work(tx, Actor(f"integration:{integration.id}", integration.source))

    # the Alertmanager API

    def firing(self, admitted: Admitted) -> tuple[list[AlertRow], list[Silence]]:
        """The integration's firing alerts, and the silences that may cover them."""

        def read(reader: Reader) -> tuple[list[AlertRow], list[Silence]]:
            id = self.current(reader, admitted).id
            rows: list[AlertRow] = []
            after: tuple[str, str] | None = None
            while True:
                page = reader.alerts(integration=id, status="firing", after=after, limit=PAGE)
                rows += page
                if len(page) < PAGE:
                    return rows, [one for one in self._silences(reader) if one.integration in ("", id)]
                after = (page[-1].integration, page[-1].dedup_key)

        return self.engine.store.read(read)

    def silences(self, admitted: Admitted) -> list[Silence]:
        """The integration's own silences."""

        def read(reader: Reader) -> list[Silence]:
            id = self.current(reader, admitted).id
            return [one for one in self._silences(reader) if one.integration == id]

        return self.engine.store.read(read)

    def silence(self, admitted: Admitted, id: str) -> Silence:
        """One silence of the integration; raises :class:`NotFound`."""
        return self.engine.store.read(lambda r: self._own(r, self.current(r, admitted), id))

    def put_silence(self, admitted: Admitted, body: bytes) -> Future[str]:
        """Takes a posted silence; answers its id. Raises :class:`Forbidden` for an integration that may not silence."""

        def work(tx: Transaction) -> str:
            integration = self._silencer(tx, admitted)
            unit = self._unit(tx, integration)
            new_id = silence_id(self.engine.randomness)
            posted = parse_silence(body, unit.now, integration=integration.id, new_id=new_id)
            previous = self._own(tx, integration, posted.replaces) if posted.replaces else None
            if previous is None and self._standing(tx, integration.id, unit.now) >= MOST_SILENCES:
                raise Refused(
                    f"this integration has {MOST_SILENCES} silences that have not ended; end some of them"
                )
            settled = settle(posted, previous, unit.now)
            if settled.ended is not None:
                silencing.end(unit, "silence", settled.ended.id)
            if previous is not None and settled.kept.ends_at > previous.ends_at:
                settled.kept.covers_p1 = False  # who allowed it to hide a P1 allowed it until its end
            silencing.put_silence(unit, settled.kept)
            unit.flush()
            return settled.kept.id

        return self.engine.store.submit(work)

    def end_silence(self, admitted: Admitted, id: str) -> Future[None]:
        """Ends a silence now; one that has ended stays as it is, as in Alertmanager. Raises :class:`NotFound`."""

        def work(tx: Transaction) -> None:
            integration = self._silencer(tx, admitted)
            unit = self._unit(tx, integration)
            self._own(tx, integration, id)
            silencing.end(unit, "silence", id)
            unit.flush()

        return self.engine.store.submit(work)

    def _silencer(self, tx: Transaction, admitted: Admitted) -> Integration:
        integration = self.current(tx, admitted)
        if not integration.may_silence:
            raise Forbidden(
                f"the integration {integration.name} may not silence; an owner can allow it on the integration's page"
            )
        return integration

    @staticmethod
    def _silences(reader: Reader) -> list[Silence]:
        return [decode(row.body, Silence) for row in reader.records("silence")]

    def _standing(self, reader: Reader, integration: str, now: Instant) -> int:
        return sum(one.integration == integration and one.ends_at > now for one in self._silences(reader))

    @staticmethod
    def _own(reader: Reader, integration: Integration, id: str) -> Silence:
        row = (
            reader.record("silence", id) if id.isprintable() else None
        )  # a NUL is no part of one, and the store takes none
        silence = decode(row.body, Silence) if row else None
        if silence is None or silence.integration != integration.id:
            raise NotFound(f"there is no silence {id[:40]} of this integration")
        return silence  # type: ignore[no-any-return]

    # what its owner is shown

    def requests(self, integration: str, limit: int = KEPT_REQUESTS) -> list[Kept]:
        """The last requests, newest first: every refused one, and a sample of the accepted where there were very many."""
        rows = self.engine.store.read(lambda r: r.requests(integration, limit))
        return [
            Kept(
                row.received_at, row.status, row.reason, mask(bytes(row.body[:SHOWN_BODY]).decode("utf-8", "replace")), row.headers, row.id
            )
            for row in rows
        ]  # fmt: skip

    def state(self, integration: Integration) -> Overdue:
        """Whether it is silent for too long, and since when; a sentence for people."""
        return self.engine.store.read(lambda r: heartbeats.state(r, integration, self.engine.clock.now()))

    def key(self, integration: Integration) -> str:
        """Its key again, from the sealed copy; raises :class:`Unusable` where there is none."""
        if not integration.sealed_key:
            raise Unusable(f"no copy of the key of {integration.name} was kept; make a new key", "key")
        return unseal(self.engine.secret, integration.sealed_key, f"integration/{integration.id}")

    def snippet(self, integration: Integration) -> str:
        """What to paste at the sender, key included."""
        return source_of(integration).snippet(self.engine.public_url, self.key(integration))

    def send_test(self, id: str, *, page: bool = False) -> Tested:
        """Takes the integration's own test body the way a sender's would go, and says what came of it, and whom that pages.

        Without ``page`` it is a rehearsal: all of it is decided and nothing is kept, so that it can reach nobody. With it, an
        incident marked TEST opens and pages; no real alert ever joins it, and it ends after ``TEST_LASTS``. Neither counts as
        a sign of life of the sender. Raises :class:`NotFound`, or what the parser raises.
        """
        row = self.engine.store.read(lambda r: r.record("integration", id))
        if row is None:
            raise NotFound("there is no such integration")
        integration: Integration = decode(row.body, Integration)
        now = self.engine.clock.now()
        mark = f"test {ulid(self.engine.randomness, now)}"
        came, parsed = self._test_of(integration, mark, now)

        def work(tx: Transaction) -> list[Outcome]:
            unit = self._unit(tx, integration)
            outcomes = receiving.receive(unit, integration, parsed.alerts, self.engine.rules(tx), mark)
            for outcome in outcomes:
                outcome.reason = "; ".join([outcome.reason, *self._steps(unit, outcome.incident)])
            if not page:
                raise Rehearsed(outcomes)
            return outcomes

        try:
            outcomes = self.engine.store.write(work)
        except Rehearsed as rehearsal:
            outcomes = [
                msgspec.structs.replace(one, event="rehearsed", incident="") for one in rehearsal.outcomes
            ]
            parsed.notes.append("this was a rehearsal: nobody was told, and nothing of it was kept")
        kept = self._row(id, 202, f"a test: {said(parsed, outcomes)}", came, KEPT_ACCEPTED_BODY)
        self.engine.store.write(lambda tx: tx.put_request(kept, KEPT_REQUESTS))
        return Tested(outcomes, parsed.notes, page)

    def try_mapping(self, integration: Integration, mapping: dict[str, str], body: bytes) -> Parsed:
        """What a mapping makes of a body; nothing is taken. Raises :class:`Unusable` with what is wrong with either."""
        return source_of(integration).parse(body, self.engine.clock.now(), mapping)

    def _test_of(self, integration: Integration, mark: str, now: Instant) -> tuple[Came, Parsed]:
        """The test body of an integration, and its alerts under keys of their own; of a heartbeat, its silence."""
        source = source_of(integration)
        if source.kind == heartbeats.KIND:
            body, parsed = b"a test", Parsed([heartbeats.rehearsed(integration, now)])
            key = ""
        else:
            key = self.key(integration) if integration.sealed_key else "KEY"
            body = source.sample(now, key)
            parsed = source.parse(body, now, integration.mapping)
        for index, alert in enumerate(parsed.alerts):
            alert.action, alert.dedup_key = "trigger", f"{mark}/{index}"
            alert.source_at, alert.ends_at = 0, now + TEST_LASTS
        return Came(body, key=key), parsed

    def _steps(self, unit: Work, incident: str) -> list[str]:
        """Whom what was just decided pages and tells, as the timeline has it, with the reasons."""
        names = {one.id: one.name for one in unit.directory.people.values()}
        facts = unit.tx.facts(Stream("incident", incident)) if incident else []
        return [line(fact, names).text for fact in facts if fact.type in STEPS]


def source_of(integration: Integration) -> Source:
    """The way in that an integration is; raises :class:`NotFound` for one that this version does not have."""
    found = SOURCES.get(integration.source)
    if found is None:
        raise NotFound(
            f"there is no way in named {integration.source[:40]}; there are {', '.join(sorted(SOURCES))}"
        )
    return found


def said(parsed: Parsed, outcomes: Sequence[Outcome]) -> str:
    """What became of a request in a few sentences, for its row among the last requests."""
    parts = list(parsed.refused[:10])
    if outcomes:
        counts = Counter(outcome.event for outcome in outcomes)
        kinds = ", ".join(f"{count} {event.replace('_', ' ')}" for event, count in counts.items())
        parts.append(f"{len(outcomes)} alert{'s' if len(outcomes) > 1 else ''}: {kinds}")
        parts += dict.fromkeys(outcome.reason for outcome in outcomes[:3])
    if parsed.changes:
        parts.append(f"{len(parsed.changes)} change{'s' if len(parsed.changes) > 1 else ''} kept")
    parts += parsed.notes[:5]
    return "; ".join(parts) or "nothing to do"
