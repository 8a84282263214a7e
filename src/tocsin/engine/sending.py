"""The way out: rows of the outbox are leased, become messages, are handed to their channels. What became of them is told by
:mod:`tocsin.engine.settling`.

At most one interrupting page for each person in the policy's interval; what comes within it joins the next. A row that
cannot be composed is set aside with a retry and its reason; the others leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tocsin.engine import delivery
from tocsin.engine.calling import NOTICES_TOGETHER, told_key
from tocsin.engine.deliveries import LEASE
from tocsin.engine.pace import Pace
from tocsin.engine.settling import Settling, last_paged, paged_key
from tocsin.engine.waiting import Unanswered
from tocsin.kernel.clock import MILLISECOND, MINUTE, SECOND, Instant
from tocsin.kernel.errors import DeliveryFailed, TocsinError
from tocsin.kernel.ports import OutboxRow, Reader, Transaction
from tocsin.kernel.randomness import token

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

SET_ASIDE = 30 * SECOND
"""until a message that could not be composed is tried again"""
LONGEST_HOLD = MINUTE
"""a new P1 is never held for more than this, whatever the policy's figure says"""
MOST = 1_000
"""messages that are leased at once; a transaction that took more would hold up what comes in. Fewer for as long as channels have
no room for what was composed: it would be composed again and again
"""
FEW = 20
"""messages that a transaction takes along at once; what is more waits for the loop"""
APART = 3 * MILLISECOND // 2
"""from the first message of a load to the others: side by side in one interpreter each would arrive as late as the last"""
FEW_APART = 5
"""messages of a load that leave so; in a larger one each would only be later"""


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


class Sending:
    """See the module; one for each engine."""

    def __init__(self, engine: Engine, pace: Pace, settling: Settling) -> None:
        self.engine, self.pace, self.settling = engine, pace, settling
        self._unanswered = Unanswered()
        self._most = MOST

    def step(self) -> int:
        """Sends what is due, and answers how many rows were looked at."""
        engine = self.engine
        due = self.pace.next_due(engine.store.read(lambda r: r.next_outbox()))
        if due is None or due > engine.clock.now():
            return 0
        limit = self._most
        load = engine.store.write(lambda tx: self.load(tx, limit))
        self._most = max(FEW, limit // 2) if load.crowded else min(MOST, limit * 2)
        self.dispatch(load)
        return load.looked_at

    def at_once(self, tx: Transaction) -> Load | None:
        """What a transaction that made something due can take along, to be dispatched after its commit; None while others are
        on their way: what waits for them travels together. And None where transactions run beside each other: two that compose
        meet in the same rows, and one of them would have to be done again.
        """
        engine = self.engine
        if not (engine.store.serial and engine.deliveries.idle()):
            return None
        lease, now = token(engine.randomness), engine.clock.now()
        if self.pace.next_due(now, within=True) != now:
            return None
        rows = tx.lease_sent(now, now + LEASE, lease, FEW)
        if not rows:
            return None
        try:
            load = Load(len(rows), self._compose(tx, rows, lease, now), lease, now)
            self.pace.rest(now, len(rows))
            if load.composed.parcels and not load.composed.faults:
                # all that is due leaves now; what falls due later is looked for once it has left, not while it is on its way
                tx.due, self.settling.unlooked = False, True
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
            self.pace.rest(now, len(rows))
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
        parcels = sorted(load.composed.parcels, key=lambda one: one.row.effect != "page")  # a notice can wait
        few = len(parcels) <= FEW_APART
        for place, parcel in enumerate(parcels):
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
            self.settling.failed(parcel, lease, leased_at, error)
        except Exception as error:  # noqa: BLE001  # a fault of its own must not send one message for ever
            engine.set_aside(f"channel {row.channel}", error, kind="channel", recipient=row.recipient)
            fault = DeliveryFailed(f"{row.channel}: {type(error).__name__}: {error}"[:500])
            self.settling.failed(parcel, lease, leased_at, fault)
        else:
            engine.mended(f"channel {row.channel}")
            self.settling.taken(parcel, lease, leased_at, receipt)

    def _release(self, parcel: delivery.Parcel, lease: str) -> None:
        self.engine.store.write(lambda tx: tx.put_back([row.id for row in parcel.rows], lease))


def _spaced_by(row: OutboxRow) -> str:
    """Where it is kept when the last of its kind left for its person, as far as they keep a distance; empty where they do not."""
    if row.effect == "page":
        return paged_key(row.recipient, row.channel)
    return told_key(row.recipient) if _opened(row) else ""


def _opened(row: OutboxRow) -> bool:
    """Whether the row is a notice of an incident that opened."""
    return row.effect == "notice" and row.tag.startswith("notice:opened:")
