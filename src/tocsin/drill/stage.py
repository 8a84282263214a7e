"""The stage of a drill: the real engine on a real store, with a clock, a randomness and channels that a drill can play with.

Nothing here decides anything about incidents. The stage moves time from one due moment to the next, lets the engine take
its steps, and remembers what reached whom. It can kill the process: everything in memory goes, the store is opened anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tocsin.alerts.shape import Alert, Change
from tocsin.catalogue.people import CONTACT_KINDS, INTERRUPTING_KINDS
from tocsin.engine.commands import Command
from tocsin.engine.desk import Answer
from tocsin.engine.engine import Engine
from tocsin.engine.placing import Integration
from tocsin.engine.receiving import Outcome
from tocsin.identity.principals import Principal, person_principal
from tocsin.incidents.organisation import Organisation, to_records
from tocsin.kernel.clock import Instant, ManualClock
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import DeliveryFailed, NotFound, Refused
from tocsin.kernel.ports import Channel, Message, Receipt, RecordRow, Store
from tocsin.kernel.randomness import Randomness, SeededRandomness
from tocsin.store.sqlite import SqliteStore

PUBLIC_URL = "https://tocsin.example"
SECRET = b"a drill's secret, known to all.."
"""Links of a drill open nothing outside it; the same secret each time makes the same links."""
INTEGRATION = Integration("drill", "drill", "pagerduty")
WATCHER = Principal("tocsin-drill", "tocsin-drill", "owner")
"""Reads everything and does nothing."""
MOST_STEPS = 10_000
"""Steps of the engine at one instant before it is said that it does not come to rest."""


class Sent(msgspec.Struct, frozen=True):
    """One message that a channel was given. ``at`` counts from the start of the drill; ``failed`` is why it did not arrive."""

    at: int
    channel: str
    person: str
    message: Message
    failed: str = ""

    @property
    def is_page(self) -> bool:
        """Whether it asks its reader to acknowledge."""
        return self.message.kind == "page"

    @property
    def incidents(self) -> list[str]:
        """Numbers of the incidents that the message lists."""
        return [str(one["number"]) for one in self.message.data.get("incidents", ())]


class Twin:
    """Stands for the channel of a name: takes every message, unless the stage says that its provider is down."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self.wakes = name in INTERRUPTING_KINDS
        self._stage = stage

    def deliver(self, message: Message) -> Receipt:
        failure = self._stage.failure(self.name)
        self._stage.deliver(self.name, message, failure)
        if failure is not None:
            raise failure
        return Receipt("delivered")


class Outage(msgspec.Struct, frozen=True):
    """The provider of a channel takes nothing from ``start`` until ``end``, both counted from the start of the drill."""

    channel: str
    start: int
    end: int
    permanent: bool = False


class Stage:
    """See the module. ``folder`` holds the database; ``blank`` is a migrated, empty one to copy, to save time.

    ``wrap`` may put something between the engine and the store (simulations kill the process there).
    """

    def __init__(
        self, folder: Path, *, organisation: Callable[[Instant], Organisation], policy: str, start: Instant, seed: int | str = 0,
        blank: Path | None = None, wrap: Callable[[Store], Store] | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.start = start
        self.clock = ManualClock(start)
        self.stepped = 0
        """by how much the clock was set wrong, forwards or backwards; time since the start leaves it out"""
        self.randomness: Randomness = SeededRandomness(seed)
        self.sent: list[Sent] = []
        self.outages: list[Outage] = []
        self.on_page: Callable[[Sent], None] = lambda sent: None
        self._wrap = wrap or (lambda store: store)
        self._channels: dict[str, Channel] = {name: Twin(name, self) for name in CONTACT_KINDS}
        if blank is not None:
            (folder / "tocsin.db").write_bytes(blank.read_bytes())
        self._open()
        if blank is None:
            self.store.migrate()
        self.engine.seed_policy(policy)
        rows = to_records(organisation(start), start)
        rows.append(RecordRow("integration", INTEGRATION.id, "", encode(INTEGRATION), start))
        self.engine.put_records(rows)

    def _open(self) -> None:
        self._inner = SqliteStore(self.folder)
        self.store: Store = self._wrap(self._inner)
        self.engine = Engine(
            self.store, self.clock, self.randomness, self._channels, secret=SECRET, public_url=PUBLIC_URL
        )

    # time

    @property
    def now(self) -> int:
        """Microseconds since the start, as a clock that nobody sets would count them."""
        return self.clock.now() - self.start - self.stepped

    def instant(self, since_start: int) -> Instant:
        """What the stage's clock shows ``since_start`` after the start."""
        return self.start + self.stepped + since_start

    def step_clock(self, by: int) -> None:
        """Sets the clock forwards or backwards, as a faulty time server does; the engine's watch sees it at once."""
        self.clock.move_to(self.clock.now() + by)
        self.stepped += by
        self._inner.write(lambda tx: tx.wake_streams("incident", self.clock.now()))

    def next_due(self) -> int | None:
        """When the engine has something to do, counted from the start, or None."""
        due = self.engine.next_due()
        return None if due is None else max(due - self.start - self.stepped, self.now)

    def settle(self) -> None:
        """Lets the engine do all that is due now."""
        for _ in range(MOST_STEPS):
            if not self.engine.step():
                return
        raise Refused(f"the engine does not come to rest {MOST_STEPS} steps after {self.now} µs")

    def run_to(self, since_start: int) -> None:
        """Moves from one due moment to the next, up to and including ``since_start``."""
        self.settle()
        while (due := self.next_due()) is not None and due <= since_start:
            stuck = due == self.now
            self.clock.move_to(self.instant(due))
            self.settle()
            if stuck and self.next_due() == due:
                raise Refused("something is due, and the engine does nothing about it")
        self.clock.move_to(self.instant(max(since_start, self.now)))
        self.settle()

    # what comes from outside

    def receive(self, alerts: Sequence[Alert], changes: Sequence[Change] = ()) -> list[Outcome]:
        """Alerts and changes by way of the drill's own integration; answers when they are on disk."""
        return self.engine.receive(INTEGRATION, alerts, changes).result()

    def execute(self, person: str, command: Command) -> Answer:
        """A command by a person, with that person's own rights."""
        known = self.engine.directory().people.get(person)
        if known is None:
            raise NotFound(f"there is nobody called {person}")
        return self.engine.execute(person_principal(person, known.role), command, via="drill")

    def acknowledge_link(self, message: Message) -> list[Answer]:
        """One tap on the link in a page."""
        return self.engine.acknowledge_link(message.ack_url.rpartition("/")[2])

    def failure(self, channel: str) -> DeliveryFailed | None:
        """Why ``channel`` takes nothing now, or None."""
        for outage in self.outages:
            if outage.channel == channel and outage.start <= self.now < outage.end:
                return DeliveryFailed(f"{channel}: the provider is down", permanent=outage.permanent)
        return None

    def deliver(self, channel: str, message: Message, failure: DeliveryFailed | None) -> None:
        """Called by a twin with each message it is given."""
        person = str(message.data.get("person", message.to))
        sent = Sent(self.now, channel, person, message, failure.sentence if failure else "")
        self.sent.append(sent)
        if failure is None and sent.is_page:
            self.on_page(sent)

    # the process

    def kill(self, down: int = 0) -> None:
        """Ends the process: what was in memory is gone, what was committed is not. It is back after ``down`` microseconds."""
        self._inner.close()
        self.clock.advance(down)
        self._open()

    def close(self) -> None:
        self._inner.close()


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes away by itself, in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="tocsin-drill-", dir=memory if memory.is_dir() else None)
