"""Plays a scenario: the real engine on a manual clock, from one due moment to the next, and what came of it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.alerts.shape import Alert, Change
from tocsin.drill.expect import Verdict, View, judge
from tocsin.drill.scenario import Scenario, Step, command_of, raw_body
from tocsin.drill.stage import WATCHER, Outage, Sent, Stage, scratch_folder
from tocsin.incidents import facts as f
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.incident import Incident
from tocsin.incidents.organisation import record_of
from tocsin.incidents.timeline import line
from tocsin.incidents.wording import duty_label
from tocsin.intake.pagerduty import parse_change
from tocsin.intake.sources import SOURCES
from tocsin.kernel.clock import humanize
from tocsin.kernel.errors import TocsinError
from tocsin.kernel.facts import Fact
from tocsin.oncall.schedules import Leave, Override
from tocsin.policy.load import default_policy_text, load_policy


class Event(msgspec.Struct, frozen=True):
    """One line of the report. ``at`` counts from the start. ``kind``: ``drill`` for what the scenario did, ``message`` for
    what reached somebody (``person``, ``channel``), ``failed`` for what did not, and the timeline's kinds for the rest."""

    at: int
    kind: str
    text: str
    incident: str = ""
    person: str = ""
    channel: str = ""
    type: str = ""


class Owed(msgspec.Struct, frozen=True):
    """A duty as it stood at the end, or a recorded miss of one that has restarted since. Times count from the start."""

    incident: str
    rule: str
    owner: str
    due: int
    state: str
    """met, met_late, missed, running, soon, overdue, waived"""
    met_at: int | None = None
    label: str = ""
    """what is owed, in words"""


class Result(msgspec.Struct, frozen=True):
    """What came of a drill. ``met``: every expectation holds."""

    scenario: str
    title: str
    start: int
    zone: str
    ended: int
    events: list[Event]
    incidents: list[dict[str, Any]]
    owed: list[Owed]
    verdicts: list[Verdict]

    @property
    def met(self) -> bool:
        return all(verdict.ok for verdict in self.verdicts)


def run(
    scenario: Scenario, *, policy: str | None = None, seed: str | None = None, blank: Path | None = None
) -> Result:
    """Plays ``scenario`` against a policy's text (the default one without it). Raises :class:`TocsinError` with a sentence.

    ``blank``: a migrated, empty database to copy. The same scenario, policy and seed give the same result to the byte.
    """
    text = policy if policy is not None else default_policy_text()
    load_policy(text)
    with scratch_folder() as folder:
        stage = Stage(
            Path(folder), organisation=scenario.organisation, policy=text, start=scenario.start,
            seed=scenario.seed if seed is None else seed, blank=blank,
        )  # fmt: skip
        try:
            return _Player(scenario, stage).play()
        finally:
            stage.close()


class _Player:
    """One run of one scenario. ``agenda``: what happens from outside, in order of time."""

    def __init__(self, scenario: Scenario, stage: Stage) -> None:
        self.scenario, self.stage = scenario, stage
        self.agenda: list[tuple[int, int, Callable[[], None]]] = []
        self.events: list[Event] = []
        self.verdicts: list[Verdict] = []
        self._order = 0
        self._position = 0
        self._numbers: dict[str, str] = {}
        self._told = 0
        self._views: dict[int, View] = {}
        stage.on_page = self._paged

    def play(self) -> Result:
        for step in self.scenario.steps:
            self._later(step.at, lambda step=step: self._happen(step))  # type: ignore[misc]
        for moment in sorted({one.at for one in self.scenario.expectations if one.at is not None}):
            self._later(moment, lambda moment=moment: self._look(moment))  # type: ignore[misc]
        while self.agenda:
            at, _, action = heapq.heappop(self.agenda)
            if at > self.scenario.ends:
                break
            self._go(at)
            action()
            self.stage.settle()
            self._gather()
        self._go(self.scenario.ends)
        end = self._view()
        for expectation in self.scenario.expectations:
            view = end if expectation.at is None else self._views[expectation.at]
            self.verdicts.append(judge(expectation, view))
        incidents = self._incidents()
        return Result(
            self.scenario.name, self.scenario.title, self.scenario.start, self.scenario.zone, self.stage.now, self.events,
            [self._summary(one) for one in incidents], [owed for one in incidents for owed in self._owed(one)], self.verdicts,
        )  # fmt: skip

    def _later(self, at: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self.agenda, (at, self._order, action))

    def _go(self, at: int) -> None:
        """To ``at`` by way of every due moment, gathering at each what happened there."""
        stage = self.stage
        while (due := stage.next_due()) is not None and due <= min(at, self._next_outside(at)):
            stage.run_to(due)
            self._gather()
        if self.agenda and self.agenda[0][0] < at:
            # somebody was paged on the way and reacts before ``at``
            before, _, action = heapq.heappop(self.agenda)
            stage.run_to(before)
            action()
            stage.settle()
            self._gather()
            self._go(at)
            return
        stage.run_to(at)
        self._gather()

    def _next_outside(self, otherwise: int) -> int:
        return self.agenda[0][0] if self.agenda else otherwise

    # what the scenario does

    def _happen(self, step: Step) -> None:
        if step.by:
            self._command(step)
        else:
            getattr(self, f"_{step.what}")(step.values)

    def _say(self, text: str) -> None:
        self.events.append(Event(self.stage.now, "drill", text))

    def _command(self, step: Step) -> None:
        name = self.stage.engine.directory().name(step.by)
        said = f"{name}: {step.what.replace('_', ' ')} {step.values.get('incident', '')}".rstrip()
        try:
            self.stage.execute(step.by, command_of(step, lambda after: self.stage.clock.now() + after))
        except TocsinError as error:
            self._say(f"{said}: REFUSED, {error.sentence}")
            if step.refused is None:
                self.verdicts.append(
                    Verdict(f"{said} is taken", False, f"refused: {error.sentence}", step.where)
                )
            else:
                fits = step.refused.casefold() in error.sentence.casefold()
                self.verdicts.append(Verdict(f"{said} is refused", fits, error.sentence, step.where))
        else:
            self._say(said)
            if step.refused is not None:
                self.verdicts.append(Verdict(f"{said} is refused", False, "it was taken", step.where))

    def _alert(self, values: dict[str, Any]) -> None:
        now = self.stage.clock.now()
        if "source" in values:
            parsed = SOURCES[values["source"]].parse(raw_body(values["source"], values["body"]), now, {})
            for alert in parsed.alerts:
                alert.dedup_key = alert.dedup_key or alert.summary
                self._say(f"{values['source']}: {alert.action} “{alert.summary or alert.dedup_key}”")
            self.stage.receive(parsed.alerts, parsed.changes)
            return
        self._say(f"alert “{values['summary']}”" + (f" on {values['service']}" if values["service"] else ""))
        action = "acknowledge" if values["acknowledged"] else "trigger"
        self.stage.receive([_alert(values, values["key"], action)])

    def _resolve(self, values: dict[str, Any]) -> None:
        self._say(f"the sender resolves “{values['key']}”")
        self.stage.receive([Alert("resolve", values["key"])])

    def _change(self, values: dict[str, Any]) -> None:
        change = (
            parse_change(raw_body(values["source"], values["body"]))[1] if "source" in values
            else Change(values["summary"], "drill", values["service"])
        )  # fmt: skip
        self._say(f"change: {change.summary}")
        self.stage.receive([], [change])

    def _storm(self, values: dict[str, Any]) -> None:
        count = values["alerts"]
        different = values["different"]
        self._say(
            f"storm: {count} {'different alerts' if different else 'times the same alert'}, “{values['summary']}”"
        )
        for first in range(0, count, 100):
            batch = range(first, min(first + 100, count))
            self.stage.receive(
                [
                    _alert(values, f"{values['key']}-{n}" if different else values["key"], "trigger")
                    for n in batch
                ]
            )

    def _leave(self, values: dict[str, Any]) -> None:
        now, person = self.stage.clock.now(), values["person"]
        self._say(f"{self.stage.engine.directory().name(person)} is on leave for {humanize(values['for'])}")
        leave = Leave(person, now, now + values["for"], values["reason"], f"drill-{self._order}-{now}")
        self.stage.engine.put_records([record_of(leave, now)])

    def _override(self, values: dict[str, Any]) -> None:
        now, person = self.stage.clock.now(), values["person"]
        self._say(
            f"{self.stage.engine.directory().name(person)} takes {values['schedule']} ({values['position']}) for {humanize(values['for'])}"
        )
        override = Override(
            f"drill-{self._order}-{now}", values["schedule"], now, now + values["for"], person, "", "drill",
            values["reason"], values["position"],
        )  # fmt: skip
        self.stage.engine.put_records([record_of(override, now)])

    def _deactivate(self, values: dict[str, Any]) -> None:
        person = self.stage.engine.directory().people[values["person"]]
        self._say(f"{person.name} leaves the company")
        gone = msgspec.structs.replace(person, active=False)
        self.stage.engine.put_records([record_of(gone, self.stage.clock.now())])

    def _provider_down(self, values: dict[str, Any]) -> None:
        channel, now = values["channel"], self.stage.now
        self._say(f"the provider of {channel} is down for {humanize(values['for'])}")
        self.stage.outages.append(Outage(channel, now, now + values["for"], values["permanent"]))

    def _kill(self, values: dict[str, Any]) -> None:
        down = values["for"]
        self._say(
            "Tocsin's process is killed"
            + (f" and back after {humanize(down)}" if down else " and started again")
        )
        self.stage.kill(down)
        if down:
            self.stage.settle()
            self._gather()
            self._say("Tocsin's process is back; what senders tried meanwhile comes now")

    def _clock_step(self, values: dict[str, Any]) -> None:
        self._say(f"the machine's clock is set by {humanize(values['by'])}")
        self.stage.step_clock(values["by"])

    # what people do

    def _paged(self, sent: Sent) -> None:
        habit = self.scenario.habits.get(sent.person)
        if habit is not None and habit.after is not None and sent.at >= habit.not_before:
            self._later(sent.at + habit.after, lambda: self._tap(sent))

    def _tap(self, sent: Sent) -> None:
        name = self.stage.engine.directory().name(sent.person)
        try:
            answers = self.stage.acknowledge_link(sent.message)
        except TocsinError as error:
            self._say(f"{name} taps the link: {error.sentence}")
            return
        done = [str(answer["number"]) for answer in answers if answer.get("message") == "acknowledged"]
        if done:
            self._say(f"{name} taps acknowledge for {', '.join(done)}")

    # what came of it

    def _look(self, moment: int) -> None:
        self._views[moment] = self._view()

    def _view(self) -> View:
        return View(
            list(self.stage.sent),
            list(self.events),
            {one.name: one for one in self._incidents()},
            self._owed,
            {one.id: one.name for one in self.stage.engine.directory().people.values()},
        )

    def _incidents(self) -> list[Incident]:
        rows = self.stage.engine.incidents(WATCHER, limit=10_000)
        found = [self.stage.engine.incident(WATCHER, row.stream.id) for row in rows]
        return sorted(found, key=lambda one: (one.series, one.number))

    def _gather(self) -> None:
        """Adds what happened since the last look to the report: facts in their order, then what channels were given."""
        facts = self.stage.store.read(lambda r: r.facts_since(self._position, 100_000))
        directory = self.stage.engine.directory()
        names = {one.id: one.name for one in directory.people.values()}
        names |= {one.id: one.name for one in directory.services.values()}
        for fact in facts:
            self._position = fact.position
            if fact.stream.kind == "incident":
                self._fact(fact, names)
        for sent in self.stage.sent[self._told :]:
            self._told += 1
            name = directory.name(sent.person)
            about = ", ".join(sent.incidents)
            if sent.failed:
                self.events.append(Event(sent.at, "failed", f"{sent.channel} did not reach {name}: {sent.failed}", about, sent.person, sent.channel))  # fmt: skip
            else:
                what = "page" if sent.is_page else "notice"
                self.events.append(Event(sent.at, "message", f"{what} by {sent.channel} to {name}: {sent.message.title}", about, sent.person, sent.channel))  # fmt: skip

    def _fact(self, fact: Fact, names: dict[str, str]) -> None:
        body = f.read(fact)
        if isinstance(body, f.Declared):
            self._numbers[fact.stream.id] = f"{body.series}-{body.number}"
        if isinstance(body, f.Delivery) and body.outcome in ("accepted", "delivered"):
            return  # the channel's own line says it
        told = line(fact, names)
        who = body.person if isinstance(body, f.Acknowledged) else ""
        number = self._numbers.get(fact.stream.id, "")
        self.events.append(Event(self.stage.now, told.kind, told.text, number, who, type=fact.type))

    def _since_start(self, instant: int) -> int:
        return instant - self.scenario.start - self.stage.stepped

    def _summary(self, incident: Incident) -> dict[str, Any]:
        roles = {role: holder.person for role, holder in sorted(incident.roles.items())}
        return {
            "number": incident.name, "title": incident.title, "severity": incident.severity, "status": incident.status,
            "restricted": incident.restricted, "opened": self._since_start(incident.opened_at), "holder": incident.holder,
            "roles": roles, "alerts": len(incident.alerts), "told": incident.everybody_told,
        }  # fmt: skip

    def _owed(self, incident: Incident) -> list[Owed]:
        policy = self.stage.store.read(lambda r: self.stage.engine.policy_of(r, incident.policy)[0])
        found: list[Owed] = []
        known = set()
        for duty in duties(incident, policy):
            known.add(duty.id)
            state = standing(duty, self.stage.clock.now()).state
            if duty.id in incident.missed or state == "overdue":
                state = "missed" if not duty.met_at else "met_late"
            met = self._since_start(duty.met_at) if duty.met_at else None
            found.append(
                Owed(
                    incident.name,
                    duty.rule,
                    duty.owner,
                    self._since_start(duty.due),
                    state,
                    met,
                    self._label(duty.rule, duty.id, duty.start),
                )
            )
        for fact in self.stage.engine.facts(WATCHER, incident.id):
            body = f.read(fact)
            if isinstance(body, f.DutyMissed) and body.duty not in known:
                found.append(
                    Owed(
                        incident.name,
                        body.rule,
                        body.owner,
                        self._since_start(body.due),
                        "missed",
                        label=self._label(body.rule, body.duty, body.due),
                    )
                )
        return sorted(found, key=lambda one: (one.due, one.rule))

    def _label(self, rule: str, key: str, near: int) -> str:
        return duty_label(rule, key, zone=self.scenario.zone, near=near)


def _alert(values: dict[str, Any], key: str, action: str) -> Alert:
    return Alert(
        action,
        key,
        values["summary"],
        values["severity"],
        "drill",
        values["service"],
        dict(values["labels"]),
        via="drill",
    )
