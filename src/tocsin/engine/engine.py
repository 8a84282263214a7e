"""The engine's one face: execute a command, receive alerts, take a step. Web, command line, loop and drills call this."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar, cast

import structlog

from tocsin.alerts.shape import Alert, Change
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine import (
    acting,
    boards,
    delivery,
    desk,
    figures,
    foreseeing,
    governing,
    heartbeats,
    links,
    receiving,
    sealing,
    silencing,
)
from tocsin.engine.commands import Command
from tocsin.engine.deliveries import AtOnce, Deliveries
from tocsin.engine.kinds import KINDS
from tocsin.engine.pace import Pace
from tocsin.engine.receiving import Integration, Outcome
from tocsin.engine.sending import Load, Sending
from tocsin.engine.settling import Settling
from tocsin.engine.ticking import tick
from tocsin.engine.waiting import Seen
from tocsin.engine.work import Work, find_row, no_incident, read_incident
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.incidents.directory import RECORD_TYPES, Directory
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import MINUTE, SECOND, Clock, Instant, earliest, humanize
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import FromTheFuture, NotFound, TocsinError, Unusable
from tocsin.kernel.facts import SYSTEM, Actor, Fact
from tocsin.kernel.ports import (
    Channel,
    OutboxRow,
    Reader,
    RecordRow,
    Store,
    StreamRow,
    TimerRow,
    Transaction,
)
from tocsin.kernel.randomness import Randomness, token, ulid
from tocsin.learn.metrics import Figure
from tocsin.learn.score import Kept
from tocsin.notify.coverage import Proof, prove
from tocsin.notify.examine import changes, findings
from tocsin.policy.load import policy_from_bytes
from tocsin.policy.model import Policy

T = TypeVar("T")
log = structlog.get_logger("tocsin.engine")

TIMER_LEASE = 30 * SECOND
"""of a timer; one whose work failed is tried again when it ends, and stays as overdue as it is"""
ASIDE_KEPT = 5 * MINUTE
"""how long something counts as set aside after it last failed: what goes on failing is tried again sooner than that"""


def reply_key(secret: bytes) -> str:
    """The key of ``/in/reply/…``: the same for the life of an installation."""
    return hmac.new(secret, b"replies of providers", hashlib.sha256).hexdigest()[:32]


def oldest_late(reader: Reader, now: Instant) -> tuple[Instant | None, Instant | None]:
    """Since when the oldest overdue timer and the oldest undelivered message are late; None where none is.

    A page that failed for good counts from its first due moment too, until somebody of those paged is reached or nobody
    waits for it any more.
    """
    timer, waiting = reader.oldest_waiting(now)
    unreached = reader.oldest_unreached("page")
    return timer, min((at for at in (waiting, unreached) if at is not None), default=None)


class Engine:
    """See the module. ``channels`` maps contact kinds to channels; ``deliveries`` runs them (on threads, or at once)."""

    def __init__(
        self, store: Store, clock: Clock, randomness: Randomness, channels: dict[str, Channel], *, secret: bytes,
        public_url: str = "http://127.0.0.1:8080", deliveries: Deliveries | None = None,
    ) -> None:  # fmt: skip
        self.store, self.clock, self.randomness, self.channels = store, clock, randomness, channels
        self.secret, self.public_url = secret, public_url.rstrip("/")
        self.reply_key = reply_key(secret)
        """the key in the address under which providers send answers"""
        self.deliveries: Deliveries = deliveries or AtOnce()
        self.seen = Seen()
        """incidents as they were last read or written"""
        self._pace = Pace(clock)
        self._settling = Settling(self, self._pace)
        self._sending = Sending(self, self._pace, self._settling)
        self._directory: tuple[int, Directory] = (-1, Directory())
        self._rules: tuple[int, receiving.Rules] = (-1, receiving.Rules())
        self._policies: dict[str, Policy] = {}
        self._in_force: tuple[int, str] = (-1, "")
        self._lock = threading.Lock()
        self._aside: dict[str, tuple[str, Instant]] = {}
        """key → why it was set aside, and when last"""
        self._scores = figures.Scores()
        self.timers: dict[str, Callable[[Work, str], object]] = {
            "incident": self._tick,
            "action": acting.tick_action,
            "policy": acting.tick_policy,
            "gaps": foreseeing.foresee,
            "expiry": lambda unit, key: receiving.expire(unit),
            "quiet": self._quiet_over,
            "seal": lambda unit, key: sealing.seal(unit, self.secret),
            "retention": lambda unit, key: sealing.retain(unit.tx, unit.now),
            "heartbeat": lambda unit, key: heartbeats.look(unit, key, self.rules(unit.tx)),
        }
        """timer kind → what is done when one falls due; each sets its own next due time"""

    # what is known

    def directory(self, reader: Reader | None = None) -> Directory:
        """People, schedules, services as they stand now; rebuilt when a record changes."""
        if reader is None:
            return self.store.read(self.directory)
        mark = reader.mark("records")
        if self._directory[0] != mark:
            built = Directory.from_records(
                (kind, row.body) for kind in RECORD_TYPES for row in reader.records(kind)
            )
            with self._lock:
                self._directory = (mark, built)
        return self._directory[1]

    def rules(self, reader: Reader) -> receiving.Rules:
        """Routes, silences and maintenance windows as they stand now."""
        mark = reader.mark("records")
        if self._rules[0] != mark:
            self._rules = (mark, receiving.rules_of(reader))
        return self._rules[1]

    def policy_of(self, reader: Reader, wanted: str) -> tuple[Policy, str]:
        """The policy of a hash, or the one in force where ``wanted`` is empty."""
        if not wanted:
            mark = reader.mark("documents")
            if self._in_force[0] == mark:
                wanted = self._in_force[1]
        if wanted in self._policies:
            return self._policies[wanted], wanted
        row = reader.document_by_hash(wanted) if wanted else reader.document("policy", "policy")
        if row is None:
            raise NotFound("no policy is in force; start tocsin serve once, or apply one")
        if row.hash not in self._policies:
            self._policies[row.hash] = policy_from_bytes(row.body)
        if not wanted:
            self._in_force = (mark, row.hash)
        return self._policies[row.hash], row.hash

    def seed_policy(self, text: str, who: str = "tocsin") -> str:
        """Puts the first policy in force where there is none; answers its hash. A differing file is not applied."""
        return self.store.write(lambda tx: governing.seed(self.work(tx, Actor("tocsin", "start")), text, who))

    def look_at_policy(
        self, text: str, filename: str = "policy.yaml", *, weeks: int = 4, principal: Principal | None = None
    ) -> governing.Preview:
        """What applying ``text`` would mean: findings, the proof with the people there are, and what changes for whom.

        ``principal``: who is shown it, where that is not an owner; of what is restricted they see nothing.
        """
        policy, preview = self.store.read(
            lambda r: governing.look(self.reading(r), text, filename, principal)
        )
        current, _ = self.store.read(lambda r: self.policy_of(r, ""))
        directory, now = self.directory(), self.clock.now()
        preview.findings = findings(text, policy, directory, now, weeks, self.channels)
        preview.changes, preview.words = changes(current, policy, directory, now)
        return preview

    def apply_policy(
        self, principal: Principal, text: str, preview: governing.Preview, *, adopt: bool = False, force: str = "", via: str = "api"
    ) -> list[str]:  # fmt: skip
        """Puts a text in force as it was looked at; see :func:`tocsin.engine.governing.apply`."""
        return self.store.write(
            lambda tx: governing.apply(
                self.work(tx, Actor(principal.id, via)), principal, text, preview, adopt=adopt, force=force
            )
        )

    def put_records(self, rows: Sequence[RecordRow]) -> None:
        """Writes live records; open incidents decide anew what they owe."""
        now = self.clock.now()

        def work(tx: Transaction) -> None:
            for record in rows:
                tx.put_record(record)
            tx.wake_streams("incident", now)

        self.store.write(work)

    def actions(
        self, principal: Principal, *, incident: str = "", open: bool | None = None
    ) -> list[boards.Item]:
        """Action items that the principal may see."""
        return self.store.read(
            lambda r: boards.items(self.reading(r), principal, incident=incident, open=open, recurrences=True)
        )

    def action(self, principal: Principal, reference: str) -> boards.Item:
        """One action item."""
        return self.store.read(lambda r: boards.item(self.reading(r), principal, reference))

    def policy_in_force(self) -> boards.InForce:
        """The policy, its versions and its next review."""
        return self.store.read(lambda r: boards.policy_in_force(self.reading(r)))

    def prove(self, weeks: int = 4) -> Proof:
        """Whether every page reaches somebody over the coming weeks, with the channels that are configured here."""
        policy = self.store.read(lambda r: self.policy_of(r, "")[0])
        return prove(policy, self.directory(), self.clock.now(), weeks=weeks, kinds=self.channels)

    def reading(self, reader: Reader) -> Work:
        """A unit of work to look with: it writes nothing."""
        return self._unit(cast("Transaction", reader), SYSTEM, "", None)

    def figures(self, principal: Principal, start: Instant, end: Instant) -> figures.Figures:
        """How promises were kept and what types are judged by, over the incidents opened between two instants."""
        now, services = self.clock.now(), len(self.directory().services)
        return self.store.read(
            lambda r: figures.figures(r, principal, start, end, self.policy_of, now, self._scores, services)
        )

    def score_of(self, principal: Principal, reference: str) -> tuple[list[Kept], Figure]:
        """How the promises of one incident were kept, and its primary metric."""
        now = self.clock.now()

        def work(reader: Reader) -> tuple[list[Kept], Figure]:
            row = find_row(reader, reference)
            incident = read_incident(reader, row)
            self._visible(principal, incident)
            return figures.own(reader, row, incident, self.policy_of, now, self._scores)

        return self.store.read(work)

    # commands and reading

    def work(self, tx: Transaction, actor: Actor, command_id: str = "") -> Work:
        """A unit of work at the present moment."""
        return self._unit(tx, actor, command_id, self.seen)

    def _unit(self, tx: Transaction, actor: Actor, command_id: str, memory: Seen | None) -> Work:
        return Work(
            tx, now=self.clock.now(), actor=actor, command_id=command_id, directory=self.directory(tx), policy_of=self.policy_of,
            randomness=self.randomness, kinds=KINDS, memory=memory, alone=self.store.serial,
        )  # fmt: skip

    def execute(
        self, principal: Principal, command: Command, *, via: str = "api", idempotency_key: str = ""
    ) -> desk.Answer:
        """Takes a command; see :func:`tocsin.engine.desk.take` for what it raises."""
        return self.submit(
            lambda tx: desk.take(self.work(tx, Actor(principal.id, via)), principal, command, idempotency_key)
        ).result()

    def incident(self, principal: Principal, reference: str) -> Incident:
        """The state of an incident that the principal may see."""

        def work(reader: Reader) -> Incident:
            incident = read_incident(reader, find_row(reader, reference))
            self._visible(principal, incident)
            return incident

        return self.store.read(work)

    def facts(self, principal: Principal, reference: str, after: int = 0) -> list[Fact]:
        """The facts of an incident that the principal may see."""

        def work(reader: Reader) -> list[Fact]:
            row = find_row(reader, reference)
            self._visible(principal, read_incident(reader, row))
            return reader.facts(row.stream, after)

        return self.store.read(work)

    def export(self, principal: Principal, reference: str) -> bytes:
        """An incident that the principal may see as lines of JSON with head and seals; ``tocsin verify`` checks it offline."""

        def work(reader: Reader) -> bytes:
            row = find_row(reader, reference)
            self._visible(principal, read_incident(reader, row))
            return sealing.export(reader, row, self.secret, self.clock.now())

        return self.store.read(work)

    def incidents(
        self,
        principal: Principal,
        *,
        open: bool | None = None,
        severity: str = "",
        status: str = "",
        search: str = "",
        limit: int = 100,
    ) -> list[StreamRow]:
        """List rows that the principal may see, newest first."""
        seer = None if principal.role == "owner" else principal.id
        return self.store.read(
            lambda r: r.streams(
                "incident",
                open=open,
                principal=seer,
                severity=severity,
                status=status,
                search=search,
                limit=limit,
            )
        )

    def _visible(self, principal: Principal, incident: Incident) -> None:
        about = About(
            incident.restricted,
            frozenset(incident.members),
            incident.commander,
            incident.acting_commander,
            incident.severity,
        )
        if not authorize(principal, "view", about).allowed:
            raise no_incident(incident.name)

    # intake

    def receive(
        self, integration: Integration, alerts: Sequence[Alert], changes: Sequence[Change] = ()
    ) -> Future[list[Outcome]]:
        """Takes alerts and changes; the future is done once they are on disk."""
        actor = Actor(f"integration:{integration.id}", integration.source)
        return self.submit(lambda tx: self.take_in(self.work(tx, actor), integration, alerts, changes))

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """A unit of work whose messages leave as soon as it is committed, without waiting for the next step."""
        loads: list[Load] = []

        def whole(tx: Transaction) -> T:
            loads.clear()  # a database may ask for the work to be done again
            answer = work(tx)
            if tx.due and (load := self._sending.at_once(tx)) is not None:
                loads.append(load)
            return answer

        def committed(done: Future[T]) -> None:
            self._pace.came()
            if loads and not done.cancelled() and done.exception() is None:
                self._sending.dispatch(loads[0])

        future = self.store.submit(whole)
        self._pace.comes()
        future.add_done_callback(committed)
        return future

    def take_in(
        self,
        unit: Work,
        integration: Integration,
        alerts: Sequence[Alert],
        changes: Sequence[Change] = (),
        *,
        requests: int = 1,
    ) -> list[Outcome]:
        """What :meth:`receive` does, inside a unit of work that also holds something else of the sender's. ``requests``: how many
        the alerts came in.
        """
        if changes:
            receiving.keep_changes(unit, integration, changes)
        return receiving.receive(unit, integration, alerts, self.rules(unit.tx), requests=requests)

    def settle_gathered(self) -> None:
        """Writes what became of messages that left, as far as it waits for a pause; what is told next comes after it."""
        self._settling.settle_gathered()

    # quiet

    def silence(self, principal: Principal, wanted: Silence) -> Silence:
        """Asks for quiet; see :func:`tocsin.engine.silencing.may` for who may, and :func:`check_silence` for what is refused."""

        def work(tx: Transaction) -> Silence:
            unit = self.work(tx, Actor(principal.id, "api"))
            silencing.may(unit, principal, wanted.covers_p1)
            return silencing.put_silence(unit, wanted)

        return self.store.write(work)

    def maintenance(self, principal: Principal, wanted: Maintenance) -> Maintenance:
        """Announces planned work on services: their alerts page nobody until it ends."""

        def work(tx: Transaction) -> Maintenance:
            unit = self.work(tx, Actor(principal.id, "api"))
            silencing.may(unit, principal, wanted.covers_p1, "maintenance")
            return silencing.put_maintenance(unit, wanted)

        return self.store.write(work)

    def end_quiet(self, principal: Principal, kind: str, record_id: str) -> Silence | Maintenance:
        """Ends a ``silence`` or a ``maintenance`` window now; what still fires pages."""

        def work(tx: Transaction) -> Silence | Maintenance:
            unit = self.work(tx, Actor(principal.id, "api"))
            silencing.may(unit, principal, False, "unsilence" if kind == "silence" else kind)
            return silencing.end(unit, kind, record_id)

        return self.store.write(work)

    def quiet(self) -> tuple[list[Silence], list[Maintenance]]:
        """Every silence and window on record, the latest end first."""

        def work(reader: Reader) -> tuple[list[Silence], list[Maintenance]]:
            rules = self.rules(reader)
            return (
                sorted(rules.silences, key=lambda one: -one.ends_at),
                sorted(rules.maintenance, key=lambda one: -one.ends_at),
            )

        return self.store.read(work)

    def hidden(self, principal: Principal) -> list[silencing.Hidden]:
        """What fires and pages nobody now, with the reason; restricted alerts for owners alone."""
        return self.store.read(lambda r: silencing.hidden(r, restricted=principal.role == "owner"))

    # the page's own link

    def link(self, secret: str) -> tuple[delivery.Link, list[Incident]]:
        """What a page's link serves; see :func:`tocsin.engine.links.serve`."""
        return links.serve(self, secret)

    def acknowledge_link(self, secret: str, via: str = "link") -> list[desk.Answer]:
        """One tap; see :func:`tocsin.engine.links.acknowledge`."""
        return links.acknowledge(self, secret, via)

    # the step

    def step(self, limit: int = 200) -> int:
        """Does what is due now: timers, then the outbox. Answers how much was done; the loop, drills and tests call this alone."""
        return self._timers(limit) + self._sending.step()

    def next_due(self) -> Instant | None:
        """When the next step has something to do."""

        def work(reader: Reader) -> Instant | None:
            return earliest((reader.next_timer(), self._pace.next_due(reader.next_outbox())))

        return self.store.read(work)

    def _timers(self, limit: int) -> int:
        now = self.clock.now()
        due = self.store.read(lambda r: r.next_timer())
        if due is None or due > now:
            return 0
        lease = token(self.randomness)
        rows = self.store.write(lambda tx: tx.lease_timers(now, now + TIMER_LEASE, lease, limit))
        waiting = [(row, self.store.submit(self._timer_work(row, lease))) for row in rows]
        for row, future in waiting:
            try:
                future.result()
                self.mended(row.key)
            except Exception as error:  # noqa: BLE001  # one poisoned stream must not hold up the others
                self.set_aside(row.key, error, kind=row.kind)
        return len(rows)

    def _timer_work(self, row: TimerRow, lease: str) -> Callable[[Transaction], None]:
        """The work of one timer, unless its lease ended meanwhile and another has taken it or done it."""

        def work(tx: Transaction) -> None:
            held = tx.timer(row.kind, row.key)
            if held is None or held.lease_token != lease:
                return
            self.timers[row.kind](self.work(tx, SYSTEM), row.key)

        return work

    @staticmethod
    def _tick(unit: Work, key: str) -> None:
        incident = unit.load(key)
        tick(unit, incident)
        unit.flush()
        unit.rearm(incident)

    def _quiet_over(self, unit: Work, key: str) -> None:
        rules = self.rules(unit.tx)
        receiving.release(unit, rules)
        silencing.forget(unit, rules)

    def set_aside(self, key: str, error: BaseException, **about: str) -> None:
        """Notes what could not be worked on, loudly the first time: it is tried again, and the others go on."""
        why, now = f"{type(error).__name__}: {error}"[:500], self.clock.now()
        before, at = self._aside.get(key, ("", 0))
        self._aside[key] = (why, now)
        if before == why and now - at < ASIDE_KEPT:
            return
        log.error(
            "set aside",
            key=key,
            why="a newer version wrote it" if isinstance(error, FromTheFuture) else "it failed",
            error=str(error)[:500],
            exc_info=error if not isinstance(error, TocsinError) else None,
            **about,
        )

    def mended(self, key: str) -> None:
        """It works again."""
        self._aside.pop(key, None)

    @property
    def poisoned(self) -> dict[str, str]:
        """What is set aside, with the reason: streams, messages, channels that failed when they were last tried."""
        now = self.clock.now()
        return {key: why for key, (why, at) in list(self._aside.items()) if now - at < ASIDE_KEPT}

    def test_page(self, person_id: str) -> int:
        """*Page me as a test*: one message to each of the person's contacts; answers how many."""
        person = self.directory().people.get(person_id)
        if person is None or not person.contacts:
            raise Unusable(f"{person_id} has no contact to test; add one first", "person")
        now = self.clock.now()
        rows = [
            OutboxRow(
                ulid(self.randomness, now), f"test:{ulid(self.randomness, now)}", "test", contact.kind, person_id, contact.address, "",
                "test", 0, now, now, encode({"contact": contact.id, "text": f"Tocsin can reach {person.name} here."}),
            )
            for contact in person.contacts
        ]  # fmt: skip
        self.store.write(lambda tx: tx.put_outbox(rows))
        return len(rows)

    def lateness(self) -> tuple[int, int]:
        """(oldest overdue timer, oldest undelivered page) in microseconds of lateness, 0 where nothing is late."""
        now = self.clock.now()
        timer, page = self.store.read(lambda r: oldest_late(r, now))
        return (max(0, now - timer) if timer else 0, max(0, now - page) if page else 0)

    def lateness_banner(self) -> str:
        """One sentence where something is late, for the log and whoever asks; empty where nothing is."""
        timer, page = self.lateness()
        said = [f"the oldest timer is {humanize(timer)} overdue"] if timer else []
        said += [f"the oldest message has waited {humanize(page)}"] if page else []
        aside = len(self.poisoned)
        said += [f"{aside} streams or messages could not be worked on"] if aside else []
        return " and ".join(said)
