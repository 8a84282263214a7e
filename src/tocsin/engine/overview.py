"""What pages and the API read across incidents: lists, what somebody owes, who is paged next, health, quiet alerts.

Nothing here changes anything, and all of it passes through what the principal may see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from tocsin.catalogue.people import CONTACT_KINDS
from tocsin.engine.receiving import Integration
from tocsin.engine.ticking import owner_people
from tocsin.engine.work import read_incident
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.incidents.directory import Unreachable
from tocsin.incidents.duties import Standing, calendar_of, owed, standing
from tocsin.incidents.escalation import chain_of, next_step
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import DAY, HOUR, MINUTE, Instant, humanize
from tocsin.kernel.codec import decode
from tocsin.kernel.facts import SYSTEM, Stream
from tocsin.kernel.ports import AlertRow, ChangeRow, Reader, RecordRow, StreamRow, Transaction

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

LATE = MINUTE
"""lateness beyond this is said on every page"""
CHANGES_BEFORE = 6 * HOUR
CHANGES_AFTER = 30 * MINUTE


class Owed(msgspec.Struct):
    """A duty that belongs to somebody now."""

    incident: Incident
    clock: Standing


class NextPage(msgspec.Struct):
    """The next step of an escalation: when, and whom it means as things stand."""

    kind: str
    at: Instant
    names: list[str]
    again: bool
    quiet: bool


class Health(msgspec.Struct):
    """How a service stands: the open incidents that name it, the worst first."""

    incidents: list[StreamRow] = []

    @property
    def worst(self) -> str:
        return self.incidents[0].severity if self.incidents else ""


def about_of(incident: Incident) -> About:
    """What visibility looks at."""
    return About(
        incident.restricted,
        frozenset(incident.members),
        incident.commander,
        incident.acting_commander,
        incident.severity,
    )


def may_see(principal: Principal, incident: Incident) -> bool:
    """Whether the incident exists for them."""
    return authorize(principal, "view", about_of(incident)).allowed


def seer(principal: Principal) -> str | None:
    """What list queries are asked with: None sees everything."""
    return None if principal.role == "owner" else principal.id


def incidents(
    engine: Engine, principal: Principal, *, open: bool | None = None, severity: str = "", status: str = "", search: str = "",
    drill: bool | None = None, before: tuple[Instant, str] | None = None, limit: int = 100,
) -> list[StreamRow]:  # fmt: skip
    """List rows that the principal may see, newest first; ``before`` is the last row of the page before."""
    return engine.store.read(
        lambda r: r.streams(
            "incident", open=open, principal=seer(principal), severity=severity, status=status, search=search, drill=drill,
            before=before, limit=limit,
        )
    )  # fmt: skip


def owed_by(engine: Engine, principal: Principal) -> list[Owed]:
    """The duties in open incidents that belong to the person now, the earliest first."""

    def work(reader: Reader) -> list[Owed]:
        now = engine.clock.now()
        unit = engine.work(
            cast(Transaction, reader), SYSTEM
        )  # only reads: whose a duty is, is asked of the unit of work
        found = []
        for row in reader.streams("incident", open=True, principal=seer(principal), limit=500):
            incident = readable(engine, reader, row)
            if incident is None:
                continue
            policy = engine.policy_of(reader, incident.policy)[0]
            for duty in owed(incident, policy):
                if principal.person in owner_people(unit, incident, duty.owner) or (
                    duty.rule == "acknowledge" and _is_paged(incident, principal.person)
                ):
                    found.append(Owed(incident, standing(duty, now)))
        return sorted(found, key=lambda one: one.clock.duty.due)

    return engine.store.read(work) if principal.person else []


def readable(engine: Engine, reader: Reader, row: StreamRow) -> Incident | None:
    """An incident for a list; None for one that cannot be read (a newer version wrote it), which the banner then names."""
    try:
        return read_incident(reader, row)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with one, the others are shown
        engine.set_aside(row.stream.id, error, kind="incident")
        return None


def _is_paged(incident: Incident, person: str) -> bool:
    """Whether an escalation that still runs has paged them: each of those can acknowledge."""
    return any(run.state == "running" and person in run.paged for run in incident.runs.values())


def next_pages(engine: Engine, incident: Incident) -> list[NextPage]:
    """Who is paged next and when, for each escalation that runs."""
    directory, now = engine.directory(), engine.clock.now()
    policy = engine.store.read(lambda r: engine.policy_of(r, incident.policy)[0])
    calendar = calendar_of(incident, policy)
    found = []
    for run in incident.runs.values():
        due = next_step(run, chain_of(run, policy, directory), calendar)
        if due is None:
            continue
        people = [
            person
            for target in due.targets
            for person in directory.resolve(
                target, max(due.at, now), service=run.service, policy=run.escalation_policy, to_page=True
            ).people
        ]
        names = [directory.name(person) for person in dict.fromkeys(people)]
        found.append(NextPage(run.kind, due.at, names, due.round > run.round, due.quiet))
    return sorted(found, key=lambda one: one.at)


def changes_near(engine: Engine, incident: Incident) -> list[ChangeRow]:
    """Deployments and configuration changes round the onset, the nearest first."""
    onset = incident.milestones.get("impact_began") or incident.opened_at
    rows = engine.store.read(
        lambda r: r.changes(
            services=incident.services or None,
            since=onset - CHANGES_BEFORE,
            until=onset + CHANGES_AFTER,
            limit=20,
        )
    )
    return sorted(rows, key=lambda row: abs(onset - row.at))[:8]


def alerts_of(engine: Engine, incident: Incident) -> dict[tuple[str, str], AlertRow]:
    """The alert rows of an incident, for their reasons and repeats."""
    rows = engine.store.read(lambda r: r.alerts_of(incident.id))
    return {(row.integration, row.dedup_key): row for row in rows}


def quiet_alerts(engine: Engine, principal: Principal, limit: int = 50) -> list[AlertRow]:
    """What fires and pages nobody: silenced, under maintenance, held for flapping."""
    everything = seer(principal) is None

    def work(reader: Reader) -> list[AlertRow]:
        found: list[AlertRow] = []
        for state in ("silenced", "maintenance", "held"):
            found += reader.alerts(status="firing", state=state, include_restricted=everything, limit=limit)
        return sorted(found, key=lambda row: -row.last_at)[:limit]

    return engine.store.read(work)


def unrouted_alerts(engine: Engine, principal: Principal, limit: int = 50) -> list[AlertRow]:
    """What fires for a service that the catalogue does not know: it went to the default team."""
    known = engine.directory().services
    rows = engine.store.read(
        lambda r: r.alerts(
            status="firing", state="attached", include_restricted=seer(principal) is None, limit=1000
        )
    )
    return [row for row in rows if row.service not in known][:limit]


def health(engine: Engine, principal: Principal) -> dict[str, Health]:
    """service id → its open incidents that the principal may see."""

    def work(reader: Reader) -> dict[str, Health]:
        found: dict[str, Health] = {}
        rows = reader.streams("incident", open=True, principal=seer(principal), limit=500)
        for row in sorted(rows, key=lambda row: (row.severity, -row.opened_at)):
            incident = readable(engine, reader, row)
            for service in incident.services if incident else []:
                found.setdefault(service, Health()).incidents.append(row)
        return found

    return engine.store.read(work)


def banner(engine: Engine) -> list[str]:
    """What everybody must know of this installation now, a sentence each: lateness, held outbox, streams set aside."""
    late_timer, late_page = engine.lateness()
    found = []
    if late_page > LATE:
        found.append(
            f"Messages are late: the oldest has waited {humanize(late_page)}. Call people by other means."
        )
    if late_timer > LATE:
        found.append(f"Clocks are late: the oldest timer is {humanize(late_timer)} overdue.")
    if engine.store.read(lambda r: r.outbox(state="held", limit=1)):
        found.append("This is a restored copy: messages and timers are held until an owner releases them.")
    aside = engine.poisoned
    if aside:
        rows = engine.store.read(lambda r: [r.stream(Stream("incident", key)) for key in sorted(aside)[:20]])
        names = [f"{row.series}-{row.number}" for row in rows if row is not None]
        named = f" ({', '.join(names)})" if names else ""
        found.append(
            f"{len(aside)} incidents or messages could not be worked on{named} and are tried again; see the log."
        )
    return found


def sleeping(engine: Engine) -> list[Unreachable]:
    """Everybody on call whom no tested channel that is configured here can wake."""
    return engine.directory().untested_on_call(engine.clock.now(), set(engine.channels))


def will_not_wake(engine: Engine) -> list[str]:
    """A sentence for everybody on call whom no tested channel can wake."""
    return list(dict.fromkeys(one.sentence for one in sleeping(engine)))


def contact_kinds(engine: Engine) -> list[str]:
    """The kinds of contact that this installation can deliver to, for a choice; empty where no channel is configured."""
    return [kind for kind in CONTACT_KINDS if kind in engine.channels]


def integration_rows(engine: Engine) -> dict[str, Integration]:
    """Every integration by id."""
    rows = engine.store.read(lambda r: r.records("integration"))
    return {row.id: decode(row.body, Integration) for row in rows}


def records_of(engine: Engine, kind: str) -> list[RecordRow]:
    """Stored records of one kind, by id."""
    return engine.store.read(lambda r: r.records(kind))


def upcoming(engine: Engine, days: int = 14) -> tuple[Instant, Instant]:
    """From now until so many days ahead."""
    now = engine.clock.now()
    return now, now + days * DAY


def name_list(names: Iterable[str]) -> str:
    """``Anna, Ben and Chiara``."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else "nobody"
