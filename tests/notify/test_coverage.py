"""The proof that pages reach somebody: exact against brute force, and against the engine itself."""

import random
from bisect import bisect_right

import msgspec
import pytest

from tocsin.catalogue.people import CONTACT_KINDS, PROVIDERS, Contact, Person
from tocsin.catalogue.services import Service
from tocsin.catalogue.teams import Team
from tocsin.drill.stage import Stage, scratch_folder
from tocsin.engine import commands as c
from tocsin.incidents.directory import Directory, OrganisationSettings
from tocsin.incidents.escalation import one_up
from tocsin.incidents.organisation import Organisation, demo_organisation
from tocsin.incidents.sweep import Sweep, held
from tocsin.kernel.clock import DAY, HOUR, MINUTE, WEEK, parse_instant
from tocsin.notify import coverage
from tocsin.notify.coverage import COMMAND, RESPOND, TOLD, missing, prove
from tocsin.oncall.escalation import EscalationPolicy
from tocsin.oncall.rotations import Rotation, Window
from tocsin.oncall.schedules import Leave, Override, Schedule
from tocsin.policy.load import default_policy, default_policy_text, load_policy

NOW = parse_instant("2026-11-25T09:00:00Z")


def phone(number):
    return (
        Contact("push", "ntfy", f"topic-{number}", tested_at=1),
        Contact("text", "sms", f"+1555010{number:04}", tested_at=1),
    )


def changed(organisation, person, **fields):
    people = tuple(
        msgspec.structs.replace(one, **fields) if one.id == person else one for one in organisation.people
    )
    return msgspec.structs.replace(organisation, people=people)


@pytest.mark.guide("SEV-5", "COM-3", "ROL-2")
def test_the_demonstrations_organisation_proves_clean_for_half_a_year():
    proof = prove(default_policy(), demo_organisation(NOW).directory(), NOW, weeks=26)
    assert [one.sentence for one in proof.found] == []
    assert proof.openings > 500


@pytest.mark.semantics(15)
def test_an_installation_that_has_e_mail_alone_is_shown_that_nobody_wakes():
    proof = prove(default_policy(), demo_organisation(NOW).directory(), NOW, weeks=4, kinds=["email"])
    first = proof.found[0]
    assert (first.severity, first.failures, first.opened) == ("P1", 0, NOW)
    assert "nobody is reached who could respond within 5m" in first.sentence
    assert first.sentence.endswith("have no tested contact that wakes"), "it says why, too"


def test_a_person_on_leave_while_alone_on_the_schedule_is_found_to_the_microsecond():
    organisation = demo_organisation(NOW)
    away = tuple(
        Leave(person.id, NOW + 3 * DAY + 1, NOW + 4 * DAY)
        for person in organisation.people
        if person.id not in ("lena", "kavya")
    )
    proof = prove(
        default_policy(), msgspec.structs.replace(organisation, leaves=away).directory(), NOW, weeks=2
    )
    # all of them are away, so they are paged anyway: that is no gap. A schedule without anybody is one.
    assert [one for one in proof.found if one.demand == RESPOND] == []


def alone():
    """One team; its schedule is covered from Monday to Friday only, and there is no secondary."""
    people = [
        Person("ada", "Ada", contacts=phone(1)), Person("ben", "Ben", contacts=phone(2)),
        Person("cleo", "Cleo", contacts=phone(3), org_roles=("cto",)), Person("dan", "Dan", contacts=phone(4), org_roles=("ceo",)),
        Person("eve", "Eve", contacts=phone(5)),
    ]  # fmt: skip
    days = Rotation(
        "r", ("ada",), "2026-01-05T00:00", "UTC", 1, "weeks", (Window((0, 1, 2, 3, 4), "00:00", "24:00"),)
    )
    return Organisation(
        OrganisationSettings(commander_schedule="boss", default_team="t"), tuple(people),
        (Team("t", "T", ("ada",), "s", engineering_lead="ben", engineering_manager="eve"),), (Service("shop", "Shop", team="t"),),
        (
            Schedule("s", "S", (days,), secondary_offset=0),
            Schedule("boss", "Boss", (Rotation("b", ("ben", "eve"), "2026-01-05T00:00", "UTC", 1, "weeks"),)),
        ),
    )  # fmt: skip


def test_a_weekend_without_anybody_is_a_counterexample_that_says_when_who_and_which_step():
    proof = prove(default_policy(), alone().directory(), NOW, weeks=3)
    shown = {(one.severity, one.demand): one for one in proof.found if one.service == "shop"}
    weekend = shown["P1", RESPOND]
    saturday = parse_instant("2026-11-28T00:00:00Z")
    # on Saturday the empty first two steps are skipped at once and the lead is paged; if he fails, the next comes too late
    assert weekend.opened == NOW or weekend.opened <= saturday
    assert weekend.without_person
    assert "pages nobody" in weekend.sentence or "does not answer" in weekend.sentence


def test_the_least_that_must_fail_is_named():
    assert missing([]) == ("", "")
    assert missing([("a", "x"), ("a", "y")]) == ("a", "")
    assert missing([("a", "x"), ("b", "x")]) == ("", "x")
    assert missing([("a", "x"), ("a", "y"), ("b", "y")]) == ("a", "y")
    assert missing([("a", "x"), ("a", "y"), ("b", "y"), ("b", "x")]) is None
    assert missing([("a", "x"), ("b", "y"), ("c", "x")]) == ("b", "x")


def test_whoever_must_be_told_needs_a_second_provider_or_a_deputy():
    organisation = changed(alone(), "dan", contacts=phone(4)[:1])
    proof = prove(default_policy(), organisation.directory(), NOW, weeks=1)
    told = [one for one in proof.found if one.demand == TOLD and one.severity == "P1"]
    assert [one.without_provider for one in told[:1]] == [PROVIDERS["ntfy"]]
    with_deputy = changed(organisation, "eve", org_roles=("ceo",))
    proof = prove(default_policy(), with_deputy.directory(), NOW, weeks=1)
    assert [one for one in proof.found if one.demand == TOLD and one.severity == "P1"] == []


def test_a_post_that_nobody_holds_is_said():
    organisation = changed(alone(), "cleo", org_roles=())
    told = [
        one
        for one in prove(default_policy(), organisation.directory(), NOW, weeks=1).found
        if one.demand == TOLD
    ]
    assert any("nobody is cto" in one.sentence for one in told)


def test_what_holds_for_several_services_is_said_once_and_names_them():
    organisation = changed(alone(), "dan", org_roles=())
    other = Team("u", "U", ("eve",), "s", engineering_lead="ben", engineering_manager="eve")
    services = (
        Service("shop", "Shop", team="t"),
        Service("till", "Till", team="u"),
        Service("cart", "Cart", team="u"),
    )
    organisation = msgspec.structs.replace(
        organisation, teams=(*organisation.teams, other), services=services
    )
    found = prove(default_policy(), organisation.directory(), NOW, weeks=1).found
    told = [one.sentence for one in found if one.demand == TOLD and one.severity == "P1"]
    assert [one.endswith("nobody is ceo") for one in told] == [True], told
    paged = [one.sentence for one in found if one.demand == RESPOND]
    assert any(one.endswith("The same holds for Till") and "on Cart" in one for one in paged), paged
    assert not any("more service" in one for one in paged)


@pytest.mark.semantics(12)
def test_an_escalation_policy_that_no_service_has_is_proved_as_well():
    organisation = demo_organisation(NOW)
    nobody = EscalationPolicy(
        "lonely",
        "Lonely",
        targets={"on_call": "org:nobody", "secondary": "org:nobody", "engineering_lead": "org:nobody"},
    )
    more = msgspec.structs.replace(
        organisation, escalation_policies=(*organisation.escalation_policies, nobody)
    )
    found = prove(default_policy(), more.directory(), NOW, weeks=2).found
    assert found and all("goes by the escalation policy Lonely" in one.sentence for one in found)
    assert {one.demand for one in found} == {RESPOND}


def test_a_step_that_comes_after_the_acknowledge_time_does_not_count():
    late = default_policy_text().replace(
        "- {after: 2m, targets: [on_call, secondary]}", "- {after: 6m, targets: [on_call, secondary]}"
    )
    late = late.replace(
        "- {after: 5m, targets: [engineering_lead]}", "- {after: 7m, targets: [engineering_lead]}"
    )
    proof = prove(load_policy(late), demo_organisation(NOW).directory(), NOW, weeks=1)
    assert {one.demand for one in proof.found if one.severity == "P1"} == {RESPOND}
    assert all(one.without_person for one in proof.found)


# against brute force


def random_organisation(seed):
    """People with odd contacts, schedules with windows, overrides and leave at odd minutes."""
    pick = random.Random(seed)
    names = ["p0", "p1", "p2", "p3", "p4"]

    def contacts():
        kinds = pick.sample(["ntfy", "sms", "voice", "email", "slack"], pick.randint(0, 3))
        return tuple(Contact(kind, kind, kind, tested_at=pick.choice((0, 1, 1))) for kind in kinds)

    def moment():
        return NOW + pick.randint(-3, 10) * DAY + pick.randint(0, 1439) * MINUTE

    def rotation(name, zone):
        windows = ()
        if pick.random() < 0.5:
            windows = (
                Window(
                    tuple(sorted(pick.sample(range(7), pick.randint(3, 7)))),
                    "06:00",
                    pick.choice(("18:30", "24:00")),
                ),
            )
        return Rotation(
            name,
            tuple(pick.sample(names, pick.randint(1, 4))),
            "2026-10-26T09:00",
            zone,
            pick.randint(1, 5),
            "days",
            windows,
        )

    people = [
        Person(name, name.upper(), contacts=contacts(), active=pick.random() < 0.95, org_roles=tuple(pick.sample(["cto", "ceo"], pick.randint(0, 1))))
        for name in names
    ]  # fmt: skip
    schedules = [
        Schedule(name, name, tuple(rotation(f"{name}{number}", pick.choice(("UTC", "Europe/Berlin"))) for number in range(pick.randint(1, 2))), secondary_offset=pick.randint(0, 1))
        for name in ("a", "b")
    ]  # fmt: skip
    overrides, leaves = [], []
    for number in range(pick.randint(0, 4)):
        start = moment()
        overrides.append(
            Override(
                f"o{number}",
                pick.choice("ab"),
                start,
                start + pick.randint(1, 3000) * MINUTE,
                pick.choice(names),
            )
        )
    for number in range(pick.randint(0, 4)):
        start = moment()
        leaves.append(
            Leave(pick.choice(names), start, start + pick.randint(1, 5000) * MINUTE, id=f"l{number}")
        )
    team = Team(
        "t",
        "T",
        (),
        "a",
        engineering_lead=pick.choice(["", *names]),
        engineering_manager=pick.choice(["", *names]),
    )
    return Directory(
        people=people, teams=[team], services=[Service("shop", "Shop", team="t")], schedules=schedules, overrides=overrides,
        leaves=leaves, settings=OrganisationSettings(commander_schedule="b", default_team="t"),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_of_an_answer_is_what_is_answered_anew_at_every_moment(seed):
    directory, chance = random_organisation(seed), random.Random(seed)
    targets = (
        "on_call",
        "secondary",
        "technical_lead",
        "incident_commander",
        "engineering_lead",
        "cto",
        "person:nobody",
    )
    at = NOW
    while at < NOW + 9 * DAY:
        for target in targets:
            now = max(NOW, at - chance.choice((0, 0, HOUR)))  # a clock may be set back
            assert held(directory, target, now, service="shop").meant == directory.resolve(
                target, now, service="shop", to_page=True
            )
        at += chance.choice((1, MINUTE, HOUR, 5 * HOUR))


def demands_of(policy, directory, severity, end):
    terms = policy.severity(severity)
    clock = coverage._Clock(policy, severity, policy.calendar(), NOW, end)
    usable = frozenset(CONTACT_KINDS)
    always, business = terms.hours == "always", terms.escalation.hours == "business"
    return list(
        coverage._demands(
            policy, severity, directory, Sweep(directory), "shop", "", clock, {},
            coverage._Reaches(directory, severity, usable, always, business), coverage._Reaches(directory, severity, usable, False, False),
        )
    )  # fmt: skip


def by_hand(policy, directory, severity, demand, opened):
    """What an opening at ``opened`` reaches, straight from the directory and the calendar, without any sweep."""
    calendar = policy.calendar()
    arrivals, empty, at, paged_before = set(), False, opened, set()
    for step, quiet in demand.steps:
        if step.after == coverage.DIGEST:
            due = calendar.next_day(calendar.add(opened, policy.severity(severity).acknowledge))
        else:
            due = calendar.add(opened, step.after)
        at = min(at, due) if empty else due
        people = coverage.paged(
            directory.resolve(target, at, service="shop", to_page=True) for target in step.targets
        )
        if step.after == coverage.DIGEST:
            people = one_up(step.targets[0], directory, at, paged_before, service="shop")
        paged_before |= set(people)
        empty = not people and step.after != coverage.DIGEST
        for person in people:
            for reach in demand.reaches.of(person, quiet):
                came = max(at + reach.delay, calendar.in_hours(at) if reach.waits else 0)
                if came <= calendar.add(opened, demand.within):
                    arrivals.add((person, reach.provider))
    return missing(arrivals)


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=pytest.mark.slow if n < 2 else ()) for n in range(12)]
)
def test_the_sweep_agrees_with_looking_at_every_minute_and_around_every_breakpoint(seed):
    policy, directory, end = default_policy(), random_organisation(seed), NOW + 8 * DAY
    for severity in ("P1", "P2", "P3", "P4"):
        for demand in demands_of(policy, directory, severity, end):
            if isinstance(demand, coverage._Told):
                continue
            step = MINUTE if severity in ("P1", "P3") else 7 * MINUTE
            minutes = range(NOW, end, step * (1 if seed < 2 else 13))
            around = [moment + by for moment in demand.moments for by in (-1, 0, 1, MINUTE)]
            for opened in [*minutes, *(one for one in around if NOW <= one < end)]:
                stretch = demand.moments[bisect_right(demand.moments, opened) - 1]
                assert demand.decide(stretch) == by_hand(policy, directory, severity, demand, opened), (
                    severity,
                    opened,
                )


@pytest.mark.slow
@pytest.mark.parametrize("severity", ["P1", "P2", "P3", "P4"])
def test_what_the_proof_walks_through_is_what_the_engine_does(severity):
    pick = random.Random(severity)
    policy = default_policy()
    for seed in range(4):
        opened = NOW + pick.randint(0, 6 * DAY // MINUTE) * MINUTE
        directory = random_organisation(seed)
        end = NOW + 8 * DAY
        respond = next(one for one in demands_of(policy, directory, severity, end) if one.kind == RESPOND)
        expected = {}
        for trace in respond.trace(opened):
            for person in trace.people:
                if trace.after != coverage.DIGEST.text:
                    expected.setdefault(person, trace.at)
        with scratch_folder() as folder:
            stage = staged(folder, directory, opened)
            stage.execute("boss", c.Declare("something", severity=severity, services=["shop"]))
            stage.run_to(8 * HOUR if severity in ("P1", "P2") else 4 * DAY)
            assert first_pages(stage, {*expected}) == expected, (seed, opened)
            stage.close()


def staged(folder, directory, opened):
    from pathlib import Path

    boss = Person("boss", "Boss", role="owner", login="boss")
    organisation = Organisation(
        directory.settings, (*directory.people.values(), boss), tuple(directory.teams.values()), tuple(directory.services.values()),
        tuple(directory.schedules.values()), directory.overrides, directory.leaves,
    )  # fmt: skip
    return Stage(
        Path(folder), organisation=lambda now: organisation, policy=default_policy_text(), start=opened
    )


def first_pages(stage, people):
    """person → when a step of the responders' chain first named them; hand-overs at a change of shift left out."""
    found = {}
    for fact in stage.engine.facts(coverage_reader(), "INC-1"):
        if fact.type != "paged":
            continue
        body = msgspec.json.decode(fact.body)
        incident = stage.engine.incident(coverage_reader(), "INC-1")
        if incident.runs[body["run"]].kind != "responders" or body["round"] or body["step"] < 0:
            continue
        for person in body["people"]:
            if person in people:
                found.setdefault(person, fact.recorded_at)
    return found


def coverage_reader():
    from tocsin.drill.stage import WATCHER

    return WATCHER


@pytest.mark.slow
def test_five_hundred_schedules_over_a_year_are_decided():
    people, teams, services, schedules = [], [], [], []
    for n in range(500):
        members = tuple(f"p{n}-{k}" for k in range(4))
        people += [Person(member, member, contacts=phone(n)) for member in members]
        zone = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")[n % 4]
        schedules.append(
            Schedule(
                f"s{n}",
                f"s{n}",
                (Rotation("r", members, f"2026-01-0{5 + n % 3}T{n % 24:02}:00", zone, 1, "weeks"),),
            )
        )
        teams.append(
            Team(
                f"t{n}",
                f"t{n}",
                members,
                f"s{n}",
                engineering_lead=members[0],
                engineering_manager=members[1],
            )
        )
        services.append(Service(f"v{n}", f"v{n}", team=f"t{n}"))
    people += [
        Person("cto", "cto", contacts=phone(9001), org_roles=("cto",)),
        Person("ceo", "ceo", contacts=phone(9002), org_roles=("ceo",)),
    ]
    directory = Directory(
        people=people, teams=teams, services=services, schedules=schedules,
        settings=OrganisationSettings(commander_schedule="s0", default_team="t0"),
    )  # fmt: skip
    proof = prove(default_policy(), directory, NOW, weeks=52)
    assert proof.openings > 500 * 52 * 4
    assert {one.demand for one in proof.found} <= {RESPOND, COMMAND}
    assert proof.end - proof.start == 52 * WEEK
