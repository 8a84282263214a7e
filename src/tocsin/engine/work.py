"""One unit of work: the streams a command reads and changes, inside one transaction.

``record`` folds a fact into the state at once and runs the reactions to it, so that whoever decides next sees it.
``flush`` writes everything: facts, snapshot and list row, timer row, outbox rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

import msgspec

from tocsin.engine import alike
from tocsin.engine.alike import Opening
from tocsin.incidents import facts as f
from tocsin.incidents import redaction
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import owed
from tocsin.incidents.folding import BACKDATED, FOLD, refold
from tocsin.incidents.incident import ENDED, Incident
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import canonical, decode, encode
from tocsin.kernel.errors import NotFound, Refused
from tocsin.kernel.facts import GENESIS, Actor, Draft, Fact, Stream, chain
from tocsin.kernel.ports import OutboxRow, Reader, StreamRow, Transaction
from tocsin.kernel.randomness import Randomness, ulids
from tocsin.policy.model import Policy

SMALL = 64 * 1024
"""bytes of a stored view that is written anew with each of its facts"""
BEHIND = 32
"""facts that a larger one may lie behind: thousands of alerts are not written again for each that joins; whoever reads folds them"""
IDS, MOST_IDS = 8, 256
"""drawn at once: an incident that opens needs some twenty, so each time four times as many"""
MERGES = 20
"""merges of merges that are followed"""


class Stateful(Protocol):
    """What the states of all kinds of stream have."""

    id: str
    restricted: bool


S = TypeVar("S", bound=Stateful)

Reaction = Callable[["Work", Any, f.Body, str], None]
"""(work, state of the stream, the fact's body, the fact's id)"""


class Kind(msgspec.Struct, frozen=True):
    """A kind of stream: how its facts fold, what stands in its list row, when it next owes something, what follows."""

    name: str
    state: type[Any]
    fold_version: int
    fold: Callable[[Any, f.Body | None, Instant, int, str], None]
    row: Callable[[Any], dict[str, Any]]
    """the columns of its list row: number, status, title, whether it is open …"""
    next_due: Callable[[Work, Any], Instant | None]
    reactions: Mapping[type[f.Body], tuple[Reaction, ...]]


class View(msgspec.Struct, frozen=True):
    """An incident after the fact of a hash; the version of its view that is ``stored``, and the bytes of that (0 where it has to
    be written).
    """

    head: bytes
    incident: Incident
    stored: int
    size: int


class Memory(Protocol):
    """What a process remembers of incidents from one unit of work to the next."""

    def keep(self, view: View) -> None:
        """Remembers an incident as it stands after a fact."""
        ...

    def take(self, id: str, head: bytes) -> View | None:
        """The incident after the fact of this hash, given away to be changed; None where it is not known as that."""
        ...


class Pending(msgspec.Struct):
    """What one stream gains in this unit of work."""

    state: Any
    version: int
    head: bytes
    drafts: list[Draft] = []
    ids: list[str] = []
    stored: int = 0
    """the version of the stored view"""
    size: int = 0
    """bytes of the stored view; 0 where it has to be written"""
    opening: Opening | None = None
    """what others that open alike came to, as long as nothing but that is recorded"""


class Work:
    """See the module. One for each command, tick or batch of alerts; never shared between threads."""

    def __init__(
        self, tx: Transaction, *, now: Instant, actor: Actor, command_id: str, directory: Directory,
        policy_of: Callable[[Reader, str], tuple[Policy, str]], randomness: Randomness,
        kinds: Mapping[type[Any], Kind], memory: Memory | None = None, alone: bool = False,
    ) -> None:  # fmt: skip
        """``alone``: no other unit of work runs beside it, so that it may change what the memory holds."""
        self.tx, self.now, self.actor, self._command_id = tx, now, actor, command_id
        self.directory, self.randomness = directory, randomness
        self._policy_of, self._kinds, self._memory, self._alone = policy_of, kinds, memory, alone
        self._pending: dict[str, Pending] = {}
        self._outbox: list[OutboxRow] = []
        self._openings: dict[bytes, Opening] = {}
        self._ids = _fresh_ids(randomness, now)
        """ids that nobody has yet"""
        self._made: list[str] = []
        """the ids that were made, while what an incident opens with is worked out"""
        self._heads: dict[str, tuple[int, bytes]] = {}
        """version and hash of the last fact of incidents that were looked up and not loaded yet"""

    @property
    def command_id(self) -> str:
        """The id that all facts of this unit share; made when the first is written, because most batches write none."""
        if not self._command_id:
            self._command_id = self.new_id()
        return self._command_id

    def policy(self, incident: Incident) -> Policy:
        """The policy frozen onto the incident."""
        return self._policy_of(self.tx, incident.policy)[0]

    def policy_named(self, hash: str) -> Policy:
        """The version of that hash."""
        return self._policy_of(self.tx, hash)[0]

    def current_policy(self) -> tuple[Policy, str]:
        """The policy in force and its hash, to be frozen onto a new incident."""
        return self._policy_of(self.tx, "")

    def new_id(self) -> str:
        """A fresh ULID of this moment."""
        made = next(self._ids)
        self._made.append(made)
        return made

    def new_ids(self, count: int) -> list[str]:
        """As many, those that :meth:`new_id` would have made."""
        return list(islice(self._ids, count))

    def create(self, declared: f.Declared) -> Incident:
        """A new incident that begins with ``declared``."""
        return self.begin(Incident(self.new_id()), declared)

    def open(self, declared: f.Declared, first: f.AlertsAttached) -> Incident:
        """A new incident that begins with its first alert; where another has opened alike, it is written from that one."""
        like = alike.likeness(declared, first)
        if like is not None and (known := self._openings.get(like)) is not None:
            return self._open_again(known, declared, first)
        self._made, leaving = [], len(self._outbox)
        incident = self.create(declared)
        pending = self._pending[incident.id]
        opened = alike.Opened(incident, pending.ids.copy(), pending.drafts[1:], self._outbox[leaving:])
        opening = Opening(self._made, opened, self.directory.settings.war_room)
        self.record(incident, first)
        if like is not None and len(pending.drafts) == len(opened.ids) + 1:
            self._openings[like] = pending.opening = opening
        return incident

    def forget_openings(self) -> None:
        """What was written meanwhile may change what follows from a beginning: the next one is worked out again."""
        self._openings.clear()

    def _open_again(self, known: Opening, declared: f.Declared, first: f.AlertsAttached) -> Incident:
        opened = known.again(declared, self.new_ids)
        incident, drafts = opened.incident, [f.draft(declared, self.now), *opened.drafts]
        pending = self._pending[incident.id] = Pending(
            incident, 0, GENESIS, drafts, opened.ids, opening=known
        )  # fmt: skip
        self._outbox += opened.rows
        self._add(pending, first, self.now, "internal")  # of the first of its kind nothing followed from that
        return incident

    def begin(self, state: S, body: f.Body) -> S:
        """A new stream that begins with ``body``; ``state`` is empty but for its id."""
        self._pending[state.id] = Pending(state, 0, GENESIS)
        self.record(state, body)
        return state

    def load(self, reference: str) -> Incident:
        """The incident of an id or a number (``INC-7``, ``7``); raises :class:`NotFound`."""
        if reference in self._pending:
            found: Incident = self._pending[reference].state
            return found
        if reference in self._heads and (known := self._remembered(reference)) is not None:
            return known
        row = find_row(self.tx, reference)
        if row.stream.id in self._pending:
            return self.load(row.stream.id)
        self._heads[row.stream.id] = (row.version, row.head)
        if (known := self._remembered(row.stream.id)) is not None:
            return known
        incident, stored = read_view(self.tx, row)
        size = len(row.snapshot) if stored else 0
        self._pending[row.stream.id] = Pending(incident, row.version, row.head, stored=stored, size=size)
        return incident

    def expect(self, ids: Collection[str]) -> None:
        """Looks up how far the incidents of ``ids`` are, which are loaded next, all in one query."""
        self._heads |= self.tx.heads_of("incident", [id for id in ids if id not in self._pending])

    def _remembered(self, id: str) -> Incident | None:
        """The incident as it is remembered, where that is how it stands."""
        version, head = self._heads.pop(id)
        view = self._memory.take(id, head) if self._memory is not None and self._alone else None
        if view is None:
            return None
        self._pending[id] = Pending(view.incident, version, head, stored=view.stored, size=view.size)
        return view.incident

    def let_go(self, incident: Incident) -> bool:
        """Writes what was recorded on a large incident and forgets it, so that a batch that concerns many such holds one at a
        time; whoever needs it again loads it again. Answers whether it was one.
        """
        pending = self._pending.get(incident.id)
        if pending is None or pending.size <= SMALL:
            return False
        if pending.drafts:
            self._flush(pending)
        del self._pending[incident.id]
        if self._memory is not None:
            self._memory.take(incident.id, pending.head)  # whoever let it go may keep a part of it alone
        return True

    def leading(self, incident: Incident) -> Incident:
        """The incident that goes on where ``incident`` was merged into another; itself where it was not."""
        for _ in range(MERGES):
            if incident.status != "merged" or not incident.merged_into:
                break
            incident = self.load(incident.merged_into)
        return incident

    def load_other(self, state: type[S], reference: str, series: str = "") -> S:
        """The stream of another kind by its id or its number in ``series``; raises :class:`NotFound`."""
        kind = self._kinds[state]
        row = find_other(self.tx, kind.name, reference, series)
        if row.stream.id not in self._pending:
            self._pending[row.stream.id] = Pending(read_state(self.tx, row, kind), row.version, row.head)
        found: S = self._pending[row.stream.id].state
        return found

    def record(
        self, state: Stateful, body: f.Body, *, at: Instant | None = None, visibility: str = "internal"
    ) -> str:
        """Adds a fact and lets the reactions to it follow; answers its id. ``at`` back-dates it."""
        if isinstance(state, Incident):
            self._miss_what_restarts(state, body)
        pending = self._pending[state.id]
        pending.opening = None
        fact_id = self._add(pending, body, self.now if at is None else at, visibility)
        for reaction in self._kinds[type(state)].reactions.get(type(body), ()):
            reaction(self, state, body, fact_id)
        return fact_id

    def _add(self, pending: Pending, body: f.Body, occurred: Instant, visibility: str) -> str:
        """Adds a fact to a stream and folds it; answers its id."""
        state = pending.state
        pending.drafts.append(f.draft(body, occurred, "restricted" if state.restricted else visibility))
        fact_id = self.new_id()
        pending.ids.append(fact_id)
        effective = occurred if isinstance(body, f.UpdatePosted | f.ServiceState) else self.now
        version = pending.version + len(pending.drafts)
        self._kinds[type(state)].fold(state, body, effective, version, self.actor.principal)
        return fact_id

    def _miss_what_restarts(self, incident: Incident, body: f.Body) -> None:
        """A duty that is late when a fact restarts it leaves its miss behind: its timer may not have been looked at yet."""
        rules = restarted_by(body) if type(body) in RESTARTING else ()
        if not rules or not incident.open:
            return
        policy, people = self.policy(incident), [incident.holder] if incident.holder else []
        while late := [
            duty
            for duty in owed(incident, policy)  # asked anew: of a long silence each interval is a duty
            if duty.due < self.now and duty.id not in incident.missed and (duty.rule in rules or rules == ALL)
        ]:
            for duty in late:
                self.record(incident, f.DutyMissed(duty.id, duty.rule, duty.due, duty.owner, people))

    def redact(self, state: S, fact: Fact, reason: str) -> tuple[S, list[str]]:
        """Replaces the words of one fact, and copies of them in the other facts of its stream.

        Answers the state folded anew, and the words. Raises :class:`Refused` where the fact has none left.
        """
        found = redaction.without_words(fact)
        if found is None:
            raise Refused(f"fact {fact.version} ({fact.type}) holds no words that are left")
        body, taken = found
        words = sorted(taken, key=len, reverse=True)
        copies = [one for one in self._copies(fact.stream, words) if one[0].id != fact.id]
        return self._reword(state, [(fact, body), *copies], reason), words

    def redact_copies(self, state: S, words: Collection[str], reason: str) -> S:
        """Replaces copies of ``words`` in the facts of a stream; answers the state folded anew."""
        copies = self._copies(Stream(self._kinds[type(state)].name, state.id), words)
        return self._reword(state, copies, reason) if copies else state

    def _copies(self, stream: Stream, words: Collection[str]) -> list[tuple[Fact, dict[str, Any]]]:
        return [
            (fact, body)
            for fact in self.tx.facts(stream)
            if (body := redaction.without_copies(fact, words)) is not None
        ]

    def _reword(self, state: S, facts: Sequence[tuple[Fact, dict[str, Any]]], reason: str) -> S:
        kind, pending = self._kinds[type(state)], self._pending[state.id]
        said = []
        for number, (fact, stand_in) in enumerate(facts):
            body = canonical(stand_in)
            self.tx.redact(fact.stream, fact.id, body)
            why = f"{reason} (a copy)" if number else reason
            said.append(f.Redacted(fact.id, why, hashlib.sha256(body).hexdigest(), fact.version))
        found: S = folded(kind, state.id, self.tx.facts(facts[0][0].stream))
        pending.state, pending.size = found, 0
        for one in said:
            self.record(found, one)
        return found

    def send(self, row: OutboxRow) -> None:
        """An effect that leaves with this unit of work."""
        self._outbox.append(row)

    def reached(self, incident: Incident) -> list[str]:
        """Everybody to whom a page of the incident has left, or is leaving at this moment."""
        rows = self.tx.outbox_of(f"incident/{incident.id}")
        return [row.recipient for row in rows if row.effect == "page" and row.state in ("done", "leased")]

    def withdraw(self, incident: Incident, *, tag: str | None = None, recipient: str | None = None) -> int:
        """Takes back waiting messages of the incident, those of this unit of work too."""
        scope = f"incident/{incident.id}"
        self._outbox = [
            row for row in self._outbox
            if not (row.scope == scope and (tag is None or row.tag == tag) and (recipient is None or row.recipient == recipient))
        ]  # fmt: skip
        return self.tx.withdraw_outbox(scope, self.now, tag=tag, recipient=recipient)

    def flush(self) -> None:
        """Writes what was recorded; nothing where nothing was."""
        for pending in self._pending.values():
            if pending.drafts:
                self._flush(pending)
        if self._outbox:
            self.tx.put_outbox(self._outbox)
        self._outbox = []

    def rearm(self, state: Stateful) -> Instant | None:
        """Writes the stream's one timer row: the earliest thing that will fall due."""
        kind = self._kinds[type(state)]
        due = kind.next_due(self, state)
        self.tx.set_timer(kind.name, state.id, due)
        return due

    def _flush(self, pending: Pending) -> None:
        state = pending.state
        kind = self._kinds[type(state)]
        stream = Stream(kind.name, state.id)
        facts = chain(
            stream, pending.drafts, version=pending.version, previous=pending.head, actor=self.actor,
            command_id=self.command_id, now=self.now, ids=pending.ids,
        )  # fmt: skip
        self.tx.append(facts)
        version, head, snapshot = facts[-1].version, facts[-1].hash, b""
        quiet = all(draft.type == f.Delivery.type for draft in pending.drafts)
        behind = (quiet or pending.size > SMALL) and pending.size > 0 and version - pending.stored < BEHIND
        if not behind:
            snapshot = encode(state)
            pending.stored, pending.size = version, len(snapshot)
        if quiet and behind:  # that a message left shows in no list, and there are many such facts
            self.tx.move_head(stream, version, head, self.now)
        else:
            self.tx.put_stream(
                StreamRow(
                    stream=stream, version=version, head=head, fold=kind.fold_version, snapshot=snapshot,
                    restricted=state.restricted, updated_at=self.now, **kind.row(state),
                ),
                behind=behind,
            )  # fmt: skip
        if self._memory is not None and isinstance(state, Incident):
            self._memory.keep(View(head, state, pending.stored, pending.size))
        pending.version, pending.head, pending.drafts, pending.ids = version, head, [], []
        if pending.opening is not None:
            self._arm_alike(kind, state, pending.opening)
            pending.opening = None
        elif not quiet:  # and makes nothing due
            self.rearm(state)

    def _arm_alike(self, kind: Kind, state: Stateful, opening: Opening) -> None:
        """The timer of one that opened alike falls due when that of the first did."""
        if opening.due is None:
            opening.due = (self.rearm(state),)
        else:
            self.tx.set_timer(kind.name, state.id, opening.due[0])


def _fresh_ids(randomness: Randomness, now: Instant) -> Iterator[str]:
    """Ids without end. It knows nothing of whom they are for: a unit of work that it pointed back to would be a cycle, and lie
    about until the collector comes.
    """
    count = IDS
    while True:
        yield from ulids(randomness, now, count)
        count = min(MOST_IDS, 4 * count)


ALL = ("*",)


RESTARTING = frozenset((
    f.UpdatePosted, f.StandUpHeld, f.Heard, f.MergedFrom, f.SplitOff, f.SeverityChanged, f.StatusChanged, f.PolicyAdopted, f.TypeSet,
    f.ImpactSet, f.MergedInto,
))  # fmt: skip
"""the facts that :func:`restarted_by` knows: most are none of them"""


def restarted_by(body: f.Body) -> tuple[str, ...]:
    """The rules whose duties begin anew, end or are measured otherwise with ``body``; :data:`ALL` for every one of them."""
    match body:
        case f.UpdatePosted():
            return ("update",)
        case f.StandUpHeld():
            return ("stand_up",)
        case f.Heard():
            return ("continuity",)
        case f.MergedFrom() | f.SplitOff():
            return ("resolve", "validation")
        case f.SeverityChanged():
            return ALL if body.before != body.after else ()
        case f.StatusChanged():
            return ALL if body.after in ("resolved", *ENDED) else ()
        case f.PolicyAdopted() | f.TypeSet() | f.ImpactSet() | f.MergedInto():
            return ALL
    return ()


def search_text(incident: Incident) -> str:
    """What full-text search looks through."""
    return " ".join(
        [
            incident.name,
            incident.title,
            incident.summary,
            *incident.services,
            *(a.ref.summary for a in list(incident.alerts.values())[:20]),
        ]
    )


def find_row(reader: Reader, reference: str) -> StreamRow:
    """The stream row of an incident by its id or its number; raises :class:`NotFound`."""
    row = find_any(reader, reference)
    if row is None or row.stream.kind != "incident":  # an action item has a number too
        numbered = _numbered(reference)
        raise no_incident(f"{numbered[0]}-{numbered[1]}" if numbered else reference)
    return row


def find_any(reader: Reader, reference: str) -> StreamRow | None:
    """The stream row of an incident's id, or of a number in any series: ``INC-7``, ``7``, ``ACT-3``."""
    numbered = _numbered(reference)
    return reader.stream_by_number(*numbered) if numbered else reader.stream(Stream("incident", reference))


def _numbered(reference: str) -> tuple[str, int] | None:
    """(series, number) of a reference that has a number; a number alone is an incident's."""
    series, dash, number = reference.upper().rpartition("-")
    if number.isascii() and number.isdigit() and len(number) < 18 and (series or not dash):
        return series or "INC", int(number)
    return None


def no_incident(name: str) -> NotFound:
    """What is said of one that does not exist, and word for word the same of one that somebody may not see."""
    return NotFound(f"there is no incident {name[:40]}")


def read_incident(reader: Reader, row: StreamRow) -> Incident:
    """The folded state: the stored view and the facts it lies behind; folded anew where another version's fold made it."""
    return read_view(reader, row)[0]


def read_view(reader: Reader, row: StreamRow) -> tuple[Incident, int]:
    """:func:`read_incident`, with the version of the view that is stored; 0 where it has to be written anew."""
    if row.fold != FOLD:
        return refold(row.stream.id, reader.facts(row.stream)), 0
    incident: Incident = decode(row.snapshot, Incident)
    stored = incident.version
    if stored < row.version:
        refold(row.stream.id, reader.facts(row.stream, stored), incident)
    return incident, stored


def find_other(reader: Reader, kind: str, reference: str, series: str) -> StreamRow:
    """The stream row of another kind by id or number; raises :class:`NotFound`."""
    prefix, dash, number = reference.upper().rpartition("-")
    if number.isascii() and number.isdigit() and len(number) < 18 and (not dash or prefix == series):
        row = reader.stream_by_number(series, int(number))
    else:
        row = reader.stream(Stream(kind, reference))
    if row is None or row.stream.kind != kind:
        raise NotFound(f"there is no {kind} {reference[:40]}")
    return row


def read_state(reader: Reader, row: StreamRow, kind: Kind) -> Any:
    """The folded state of a stream of any kind: its snapshot where this version's fold made it, else folded anew."""
    if row.fold == kind.fold_version:
        return decode(row.snapshot, kind.state)
    return folded(kind, row.stream.id, reader.facts(row.stream))


def folded(kind: Kind, stream_id: str, stored: Iterable[Fact]) -> Any:
    """The state of a stream after all of its facts."""
    state = kind.state(stream_id)
    for fact in stored:
        at = fact.occurred_at if fact.type in BACKDATED else fact.recorded_at
        kind.fold(state, f.read(fact), at, fact.version, fact.actor.principal)
    return state


def incident_row(incident: Incident) -> dict[str, Any]:
    """The columns of an incident's list row."""
    return {
        "series": incident.series, "number": incident.number, "status": incident.status, "severity": incident.severity,
        "title": incident.title, "open": incident.open, "drill": incident.drill, "opened_at": incident.opened_at,
        "members": " ".join(f"person:{person}" for person in incident.members), "search": search_text(incident),
    }  # fmt: skip
