"""Who is paged otherwise and when: exact against looking at every minute, and told in stretches of the week."""

import msgspec
import pytest
from test_coverage import alone, changed, phone, random_organisation

from tocsin.catalogue.people import Person
from tocsin.incidents.organisation import demo_organisation
from tocsin.kernel.clock import HOUR, MINUTE, WEEK, parse_instant
from tocsin.notify.coverage import paged
from tocsin.notify.policy_change import (
    COMMANDER,
    PAGED,
    TOLD,
    PeopleChange,
    Scope,
    Side,
    Stretch,
    coming_week,
    people_changes,
    steps_of,
    stretches,
    week_text,
)  # fmt: skip
from tocsin.oncall.rotations import Window
from tocsin.oncall.schedules import Leave
from tocsin.policy.load import default_policy, default_policy_text, load_policy

NOW = parse_instant("2026-11-25T09:00:00Z")
DEMO = demo_organisation(NOW)
POLICY = default_policy()
ALWAYS = Window((0, 1, 2, 3, 4, 5, 6), "00:00", "24:00")
NOT_SATURDAY_NIGHT = (
    Window((0, 1, 2, 3, 4, 6), "00:00", "24:00"), Window((5,), "00:00", "02:00"), Window((5,), "06:00", "24:00"),
)  # fmt: skip


def restricted(organisation, schedule, windows):
    """The same organisation with a schedule that is covered within ``windows`` alone, and without a secondary."""
    schedules = tuple(
        msgspec.structs.replace(one, rotations=tuple(msgspec.structs.replace(each, restrict=windows) for each in one.rotations))
        if one.id == schedule
        else one
        for one in organisation.schedules
    )  # fmt: skip
    return msgspec.structs.replace(organisation, schedules=schedules)


def changes(old, new, policy=POLICY, new_policy=None) -> list[PeopleChange]:
    directory = new.directory()
    return people_changes(
        Side(policy, old.directory()), Side(new_policy or policy, directory), coming_week(directory, NOW)
    )


@pytest.mark.guide("COM-3")
def test_a_hole_in_a_rota_is_said_with_its_hours_and_its_service():
    sentences = [one.sentence for one in changes(DEMO, restricted(DEMO, "payments", NOT_SATURDAY_NIGHT))]
    saturday = [
        one
        for one in sentences
        if one.startswith("Saturdays 02:00–06:00: Checkout and Payments page nobody for P4")
    ]
    assert saturday, sentences
    assert "(before: " in saturday[0]


def test_the_same_people_under_the_same_policy_are_no_change():
    assert changes(DEMO, DEMO) == []
    spelled = load_policy(default_policy_text().replace("{after: 60m,", "{after: 1h,"))
    assert changes(DEMO, DEMO, new_policy=spelled) == []


def test_a_step_that_is_taken_out_names_who_is_no_longer_paged():
    shorter = load_policy(default_policy_text().replace("        - {after: 20m, targets: [ceo]}\n", ""))
    found = changes(DEMO, DEMO, new_policy=shorter)
    assert {
        (one.when, one.severities, one.sentence.partition(": ")[2].partition(": ")[2]) for one in found
    } == {("all week", ("P1",), "Lena Vogt is no longer paged")}
    assert {service for one in found for service in one.services} == {"", *DEMO.directory().services}


def test_somebody_else_in_the_rota_is_told_for_the_hours_that_they_have():
    away = msgspec.structs.replace(
        DEMO, leaves=(Leave("ines", NOW + 6 * 24 * HOUR, NOW + 6 * 24 * HOUR + 5 * HOUR),)
    )
    found = [one.sentence for one in changes(DEMO, away)]
    assert found == []  # she alone holds the post: she is paged anyway
    deputy = changed(away, "jonas", org_roles=("architect", "engineering_manager"))
    assert any("Jonas Keller is paged" in one.sentence for one in changes(away, deputy)) is False
    # the team names its manager: a post in the company stands behind that
    lead = msgspec.structs.replace(
        DEMO, teams=tuple(msgspec.structs.replace(one, engineering_lead="jonas") if one.id == "web" else one for one in DEMO.teams)
    )  # fmt: skip
    bodies = {one.sentence.partition(": ")[2] for one in changes(DEMO, lead)}
    assert any("Jonas Keller is told" in body or "Esi Mensah is no longer told" in body for body in bodies), (
        bodies
    )


def test_whoever_moves_up_because_nobody_comes_before_them_is_told_with_the_step():
    weekdays = alone()
    always = restricted(weekdays, "s", (ALWAYS,))
    said = [one.sentence for one in changes(always, weekdays)]
    # without anybody on call the two empty steps are skipped at once, and the lead comes in their place
    assert (
        "Saturday 00:00 to Sunday 24:00: Shop and what names no service, P1: Ada is no longer paged; Ben is paged at once instead of after 5 minutes"
        in said
    )


def test_a_service_that_only_one_side_has_is_named():
    fewer = msgspec.structs.replace(DEMO, services=tuple(one for one in DEMO.services if one.id != "reports"))
    assert [one.sentence for one in changes(DEMO, fewer)] == ["all week: the service Reports is gone"]
    assert [one.sentence for one in changes(fewer, DEMO)] == ["all week: the service Reports is new"]


def test_those_who_are_told_and_the_commander_count_too():
    other = changed(changed(DEMO, "kavya", org_roles=()), "jonas", org_roles=("architect", "cto"))
    bodies = {(one.severities, one.sentence.rpartition(": ")[2]) for one in changes(DEMO, other)}
    assert (("P1",), "Kavya Nair is no longer told; Jonas Keller is told") in bodies
    assert (("P1", "P2"), "Kavya Nair is no longer paged; Jonas Keller is paged") in bodies


# stretches of the week

MONDAY = parse_instant("2026-11-30T00:00:00Z")


def stretch(first, last):
    return Stretch(MONDAY + first, MONDAY + last, (), ())


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([(0, 168)], "all week"),
        ([(0, 84), (84, 168)], "all week"),
        ([(122, 126)], "Saturdays 02:00–06:00"),
        ([(day * 24 + 18, day * 24 + 33) for day in range(4)], "Mondays to Thursdays 18:00–09:00"),
        ([(day * 24 + 9, day * 24 + 17) for day in range(7)], "every day 09:00–17:00"),
        ([(9, 12), (57, 60)], "Mondays and Wednesdays 09:00–12:00"),
        ([(22, 24)], "Mondays 22:00–24:00"),
        ([(113, 168), (0, 9)], "Friday 17:00 to Monday 09:00"),
        ([(0, 9)], "Mondays 00:00–09:00"),
    ],
)
def test_stretches_are_said_as_people_say_them(spans, said):
    assert week_text([stretch(low * HOUR, high * HOUR) for low, high in spans], "UTC", MONDAY) == said


def test_stretches_are_shown_on_the_clocks_of_the_organisation():
    assert week_text([stretch(HOUR, 5 * HOUR)], "Europe/Berlin", MONDAY) == "Mondays 02:00–06:00"


# against brute force


def by_hand(side, severity, kind, service, opened):
    """Who is paged by which step, straight from the directory and the calendar, without any sweep."""
    calendar = side.policy.calendar(side.directory.calendar_of(service))
    found, empty, at, by = {}, False, opened, None
    for step in steps_of(side, severity, kind, service):
        due = calendar.add(opened, step.after)
        if not empty or due < at:
            at, by = due, step.after
        meant = [
            side.directory.resolve(target, at, service=service, to_page=kind != TOLD)
            for target in step.targets
        ]
        people = [person for one in meant for person in one.people] if kind == TOLD else paged(meant)
        for person in people:
            found.setdefault(person, (by, step.quiet))
        empty = not people
    return tuple((person, *how) for person, how in found.items())


@pytest.mark.parametrize("seed", range(6))
def test_the_stretches_agree_with_looking_at_every_minute_and_around_every_edge(seed):
    other = load_policy(
        default_policy_text()
        .replace("{after: 2m, targets: [on_call, secondary]}", "{after: 3m, targets: [secondary]}")
        .replace("{after: 1h business, targets: [engineering_lead]}", "{after: 3h business, targets: [engineering_lead, cto]}")
    )  # fmt: skip
    old = Side(POLICY, random_organisation(seed))
    new = Side(other if seed % 2 else POLICY, random_organisation(seed + 100 if seed % 3 else seed))
    start = coming_week(new.directory, NOW) - WEEK
    for severity, kind in (("P1", PAGED), ("P3", PAGED), ("P1", COMMANDER), ("P4", PAGED), ("P1", TOLD)):
        found = stretches(*(Scope(side, start, start + WEEK) for side in (old, new)), severity, kind, "shop")
        edges = [edge + by for one in found for edge in (one.start, one.end) for by in (-1, 0, 1)]
        for opened in [*range(start, start + WEEK, 37 * MINUTE), *edges]:
            if not start <= opened < start + WEEK:
                continue
            before, now = (by_hand(side, severity, kind, "shop", opened) for side in (old, new))
            inside = next((one for one in found if one.start <= opened < one.end), None)
            assert (before, now) == ((inside.before, inside.now) if inside else (before, before)), (
                severity,
                kind,
                opened,
            )


def test_a_person_is_named_by_the_side_that_knows_them():
    grown = msgspec.structs.replace(
        DEMO, people=(*DEMO.people, Person("zoe", "Zoe Ziegler", contacts=phone(9), org_roles=("ceo",)))
    )
    assert any("Zoe Ziegler is paged" in one.sentence for one in changes(DEMO, grown))
    assert any("Zoe Ziegler is no longer paged" in one.sentence for one in changes(grown, DEMO))
