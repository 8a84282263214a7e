"""Tocsin watches itself: who is alive, when nobody listened, when the clock was set, and the ping to an outside watchdog.

Each process writes a row every few seconds while it works. Two roles matter: *receive* (alerts can come in) and *page*
(timers fall due, messages leave). Whoever takes a role up again after a silence declares the gap as an incident. Time in
which nothing could be received does not count towards the expiry of alerts or the silence of heartbeats. A process
whose row grows old without a goodbye is an alert of the built-in integration ``tocsin``, until another takes its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
import structlog

from tocsin.alerts.episodes import forgive
from tocsin.alerts.shape import Alert
from tocsin.engine import receiving
from tocsin.engine.placing import Integration
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.kernel.clock import (
    DAY,
    MINUTE,
    SECOND,
    Clock,
    Instant,
    SteadyClock,
    humanize,
    to_datetime,
    to_iso,
)
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import Busy, DeliveryFailed, Unusable
from tocsin.kernel.facts import SYSTEM, Actor
from tocsin.kernel.ports import Reader, Transaction
from tocsin.oncall.walltime import zone_of
from tocsin.policy.severity import propose

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

log = structlog.get_logger("tocsin.watching")

BEAT = 5 * SECOND
STALE = 45 * SECOND
"""a row this old, without a goodbye, means that its process is gone or stuck"""
GAP = 5 * MINUTE
"""a silence longer than this is an incident; a shorter one is forgiven and no more"""
GAP_RULE = "a gap in Tocsin's own work"
TOLERANCE = 2 * SECOND
"""how far the wall clock may stray from what really went by between two looks, and a beat from its time"""
KEPT_TIMES = 200
"""periods without ears that are remembered, for heartbeats that come rarely"""
KEPT_STEPS = 20
LATE = 2 * MINUTE
"""lateness beyond this stops the ping to the outside watchdog and shows as a banner"""
PING_EVERY = MINUTE

ROLES = {"serve": ("receive", "page"), "worker": ("page",), "web": ("receive",)}
OURSELVES = Integration("tocsin", "Tocsin itself", "tocsin")


class Alive(msgspec.Struct):
    """A process's row. ``at`` is its last beat by the shared clock, ``steady`` by the machine's counter of run ``boot``.

    ``held``: the store was held, so it neither received for good nor paged. ``stopped``: it said goodbye. ``alarmed``:
    others found it silent.
    """

    process: str
    kind: str
    started_at: Instant
    at: Instant
    steady: Instant
    boot: str = ""
    version: str = ""
    held: bool = False
    stopped: bool = False
    alarmed: bool = False

    def has(self, role: str) -> bool:
        """Whether the process does this: ``receive``, ``page``."""
        return role in ROLES.get(self.kind, ())


class ClockStep(msgspec.Struct):
    """The wall clock was set by ``by`` microseconds (negative: backwards), noticed at ``at`` (new time) by ``process``."""

    at: Instant
    by: int
    process: str


class Deaf(msgspec.Struct):
    """What nobody heard. ``start``, ``end``, ``incident``: the last gap that was declared. ``times``: every period in which
    nothing could be received, up to ``forgiven``, so that each is forgiven once.
    """

    start: Instant = 0
    end: Instant = 0
    forgiven: Instant = 0
    incident: str = ""
    times: list[tuple[Instant, Instant]] = []


def processes(reader: Reader) -> list[Alive]:
    """Every process that has a row, the latest beat first."""
    rows = [decode(body, Alive) for body in reader.metas("alive/").values()]
    return sorted(rows, key=lambda row: -row.at)


def silent(rows: Iterable[Alive], now: Instant) -> list[Alive]:
    """Those that stopped beating without a goodbye."""
    return [row for row in rows if not row.stopped and now - row.at > STALE]


def clock_steps(reader: Reader) -> list[ClockStep]:
    """The latest steps of the clock, newest first."""
    body = reader.meta("clock_steps")
    return decode(body, list[ClockStep]) if body else []


class Watch:
    """One process's watch. ``kind``: ``serve``, ``worker`` or ``web``; ``process`` names it (host and number)."""

    def __init__(
        self, engine: Engine, kind: str, process: str, *, version: str = "", boot: str = "", steady: Clock | None = None
    ) -> None:  # fmt: skip
        self.engine, self.kind, self.process, self.version, self.boot = engine, kind, process, version, boot
        self._steady = steady or SteadyClock()
        self._last: tuple[Instant, Instant] | None = None
        self._started = 0

    def look(self) -> bool:
        """Beats, where it is time; answers whether it did. Call it before each step."""
        steady = self._steady.now()
        if self._last is not None and 0 <= steady - self._last[1] < BEAT:
            return False
        self._refresh()
        now, steady = self.engine.clock.now(), self._steady.now()
        step = 0
        if self._last is not None:
            drift = (now - self._last[0]) - (steady - self._last[1])
            step = drift if abs(drift) > TOLERANCE else 0
        self._started = self._started + step if self._started else now
        self.engine.store.write(lambda tx: self._look(tx, now, steady, step))
        self._last = (now, steady)
        return True

    def goodbye(self) -> None:
        """An orderly end: nobody need miss this process."""
        now, steady = self.engine.clock.now(), self._steady.now()

        def work(tx: Transaction) -> None:
            held = tx.meta("held") is not None
            tx.put_meta(f"alive/{self.process}", encode(self._row(now, steady, held=held, stopped=True)))

        self.engine.store.write(work)

    def _refresh(self) -> None:
        refresh = getattr(self.engine.clock, "refresh", None)
        if refresh is None:
            return
        try:
            refresh()
        except Busy as error:
            log.warning("the database's clock cannot be asked; the last answer is carried on", why=str(error))

    def _row(self, now: Instant, steady: Instant, *, held: bool, stopped: bool = False) -> Alive:
        return Alive(
            self.process, self.kind, self._started or now, now, steady, self.boot, self.version, held, stopped
        )

    def _look(self, tx: Transaction, now: Instant, steady: Instant, step: int) -> None:
        rows = processes(tx)
        held = tx.meta("held") is not None
        own = next((row for row in rows if row.process == self.process), None)
        if step:
            self._note_step(tx, now, step)
            rows = _follow(tx, rows, now, step)
        tx.put_meta(f"alive/{self.process}", encode(self._row(now, steady, held=held)))
        if held:
            return
        unit = self.engine.work(tx, SYSTEM)
        before = [row for row in rows if not row.held]
        if self._last is None:
            self._step_while_away(tx, before, now, steady)
        deaf = self._read_deaf(tx)
        known = encode(deaf)
        for role in ROLES[self.kind]:
            silence = self._silence(before, role, now, steady)
            if silence > GAP and deaf.end < now - silence:
                self._declare(unit, deaf, role, now - silence, now)
        silence = self._silence(before, "receive", now, steady)
        if silence > BEAT + TOLERANCE:
            self._forgive(unit, deaf, now - silence, now)
        if encode(deaf) != known:
            tx.put_meta("deaf", encode(deaf))
        self._missing(unit, [row for row in rows if row.process != self.process], own, now)
        unit.flush()

    @staticmethod
    def _read_deaf(tx: Transaction) -> Deaf:
        body = tx.meta("deaf")
        return decode(body, Deaf) if body else Deaf()

    # the clock

    def _note_step(self, tx: Transaction, now: Instant, step: int) -> None:
        log.warning("the clock was set", by_seconds=step // SECOND, now=to_iso(now))
        steps = [ClockStep(now, step, self.process), *clock_steps(tx)][:KEPT_STEPS]
        tx.put_meta("clock_steps", encode(steps))
        # who holds a turn, and until when, is another answer at another time
        tx.wake_streams("incident", now)

    def _step_while_away(self, tx: Transaction, rows: list[Alive], now: Instant, steady: Instant) -> None:
        """Between two processes on one machine that was not restarted the counter tells a set clock from a long pause."""
        same = [row for row in rows if row.boot and row.boot == self.boot and row.steady <= steady]
        if not same:
            return
        step = (now - same[0].at) - (steady - same[0].steady)
        if abs(step) > TOLERANCE:
            self._note_step(tx, now, step)

    def _silence(self, rows: list[Alive], role: str, now: Instant, steady: Instant) -> int:
        """How long nobody has had ``role``; 0 where nobody ever had. What really went by counts where it is known."""
        silences = [
            steady - row.steady if row.boot and row.boot == self.boot and row.steady <= steady else now - row.at
            for row in rows
            if row.has(role)
        ]  # fmt: skip
        return max(0, min(silences, default=0))

    # the gap

    def _declare(self, unit: Work, deaf: Deaf, role: str, start: Instant, end: Instant) -> None:
        """An incident of its own. Where no rule knows it, it is a P3 by this rule: its clocks are those of a P3."""
        directory = unit.directory
        zone = zone_of(directory.settings.zone)
        what = "deaf" if role == "receive" or self.kind == "serve" else "unable to page"
        first, last = to_datetime(start, zone), to_datetime(end, zone)
        day = "%Y-%m-%d " if first.date() != last.date() else ""
        title = f"Tocsin was {what} from {first.strftime(day + '%H:%M')} to {last.strftime(day + '%H:%M')}"
        policy, digest = unit.current_policy()
        proposal = propose(policy, {"summary": title, "service": "", "component": ""})
        severity = proposal.severity if proposal.rule else "P3"
        incident = unit.create(
            f.Declared(
                number=unit.tx.next_number("INC"), series="INC", title=title, severity=severity, severity_state="proposed",
                reason=proposal.reason if proposal.rule else GAP_RULE, policy=digest, rule=proposal.rule or GAP_RULE,
                kind=next(iter(policy.types)), by="machine", detected_how="monitor", detected_by=OURSELVES.name,
                summary=f"For {humanize(end - start)} ({to_iso(start)} to {to_iso(end)}) no process of Tocsin did its work. "
                + ("Nothing could be received: " if what == "deaf" else "Alerts were taken, but nobody was paged: ")
                + "check with the senders what happened meanwhile, and why Tocsin was away.",
                group_key=f"tocsin/gap/{start}", self_resolvable=False,
            )
        )  # fmt: skip
        log.warning("a gap", what=what, start=to_iso(start), end=to_iso(end), incident=incident.name)
        deaf.start, deaf.end, deaf.incident = start, end, incident.id

    def _forgive(self, unit: Work, deaf: Deaf, start: Instant, end: Instant) -> None:
        """Alerts and heartbeats get back the time in which they could not have been heard."""
        start = max(start, deaf.forgiven)
        if end <= start:
            return
        goes_on = bool(deaf.times) and deaf.times[-1][1] == start  # a worker beside it forgives bit by bit
        begun = deaf.times.pop()[0] if goes_on else start
        deaf.times = [*deaf.times, (begun, end)][-KEPT_TIMES:]
        deaf.forgiven = end
        after: tuple[str, str] | None = None
        while rows := unit.tx.alerts(status="firing", after=after, limit=1000):
            after = (rows[-1].integration, rows[-1].dedup_key)
            changed = [row for row in rows if forgive(row, start, end)]
            if changed:
                unit.tx.put_alerts(changed)
        unit.tx.set_timer("expiry", "alerts", unit.tx.next_end())
        for row in unit.tx.records("integration"):
            if decode(row.body, Integration).source == "heartbeat":
                timer = unit.tx.timer("heartbeat", row.id)
                if timer is not None:
                    unit.tx.set_timer("heartbeat", row.id, timer.due_at + end - start)

    # the others

    def _missing(self, unit: Work, others: list[Alive], own: Alive | None, now: Instant) -> None:
        if own is not None and own.alarmed:
            self._tell(unit, own, "resolve", "it works again")
        gone = sorted(silent(others, now), key=lambda row: row.at)
        fresh = sorted(
            [row for row in others if not row.stopped and now - row.at <= STALE]
            + [self._row(now, 0, held=False)],
            key=lambda row: row.started_at,
        )
        for row in gone:
            successor = next((one for one in fresh if one.kind == row.kind and one.started_at > row.at), None)
            if successor is not None:
                fresh.remove(successor)
            if successor is not None or now - row.at > DAY:
                if row.alarmed:
                    self._tell(
                        unit, row, "resolve", f"{successor.process if successor else 'nobody'} took its place"
                    )
                unit.tx.put_meta(f"alive/{row.process}", None)
            elif not row.alarmed and not row.held:
                row.alarmed = True
                unit.tx.put_meta(f"alive/{row.process}", encode(row))
                self._tell(unit, row, "trigger", f"its last sign of life was at {to_iso(row.at)}")
        for row in others:
            if row.stopped and now - row.at > DAY:
                unit.tx.put_meta(f"alive/{row.process}", None)

    def _tell(self, unit: Work, row: Alive, action: str, why: str) -> None:
        alert = Alert(
            action, f"process:{row.process}", f"Tocsin's {row.kind} process {row.process} is silent: {why}", "warning",
            source=row.process, labels={"process": row.process, "kind": row.kind},
        )  # fmt: skip
        told = self.engine.work(unit.tx, Actor("integration:tocsin", "tocsin"))
        receiving.receive(told, OURSELVES, [alert], self.engine.rules(unit.tx))


def _follow(tx: Transaction, rows: list[Alive], now: Instant, step: int) -> list[Alive]:
    """After the clock was set, what others wrote before that is read in the new time."""
    for row in rows:
        if step < 0 and row.at <= now + TOLERANCE:
            continue  # whoever wrote it has noticed already
        row.at, row.started_at = min(row.at + step, now), min(row.started_at + step, now)
        tx.put_meta(f"alive/{row.process}", encode(row))
    return rows


class Heartbeat:
    """The ping to an outside watchdog: once a minute while nothing is late or set aside. Its silence is the outside's alarm.

    ``ping`` sends it; it raises :class:`DeliveryFailed`, which is logged and shown by ``failure``.
    """

    def __init__(
        self, engine: Engine, url: str, ping: Callable[[str], None], *, steady: Clock | None = None
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise Unusable("TOCSIN_HEARTBEAT_URL must begin with https:// or http://", "heartbeat_url")
        self.engine, self.url, self._ping = engine, url, ping
        self._steady = steady or SteadyClock()
        self._next = 0
        self.failure = ""

    def due(self) -> bool:
        """Whether a minute has gone by; asking takes the turn."""
        now = self._steady.now()
        if now < self._next:
            return False
        self._next = now + PING_EVERY
        return True

    def beat(self) -> bool:
        """Pings unless something is late; answers whether it did."""
        late = max(self.engine.lateness()) > LATE or bool(self.engine.poisoned)
        if late or self.engine.store.read(lambda r: r.meta("held")) is not None:
            log.warning("the outside watchdog is not pinged", why=self.engine.lateness_banner())
            return False
        try:
            self._ping(self.url)
        except DeliveryFailed as error:
            self.failure = error.sentence
            log.warning("the outside watchdog could not be pinged", why=error.sentence)
            return False
        self.failure = ""
        return True


class Beater:
    """Beats for a process without a loop (``tocsin web``), in a thread of its own."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tocsin-alive", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch.look()
            except Busy as error:
                log.warning("no sign of life could be written", why=str(error))
            self._stop.wait(BEAT / SECOND)
