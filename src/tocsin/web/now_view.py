"""What *Now* shows: what needs the reader first, what is open, what fires though nobody works on it, what is not set up yet."""

from __future__ import annotations

import msgspec

from tocsin.catalogue.people import is_wakeable
from tocsin.engine import overview
from tocsin.engine.ways_in import WaysIn
from tocsin.engine.work import read_incident
from tocsin.identity.principals import Principal
from tocsin.incidents.chasing import is_interval
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import AlertRow, Reader, StreamRow
from tocsin.policy.model import Policy
from tocsin.web.base import Visit
from tocsin.web.incident_view import STATES, Owed, how_of, is_paged, label_of

FIRING_LOOKED_AT = 1000
"""firing alerts that are looked through for those whose incident is over"""


class Need(msgspec.Struct):
    """An incident that needs the reader: they are paged for it, or owe something there, the most pressing first."""

    incident: Incident
    paged: bool
    owed: list[Owed]

    @property
    def order(self) -> tuple[bool, str, Instant]:
        """Pages first, the most severe first; then by what falls due first."""
        first = min((row.clock.duty.due for row in self.owed), default=0)
        return not self.paged, self.incident.severity if self.paged else "", first


class Open(msgspec.Struct):
    """An open incident in the list: its row and its state."""

    row: StreamRow
    incident: Incident
    services: str


class Setup(msgspec.Struct):
    """Something a new installation needs before it can wake anybody."""

    done: bool
    words: str
    why: str
    link: str = ""


class Over(msgspec.Struct):
    """An alert that fires though its incident is over."""

    alert: AlertRow
    number: str
    status: str


def needs(visit: Visit) -> list[Need]:
    """What needs the reader, the first thing first."""
    found: dict[str, Need] = {}
    engine, now = visit.engine, visit.now

    def policy_of(hash: str) -> Policy:
        return engine.store.read(lambda r: engine.policy_of(r, hash)[0])

    for one in overview.owed_by(engine, visit.principal):
        incident = one.incident
        need = found.setdefault(incident.id, Need(incident, is_paged(incident, visit.principal.person), []))
        if is_interval(one.clock.duty) or (
            one.clock.duty.rule == "acknowledge" and not need.paged and incident.holder
        ):
            continue  # fmt: skip
        policy, duty = policy_of(incident.policy), one.clock.duty
        need.owed.append(
            Owed(one.clock, label_of(duty, policy, visit.zone, now), how_of(duty, policy), [], duty.owner)
        )
    for need in found.values():
        if any(row.clock.duty.rule == "respond" for row in need.owed):  # it names its steps itself
            need.owed = [
                row for row in need.owed if row.clock.duty.rule not in ("assess", "activate", "mitigate")
            ]
        need.owed.sort(key=lambda row: (STATES.get(row.clock.state, 9), row.clock.duty.due))
    paged = _paged_for(visit, found)
    return sorted([*found.values(), *paged], key=lambda need: need.order)


def _paged_for(visit: Visit, known: dict[str, Need]) -> list[Need]:
    """Incidents that page the reader without their owing anything yet: the commander's own page."""
    return [
        Need(one.incident, True, [])
        for one in open_incidents(visit)
        if one.incident.id not in known and is_paged(one.incident, visit.principal.person)
    ]


def open_incidents(visit: Visit) -> list[Open]:
    """Open incidents that the reader may see: those that nobody has first, then the most severe."""
    rows = overview.incidents(visit.engine, visit.principal, open=True)
    states = visit.engine.store.read(lambda r: [read_incident(r, row) for row in rows])
    services = visit.directory.services
    found = [
        Open(row, one, ", ".join(services[id].name if id in services else id for id in one.services[:3]))
        for row, one in zip(rows, states, strict=True)
    ]
    return sorted(
        found, key=lambda one: (one.row.severity, bool(one.incident.acknowledged_at), -one.row.opened_at)
    )


def firing_but_over(visit: Visit, limit: int = 30) -> list[Over]:
    """Alerts that fire while the incident they belong to has ended: nobody works on them."""
    everything = overview.seer(visit.principal) is None

    def work(reader: Reader) -> list[Over]:
        found = []
        streams: dict[str, StreamRow | None] = {}
        rows = reader.alerts(
            status="firing", state="attached", include_restricted=everything, limit=FIRING_LOOKED_AT
        )
        for row in rows:
            if row.incident not in streams:
                streams[row.incident] = reader.stream(Stream("incident", row.incident))
            stream = streams[row.incident]
            if stream is not None and not stream.open and not (stream.restricted and not everything):
                found.append(Over(row, f"{stream.series}-{stream.number}", stream.status))
        return found[:limit]

    return visit.engine.store.read(work)


def nobody_to_page(visit: Visit) -> str:
    """Why nobody could be paged now, as a sentence; empty where somebody could."""
    if not visit.directory.schedules:
        return "Nobody can be paged: there is no schedule yet."
    found = visit.directory.resolve("on_call", visit.now)
    if found.people:
        return ""
    return f"Nobody can be paged for what no team owns: {found.reason}."


def setup(visit: Visit) -> list[Setup]:
    """What a new installation needs, in order; empty once all of it is done, and for those who could not do it."""
    if visit.principal.role != "owner" or visit.web.phone is not None:
        return []
    engine, directory, me = visit.engine, visit.directory, visit.principal.person
    person = directory.people[me]
    ways_in = WaysIn(engine)
    heard = any(ways_in.requests(one, 1) for one in overview.integration_rows(engine))
    manned = any(directory.on_call(one, visit.now).person for one in directory.schedules)
    found = [
        Setup(
            engine.store.read(lambda r: r.record("password", me)) is not None, "Set a password",
            "the sign-in link works once", "/account",
        ),
        Setup(
            any(one.wakes for kind, one in engine.channels.items() if kind != "console"), "Connect a channel that wakes people",
            "ntfy, SMS and calls, or PagerDuty: settings of the server, see docs/integrations",
        ),
        Setup(is_wakeable(person), "Prove that a page reaches you", "add a contact, send a test, write its code", f"/people/{me}"),
        Setup(bool(manned), "Make a schedule", "who answers, and when the turn changes", "/oncall/new/edit"),
        Setup(
            any(team.schedule in directory.schedules for team in directory.teams.values()), "Make a team with that schedule",
            "it answers for its services, and for what nobody owns", "/teams/new",
        ),
        Setup(heard, "Send a first alert", "open the integration, paste its snippet at a sender, or send a test", "/integrations"),
    ]  # fmt: skip
    return [] if all(one.done for one in found) else found


def may_acknowledge(principal: Principal, need: Need) -> bool:
    """Whether *Now* offers to acknowledge: somebody waits for this person's answer."""
    return need.paged or not need.incident.holder
