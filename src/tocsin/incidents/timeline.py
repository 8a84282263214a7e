"""Facts as sentences: what a person reads on the timeline, in an export, in a drill's report; and how pages fold them.

``line`` tells one fact in full. ``entries`` tells a whole incident to somebody who reads it under pressure: what became
of a page stands beneath the page, and what only the machine said to itself is marked so that it can be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from tocsin.incidents import facts as f
from tocsin.incidents.wording import (
    DONE,
    IMPACT,
    POSTS,
    asked_for,
    clocked,
    duty_label,
    in_sentence,
    moment,
    plain,
    post_label,
)
from tocsin.kernel.clock import Instant, humanize
from tocsin.kernel.facts import Fact


class Line(msgspec.Struct):
    """One line of the timeline. ``kind`` groups lines for the eye: alert, page, person, status, clock, message."""

    fact: str
    at: Instant
    recorded_at: Instant
    kind: str
    text: str
    who: str
    via: str
    type: str
    version: int
    short: str = ""
    """the sentence without its reasons, where those would drown it; empty: ``text``"""
    why: str = ""
    """the reasons that ``short`` leaves out"""
    machine: bool = False
    """said by Tocsin to itself: reminders, deliveries, the course of an escalation"""


class Entry(msgspec.Struct):
    """A line with what belongs beneath it: what became of the messages of a page."""

    line: Line
    beneath: list[Line] = []

    @property
    def failed(self) -> list[Line]:
        """What did not reach somebody: shown even where the rest is folded away."""
        return [one for one in self.beneath if one.kind == "failed"]


Names = Mapping[str, str]
"""person id → name, service id → name"""


class Words:
    """What sentences are made with: names of people and services, of roles and positions, and the reader's zone."""

    def __init__(self, names: Names, zone: str = "UTC", posts: Names = POSTS, near: Instant = 0) -> None:
        self.names, self.zone, self.posts, self.near = names, zone, posts, near

    def people(self, ids: Iterable[str]) -> str:
        """Names, with commas between them."""
        return ", ".join(self.names.get(one, one) for one in ids)

    def at(self, instant: Instant) -> str:
        """A moment on the reader's clocks."""
        return moment(instant, self.zone, self.near)

    def post(self, name: str) -> str:
        """A role or a position; several with commas between them stay several."""
        return ", ".join(post_label(one.strip(), self.posts) for one in name.split(","))

    def duty(self, rule: str, key: str) -> str:
        """A duty within a sentence."""
        return in_sentence(duty_label(rule, key, zone=self.zone, near=self.near))


def line(fact: Fact, names: Names, zone: str = "UTC", posts: Names = POSTS) -> Line:
    """The sentence of one fact; a redacted one says so. Times are on the clocks of ``zone``."""
    body = f.read(fact)
    who = fact.actor.principal.removeprefix("person:")
    told = Line(
        fact.id, fact.occurred_at, fact.recorded_at, "person", "redacted", names.get(who, "Tocsin" if who == "tocsin" else who),
        fact.actor.via, fact.type, fact.version,
    )  # fmt: skip
    if body is None:
        return told
    words = Words(names, zone, posts, fact.occurred_at)
    told.kind, teller = _TELLERS[type(body)]
    told.text = teller(body, words)
    told.machine = type(body) in _MACHINE
    if isinstance(body, f.Paged):
        told.short, told.why = _paged_short(body, words), body.reason
    elif isinstance(body, f.RoleAssigned) and body.owed:
        told.short, told.why = told.text.partition(" (")[0], "; ".join(plain(one) for one in body.owed)
    elif isinstance(body, f.Delivery) and body.outcome in ("failed", "gave_up", "delayed"):
        told.kind = "failed"
    return told


def entries(facts: Iterable[Fact], names: Names, zone: str = "UTC", posts: Names = POSTS) -> list[Entry]:
    """The timeline as pages show it, the newest first: deliveries stand beneath the page or the notice they belong to."""
    found: list[Entry] = []
    last: dict[tuple[str, str], Entry] = {}
    for fact in facts:
        entry = Entry(line(fact, names, zone, posts))
        body = f.read(fact)
        if isinstance(body, f.Delivery):
            above = last.get((body.run if body.kind == "page" else body.kind, body.person))
            if above is not None:
                above.beneath.append(entry.line)
                continue
        elif isinstance(body, f.Paged):
            last |= {(body.run, person): entry for person in body.people}
        elif isinstance(body, f.Told):
            last |= {("notice", person): entry for person in body.people}
        found.append(entry)
    return found[::-1]


def for_people(entry: Entry) -> bool:
    """Whether somebody who reads what happened wants it: not what the machine said to itself, unless it failed."""
    return not entry.line.machine or bool(entry.failed) or entry.line.kind == "failed"


def _why(text: str) -> str:
    return f" ({text})" if text else ""


def _type_set(body: f.TypeSet) -> str:
    if body.reason == f.MERGED_RESTRICTED:
        return f"restricted from now on ({body.reason})"
    return f"type set to {plain(body.kind)}{_why(plain(body.subtype))}"


def _alerts(refs: list[f.AlertRef]) -> str:
    head = "; ".join(ref.summary for ref in refs[:3])
    return head + (f" and {len(refs) - 3} more" if len(refs) > 3 else "")


def _count(things: list[Any], word: str = "alert") -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"


def _paged(b: f.Paged, w: Words) -> str:
    how = "put on the list of" if b.quiet else "paged"
    return f"{how} {w.people(b.people)}: {b.reason}{_when_paged(b, w)}"


def _paged_short(b: f.Paged, w: Words) -> str:
    """Whom, and as what: the way by which the schedule came to them is told on demand."""
    again = "paged again" if b.reason.startswith("paged again") else "paged"
    how = "put on the list of" if b.quiet else again
    meant = ", ".join(w.post(target) for target in b.targets if not target.startswith("person:"))
    return f"{how} {w.people(b.people)}{_why(meant)}{_when_paged(b, w)}"


def _when_paged(b: f.Paged, w: Words) -> str:
    wait = f"; what interrupts waits until {w.at(b.interrupt_from)}" if b.interrupt_from else ""
    return (f", {humanize(b.late)} late" if b.late else "") + wait


def _delivery(b: f.Delivery, w: Words) -> str:
    words = {
        "accepted": "took the message for",
        "delivered": "reached",
        "failed": "could not reach",
        "gave_up": "gave up on",
        "delayed": "does not take the message for",
    }
    tries = f" after {b.attempts} attempts" if b.attempts > 1 else ""
    return f"{b.channel} {words[b.outcome]} {w.people([b.person])}{tries}{_why(b.detail)}"


def _severity(b: f.SeverityChanged, w: Words) -> str:
    if b.direction == "confirmed":
        return (
            f"severity {b.after} {b.reason}"
            if b.reason.startswith("confirmed")
            else f"severity {b.after} confirmed{_why(b.reason)}"
        )
    return f"severity {b.direction} from {b.before} to {b.after}{_why(b.reason)}"


def _chased(b: f.DutyChased, w: Words) -> str:
    to = f"escalated to {w.post(b.escalated_to)}, " if b.escalated_to else ""
    return f"{w.duty(b.rule, b.duty)} is overdue since {w.at(b.due)}: {to}told {w.people(b.people)}"


def _validation(b: f.ValidationDone, w: Words) -> str:
    return f"{plain(b.kind)} validation {plain(b.outcome)}" + (f": {b.note}" if b.note else "")


_MACHINE = frozenset({
    f.RunStarted, f.RunStopped, f.StepSkipped, f.Told, f.Delivery, f.DutyReminded, f.DutyChased, f.DutyMet, f.Asked,
})  # fmt: skip

_TELLERS: dict[type[f.Body], tuple[str, Callable[[Any, Words], str]]] = {
    f.Declared: ("status", lambda b, w: f"declared {b.series}-{b.number} as {b.severity} ({b.severity_state}): {b.title}{_why(b.reason)}"),
    f.AlertsAttached: ("alert", lambda b, w: f"{_count(b.alerts)} joined: {_alerts(b.alerts)}{_why(b.reason)}"),
    f.AlertsCleared: ("alert", lambda b, w: f"{_count(b.keys)} {b.how}"),
    f.AlertsRefired: ("alert", lambda b, w: f"{'fired again' if any(one.episode > 1 for one in b.alerts) else 'fires'}: {_alerts(b.alerts)}{_why(b.reason)}"),
    f.SenderAcknowledged: ("alert", lambda b, w: f"the sender acknowledged; escalation pauses until {w.at(b.until)}"),
    f.SeverityChanged: ("status", _severity),
    f.TypeSet: ("status", lambda b, w: _type_set(b)),
    f.Retitled: ("person", lambda b, w: f"title changed to “{b.title}”"),
    f.RunStarted: ("page", lambda b, w: f"paging {b.kind} begins{_why(b.reason)}"),
    f.Paged: ("page", _paged),
    f.StepSkipped: ("page", lambda b, w: f"step {b.step + 1} skipped: {b.reason}"),
    f.NobodyReachable: ("page", lambda b, w: f"NOBODY COULD BE PAGED: {b.reason}"),
    f.RunStopped: ("page", lambda b, w: f"paging stopped: {b.reason}"),
    f.Acknowledged: ("person", lambda b, w: f"{w.people([b.person])} acknowledged by {b.via}{_why(b.note)}"),
    f.AcknowledgementLapsed: ("clock", lambda b, w: f"the acknowledgement of {w.people([b.person])} lapsed: {b.reason}"),
    f.Declined: ("person", lambda b, w: f"{w.people([b.person])} can't take it{_why(b.reason)}"),
    f.Told: ("message", lambda b, w: f"told {w.people(b.people) or 'nobody'} ({w.post(b.audience)}): {b.reason}"),
    f.Delivery: ("message", _delivery),
    f.RoleAssigned: ("person", lambda b, w: f"{w.people([b.person])} is {'acting ' * b.acting}{w.post(b.role).lower()}{_why('; '.join(plain(one) for one in b.owed))}"),
    f.RoleReleased: ("person", lambda b, w: f"{w.people([b.person])} is no longer {w.post(b.role).lower()}"),
    f.StatusChanged: ("status", lambda b, w: f"{plain(b.before)} → {plain(b.after)}{_why(b.reason)}"),
    f.Reopened: ("status", lambda b, w: f"reopened after {humanize(b.away)}: {b.reason}"),
    f.UpdatePosted: ("person", lambda b, w: f"update ({b.audience}): {b.text}" + (f" — expected back {w.at(b.eta)}" if b.eta else "")),
    f.NoteAdded: ("person", lambda b, w: b.text),
    f.DecisionMade: ("person", lambda b, w: f"decision: {b.text}"),
    f.ReportAttached: ("alert", lambda b, w: f"reported ({plain(b.how)}): {b.text}"),
    f.ProtocolStepDone: ("person", lambda b, w: f"{DONE.get(b.step, b.step)}{_why(b.how)}"),
    f.MilestoneSet: ("person", lambda b, w: f"{plain(b.name)} at {w.at(b.at)}{_why(b.how)}"),
    f.ImpactSet: ("person", lambda b, w: "impact: " + "; ".join(f"{in_sentence(IMPACT.get(name, plain(name)))}: {value}" for name, value in b.values.items())),
    f.ServiceState: ("status", lambda b, w: f"{w.people([b.service])} is {b.state} since {w.at(b.at)}"),
    f.TaskAdded: ("person", lambda b, w: f"task: {b.text}{_why(w.people([b.owner]) if b.owner else '')}"),
    f.TaskChanged: ("person", lambda b, w: f"task {b.state}{_why(b.reason)}"),
    f.DutyReminded: ("clock", lambda b, w: f"reminded {w.people(b.people)}: {w.duty(b.rule, b.duty)} is due {w.at(b.due)}"),
    f.WarRoomOpened: ("status", lambda b, w: f"war room: {b.where}"),
    f.StandUpHeld: ("person", lambda b, w: f"stand-up of {w.at(b.slot)} held" + (f": {b.notes}" if b.notes else "")),
    f.ValidationDone: ("status", _validation),
    f.PostMortemStepDone: ("person", lambda b, w: f"{w.duty('post_mortem', f'post_mortem:{b.step}')} done" + (f": {b.note}" if b.note else "")),
    f.MessageDrafted: ("message", lambda b, w: f"drafted for {plain(b.channel)}, to be approved by the {w.post(b.approver)}: {b.text}"),
    f.MessageApproved: ("message", lambda b, w: "the message is approved"),
    f.MessageSent: ("message", lambda b, w: f"sent to {plain(b.channel)}" + (f": {b.to}" if b.to else "")),
    f.DutyChased: ("clock", _chased),
    f.DutyMissed: ("clock", lambda b, w: f"MISSED: {w.duty(b.rule, b.duty)}, due {w.at(b.due)}, owed by {w.post(b.owner)}"),
    f.DutyMet: ("clock", lambda b, w: f"{w.duty(b.rule, b.duty)} met" + (f", {humanize(b.late)} late" if b.late else "")),
    f.DutyWaived: ("clock", lambda b, w: f"{w.duty(b.rule, b.duty)} waived: {b.reason}"),
    f.ClockPaused: ("clock", lambda b, w: f"clocks paused until {w.at(b.until)}: {b.reason}"),
    f.ClockResumed: ("clock", lambda b, w: f"clocks run again{_why(b.reason)}"),
    f.MergedInto: ("status", lambda b, w: f"merged into {b.target_name}{_why(b.reason)}; its duties go on there"),
    f.MergedFrom: ("status", lambda b, w: f"{b.source_name} was merged into this"),
    f.SplitOff: ("status", lambda b, w: f"{_count(b.keys)} split off to {b.target_name}{_why(b.reason)}"),
    f.SplitFrom: ("status", lambda b, w: f"split from {b.source_name}{_why(b.reason)}"),
    f.MembersAdded: ("person", lambda b, w: f"{w.people(b.people)} joined{_why(b.reason)}"),
    f.ShiftChanged: ("page", lambda b, w: f"shift change ({w.post(b.target)}): {w.people([b.before]) or 'nobody'} → {w.people([b.after])}"),
    f.Asked: ("clock", lambda b, w: f"asked {w.people(b.people)} to {b.what}: {b.reason}"),
    f.CalendarJoined: ("clock", lambda b, w: f"the business hours of {b.calendar or 'the default calendar'} count too, for {w.people([b.service])}"),
    f.Requested: ("person", lambda b, w: f"{w.people([b.by])} asks to {asked_for(b.verb, b.fields, w.names, w.posts)}: {b.reason}"),
    f.RequestAnswered: ("person", lambda b, w: f"{w.people([b.by])} {'granted' if b.granted else 'refused'} it{_why(b.reason)}"),
    f.GateOverridden: ("status", lambda b, w: f"WENT ON WITHOUT {', '.join(plain(one) for one in b.missing)}: {b.reason}"),
    f.Measured: ("person", lambda b, w: f"measured {plain(b.metric)}: {b.value} {b.unit}{_why(b.source)}"),
    f.ServicesAffected: ("person", lambda b, w: f"affected too: {w.people(b.services)}{_why(b.reason)}"),
    f.PlanStepDone: ("status", lambda b, w: f"{plain(b.plan)}: {plain(b.step)} {plain(b.outcome)}{_why(b.note)}"),
    f.ContinuityBegun: ("status", lambda b, w: f"the continuity plan for {plain(b.plan)} begins: {b.reason}"),
    f.Heard: ("message", lambda b, w: f"{', '.join(plain(one) for one in b.audiences)} heard how it goes ({plain(b.how)})"),
    f.ServiceRestored: ("status", lambda b, w: f"{w.people([b.service])} is back for {'everybody' if b.stage == 'full' else 'a limited group of users'}{_why(b.how)}"),
    f.PolicyAdopted: ("clock", lambda b, w: "moved to another version of the policy" + (f": {clocked('; '.join(b.changes), w.zone, w.near)}" if b.changes else "; nothing that is owed changes")),
    f.ChangeNoted: ("alert", lambda b, w: f"nearest change: {b.summary} at {w.at(b.at)}"),
    f.BrokeGlass: ("person", lambda b, w: f"BREAK-GLASS: {w.people([b.person])} used {plain(b.verb)} without the role: {b.reason}"),
    f.Redacted: ("person", lambda b, w: f"the words of fact {b.version} were redacted: {b.reason}"),
}  # fmt: skip
