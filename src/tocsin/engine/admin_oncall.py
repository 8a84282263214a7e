"""On call and the catalogue: overrides, leave, schedules, teams, services, the organisation."""

from __future__ import annotations

from tocsin.catalogue.services import Service, by_id, cycle
from tocsin.catalogue.teams import Team
from tocsin.engine import changes as c
from tocsin.engine.admin_desk import Answer, Desk, check_id, known, name_of, require, text_of
from tocsin.engine.admin_escalation import naming
from tocsin.engine.admin_people import person_of
from tocsin.incidents.directory import OrganisationSettings
from tocsin.kernel.clock import DAY
from tocsin.kernel.errors import NotFound, Refused, Unusable, UnusableMany
from tocsin.oncall.schedules import POSITIONS, Leave, Override, Schedule, check_schedule
from tocsin.oncall.walltime import zone_of

LONGEST_OVERRIDE = 120 * DAY


def _span(start: int, end: int, now: int, what: str) -> None:
    if end <= start:
        raise Unusable(f"{what} ends before it starts; give an end after the start", "end")
    if end <= now:
        raise Unusable(f"{what} lies in the past; give an end that is still to come", "end")


def add_override(desk: Desk, change: c.AddOverride) -> Answer:
    """A responder takes a shift for themselves; an owner may give one to anybody."""
    person = person_of(desk, change.person or desk.principal.person)
    desk.allow_for(person.id, "override", "schedules")
    known([change.schedule], desk.directory.schedules, "schedule")
    known([change.replaces], desk.directory.people, "person")
    if change.position not in POSITIONS:
        raise Unusable(f"there is no position {change.position[:30]!r}; use primary or secondary", "position")
    require(person.active, f"{person.name} is not active and cannot be on call")
    _span(change.start, change.end, desk.now, "the override")
    if change.end - change.start > LONGEST_OVERRIDE:
        raise Unusable("an override lasts at most 120 days; change the schedule for good instead", "end")
    override = Override(
        desk.new_id(), change.schedule, change.start, change.end, person.id, change.replaces, desk.principal.id,
        text_of(change.reason, "reason"), change.position,
    )  # fmt: skip
    desk.put(override)
    away = desk.directory.off(person.id, max(change.start, desk.now))
    return {"id": override.id} | ({"warning": f"{person.name} is {away}"} if away else {})


def remove_override(desk: Desk, change: c.RemoveOverride) -> Answer:
    """Whoever made it or is in it may take it back; an owner any."""
    override = next((one for one in desk.directory.overrides if one.id == change.override), None)
    if override is None:
        raise NotFound(f"there is no override {change.override[:60]}")
    own = desk.principal.person in (override.person, override.by.removeprefix("person:"))
    desk.allow("override" if own else "schedules")
    desk.remove("override", override.id)
    return {"id": override.id}


def add_leave(desk: Desk, change: c.AddLeave) -> Answer:
    """Says too which shifts of theirs nobody would answer."""
    person = person_of(desk, change.person or desk.principal.person)
    desk.allow_for(person.id, "own_leave", "leave")
    _span(change.start, change.end, desk.now, "the leave")
    leave = Leave(person.id, change.start, change.end, text_of(change.reason, "reason"), desk.new_id())
    desk.put(leave)
    held = sorted(
        {
            desk.directory.schedules[schedule].name
            for schedule in desk.directory.schedules
            for at in range(change.start, min(change.end, change.start + 60 * DAY), DAY // 4)
            if desk.directory.on_call(schedule, at).person == person.id
        }
    )
    warning = f"{person.name} is on call in that time for {', '.join(held)}: find somebody to take the shift"
    return {"id": leave.id} | ({"warning": warning} if held else {})


def remove_leave(desk: Desk, change: c.RemoveLeave) -> Answer:
    leave = next((one for one in desk.directory.leaves if one.id == change.leave), None)
    if leave is None:
        raise NotFound(f"there is no leave {change.leave[:60]}")
    desk.allow_for(leave.person, "own_leave", "leave")
    desk.remove("leave", leave.id)
    return {"id": leave.id}


def put_schedule(desk: Desk, change: c.PutSchedule) -> Answer:
    desk.allow("schedules")
    schedule = Schedule(
        check_id(change.id), name_of(change.name), tuple(change.rotations), change.zone, tuple(change.secondary),
        change.secondary_offset,
    )  # fmt: skip
    for rotation in (*schedule.rotations, *schedule.secondary):
        known(rotation.members, desk.directory.people, "person")
    faults = check_schedule(schedule)
    if faults:
        raise UnusableMany([Unusable(fault, "schedule") for fault in faults])
    desk.put(schedule)
    return {"id": schedule.id, "name": schedule.name}


def remove_schedule(desk: Desk, change: c.RemoveSchedule) -> Answer:
    """Not while a team or the commanders' rotation depends on it."""
    desk.allow("schedules")
    users = [team.name for team in desk.directory.teams.values() if team.schedule == change.schedule]
    if desk.directory.commander_schedule == change.schedule:
        users.append("the commanders' rotation")
    users += naming(desk.directory, "schedule", change.schedule)
    require(not users, f"{', '.join(users)} would have nobody on call; give them another schedule first")
    desk.remove("schedule", change.schedule)
    for override in desk.directory.overrides_of(change.schedule):
        desk.remove("override", override.id)
    return {"id": change.schedule}


def put_team(desk: Desk, change: c.PutTeam) -> Answer:
    desk.allow("services_edit")
    people = desk.directory.people
    known([*change.members, change.engineering_lead, change.engineering_manager], people, "person")
    known([change.schedule], desk.directory.schedules, "schedule")
    known([change.escalation_policy], desk.directory.escalation_policies, "escalation policy")
    team = Team(
        check_id(change.id), name_of(change.name), tuple(dict.fromkeys(change.members)), change.schedule,
        change.engineering_lead, change.engineering_manager, text_of(change.calendar, "calendar", 60), change.escalation_policy,
    )  # fmt: skip
    desk.put(team)
    return {"id": team.id, "name": team.name}


def remove_team(desk: Desk, change: c.RemoveTeam) -> Answer:
    desk.allow("services_edit")
    owned = [one.name for one in desk.directory.services.values() if one.team == change.team]
    require(not owned, f"the team owns {', '.join(owned)}; give these to another team first")
    users = naming(desk.directory, "team", change.team)
    require(not users, f"{', '.join(users)} would page nobody; change it first")
    desk.remove("team", change.team)
    return {"id": change.team}


def put_service(desk: Desk, change: c.PutService) -> Answer:
    desk.allow("services_edit")
    others = {id: one for id, one in desk.directory.services.items() if id != change.id}
    known([change.team], desk.directory.teams, "team")
    known(change.depends_on, others, "service")
    if not 1 <= change.criticality <= 4:
        raise Unusable("criticality is 1 (everything stops without it) to 4 (hardly missed)", "criticality")
    for url in (change.runbook_url, *(link.url for link in (*change.dashboards, *change.links))):
        if url and not url.startswith(("https://", "http://")):
            raise Unusable(f"{url[:60]!r} is no address; it begins with https://", "url")
    service = Service(
        check_id(change.id), name_of(change.name), text_of(change.component, "component", 60), change.team,
        tuple(dict.fromkeys(change.depends_on)), change.criticality, tuple(alias for alias in change.aliases if alias.strip()),
        change.runbook_url, tuple(change.dashboards), tuple(change.links), tuple(change.contacts),
    )  # fmt: skip
    circle = cycle(by_id([*others.values(), service]))
    if circle:
        raise Refused(f"services would depend on each other in a circle: {' → '.join(circle)}")
    desk.put(service)
    return {"id": service.id, "name": service.name}


def remove_service(desk: Desk, change: c.RemoveService) -> Answer:
    desk.allow("services_edit")
    users = [one.name for one in desk.directory.services.values() if change.service in one.depends_on]
    require(not users, f"{', '.join(users)} depend on it; change these first")
    users = naming(desk.directory, "service", change.service)
    require(not users, f"{', '.join(users)} would page nobody; change it first")
    desk.remove("service", change.service)
    return {"id": change.service}


def put_organisation(desk: Desk, change: c.PutOrganisation) -> Answer:
    desk.allow("configure")
    zone_of(change.zone)
    known([change.commander_schedule], desk.directory.schedules, "schedule")
    known([change.default_team], desk.directory.teams, "team")
    war_room = desk.directory.settings.war_room if change.war_room is None else change.war_room
    desk.put(
        OrganisationSettings(
            text_of(change.name, "name", 120), change.zone, change.commander_schedule, change.default_team,
            text_of(war_room, "war_room", 500),
        )
    )  # fmt: skip
    return {"id": "organisation"}
