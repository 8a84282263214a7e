"""What must always hold, checked after each step of a simulation; ``docs/invariants.md`` says it in words.

The checks look at the database from outside: facts, rows, messages. Where one could repeat the engine's own arithmetic
it works from the facts instead, with figures of its own.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field

import msgspec

from tocsin.drill.stage import INTEGRATION, Sent, Stage
from tocsin.engine.kinds import KINDS
from tocsin.engine.placing import QUIET
from tocsin.engine.work import Kind, read_incident, read_state
from tocsin.incidents import actions, policies
from tocsin.incidents import facts as f
from tocsin.incidents.actions import ActionItem
from tocsin.incidents.duties import calendar_of, duties, owed, standing
from tocsin.incidents.escalation import chain_of, next_step
from tocsin.incidents.folding import refold
from tocsin.incidents.incident import Incident, alert_key
from tocsin.incidents.owing import next_due, self_resolve_at
from tocsin.kernel.clock import MINUTE, SECOND
from tocsin.kernel.facts import Fact, Stream, verify_chain
from tocsin.kernel.ports import AlertRow, Reader, StreamRow, TimerRow
from tocsin.learn.score import score
from tocsin.policy.model import Policy
from tocsin.store.sqlite import driver

SAID = re.compile(rb"zq\d{6}zq")
"""what the simulation makes people say"""
NUMBER = re.compile(r"\b(?:INC|DRILL|ACT)-\d+\b")
MACHINES = (
    "run_started",
    "run_stopped",
    "paged",
    "step_skipped",
    "told",
    "protocol_step_done",
    "acknowledgement_lapsed",
)
"""facts in which Tocsin repeats what somebody said"""
P1_ACKNOWLEDGE = 5 * MINUTE
"""The default policy's figure, written down a second time on purpose."""


SAYS = {
    ("running", False): ("running",), ("running", True): ("missed",), ("soon", False): ("running",), ("soon", True): ("missed",),
    ("overdue", True): ("missed",), ("met", False): ("met",), ("met_late", True): ("missed",), ("waived", False): ("waived",),
    ("waived", True): ("waived",), ("moot", False): ("moot",), ("moot", True): ("missed",),
}  # fmt: skip
"""(state of a clock, whether its miss is recorded) → what the report may call it"""


class Broken(AssertionError):
    """An invariant does not hold. The message names it and says what was found."""


@dataclass
class Known:
    """What the checker remembers of one incident."""

    facts: list[Fact] = field(default_factory=list)
    state: Incident | None = None
    duties: dict[str, int] = field(default_factory=dict)
    """id of every duty that was ever owed → due"""
    changed_at: int = 0
    """when the first of the facts was recorded that are new since the last look"""
    missed: set[str] = field(default_factory=set)
    waived: set[str] = field(default_factory=set)
    unacknowledged_since: int = 0
    """as P1, by the facts alone; 0 where it is acknowledged, ended or of another severity"""
    miss_recorded: bool = False
    mark: tuple[int, int, int] = (0, 0, 0)
    """version, records and timer as they were when it was last checked"""


@dataclass
class Other:
    """What the checker remembers of a stream of another kind: an action item, the policy."""

    facts: int = 0
    duties: dict[str, int] = field(default_factory=dict)
    """id of every duty that was ever owed → due"""
    missed: set[str] = field(default_factory=set)
    mark: tuple[int, int, int] = (0, 0, 0)


@dataclass
class Sender:
    """What a sender knows of one of its alerts. ``sure``: the last event was answered, so it must be there."""

    firing: bool = False
    sure: bool = True
    ends_at: int = 0


class Checker:
    """Compares the world with what was seen before. ``alerts`` is kept by the simulation as senders are answered."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.known: dict[str, Known] = {}
        self.others: dict[str, Other] = {}
        """action items"""
        self.policies: dict[str, Other] = {}
        self.alerts: dict[str, Sender] = {}
        self.disturbed = 0
        """messages sent before the last kill or step of the clock: what came before says nothing about what comes after"""
        self.items: dict[str, str] = {}
        """name of a restricted action item → its text"""
        self.gone: set[str] = set()
        """texts that were redacted"""
        self._restricted: dict[str, list[str]] = {}
        """name of an incident or an action item that was restricted when it was last looked at → what it says"""
        self._latest = 0
        self._looked = 0
        self._keys: dict[str, int] = {}
        self._last_page: dict[str, int] = {}

    def check(self, *, at_rest: bool) -> None:
        """Everything; what only holds once the engine has done all that is due now, where ``at_rest``."""
        if self.stage.engine.poisoned:
            raise Broken(f"no stream is set aside: {self.stage.engine.poisoned}")
        self.stage.store.read(lambda reader: self._check(reader, at_rest))
        self._messages()
        self._note_restricted()

    def names(self) -> list[str]:
        """The numbers of all incidents, drills among them."""
        return [one.state.name for one in self.known.values() if one.state is not None]

    def named(self, name: str) -> Incident | None:
        """An incident by its number."""
        return next((one.state for one in self.known.values() if one.state and one.state.name == name), None)

    def said(self, name: str) -> list[tuple[int, str]]:
        """(version, text) of the facts of an incident in which a person said something that is said nowhere else."""
        found = next((one for one in self.known.values() if one.state and one.state.name == name), None)
        return [
            (fact.version, match[0].decode())
            for fact in (found.facts if found else [])
            if fact.type not in MACHINES and (match := SAID.search(fact.body or b""))
        ]

    def _check(self, reader: Reader, at_rest: bool) -> None:
        self._latest = max(self._latest, self.stage.clock.now())
        records = reader.mark("records")
        for row in reader.streams("incident", limit=1000):
            known = self.known.setdefault(row.stream.id, Known())
            timer = reader.timer("incident", row.stream.id)
            mark = (row.version, records, timer.due_at if timer else 0)
            if mark == known.mark and (not row.open or not at_rest):
                continue
            incident = self._facts(reader, row, known) if row.version != known.mark[0] else known.state
            policy = self.stage.engine.policy_of(reader, incident.policy)[0]
            if mark != known.mark:
                self._timer(incident, policy, timer)
            known.mark = mark
            # a process that died in the middle of a step holds the stream until its lease ends
            free = at_rest and (timer is None or timer.lease_until <= self.stage.clock.now())
            self._duties(incident, policy, known, free)
            if free:
                self._somebody_is_called(incident, policy)
        for kind in KINDS.values():
            if kind.state is not Incident:
                self._other_kind(reader, kind, at_rest)
        self._alerts(reader, at_rest)
        self._remembered(reader)

    def disturb(self) -> None:
        """The process was killed or the clock was set: what was sent before may be sent once more."""
        self.disturbed = len(self.stage.sent)
        self._keys = {}
        self._last_page = {}

    def whole(self) -> None:
        """Every stream from its first fact on: the chain is unbroken and the stored view is the fold."""
        for kind in (kind for kind in KINDS.values() if kind.state is not Incident):
            for row in self.stage.store.read(lambda r, kind=kind: r.streams(kind.name, limit=1000)):
                facts = self.stage.store.read(lambda r, row=row: r.facts(row.stream))
                flaw = verify_chain(facts, row.stream)
                if flaw is not None:
                    raise Broken(f"the chain is intact: {flaw}")
                folded = kind.state(row.stream.id)
                for fact in facts:
                    kind.fold(folded, f.read(fact), fact.recorded_at, fact.version, fact.actor.principal)
                if folded != self.stage.store.read(lambda r, row=row, kind=kind: read_state(r, row, kind)):
                    raise Broken(
                        f"the stored view is the fold of the facts: {row.series}-{row.number} differs"
                    )
        for row in self.stage.store.read(lambda r: r.streams("incident", limit=1000)):
            facts = self.stage.store.read(lambda r, row=row: r.facts(row.stream))
            flaw = verify_chain(facts, row.stream)
            if flaw is not None:
                raise Broken(f"the chain is intact: {flaw}")
            stored = self.stage.store.read(lambda r, row=row: read_incident(r, row))
            if refold(row.stream.id, facts) != stored:
                raise Broken(f"the stored view is the fold of the facts: {row.series}-{row.number} differs")
            self._figures(stored, facts)

    def _figures(self, incident: Incident, facts: list[Fact]) -> None:
        """What the report says of each duty is what its clock says; a recorded miss is a miss there."""
        now = self.stage.clock.now()

        def policy_of(hash: str) -> Policy:
            return self.stage.store.read(lambda r: self.stage.engine.policy_of(r, hash)[0])

        kept = {one.id: one for one in score(incident.name, facts, policy_of, now)}
        for duty in duties(incident, policy_of(incident.policy)):
            clock, figure = standing(duty, now), kept.get(duty.id)
            if figure is None or figure.state not in SAYS[clock.state, clock.missed]:
                raise Broken(
                    f"figures and clocks agree: {incident.name} {duty.id} is {clock.state} on the page and "
                    f"{figure.state if figure else 'unknown'} in the report"
                )
        for fact in facts:
            body = f.read(fact)
            if isinstance(body, f.DutyMissed) and incident.status not in ("merged", "false_alarm"):
                figure = kept.get(body.duty)
                if figure is None or figure.state not in ("missed", "waived"):
                    raise Broken(
                        f"a recorded miss is a miss in the report: {incident.name} {body.duty} is {figure.state if figure else 'unknown'}"
                    )

    def words_are_gone(self) -> None:
        """What was redacted stands nowhere in the database; call it once the store is closed."""
        with closing(driver.connect(self.stage.folder / "tocsin.db")) as base:
            tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                for row in base.execute(f'SELECT * FROM "{table}"'):
                    for value in row:
                        text = value if isinstance(value, bytes) else str(value).encode()
                        for match in SAID.findall(text):
                            if match.decode() in self.gone:
                                raise Broken(f"what was redacted is gone: {match.decode()} stands in {table}")

    # action items and the policy

    def _other_kind(self, reader: Reader, kind: Kind, at_rest: bool) -> None:
        for row in reader.streams(kind.name, limit=1000):
            known = self.others if kind.state is ActionItem else self.policies
            other = known.setdefault(row.stream.id, Other())
            timer = reader.timer(kind.name, row.stream.id)
            mark = (row.version, timer.due_at if timer else 0, int(at_rest))
            if mark == other.mark and not at_rest:
                continue
            other.mark = mark
            self._other(reader, row, kind, other, timer, at_rest)

    def _other(
        self, reader: Reader, row: StreamRow, kind: Kind, known: Other, timer: TimerRow | None, at_rest: bool
    ) -> None:
        state, name = read_state(reader, row, kind), f"{row.series}-{row.number}"
        if isinstance(state, ActionItem) and state.restricted:
            self.items[name] = state.text
        if isinstance(state, ActionItem) and state.incident in self.known:
            of = self.known[state.incident].state
            if of is not None and of.restricted and not state.restricted:
                raise Broken(f"an item of a restricted incident is restricted: {name}")
        changed_at = 0
        for fact in reader.facts(row.stream, known.facts):
            known.facts += 1
            body = f.read(fact)
            if isinstance(body, f.DutyMissed):
                if body.duty in known.missed:
                    raise Broken(f"a miss is recorded once: {name} {body.duty}")
                known.missed.add(body.duty)
            elif not isinstance(body, f.DutyReminded | f.DutyChased | f.Told):
                changed_at = fact.recorded_at
        policy = self.stage.engine.policy_of(reader, getattr(state, "policy", "") or state.hash)[0]
        owed = (actions if kind.state is ActionItem else policies).duties(state, policy)
        running = {duty.id: duty for duty in owed if not duty.met_at and getattr(state, "open", True)}
        if running and timer is None:
            raise Broken(f"what owes something has a timer: {name} owes {sorted(running)}")
        now = self.stage.clock.now()
        free = at_rest and (timer is None or timer.lease_until <= now)
        for duty in running.values():
            if free and duty.due < now and duty.id not in known.missed:
                raise Broken(
                    f"what fell due is recorded: {name} {duty.id} was due {(now - duty.due) / SECOND} s ago"
                )
        for duty, due in known.duties.items():
            if duty not in {one.id for one in owed} and due < changed_at and duty not in known.missed:
                raise Broken(
                    f"no duty is dropped: {name} {duty} was late by {(changed_at - due) / SECOND} s when it ended, and no miss is recorded"
                )
        known.duties = {duty.id: duty.due for duty in running.values()}

    # one incident

    def _facts(self, reader: Reader, row: StreamRow, known: Known) -> Incident:
        stored = read_incident(reader, row)
        new = reader.facts(row.stream, len(known.facts))
        known.changed_at = new[0].recorded_at
        for fact in new:
            if fact.version != len(known.facts) + 1:
                raise Broken(f"no fact is missing: {row.series}-{row.number} has a gap before {fact.version}")
            known.facts.append(fact)
            body = f.read(fact)
            if body is not None:
                self._fact(stored, known, fact, body)
        if any(fact.type == f.Redacted.type for fact in new):  # the words of earlier ones are others now
            known.facts, known.state = reader.facts(row.stream), None
            known.state = refold(row.stream.id, known.facts)
        else:
            known.state = refold(row.stream.id, new, known.state)
        if known.state != stored or row.version != len(known.facts):
            raise Broken(f"the stored view is the fold of the facts: {stored.name} at version {row.version}")
        return stored

    def _fact(self, incident: Incident, known: Known, fact: Fact, body: f.Body) -> None:
        at = fact.recorded_at
        if isinstance(body, f.Paged):
            self._paged(incident, body, at)
        if isinstance(body, f.DutyMissed):
            if body.duty in known.missed:
                raise Broken(f"a miss is recorded once: {incident.name} {body.duty}")
            known.missed.add(body.duty)
            known.miss_recorded = known.miss_recorded or body.rule == "acknowledge"
        if isinstance(body, f.DutyWaived):
            known.waived.add(body.duty)
        # the P1 that nobody has acknowledged, followed by the facts alone
        if isinstance(body, f.Declared):
            self._watch(known, body.severity == "P1", at)
        elif isinstance(body, f.SeverityChanged):
            if body.direction == "raised":
                self._watch(known, body.after == "P1", at)
            elif body.after != "P1":
                self._watch(known, False, at)
        elif isinstance(body, f.Reopened | f.SplitFrom):
            self._watch(known, incident.severity == "P1", at)
        elif (
            isinstance(body, f.Acknowledged | f.MergedInto)
            or (isinstance(body, f.StatusChanged) and body.after in ("resolved", "closed", "false_alarm"))
            or (isinstance(body, f.DutyWaived) and body.rule == "acknowledge")
        ):
            self._watch(known, False, at)

    @staticmethod
    def _watch(known: Known, waiting: bool, at: int) -> None:
        known.unacknowledged_since, known.miss_recorded = (at if waiting else 0), False

    def _paged(self, incident: Incident, body: f.Paged, at: int) -> None:
        directory = self.stage.engine.directory()
        for person in body.people:
            known = directory.people.get(person)
            if known is None or not known.active:
                raise Broken(f"nobody is paged who is deactivated: {person} for {incident.name}")
        away = [person for person in body.people if directory.on_leave(person, at)]
        if away and len(away) < len(body.people):
            raise Broken(
                f"nobody on leave is paged while another could be: {away} of {body.people} for {incident.name}, {body.reason}"
            )

    def _timer(self, incident: Incident, policy: Policy, timer: TimerRow | None) -> None:
        stage = self.stage
        if not incident.open:
            return
        directory = stage.engine.directory()
        calendar = calendar_of(incident, policy)
        running = [
            run.id for run in incident.runs.values()
            if run.state == "running" and next_step(run, chain_of(run, policy, directory), calendar) is not None
        ]  # fmt: skip
        owing = [duty.id for duty in owed(incident, policy) if duty.id not in incident.missed]
        if (running or owing or incident.paused_until) and timer is None:
            raise Broken(f"what owes something has a timer: {incident.name} owes {owing} and pages {running}")
        due = next_due(incident, policy, directory, stage.clock.now())
        if due is not None and timer is None:
            raise Broken(f"what owes something has a timer: {incident.name} has none for {due}")
        if due is not None and timer is not None and timer.due_at > max(due, stage.clock.now()):
            late = (timer.due_at - due) / SECOND
            raise Broken(f"a timer is not later than what is due next: {incident.name} is {late} s late")

    def _duties(self, incident: Incident, policy: Policy, known: Known, at_rest: bool) -> None:
        """Every duty ever owed is still owed, or ended in one of the ways in which a duty may end."""
        now = self.stage.clock.now()
        standing = {duty.id: duty for duty in duties(incident, policy)}
        for duty in standing.values():
            open_still = not duty.met_at and not duty.waived and duty.id not in known.missed
            if at_rest and incident.open and not incident.paused_until and open_still and duty.due < now:
                raise Broken(
                    f"what fell due is recorded: {incident.name} {duty.id} was due {(now - duty.due) / SECOND} s ago"
                )
            if not duty.met_at:
                known.duties[duty.id] = duty.due
        for name, due in list(known.duties.items()):
            if name in standing:
                ended = standing[name]
                if ended.met_at or ended.waived:
                    del known.duties[name]  # met in time or late: its own times say which
                continue
            # it restarted, or the incident ended: what was late by then must have been recorded
            if name not in known.missed and name not in known.waived and due < known.changed_at:
                raise Broken(
                    f"no duty is dropped: {incident.name} {name} was late by {(known.changed_at - due) / SECOND} s when it ended, and no miss is recorded"
                )
            del known.duties[name]
        since = known.unacknowledged_since
        if at_rest and since and now - since > P1_ACKNOWLEDGE and not known.miss_recorded:
            raise Broken(
                f"a P1 that nobody acknowledges is missed after five minutes: {incident.name}, since {(now - since) / SECOND} s"
            )

    def _somebody_is_called(self, incident: Incident, policy: Policy) -> None:
        """It is being paged, is held by somebody, has cleared, or has run out with an alarm that shows."""
        if not incident.open or incident.holder or incident.nobody:
            return
        if self_resolve_at(incident, policy) is not None:
            return  # all is clear: within minutes it ends by itself, or somebody is asked
        if not any(run.state == "running" for run in incident.runs.values() if run.kind != "commander"):
            raise Broken(
                f"a {incident.severity} is paged, acknowledged or alarmed about: nobody is called for {incident.name}"
            )

    # messages and alerts

    def _messages(self) -> None:
        sent = self.stage.sent
        for number in range(max(self._looked, self.disturbed), len(sent)):
            one = sent[number]
            self._addressed(one)
            if one.failed:
                continue
            if one.message.key in self._keys:
                raise Broken(f"nothing is sent twice under one key: {one.message.key} to {one.person}")
            self._keys[one.message.key] = number
            if not one.is_page or one.channel == "email":
                continue
            last = self._last_page.get(one.person)
            if last is not None and last < one.at < last + 60 * SECOND:
                raise Broken(
                    f"one interrupting page a minute: {one.person} after {(one.at - last) / SECOND} s"
                )
            self._last_page[one.person] = one.at
        self._looked = len(sent)

    def _addressed(self, one: Sent) -> None:
        """A message goes to somebody who is there, says whether it is a drill, and nothing of what is restricted."""
        directory, message = self.stage.engine.directory(), one.message
        person = directory.people.get(one.person)
        if person is not None and not person.active:
            raise Broken(f"nobody who is deactivated gets a message: {message.title} to {one.person}")
        drills = {name.startswith("DRILL-") for name in one.incidents}
        if len(drills) > 1 or (drills and message.title.startswith("DRILL ") != drills.pop()):
            raise Broken(f"a drill says so and shares no message with what is real: {message.title}")
        said = f"{message.title}\n{message.text}\n{message.short}\n{message.html}\n{message.data}"
        about = set(NUMBER.findall(said))
        if about and all(name in self._restricted for name in about):
            for word in (word for name in about for word in self._restricted[name]):
                if word in said:
                    raise Broken(
                        f"a restricted incident says number, severity and link: {word!r} in {message.title}"
                    )

    def _note_restricted(self) -> None:
        self._restricted = {
            one.state.name: [one.state.title, *(alert.ref.summary for alert in one.state.alerts.values())]
            for one in self.known.values() if one.state is not None and one.state.restricted
        }  # fmt: skip
        self._restricted |= {name: [text] for name, text in self.items.items()}

    def _attached(self, incident: Incident, key: str, row: AlertRow) -> None:
        if incident.status == "merged":
            raise Broken(
                f"a firing alert belongs where it goes on: {key} belongs to {incident.name}, which was merged"
            )
        known = incident.alerts.get(alert_key(INTEGRATION.id, key))
        if known is not None and known.cleared_at:
            raise Broken(f"an incident knows that its alert fires: {key} has cleared in {incident.name}")
        if incident.restricted and not row.restricted:
            raise Broken(f"an alert of a restricted incident is restricted: {key} of {incident.name}")

    def _quiet(self, reader: Reader, key: str, row: AlertRow, at_rest: bool) -> None:
        now, timer = self.stage.clock.now(), reader.timer("quiet", "alerts")
        free = at_rest and timer is not None and timer.lease_until <= now
        if timer is None or (free and timer.due_at < now):
            raise Broken(f"what is kept quiet is looked at again: {key} is {row.state}, and nothing is due")
        rules = self.stage.engine.rules(reader)
        asked = {"silenced": rules.silences, "maintenance": rules.maintenance}.get(row.state)
        if free and asked is not None and all(one.ends_at <= now for one in asked):
            raise Broken(f"what is kept quiet is looked at again: {key} is {row.state} after the end")

    def _remembered(self, reader: Reader) -> None:
        """What a process remembers from one unit of work to the next is what is stored."""
        for (integration, key), kept in list(getattr(self.stage.store, "_kept", {}).items()):
            if reader.alerts_by_key(integration, [key]).get(key) != kept:
                raise Broken(f"what is remembered is what is stored: the alert {key} is another")
        for view in list(self.stage.engine.seen._known.values()):
            row = reader.stream(Stream("incident", view.incident.id))
            if row is not None and row.head == view.head:
                stored = read_incident(reader, row)
                if msgspec.json.encode(stored) != msgspec.json.encode(view.incident):
                    raise Broken(f"what is remembered is what is stored: {stored.name} is another")

    def _alerts(self, reader: Reader, at_rest: bool) -> None:
        sure = {key: sender for key, sender in self.alerts.items() if sender.sure}
        rows = reader.alerts_by_key(INTEGRATION.id, list(sure))
        for key, sender in sure.items():
            row = rows.get(key)
            if row is None:
                if sender.firing:
                    raise Broken(f"no acknowledged alert is lost: {key} is gone")
                continue
            expired = row.status == "expired" and 0 < sender.ends_at <= self._latest
            if sender.firing and row.status != "firing" and not expired:
                raise Broken(f"no acknowledged alert is lost: {key} fires, its row says {row.status}")
            if not sender.firing and row.status == "firing":
                raise Broken(f"no acknowledged alert is lost: {key} was resolved, its row says firing")
            if row.state in QUIET and row.status == "firing":
                self._quiet(reader, key, row, at_rest)
            if row.state == "attached" and row.status == "firing":
                known = self.known.get(row.incident)
                if known is not None and known.state is not None:
                    self._attached(known.state, key, row)
                if (
                    known is None
                    or known.state is None
                    or alert_key(INTEGRATION.id, key) not in known.state.alerts
                ):
                    raise Broken(
                        f"an attached alert stands in its incident: {key} in {row.incident or 'none'}"
                    )
