"""The way out: rows of the outbox are leased, become messages, are handed to their channels, and the result is told as a fact.

At most one interrupting page for each person in the policy's interval; what comes within it joins the next. A row that
cannot be composed is set aside with a retry and its reason; the others leave.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import structlog

from tocsin.catalogue.people import INTERRUPTING_KINDS
from tocsin.engine import delivery
from tocsin.engine.calling import NOTICES_TOGETHER, told_key
from tocsin.engine.together import Together
from tocsin.engine.waiting import Unanswered
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.kernel.clock import MILLISECOND, MINUTE, SECOND, Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Busy, DeliveryFailed, TocsinError
from tocsin.kernel.facts import SYSTEM, Stream
from tocsin.kernel.ports import Ended, OutboxRow, Reader, Transaction
from tocsin.kernel.randomness import token
from tocsin.notify.backoff import next_attempt

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

log = structlog.get_logger("tocsin.sending")

LEASE = MINUTE
"""of a message: longer than any channel's time-outs; whoever took it and died holds it up no longer than this"""
SET_ASIDE = 30 * SECOND
"""until a message that could not be composed is tried again"""
DELAYED_AFTER = 2
"""attempts after which the person's next channel is tried beside one that does not answer"""
LONGEST_HOLD = MINUTE
"""a new P1 is never held for more than this, whatever the policy's figure says"""
TEST_TRIED = MINUTE
"""a test is tried for so long: whoever asked for it looks on, and no page is late because an address was mistyped"""
MANY = 1_000_000
WARN_EVERY = MINUTE
"""at most one line in the log for each channel that does not take its messages"""
MOST = 1_000
"""messages that are leased at once; a transaction that took more would hold up what comes in. Fewer for as long as channels have
no room for what was composed: it would be composed again and again
"""
FEW = 20
"""messages that a transaction takes along at once; what is more waits for the loop"""
LONGEST_REST = 100 * MILLISECOND
"""between messages of a storm: each lists all that is unanswered, so that few of them say as much as many"""
ALONE = 4
"""messages of one incident that opens: after so few the next do not wait"""
CALM = 10 * MILLISECOND
"""without anything that comes in, after which nothing more is waited for"""
PAUSE = 4 * CALM
"""of a storm, after which what became of its messages is written: those that wait leave first"""
RECORDED_WITHIN = SECOND
"""that is written then, though no pause came"""
APART = 3 * MILLISECOND // 2
"""from the first message of a load to the others: side by side in one interpreter each would arrive as late as the last"""
FEW_APART = 5
"""messages of a load that leave so; in a larger one each would only be later"""
PAGED = b"!"


class Deliveries(Protocol):
    """Runs deliveries: at once, or on threads, each channel's its own."""

    def room(self, channel: str) -> int:
        """How many more messages the channel can take now."""
        ...

    def hand_out(self, channel: str, job: Callable[[], object]) -> None:
        """Runs a delivery by ``channel``."""
        ...

    def idle(self) -> bool:
        """Whether deliveries run beside whoever hands them out, and few are under way."""
        ...

    def pause(self, micros: int) -> bool:
        """Lets a delivery wait; False, at once, where nothing goes on meanwhile."""
        ...


class AtOnce:
    """Delivers where it stands, one message after another: tests, drills and simulations."""

    def room(self, channel: str) -> int:
        return MANY

    def hand_out(self, channel: str, job: Callable[[], object]) -> None:
        job()

    def idle(self) -> bool:
        return False

    def pause(self, micros: int) -> bool:
        return False


def paged_key(person: str, channel: str = "") -> str:
    """Where it is kept when a person was last interrupted, or paged by a quiet channel: with the data, so that a restart or
    another process knows."""
    return f"paged/{person}" if channel in ("", *INTERRUPTING_KINDS) else f"paged/{person}/quiet"


def last_paged(value: bytes | None) -> Instant:
    """What is kept under :func:`paged_key`: the instant, with a mark once a channel took the page; 0 where nothing is."""
    return int((value or b"0").rstrip(PAGED))


class Load(msgspec.Struct):
    """What was leased in one transaction, ready to leave after its commit."""

    looked_at: int
    composed: delivery.Composed
    lease: str
    leased_at: Instant

    @property
    def crowded(self) -> bool:
        """Whether some of it was put back, because a channel has no room for it."""
        return self.composed.put_back > 0


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


class Sending:
    """See the module; one for each engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._unanswered = Unanswered()
        self._ending = threading.Lock()
        self._ends: tuple[Together[Told], Future[None]] | None = None
        """what became of messages, which may wait for the writer still"""
        self._gathered: list[Told] | None = None
        """what became of messages of a storm, while somebody waits until it pauses"""
        self._most = MOST
        self._rests_until: Instant = 0
        self._coming = 0
        """units of work that take something in, from when they wait for the writer until they are committed"""
        self._stirred: Instant = 0
        """when something last came in or was composed"""
        self._counting = threading.Lock()
        self._took: dict[str, Instant] = {}
        """where it is kept when somebody was last paged → when the last page left that a channel took"""
        self._given_up: dict[str, Instant] = {}
        """… → when the last left of which a channel failed before another took it, so that what is kept was given up"""
        self._unlooked = False
        """whether something was written that may fall due, and whoever waits for that was not woken"""
        self._warned: dict[str, Instant] = {}
        """channel → when the log last said that it did not take a message"""

    def step(self) -> int:
        """Sends what is due, and answers how many rows were looked at."""
        engine = self.engine
        due = self.next_due(engine.store.read(lambda r: r.next_outbox()))
        if due is None or due > engine.clock.now():
            return 0
        limit = self._most
        load = engine.store.write(lambda tx: self.load(tx, limit))
        self._most = max(FEW, limit // 2) if load.crowded else min(MOST, limit * 2)
        self.dispatch(load)
        return load.looked_at

    def next_due(self, due: Instant | None, *, within: bool = False) -> Instant | None:
        """When a message that is ``due`` then is composed: not while it rests from the last. ``within``: asked by something that
        comes in itself.
        """
        now = self.engine.clock.now()
        comes = self._coming > int(within)
        until = self._rests_until if comes else min(self._rests_until, self._stirred + CALM)
        rests = now < until <= now + LONGEST_REST  # unless the clock was set back
        return max(due, until) if rests and due is not None else due

    def _rest(self, began: Instant, rows: int) -> None:
        """The more fell due together, the more will: those wait for each other, and the writer is left to what comes in. What
        one incident sends is no storm.
        """
        now = self.engine.clock.now()
        rest = min(LONGEST_REST, max(0, now - began) * (rows - ALONE))
        self._rests_until = now + rest if rows > ALONE else 0
        self._stirred = now

    def _storms(self) -> bool:
        """Whether more comes in, so soon after many messages fell due together that they rest or are composed again by now."""
        now = self.engine.clock.now()
        comes = self._coming > 0 or 0 <= now - self._stirred < PAUSE
        return comes and -LONGEST_REST <= now - self._rests_until < LONGEST_REST

    def comes(self) -> None:
        """Something comes in, which may make something due."""
        with self._counting:
            self._coming += 1

    def came(self) -> None:
        """It is committed, or refused."""
        with self._counting:
            self._coming -= 1
        self._stirred = self.engine.clock.now()

    def at_once(self, tx: Transaction) -> Load | None:
        """What a transaction that made something due can take along, to be dispatched after its commit; None while others are
        on their way: what waits for them travels together. And None where transactions run beside each other: two that compose
        meet in the same rows, and one of them would have to be done again.
        """
        engine = self.engine
        if not (engine.store.serial and engine.deliveries.idle()):
            return None
        lease, now = token(engine.randomness), engine.clock.now()
        if self.next_due(now, within=True) != now:
            return None
        rows = tx.lease_sent(now, now + LEASE, lease, FEW)
        if not rows:
            return None
        try:
            load = Load(len(rows), self._compose(tx, rows, lease, now), lease, now)
            self._rest(now, len(rows))
            if load.composed.parcels and not load.composed.faults:
                # all that is due leaves now; what falls due later is looked for once it has left, not while it is on its way
                tx.due, self._unlooked = False, True
            return load
        except Exception as error:  # noqa: BLE001  # whoever sent the alert must not be refused for it: the loop tries again
            engine.set_aside("sending", error, kind="outbox")
            tx.put_back([row.id for row in rows], lease)
            return None

    def load(self, tx: Transaction, limit: int) -> Load:
        """Leases what is due and composes it."""
        lease, now, rows = self._lease(tx, limit)
        load = Load(len(rows), self._compose(tx, rows, lease, now), lease, now)
        if len(rows) < limit:  # else more is due already
            self._rest(now, len(rows))
        return load

    def _lease(self, tx: Transaction, limit: int) -> tuple[str, Instant, list[OutboxRow]]:
        engine = self.engine
        lease, now = token(engine.randomness), engine.clock.now()
        full = [name for name in engine.channels if engine.deliveries.room(name) <= 0]
        return lease, now, tx.lease_outbox(now, now + LEASE, lease, limit, full)

    def dispatch(self, load: Load) -> None:
        """Hands out what was composed, once that is committed."""
        engine = self.engine
        for row, error in load.composed.faults:
            engine.set_aside(f"message {row.id}", error, kind=row.effect, recipient=row.recipient)
        few = len(load.composed.parcels) <= FEW_APART
        for place, parcel in enumerate(load.composed.parcels):
            for row in parcel.rows:
                engine.mended(f"message {row.id}")
            leave = partial(self.hand_over, parcel, load.lease, load.leased_at)
            job = partial(self._a_moment_later, leave) if place and few else leave
            engine.deliveries.hand_out(parcel.row.channel, job)

    def _a_moment_later(self, leave: Callable[[], None]) -> None:
        self.engine.deliveries.pause(APART)
        leave()

    # before they leave

    def _compose(
        self, tx: Transaction, rows: list[OutboxRow], lease: str, now: Instant
    ) -> delivery.Composed:  # fmt: skip
        every = self._page_every(tx)
        last = tx.metas_named({name for row in rows if (name := _spaced_by(row))})
        ready: list[OutboxRow] = []
        held: dict[Instant, list[str]] = {}
        for row in rows:
            if until := self._held_until(row, now, every, last):
                held.setdefault(until, []).append(row.id)
            else:
                ready.append(row)
        for until, ids in held.items():
            tx.put_back(ids, lease, until)
        composed = delivery.compose(
            tx, ready, self.engine.directory(tx), now, secret=self.engine.secret, public_url=self.engine.public_url, token=lease,
            soon=now + every, seen=self.engine.seen, unanswered=self._unanswered,
        )  # fmt: skip
        for row, error in composed.faults:
            tx.retry_outbox(row.id, lease, now + SET_ASIDE, f"{type(error).__name__}: {error}"[:500])
        parcels, composed.parcels = composed.parcels, self._with_room(tx, composed.parcels, lease)
        composed.put_back = len(parcels) - len(composed.parcels)
        for parcel in composed.parcels:
            person = parcel.row.recipient
            if parcel.row.effect == "page":
                composed.noted[paged_key(person, parcel.row.channel)] = str(now).encode()
            if any(_opened(row) for row in parcel.rows):
                composed.noted[told_key(person)] = str(now).encode()
        tx.put_metas(composed.noted)
        return composed

    def _with_room(
        self, tx: Transaction, parcels: list[delivery.Parcel], lease: str
    ) -> list[delivery.Parcel]:  # fmt: skip
        """Those that their channels can take now; the others go back, so that nobody holds them while a channel hangs."""
        room: dict[str, int] = {}
        kept = []
        for parcel in parcels:
            channel = parcel.row.channel
            room.setdefault(channel, self.engine.deliveries.room(channel))
            room[channel] -= 1
            if room[channel] >= 0:
                kept.append(parcel)
                continue
            tx.put_back([row.id for row in parcel.rows], lease)
        return kept

    def _page_every(self, reader: Reader) -> int:
        try:
            return self.engine.policy_of(reader, "")[0].paging.page_each_person_at_most_every.micros
        except TocsinError as error:  # a policy that cannot be read does not stop pages
            self.engine.set_aside("policy", error, kind="policy")
            return MINUTE

    @staticmethod
    def _held_until(row: OutboxRow, now: Instant, every: int, spaced: Mapping[str, bytes]) -> Instant:
        """At most one interrupting page for each person in the policy's interval; what is held until then joins the next.

        Notices of incidents that open one after another are held likewise: one covers those that open together.
        """
        if row.effect != "page":
            every = NOTICES_TOGETHER
        elif row.urgency == 0:
            every = min(every, LONGEST_HOLD)
        last = last_paged(spaced.get(_spaced_by(row)))
        return last + every if last < now < last + every else 0

    # on the way

    def hand_over(self, parcel: delivery.Parcel, lease: str, leased_at: Instant) -> None:
        """Gives one message to its channel, outside any transaction, and tells the result.

        One that waited so long for its turn that its lease might end on the way goes back instead: nobody gets it twice.
        """
        engine, row = self.engine, parcel.row
        if engine.clock.now() - leased_at > LEASE // 2:
            self._release(parcel, lease)
            return
        channel = engine.channels.get(row.channel)
        try:
            if channel is None:
                raise DeliveryFailed(f"no {row.channel} channel is configured here", permanent=True)
            receipt = channel.deliver(parcel.message)
        except DeliveryFailed as error:
            self._failed(parcel, lease, leased_at, error)
        except Exception as error:  # noqa: BLE001  # a fault of its own must not send one message for ever
            engine.set_aside(f"channel {row.channel}", error, kind="channel", recipient=row.recipient)
            fault = DeliveryFailed(f"{row.channel}: {type(error).__name__}: {error}"[:500])
            self._failed(parcel, lease, leased_at, fault)
        else:
            engine.mended(f"channel {row.channel}")
            told = [
                Told(one, lease, receipt.outcome, receipt.detail, receipt.reference) for one in parcel.rows
            ]
            told[0].paged_at = leased_at if row.effect == "page" else 0
            if row.effect == "page" and self._rings(row, leased_at):
                self._settle(told)
            else:
                self._settle_in_calm(told)

    def _release(self, parcel: delivery.Parcel, lease: str) -> None:
        self.engine.store.write(lambda tx: tx.put_back([row.id for row in parcel.rows], lease))

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

    def _failed(self, parcel: delivery.Parcel, lease: str, leased_at: Instant, error: DeliveryFailed) -> None:
        """Each row is tried again for as long as its own age allows, together with the others."""
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
            self._settle(ended)

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

    # what became of them

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
            while self._storms() and engine.clock.now() < ends and engine.deliveries.pause(CALM):
                pass
        finally:
            with self._ending:
                self._gathered = None
        self._settle(told)

    def settle_gathered(self) -> None:
        """Writes what waits for a pause now: something is about to be told that comes after it."""
        with self._ending:
            gathered = self._gathered or []
            told = gathered.copy()
            gathered.clear()
        self._settle(told)

    def _settle(self, told: Sequence[Told]) -> None:
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
        if self._unlooked:
            tx.due, self._unlooked = True, False

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


def _spaced_by(row: OutboxRow) -> str:
    """Where it is kept when the last of its kind left for its person, as far as they keep a distance; empty where they do not."""
    if row.effect == "page":
        return paged_key(row.recipient, row.channel)
    return told_key(row.recipient) if _opened(row) else ""


def _opened(row: OutboxRow) -> bool:
    """Whether the row is a notice of an incident that opened."""
    return row.effect == "notice" and row.tag.startswith("notice:opened:")


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
