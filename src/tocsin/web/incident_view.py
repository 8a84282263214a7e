"""What the page of an incident shows, worked out from its state: what comes next, what is owed by whom, who did what.

Nothing here changes anything. Names are those of people, roles and positions as the policy at hand calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import cast

import msgspec

from tocsin.engine.chasing import owner_people
from tocsin.engine.deciding import PROTECTED, VERBS
from tocsin.engine.engine import Engine
from tocsin.engine.promising import down_on_record
from tocsin.incidents import facts as f
from tocsin.incidents.chasing import is_interval
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import Standing, duties, standing
from tocsin.incidents.duty import Duty
from tocsin.incidents.incident import Incident
from tocsin.incidents.promises import GATES
from tocsin.incidents.roles import proposals
from tocsin.incidents.wording import asked_for, duty_label, in_sentence, plain, post_label
from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import SYSTEM, Fact
from tocsin.kernel.ports import Transaction
from tocsin.policy.model import Policy

PROTOCOL = ("acknowledge", "record", "assess", "activate", "mitigate")
"""the steps of the first response, in order"""
STEP_NAMES = {
    "acknowledge": "Acknowledge", "record": "Record what happened", "assess": "Assess severity and impact",
    "activate": "Call the response team", "mitigate": "Begin mitigation",
}  # fmt: skip
STATES = {"overdue": 0, "soon": 1, "running": 2}
"""how pressing a clock is"""


class Owed(msgspec.Struct):
    """A duty as the page shows it: its name, how it is met, who owes it (names), and as what."""

    clock: Standing
    label: str
    how: str
    owners: list[str]
    post: str

    @property
    def running(self) -> bool:
        return self.clock.state in STATES


class Step(msgspec.Struct):
    """A step of the first response: who owes it, or who did it and when."""

    key: str
    label: str
    owners: list[str]
    done_at: Instant = 0
    done_by: str = ""
    how: str = ""
    clock: Standing | None = None


class RoleRow(msgspec.Struct):
    """A role: its holder, or whom the incident proposes; ``owes``: what its holder owes next."""

    key: str
    name: str
    purpose: str
    holder: str = ""
    acting: bool = False
    since: Instant = 0
    proposed: str = ""
    owes: list[str] = []


class Wish(msgspec.Struct):
    """A decision that somebody asked for and nobody has answered. ``answers``: whether the reader may."""

    id: str
    words: str
    by: str
    reason: str
    at: Instant
    mine: bool
    answers: bool


class Word(msgspec.Struct):
    """The last update: what is known, who said it and when, and when recovery is expected (0: not said)."""

    text: str
    who: str
    at: Instant
    eta: Instant
    audience: str


class Told(msgspec.Struct):
    """Who has been told, as whom, when and why."""

    at: Instant
    audience: str
    people: str
    reason: str


def noticed(incident: Incident, names: Mapping[str, str]) -> str:
    """How it was noticed and by whom, where people did: what monitors send stands with their alerts."""
    if incident.detected_how in ("", "monitor", "heartbeat"):
        return ""
    who = incident.detected_by
    named = "" if who.startswith("report:") else names.get(who, who)  # the key of a report link is nobody
    return f"{plain(incident.detected_how)}{f', {named}' if named else ''}"


def posts_of(policy: Policy) -> dict[str, str]:
    """role or position → its name in the policy at hand."""
    return dict(policy.positions) | {key: in_sentence(role.name) for key, role in policy.roles.items()}


def parties_of(policy: Policy) -> dict[str, str]:
    """party outside → its name in the policy at hand."""
    return {key: party.name for key, party in policy.outside.parties.items()}


def label_of(duty: Duty, policy: Policy, zone: str, now: Instant) -> str:
    """A duty in words, for somebody in ``zone``."""
    return duty_label(duty.rule, duty.id, zone=zone, near=now, parties=parties_of(policy))


def how_of(duty: Duty, policy: Policy) -> str:
    """How a duty is met, with the names that the policy gives to positions."""
    posts = posts_of(policy)
    if duty.rule == "tell" and duty.how.endswith(" told"):
        told = [post_label(one.strip(), posts) for one in duty.how.removesuffix(" told").split(",")]
        return f"{', '.join(told)} told"
    return plain(duty.how)


def owed_rows(
    engine: Engine, incident: Incident, policy: Policy, directory: Directory, zone: str, now: Instant
) -> list[Owed]:
    """Every clock of the incident, the most pressing first; further intervals of one long silence are left out."""
    found = [one for one in duties(incident, policy) if not is_interval(one)]
    owners = owners_of(engine, incident, {one.owner for one in found})
    posts = posts_of(policy)
    rows = [
        Owed(
            standing(duty, now), label_of(duty, policy, zone, now), how_of(duty, policy),
            [directory.name(person) for person in owners[duty.owner]], post_label(duty.owner, posts),
        )
        for duty in found
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (STATES.get(row.clock.state, 9), row.clock.duty.due))


def owners_of(engine: Engine, incident: Incident, posts: Collection[str]) -> dict[str, list[str]]:
    """role or position → the people who owe what belongs to it, at this moment."""

    def work(reader: object) -> dict[str, list[str]]:
        unit = engine.work(cast(Transaction, reader), SYSTEM)  # only reads
        return {post: owner_people(unit, incident, post) for post in posts}

    return engine.store.read(work)


def protocol_steps(
    rows: Iterable[Owed], incident: Incident, facts: Iterable[Fact], name: Callable[[str], str]
) -> list[Step]:
    """The first response as a checklist; empty for severities that have none."""
    if incident.severity not in ("P1", "P2"):
        return []
    clocks, done = {row.clock.duty.rule: row for row in rows}, who_did(facts)
    found = []
    for key in PROTOCOL:
        row, at = clocks.get(key), incident.protocol.get(key, 0)
        person, how = done.get(key, ("", ""))
        found.append(
            Step(
                key, STEP_NAMES[key], row.owners if row else [], at, name(person) if at and person else "", how if at else "",
                row.clock if row and not at else None,
            )
        )  # fmt: skip
    return found


def who_did(facts: Iterable[Fact]) -> dict[str, tuple[str, str]]:
    """step of the protocol → (person or empty for Tocsin, how), since the protocol last began."""
    found: dict[str, tuple[str, str]] = {}
    for fact in facts:
        body, who = f.read(fact), fact.actor.principal
        person = who.removeprefix("person:") if who.startswith("person:") else ""
        if isinstance(body, f.Declared):
            found["record"] = (person, "")
        elif isinstance(body, f.Reopened) or (
            isinstance(body, f.SeverityChanged) and body.direction == "raised"
        ):
            found = {"record": found.get("record", ("", ""))}
        elif isinstance(body, f.Acknowledged):
            found.setdefault("acknowledge", (body.person, body.note))
        elif isinstance(body, f.ProtocolStepDone):
            found.setdefault(body.step, (person, body.how))
    return found


def role_rows(incident: Incident, policy: Policy, directory: Directory, rows: Iterable[Owed], now: Instant) -> list[RoleRow]:  # fmt: skip
    """Every role of the policy, filled or not; where it is not, whom owners and rosters propose."""
    rows = list(rows)
    proposed = proposals(incident, policy, directory, now)
    found = []
    for key, role in policy.roles.items():
        holder = incident.roles.get(key)
        row = RoleRow(key, role.name, role.purpose)
        if holder is not None:
            row.holder, row.acting, row.since = holder.person, holder.acting, holder.since
        if key == "incident_commander" and (holder is None or holder.acting):
            turn = directory.resolve(key, now, policy=incident.escalation_policy).people
            row.proposed = next((person for person in turn if person != row.holder), "")
        elif holder is None:
            row.proposed = proposed.get(key, "")
        row.owes = [
            one.label for one in rows
            if one.running and one.clock.duty.owner == key and one.clock.duty.rule not in PROTOCOL[2:]
        ]  # fmt: skip
        found.append(row)
    return found


def wishes(
    incident: Incident, name: Callable[[str], str], may: Callable[[str], bool], person: str
) -> list[Wish]:
    """What somebody asked for, with the reader's part in it."""
    found = []
    for one in incident.requests.values():
        if one.state != "open":
            continue
        to = str(one.fields.get("to", ""))
        verb = VERBS.get(one.verb, "") or (to if to in ("resolve", "close", "false_alarm") else "update")
        protected = one.verb == "waive" and str(one.fields.get("duty", "")).partition(":")[0] in PROTECTED
        allowed = may("note") if protected else may(verb)
        fields = one.fields | {"person": name(str(one.fields.get("person", "")))}
        found.append(
            Wish(one.id, asked_for(one.verb, fields), name(one.by), one.reason, one.at, one.by == person, allowed and one.by != person)
        )  # fmt: skip
    return found


def unproved(incident: Incident, policy: Policy, name: Callable[[str], str]) -> list[str]:
    """What is not shown yet of all that has to be before it is resolved; empty where nothing stands before that."""
    if policy.validation_gates(incident.severity, incident.kind) != "resolved" or "validation" in incident.overridden:  # fmt: skip
        return []
    shown = {
        kind for kind, one in incident.validations.items() if one.outcome in ("passed", "not_applicable")
    }
    missing = [kind for kind in GATES if kind not in shown]
    return missing + [f"{name(service)} up again" for service in down_on_record(incident)]


def last_word(facts: Iterable[Fact], name: Callable[[str], str]) -> Word | None:
    """The update that happened last, wherever it stands in the record."""
    found: Word | None = None
    for fact in facts:
        body = f.read(fact)
        if isinstance(body, f.UpdatePosted) and (found is None or fact.occurred_at >= found.at):
            who = name(fact.actor.principal.removeprefix("person:"))
            found = Word(body.text, who, fact.occurred_at, body.eta, body.audience)
    return found


def told_rows(facts: Iterable[Fact], name: Callable[[str], str], posts: Mapping[str, str]) -> list[Told]:
    """Who has been told, the newest first; nudges to those who owe something are left out."""
    found = []
    for fact in facts:
        body = f.read(fact)
        if isinstance(body, f.Told) and body.audience != "owner" and body.people:
            audience = ", ".join(post_label(one.strip(), posts) for one in body.audience.split(","))
            people = ", ".join(name(person) for person in body.people)
            found.append(Told(fact.occurred_at, audience, people, body.text or body.reason))
    return found[::-1]


def updates_of(facts: Iterable[Fact], name: Callable[[str], str]) -> list[Word]:
    """Every update, the newest first."""
    found = [
        Word(body.text, name(fact.actor.principal.removeprefix("person:")), fact.occurred_at, body.eta, body.audience)
        for fact in facts
        if isinstance(body := f.read(fact), f.UpdatePosted)
    ]  # fmt: skip
    return sorted(found, key=lambda word: -word.at)


def is_paged(incident: Incident, person: str) -> bool:
    """Whether an escalation that still runs has paged them: their answer is waited for."""
    return any(run.state == "running" and person in run.paged for run in incident.runs.values())


def next_steps(
    incident: Incident, rows: Iterable[Owed], may: Callable[[str], bool], person: str, missing: Collection[str] = ()
) -> list[str]:  # fmt: skip
    """What is to be done, the step that comes first at the head; only what this person may do.

    Acknowledge, confirm the severity, then by what falls due first; once everything is quiet, what proves that it is
    over (``missing``), and the end.
    """
    if not incident.open:
        wanted = (
            ["post_mortem"] if any(r.running and r.clock.duty.rule == "post_mortem" for r in rows) else []
        )
        return [
            step
            for step, verb in [*((one, "post_mortem") for one in wanted), ("close", "close")]
            if may(verb) and (step != "close" or incident.status == "resolved")
        ]
    first: list[tuple[str, str]] = []
    if not incident.holder or is_paged(incident, person):
        first.append(("acknowledge", "acknowledge"))
    if incident.severity_state == "proposed":
        first.append(("confirm", "confirm_severity"))
    pressing = {row.clock.duty.rule: row.clock for row in rows if row.running}
    timed = [
        (clock.duty.due, order, step, verb)
        for order, (step, verb) in enumerate(
            [("assess", "step"), ("activate", "step"), ("mitigate", "step"), ("update", "update")]
        )
        if (clock := pressing.get(step)) is not None
        and (step != "update" or not incident.updates or clock.state != "running")
        and not (step == "activate" and "assess" not in incident.protocol)
        and not (step == "assess" and ("confirm", "confirm_severity") in first)
    ]  # fmt: skip
    quiet = (
        bool(incident.alerts) and not incident.firing and not any(step == "mitigate" for *_, step, _ in timed)
    )
    later = [(step, verb) for *_, step, verb in sorted(timed)]
    last = ("validate", "validate") if missing else ("resolve", "resolve")
    end = [last] if incident.status == "monitoring" or quiet else []
    urgent = any(clock.state in ("soon", "overdue") and rule == "update" for rule, clock in pressing.items())
    ordered = [*first, *later, *end] if urgent or not quiet else [*first, *end, *later]
    return [step for step, verb in [*ordered, ("underway", "update")] if may(verb)]
