"""What became of messages: their rows end or wait for another attempt, and their incidents are told.

A message that has left must not leave again, so that its end is written whatever is wrong with its incident, and again where
the store had no room. In a storm it waits for a pause; what failed does not, for its person's next channel waits for that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import structlog

from tocsin.catalogue.people import INTERRUPTING_KINDS
from tocsin.engine.deliveries import LEASE
from tocsin.engine.delivery import Parcel
from tocsin.engine.pace import CALM, Pace
from tocsin.engine.together import Together
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.kernel.clock import MINUTE, SECOND, Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Busy, DeliveryFailed
from tocsin.kernel.facts import SYSTEM, Stream
from tocsin.kernel.ports import Ended, OutboxRow, Receipt, Transaction
from tocsin.notify.backoff import next_attempt

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

log = structlog.get_logger("tocsin.sending")

DELAYED_AFTER = 2
"""attempts after which the person's next channel is tried beside one that does not answer"""
TEST_TRIED = MINUTE
"""a test is tried for so long: whoever asked for it looks on, and no page is late because an address was mistyped"""
WARN_EVERY = MINUTE
"""at most one line in the log for each channel that does not take its messages"""
RECORDED_WITHIN = SECOND
"""what became of messages is written then, though a storm did not pause"""
PAGED = b"!"


def paged_key(person: str, channel: str = "") -> str:
    """Where it is kept when a person was last interrupted, or paged by a quiet channel: with the data, so that a restart or
    another process knows."""
    return f"paged/{person}" if channel in ("", *INTERRUPTING_KINDS) else f"paged/{person}/quiet"


def last_paged(value: bytes | None) -> Instant:
    """What is kept under :func:`paged_key`: the instant, with a mark once a channel took the page; 0 where nothing is."""
    return int((value or b"0").rstrip(PAGED))


class Told(msgspec.Struct):
    """What became of a row that was leased under ``lease``: the outcome, in words, and the provider's reference.

    ``paged_at``: since when it was on its way, where it is the page that interrupted its person.
    """

    row: OutboxRow
    lease: str
    outcome: str
    detail: str = ""
    reference: str = ""
    paged_at: Instant = 0
    body: dict[str, Any] = {}

    def __post_init__(self) -> None:
        self.body = decode(self.row.payload)
        # what a provider says may hold what no database keeps, and must not hold up the end of its message
        self.detail, self.reference = _keepable(self.detail), _keepable(self.reference)

    @property
    def incident(self) -> str:
        """Its incident; empty where it is about none."""
        return str(self.body.get("incident", ""))

    @property
    def failed(self) -> bool:
        return self.outcome in ("failed", "gave_up")

    @property
    def end(self) -> Ended:
        """How the row ends."""
        if self.failed:
            return Ended(self.row.id, self.lease, "failed", self.detail[:500])
        return Ended(self.row.id, self.lease, "done")


def _keepable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "�")


R = TypeVar("R", OutboxRow, Told)
R_contra = TypeVar("R_contra", OutboxRow, Told, contravariant=True)


class Ending(Protocol[R_contra]):
    """What is done to rows that came back, in one transaction; ``telling``: whether their incidents are told."""

    def __call__(self, tx: Transaction, some: Sequence[R_contra], telling: bool) -> None: ...


class Settling:
    """See the module; one for each engine."""

    def __init__(self, engine: Engine, pace: Pace) -> None:
        self.engine, self.pace = engine, pace
        self.unlooked = False
        """whether something was written that may fall due, and whoever waits for that was not woken"""
        self._ending = threading.Lock()
        self._ends: tuple[Together[Told], Future[None]] | None = None
        """what became of messages, which may wait for the writer still"""
        self._gathered: list[Told] | None = None
        """what became of messages of a storm, while somebody waits until it pauses"""
        self._counting = threading.Lock()
        self._took: dict[str, Instant] = {}
        """where it is kept when somebody was last paged → when the last page left that a channel took"""
        self._given_up: dict[str, Instant] = {}
        """… → when the last left of which a channel failed before another took it, so that what is kept was given up"""
        self._warned: dict[str, Instant] = {}
        """channel → when the log last said that it did not take a message"""

    def taken(self, parcel: Parcel, lease: str, leased_at: Instant, receipt: Receipt) -> None:
        """A channel took a message."""
        row = parcel.row
        told = [Told(one, lease, receipt.outcome, receipt.detail, receipt.reference) for one in parcel.rows]
        told[0].paged_at = leased_at if row.effect == "page" else 0
        if row.effect == "page" and self._rings(row, leased_at):
            self.settle(told)
        else:
            self._settle_in_calm(told)

    def failed(self, parcel: Parcel, lease: str, leased_at: Instant, error: DeliveryFailed) -> None:
        """A channel did not take a message. Each row is tried again for as long as its own age allows, together with the others."""
        engine, row = self.engine, parcel.row
        self._warn(row.channel, error)
        if row.effect == "page":
            engine.store.write(lambda tx: self._not_paged(tx, row, leased_at))
        again: list[tuple[OutboxRow, Instant]] = []
        ended: list[Told] = []
        for one in parcel.rows:
            wait = None if error.permanent else self._wait(one, error)
            if wait is None:
                ended.append(Told(one, lease, "failed" if error.permanent else "gave_up", error.sentence))
            else:
                again.append((one, wait))
        if again:
            self._retry(
                [one for one, _ in again],
                lease,
                min(wait for _, wait in again),
                _keepable(error.sentence[:500]),
            )
        if ended:
            self.settle(ended)

    def _warn(self, channel: str, error: DeliveryFailed) -> None:
        """Says in the log that a channel does not take its messages, once in a while: each message has its own end."""
        now, last = self.engine.clock.now(), self._warned.get(channel)
        if last is None or now - last >= WARN_EVERY:
            self._warned[channel] = now
            log.warning(
                "a delivery failed",
                channel=channel,
                why=error.sentence[:500],
                tried_again=not error.permanent,
            )

    def _wait(self, row: OutboxRow, error: DeliveryFailed) -> Instant | None:
        engine = self.engine
        if row.effect == "test" and engine.clock.now() - row.created_at > TEST_TRIED:
            return None
        return next_attempt(
            row.attempts + 1, row.created_at, engine.clock.now(), row.urgency, engine.randomness, error.retry_after
        )  # fmt: skip

    def _rings(self, row: OutboxRow, leased_at: Instant) -> bool:
        """Notes that a channel took a page. Answers whether it was given up meanwhile that its person was paged, because another
        channel failed: then that has to be written soon.
        """
        name = paged_key(row.recipient, row.channel)
        with self._counting:
            self._took[name] = leased_at
            return self._given_up.get(name, 0) >= leased_at

    def _not_paged(self, tx: Transaction, row: OutboxRow, leased_at: Instant) -> None:
        """Nobody was interrupted, so the next channel need not wait for the minute to pass: unless another took a page."""
        name = paged_key(row.recipient, row.channel)
        with self._counting:
            if self._took.get(name) == leased_at:
                return
            self._given_up[name] = leased_at
        if tx.meta(name) == str(leased_at).encode():
            tx.put_meta(name, None)

    def _retry(self, rows: Sequence[OutboxRow], lease: str, wait: Instant, sentence: str) -> None:
        """Tries again later. The second time, the person's next channel is tried beside it."""

        def again(tx: Transaction, some: Sequence[OutboxRow], telling: bool) -> None:
            unit = self.engine.work(tx, SYSTEM)
            for row in some:
                waits = tx.retry_outbox(row.id, lease, wait, sentence)
                if waits and row.attempts + 1 == DELAYED_AFTER and telling:
                    _tell(unit, Told(row, lease, "delayed", sentence))
            unit.flush()

        try:
            self.engine.store.write(lambda tx: again(tx, rows, True))
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001  # said row by row
            self._one_by_one(rows, again, error, alone=len(rows) == 1)

    def _settle_in_calm(self, told: list[Told]) -> None:
        """In a storm the writer is left to alerts and pages: what became of those that left is written when it pauses. One
        delivery waits for that and tells of the others that end meanwhile.
        """
        with self._ending:
            if self._gathered is not None:
                self._gathered += told
                return
            self._gathered = told
        engine = self.engine
        ends = engine.clock.now() + RECORDED_WITHIN
        try:
            while self.pace.storms() and engine.clock.now() < ends and engine.deliveries.pause(CALM):
                pass
        finally:
            with self._ending:
                self._gathered = None
        self.settle(told)

    def settle_gathered(self) -> None:
        """Writes what waits for a pause now: something is about to be told that comes after it."""
        with self._ending:
            gathered = self._gathered or []
            told = gathered.copy()
            gathered.clear()
        self.settle(told)

    def settle(self, told: Sequence[Told]) -> None:
        """:meth:`_write_results`, again where the store has no room just now: who forgets it sends what was sent."""
        engine = self.engine
        ends = engine.clock.now() + LEASE // 2
        while told:
            try:
                self._write_results(told)
            except Busy:
                if engine.clock.now() >= ends or not engine.deliveries.pause(CALM):
                    raise
            else:
                return

    def _write_results(self, told: Sequence[Told]) -> None:
        """Ends rows and tells their incidents, together with those of other messages that wait for the same."""
        with self._ending:
            if self._ends is None or not self._ends[0].add(told):
                together = Together(told)
                self._ends = together, self.engine.store.submit(lambda tx: self._end(tx, together.begin()))
                together.ends_with(self._ends[1])
            together, future = self._ends
        try:
            future.result()
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001  # said row by row
            self._one_by_one(told, self._end, error, alone=len(together.begin()) == 1)

    def _end(self, tx: Transaction, some: Sequence[Told], telling: bool = True) -> None:
        """Ends rows; an incident is told of those that were still held under the lease with which they left."""
        now = self.engine.clock.now()
        ended = tx.complete_several([one.end for one in some], now)
        overtaken: set[str] = set()
        if telling:
            unit = self.engine.work(tx, SYSTEM)
            unit.expect({one.incident for one in some if one.incident})
            for one in some:
                if one.end not in ended:
                    continue
                if _is_overtaken(unit, one):
                    overtaken.add(one.row.id)
                else:
                    _tell(unit, one)
            unit.flush()
        tx.put_metas(
            {
                paged_key(one.row.recipient, one.row.channel): str(one.paged_at).encode() + PAGED
                for one in some
                if one.paged_at and one.row.id not in overtaken
            }
        )
        if self.unlooked:
            tx.due, self.unlooked = True, False

    def _one_by_one(self, some: Sequence[R], work: Ending[R], fault: Exception, *, alone: bool) -> None:
        """Where one incident cannot be told (a newer version wrote it), each row goes by itself and that one untold: a message
        that has left must not leave again. ``alone``: that one is known, for nothing else went with it.
        """
        write = self.engine.store.write
        for one in some:
            try:
                if not alone:
                    write(partial(work, some=[one], telling=True))
                    continue
            except Busy:
                raise
            except Exception as error:  # noqa: BLE001  # said below
                fault = error
            row = one.row if isinstance(one, Told) else one
            self.engine.set_aside(f"message {row.id}", fault, kind=row.effect, recipient=row.recipient)
            write(partial(work, some=[one], telling=False))


def _is_overtaken(unit: Work, told: Told) -> bool:
    """Whether the provider has told since that a message failed of which it is only now said that it was taken."""
    if told.failed or not told.incident:
        return False
    incident = unit.load(told.incident)
    if told.body.get("contact", "") not in incident.failed.get(told.row.recipient, ()):
        return False
    bodies = (f.read(fact) for fact in unit.tx.facts(Stream("incident", incident.id)))
    return any(
        isinstance(one, f.Delivery) and one.message == told.row.id and one.outcome == "failed"
        for one in bodies
    )


def _tell(unit: Work, told: Told) -> None:
    """Records on the row's incident what became of the message; of one that is about none, a failure is in the log."""
    row, body = told.row, told.body
    if told.incident:
        unit.record(
            unit.load(told.incident),
            f.Delivery(
                row.id, row.recipient, row.channel, body.get("contact", ""), told.outcome, told.detail[:500], row.attempts + 1,
                body.get("run", ""), row.effect, told.reference[:200],
            ),
        )  # fmt: skip
    elif told.failed:
        log.warning(
            "a message did not leave",
            effect=row.effect,
            channel=row.channel,
            recipient=row.recipient,
            why=told.detail[:500],
        )
