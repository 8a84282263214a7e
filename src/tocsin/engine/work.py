"""One unit of work: the streams a command reads and changes, inside one transaction.

``record`` folds a fact into the state at once and runs the reactions to it, so that whoever decides next sees it.
``flush`` writes everything: facts, snapshot and list row, timer row, outbox rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from tocsin.incidents import facts as f
from tocsin.incidents.chasing import next_chase_moment
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import calendar_of, owed
from tocsin.incidents.escalation import next_escalation
from tocsin.incidents.incident import FOLD, Incident, fold, refold
from tocsin.incidents.promises import tell_from
from tocsin.kernel.clock import HOUR, Instant, earliest
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import NotFound
from tocsin.kernel.facts import GENESIS, Actor, Draft, Stream, chain
from tocsin.kernel.ports import OutboxRow, Reader, StreamRow, Transaction
from tocsin.kernel.randomness import Randomness, ulid
from tocsin.policy.calendar import BusinessCalendar
from tocsin.policy.model import Policy

Reaction = Callable[["Work", Incident, f.Body, str], None]
"""(work, incident, the fact's body, the fact's id)"""


class Pending(msgspec.Struct):
    """What one stream gains in this unit of work."""

    incident: Incident
    version: int
    head: bytes
    drafts: list[Draft] = []
    ids: list[str] = []
    held: Instant = 0


class Work:
    """See the module. One for each command, tick or batch of alerts; never shared between threads."""

    def __init__(
        self, tx: Transaction, *, now: Instant, actor: Actor, command_id: str, directory: Directory,
        policy_of: Callable[[Reader, str], tuple[Policy, str]], randomness: Randomness,
        reactions: Mapping[type[f.Body], tuple[Reaction, ...]],
    ) -> None:  # fmt: skip
        self.tx, self.now, self.actor, self._command_id = tx, now, actor, command_id
        self.directory, self.randomness = directory, randomness
        self._policy_of, self._reactions = policy_of, reactions
        self._pending: dict[str, Pending] = {}
        self._outbox: list[OutboxRow] = []

    @property
    def command_id(self) -> str:
        """The id that all facts of this unit share; made when the first is written, because most batches write none."""
        if not self._command_id:
            self._command_id = self.new_id()
        return self._command_id

    def policy(self, incident: Incident) -> Policy:
        """The policy frozen onto the incident."""
        return self._policy_of(self.tx, incident.policy)[0]

    def current_policy(self) -> tuple[Policy, str]:
        """The policy in force and its hash, to be frozen onto a new incident."""
        return self._policy_of(self.tx, "")

    def new_id(self) -> str:
        """A fresh ULID of this moment."""
        return ulid(self.randomness, self.now)

    def create(self, declared: f.Declared) -> Incident:
        """A new incident that begins with ``declared``."""
        incident = Incident(self.new_id())
        self._pending[incident.id] = Pending(incident, 0, GENESIS)
        self.record(incident, declared)
        return incident

    def load(self, reference: str) -> Incident:
        """The incident of an id or a number (``INC-7``, ``7``); raises :class:`NotFound`."""
        if reference in self._pending:
            return self._pending[reference].incident
        row = find_row(self.tx, reference)
        if row.stream.id in self._pending:
            return self._pending[row.stream.id].incident
        incident = read_incident(self.tx, row)
        self._pending[incident.id] = Pending(incident, row.version, row.head)
        return incident

    def record(
        self, incident: Incident, body: f.Body, *, at: Instant | None = None, visibility: str = "internal"
    ) -> str:
        """Adds a fact and lets the reactions to it follow; answers its id. ``at`` back-dates it."""
        self._miss_what_restarts(incident, body)
        pending = self._pending[incident.id]
        occurred = self.now if at is None else at
        pending.drafts.append(f.draft(body, occurred, "restricted" if incident.restricted else visibility))
        fact_id = self.new_id()
        pending.ids.append(fact_id)
        effective = occurred if isinstance(body, f.UpdatePosted | f.ServiceState) else self.now
        fold(
            incident,
            body,
            effective,
            pending.version + len(pending.drafts),
            self.actor.principal.startswith("person:"),
        )
        for reaction in self._reactions.get(type(body), ()):
            reaction(self, incident, body, fact_id)
        return fact_id

    def _miss_what_restarts(self, incident: Incident, body: f.Body) -> None:
        """A duty that is late when a fact restarts it leaves its miss behind: its timer may not have been looked at yet."""
        rules = restarted_by(body)
        if not rules or not incident.open or incident.paused_until:
            return
        for duty in owed(incident, self.policy(incident)):
            if duty.rule in rules and duty.due < self.now and duty.id not in incident.missed:
                people = [incident.holder] if incident.holder else []
                self.record(incident, f.DutyMissed(duty.id, duty.rule, duty.due, duty.owner, people))

    def send(self, row: OutboxRow) -> None:
        """An effect that leaves with this unit of work."""
        self._outbox.append(row)

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

    def rearm(self, incident: Incident) -> Instant | None:
        """Writes the incident's one timer row: the earliest thing that will fall due."""
        due = next_due(incident, self.policy(incident), self.directory, self.now)
        self.tx.set_timer("incident", incident.id, due)
        return due

    def _flush(self, pending: Pending) -> None:
        incident = pending.incident
        stream = Stream("incident", incident.id)
        facts = chain(
            stream, pending.drafts, version=pending.version, previous=pending.head, actor=self.actor,
            command_id=self.command_id, now=self.now, ids=pending.ids,
        )  # fmt: skip
        self.tx.append(facts)
        self.tx.put_stream(
            StreamRow(
                stream=stream, series=incident.series, number=incident.number, version=facts[-1].version, head=facts[-1].hash,
                fold=FOLD, snapshot=encode(incident), status=incident.status, severity=incident.severity,
                title=incident.title, open=incident.open, restricted=incident.restricted, drill=incident.drill,
                members=" ".join(f"person:{person}" for person in incident.members), opened_at=incident.opened_at,
                updated_at=self.now, search=search_text(incident),
            )
        )  # fmt: skip
        pending.version, pending.head, pending.drafts, pending.ids = facts[-1].version, facts[-1].hash, [], []
        self.rearm(incident)


def restarted_by(body: f.Body) -> tuple[str, ...]:
    """The rules whose duties begin anew with ``body``, or are measured by another severity from then on."""
    if isinstance(body, f.UpdatePosted):
        return ("update",)
    if isinstance(body, f.SeverityChanged) and body.before != body.after:
        return ("acknowledge", "respond", "update")
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
    """The stream row of an id or a number; raises :class:`NotFound`."""
    series, dash, number = reference.upper().rpartition("-")
    if number.isascii() and number.isdigit() and len(number) < 18 and (dash or reference.isdigit()):
        row = reader.stream_by_number(series or "INC", int(number))
    else:
        row = reader.stream(Stream("incident", reference))
    if row is None:
        raise NotFound(f"there is no incident {reference[:40]}")
    return row


def read_incident(reader: Reader, row: StreamRow) -> Incident:
    """The folded state: the stored snapshot where this version's fold made it, else folded anew."""
    if row.fold == FOLD:
        return decode(row.snapshot, Incident)
    return refold(row.stream.id, reader.facts(row.stream))


def next_due(incident: Incident, policy: Policy, directory: Directory, now: Instant) -> Instant | None:
    """The earliest instant at which the incident owes something: a step, a reminder, a miss, a notice, an end."""
    calendar = calendar_of(incident, policy)
    if not incident.open:
        return next_duty_moment(incident, policy, calendar)
    moments = [
        next_escalation(incident, policy, calendar, directory),
        next_duty_moment(incident, policy, calendar),
    ]
    moments.append(self_resolve_at(incident, policy))
    moments.append(notice_at(incident, policy))
    moments.append(shift_change_at(incident, directory, now))
    return earliest(moments)


def next_duty_moment(incident: Incident, policy: Policy, calendar: BusinessCalendar) -> Instant | None:
    """When the next reminder, miss or nudge of anything owed is due; while the clocks are paused, the end of the pause."""
    if incident.paused_until:
        return incident.paused_until
    return earliest(next_chase_moment(duty, incident, policy, calendar) for duty in owed(incident, policy))


def may_resolve_itself(incident: Incident, policy: Policy) -> bool:
    """A machine opened it, a person never touched it, and it is P3/P4 or nobody acknowledged it."""
    rules = policy.self_resolve
    kind = policy.incident_type(incident.kind)
    return (
        incident.open
        and incident.by == "machine"
        and not incident.touched
        and (kind is None or kind.self_resolves)
        and (incident.severity in rules.severities or not incident.acknowledged_at)
    )


def self_resolve_at(incident: Incident, policy: Policy) -> Instant | None:
    """When it resolves itself, or the commander is asked to; None while an alert fires or after it was asked."""
    if not incident.open or not counts_as_clear(incident, policy) or "resolve" in incident.asked:
        return None
    return incident.all_clear_at + policy.self_resolve.clear_for.micros


def watch_key(service: str) -> str:
    """The group under which an incident that is monitored, or was just resolved, is found by its service."""
    return f"watch/{service}"


def counts_as_clear(incident: Incident, policy: Policy) -> bool:
    """Whether all of its alerts have cleared.

    One that merely expired was not seen to end: it counts for an incident of low severity that nobody has acknowledged.
    """
    if not incident.all_clear_at:
        return False
    if not any(alert.how == "expired" for alert in incident.alerts.values()):
        return True
    return incident.severity in policy.self_resolve.severities and not incident.acknowledged_at


def notice_at(incident: Incident, policy: Policy) -> Instant | None:
    """When those whom the severity tells are told: the moment it is owed, or None once they were."""
    if incident.told.get(f"opened:{incident.severity}") is not None:
        return None
    return tell_from(incident, policy) or None


def shift_change_at(incident: Incident, directory: Directory, now: Instant) -> Instant | None:
    """The next hand-off of the schedule that was paged, so that nobody hands over an unanswered page."""
    on_call = any(run.on_call and run.state != "stopped" for run in incident.runs.values())
    if not on_call or not incident.services:
        return None
    team, _ = directory.answering_team(service=incident.services[0], policy=incident.escalation_policy)
    if team is None:
        return None
    after = max([now, *(run.last_step_at for run in incident.runs.values() if run.on_call)])
    change = directory.next_change(team.schedule, after)
    return change if change is None or change < now + 24 * 7 * HOUR else None
