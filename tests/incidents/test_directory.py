"""Whom a name means tonight: leave, stand-ins, commanders, and what nobody has tested."""

from __future__ import annotations

import msgspec
import pytest

from tocsin.catalogue.people import Contact, Person
from tocsin.catalogue.services import Service
from tocsin.catalogue.teams import Team
from tocsin.incidents.directory import Directory, OrganisationSettings, Resolved
from tocsin.incidents.organisation import (
    Organisation,
    demo_organisation,
    from_record,
    from_records,
    load_organisation,
    record_of,
    to_records,
)
from tocsin.kernel.clock import DAY, HOUR, WEEK, parse_instant, to_iso
from tocsin.kernel.errors import Unusable, UnusableMany
from tocsin.kernel.ports import RecordRow
from tocsin.oncall.escalation import EscalationPolicy
from tocsin.oncall.rotations import Rotation
from tocsin.oncall.schedules import Leave, Override, Schedule

NOW = parse_instant("2026-03-04T09:00:00Z")
PHONE = (Contact("phone", "sms", "+49301234567", tested_at=1),)


def person(id: str, **more: object) -> Person:
    return msgspec.structs.replace(Person(id, id.title(), contacts=PHONE), **more)


def weekly(id: str, *members: str) -> Schedule:
    return Schedule(id, id.title(), (Rotation(f"{id}-1", members, "2026-03-02T09:00"),))


def directory(
    *, leaves: tuple[Leave, ...] = (), overrides: tuple[Override, ...] = (), **changed: Person
) -> Directory:
    """anna then bilal hold the pager; chiara leads; dora and emil command; kavya is CTO."""
    people = {id: person(id) for id in ["anna", "bilal", "chiara", "dora", "emil"]}
    people["kavya"] = person("kavya", org_roles=("cto",))
    return Directory(
        people={**people, **changed}.values(),
        teams=[Team("payments", "Payments", ("anna", "bilal"), "payments", "chiara", "ines", "berlin")],
        services=[Service("checkout", "Checkout", team="payments", aliases=("basket",))],
        schedules=[weekly("payments", "anna", "bilal"), weekly("commanders", "dora", "emil")],
        overrides=overrides, leaves=leaves, commander_schedule="commanders",
    )  # fmt: skip


def away(person: str) -> Leave:
    return Leave(person, NOW - DAY, NOW + DAY, "holiday")


def meant(place: Directory, target: str) -> tuple[str, ...]:
    return place.resolve(target, NOW, service="checkout").people


@pytest.mark.guide("COM-3", "ROL-2")
def test_the_names_of_the_chain_mean_people() -> None:
    place = directory()
    chain = [
        "on_call",
        "secondary",
        "engineering_lead",
        "cto",
        "incident_commander",
        "secondary_commander",
        "technical_lead",
    ]
    assert [meant(place, name) for name in chain] == [
        ("anna",),
        ("bilal",),
        ("chiara",),
        ("kavya",),
        ("dora",),
        ("emil",),
        ("anna",),
    ]
    assert meant(place, "team:payments") == ("anna", "bilal")
    assert meant(place, "schedule:commanders#secondary") == ("emil",)
    assert place.resolve("service:basket", NOW).people == ("anna",)
    assert (
        place.resolve("on_call", NOW, team="payments").reason
        == "Anna is primary of Payments: has the turn in the rotation payments-1"
    )


def test_who_is_on_call_changes_with_time_and_overrides() -> None:
    swap = Override("o", "payments", NOW, NOW + HOUR, "chiara")
    place = directory(overrides=(swap,))
    seen = [
        place.resolve("on_call", at, service="checkout").people
        for at in (NOW - 1, NOW, NOW + HOUR, NOW + WEEK, NOW)
    ]
    assert seen == [("anna",), ("chiara",), ("anna",), ("bilal",), ("chiara",)]
    assert place.next_change("payments", NOW) == NOW + HOUR


@pytest.mark.semantics(18)
def test_a_person_on_leave_is_skipped_and_the_secondary_stands_in() -> None:
    found = directory(leaves=(away("anna"),)).resolve("on_call", NOW, service="checkout")
    assert found.people == ("bilal",) and not found.anyway
    assert found.skipped == (("anna", "on leave until 2026-03-05T09:00:00Z (holiday)"),)
    assert "the secondary stands in" in found.reason


@pytest.mark.semantics(18)
def test_where_everybody_is_on_leave_they_are_paged_anyway_and_it_is_said() -> None:
    place = directory(leaves=(away("anna"), away("bilal"), away("kavya")))
    found = place.resolve("on_call", NOW, service="checkout")
    assert found.people == ("anna",) and found.anyway and "paged anyway" in found.reason
    assert place.resolve("cto", NOW).people == ("kavya",)
    assert place.resolve("team:payments", NOW).people == ("anna", "bilal")
    assert directory(leaves=(away("anna"),)).resolve("team:payments", NOW).people == ("bilal",)


@pytest.mark.semantics(18)
def test_off_means_deactivated_or_on_leave_and_not_off_shift() -> None:
    place = directory(leaves=(away("anna"),), emil=person("emil", active=False))
    assert place.off("bilal", NOW) == "", "bilal is not on shift, and not off"
    assert place.off("anna", NOW + DAY) == "" and place.off("anna", NOW).startswith("on leave")
    assert (place.off("emil", NOW), place.off("ghost", NOW)) == ("deactivated", "nobody has this id")


def test_a_deactivated_person_is_never_paged_not_even_anyway() -> None:
    found = directory(kavya=person("kavya", active=False, org_roles=("cto",))).resolve("cto", NOW)
    assert found == Resolved(
        "cto", (), "Kavya: CTO; nobody there can be paged: Kavya is deactivated", (("kavya", "deactivated"),)
    )  # fmt: skip


def test_nobody_at_all_is_an_answer_with_a_reason() -> None:
    place = directory()
    for target in (
        "ceo",
        "schedule:none",
        "team:none",
        "service:none",
        "person:ghost",
        "engineering_manager",
    ):
        found = place.resolve(target, NOW, service="checkout")
        assert found.people == () and found.reason, target
    assert (
        "no team owns this, and there is no team with a schedule"
        in Directory().resolve("on_call", NOW).reason
    )
    assert "no commander rotation" in Directory().resolve("incident_commander", NOW).reason


def test_what_no_team_owns_is_answered_by_the_default_team_and_it_is_said() -> None:
    found = directory().resolve("on_call", NOW)
    assert found.people == ("anna",) and found.reason.startswith(
        "no team owns this, so Payments answers; Anna is primary"
    )
    teams = [
        Team("a", "A", schedule="one"),
        Team("b", "B", schedule="two"),
        Team("desk", "Desk", engineering_lead="dora"),
    ]
    place = Directory(
        people=[person("anna"), person("bilal"), person("dora")], teams=teams, services=[Service("desk", "Desk", team="desk")],
        schedules=[weekly("one", "anna"), weekly("two", "bilal")], settings=OrganisationSettings(default_team="b"),
    )  # fmt: skip
    assert place.resolve("on_call", NOW).people == ("bilal",)
    assert place.resolve("service:desk", NOW).reason.startswith("the team Desk has no schedule, so B answers")
    assert place.resolve("engineering_lead", NOW, service="desk").people == ("dora",), (
        "its own lead all the same"
    )


def test_an_escalation_policy_says_whom_a_name_means() -> None:
    own = EscalationPolicy(
        "night",
        "Night",
        "payments",
        {"on_call": "person:chiara", "cto": "on_call", "secondary": "ceo", "ceo": "secondary"},
    )
    place = Directory(
        people=[person("anna"), person("bilal"), person("chiara")],
        teams=[Team("payments", "Payments", schedule="payments", escalation_policy="night")],
        services=[Service("checkout", "Checkout", team="payments")],
        schedules=[weekly("payments", "anna", "bilal")],
        escalation_policies=[own],
    )
    assert meant(place, "on_call") == ("chiara",)
    assert meant(place, "cto") == ("chiara",), "one name may lead to another"
    assert place.resolve("on_call", NOW, policy="night").people == ("chiara",)
    assert meant(place, "secondary") == ("bilal",), "a circle falls back to the plain meaning"


@pytest.mark.semantics(15)
def test_who_cannot_be_woken_is_named_before_the_night() -> None:
    mail = person("anna", contacts=(Contact("mail", "email", "a@b.example", tested_at=1),))
    fresh = person("bilal", contacts=(Contact("phone", "sms", "+49301234567", "mobile"),))
    said = [one.sentence for one in directory(anna=mail, bilal=fresh).untested_on_call(NOW)]
    assert said == [
        "a P1 will not wake Anna (primary of Payments): only email, which wakes nobody; add ntfy, SMS or voice",
        "a P1 will not wake Bilal (secondary of Payments): mobile was never tested; send a test page",
    ]
    assert directory().untested_on_call(NOW) == []
    assert [contact.id for contact in directory().interrupting_contacts("anna")] == ["phone"]


@pytest.mark.guide("ROL-2")
def test_gaps_of_all_schedules_are_found_leave_included() -> None:
    found = directory(leaves=(Leave("dora", NOW, NOW + HOUR),)).gaps(NOW, NOW + WEEK)
    assert [(id, gap.position, gap.start, gap.end) for id, gap in found] == [
        ("commanders", "primary", NOW, NOW + HOUR)
    ]


def test_looking_up_people_and_services() -> None:
    place = directory(anna=person("anna", email="Anna@Fernhill.example", login="ab"))
    assert (
        place.person_by_login(" anna@fernhill.EXAMPLE ")
        is place.people["anna"]
        is place.person_by_login("AB")
    )
    assert place.person_by_login("") is None
    assert place.calendar_of("basket") == "berlin" and place.calendar_of("mainframe") == ""


def test_the_demonstration_has_somebody_for_every_name_at_any_time() -> None:
    for now in (NOW, parse_instant("2026-10-25T00:59:00Z"), parse_instant("2028-02-29T23:59:59Z")):
        place = demo_organisation(now).directory()
        for team in ("platform", "payments", "web"):
            for target in [
                "on_call",
                "secondary",
                "engineering_lead",
                "engineering_manager",
                "cto",
                "ceo",
                "architect",
                "public_relations",
                "incident_commander",
                "secondary_commander",
            ]:
                assert place.resolve(target, now, team=team).people, (team, target)
        assert place.gaps(now, now + 8 * WEEK) == [] and place.untested_on_call(now) == []
        components = {service.component for service in place.services.values()}
        assert components == {
            "Web Application",
            "API Services",
            "Authentication",
            "Database",
            "File Storage",
            "Third-party Integrations",
        }
        assert all(place.people[one].senior for one in place.schedules["commanders"].rotations[0].members)


def test_records_come_back_as_they_went() -> None:
    organisation = demo_organisation(NOW)
    organisation.leaves = (Leave("anna", NOW, NOW + DAY, id="l1"),)
    organisation.overrides = (Override("o1", "web", NOW, NOW + DAY, "anna"),)
    rows = to_records(organisation, NOW)
    assert {row.kind for row in rows} == {
        "organisation",
        "person",
        "team",
        "service",
        "schedule",
        "override",
        "leave",
        "escalation_policy",
    }
    place = from_records([*rows, RecordRow("session", "x", "", b"{}", NOW)])
    assert (place.people, place.schedules) == (
        organisation.directory().people,
        organisation.directory().schedules,
    )
    assert place.settings == organisation.settings and place.commander_schedule == "commanders"
    assert place.overrides == organisation.overrides and place.leaves == organisation.leaves
    lookups = {(row.kind, row.id): row.lookup for row in rows}
    assert (lookups["person", "anna"], lookups["override", "o1"], lookups["leave", "l1"]) == (
        "anna",
        "web",
        "anna",
    )
    assert from_record("leave", record_of(organisation.leaves[0], NOW).body) == organisation.leaves[0]


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(Unusable, match="no record of the organisation"):
        record_of(Resolved("x", (), ""), NOW)
    with pytest.raises(Unusable, match="has no id"):
        record_of(Leave("anna", NOW, NOW + DAY), NOW)
    with pytest.raises(Unusable, match="no record of the organisation"):
        from_record("session", b"{}")


FILE = """\
organisation: Small
zone: Europe/Berlin
people:
  anna: {name: Anna, email: anna@fernhill.example, contacts: [{kind: email}, {kind: ntfy, address: anna-pager, tested: true}],
         rules: [{severities: [P1], after: 2 min, contact: ntfy}]}
  bilal: {name: Bilal}
teams:
  one: {name: One, members: [anna, bilal], schedule: main, engineering_lead: anna}
schedules:
  main:
    name: Main
    rotations:
      - {members: [anna, bilal], start: monday -1 week 09:00, every: 3 days}
      - {id: office, members: bilal, start: 2026-01-05 00:00, restrict: [{days: [mon, friday], from: "09:00", to: "17:00"}]}
    secondary: none
overrides:
  - {schedule: main, person: bilal, start: today 12:00, end: today 18:00, replaces: anna, reason: dentist}
leaves:
  - {person: anna, start: 2026-03-10, end: 2026-03-12T00:00:00Z}
escalation_policies:
  one: {team: one, targets: {on_call: schedule:main}, steps: {P1: [{after: 5 min, page: [on_call, team:one]}]}}
routes:
  - {match: {severity: critical}, service: checkout, tries: 3}
"""


def test_a_small_file_is_read_as_it_was_meant() -> None:
    read = load_organisation(FILE, "small.yaml", now=NOW)
    main = read.schedules[0]
    assert (main.rotations[0].start, main.rotations[0].every, main.rotations[0].unit) == (
        "2026-02-23T09:00",
        3,
        "days",
    )
    assert main.rotations[1].restrict[0].days == (0, 4) and main.secondary_offset == 0
    assert [to_iso(instant) for instant in (read.overrides[0].start, read.leaves[0].start)] == [
        "2026-03-04T11:00:00Z",
        "2026-03-09T23:00:00Z",
    ]
    assert (
        read.people[0].contacts[1].tested_at == NOW
        and read.people[0].contacts[0].address == "anna@fernhill.example"
    )
    assert read.escalation_policies[0].steps_for("P1")[0].targets == ("on_call", "team:one")
    assert read.routes == [{"match": {"severity": "critical"}, "service": "checkout", "tries": 3}]


def faults(text: str) -> list[str]:
    with pytest.raises(UnusableMany) as caught:
        load_organisation(text, "o.yaml", now=NOW)
    return [f"{fault.where}: {fault.sentence}" for fault in caught.value.faults]


def test_every_fault_is_reported_with_its_line() -> None:
    assert faults(
        """\
zone: Europe/Berln
peeple: {}
people:
  anna: {nam: Anna, contacts: [{kind: fax}], rules: [{contact: phone}]}
teams:
  one: {name: One, members: [anna, bilal]}
services:
  a: {name: A, depends_on: [b]}
  b: {name: B, depends_on: [a], criticality: 9}
schedules:
  main:
    rotations:
      - {members: [anan], start: someday, every: 1 month}
    secondary: maybe
leaves:
  - {person: anna, start: 2026-03-02, end: 2026-03-01}
escalation_policies:
  Bad Id: {targets: {on_call: schedule:mian}}
"""
    ) == [
        "o.yaml:1: there is no time zone 'Europe/Berln': use an IANA name such as Europe/Berlin",
        "o.yaml:2: an organisation has no peeple (did you mean people?)",
        "o.yaml:4: person anna has no nam (did you mean name?)",
        "o.yaml:4: person anna needs a name",
        "o.yaml:4: kind must be one of ntfy, email, sms, voice, slack, webhook, pagerduty, apprise, console, app, not fax",
        "o.yaml:4: there is no contact phone",
        "o.yaml:6: there is no person bilal",
        "o.yaml:8: services depend on each other in a circle: a → b → a",
        "o.yaml:9: criticality must be a whole number from 1 to 4, not 9",
        "o.yaml:13: 'someday' is not a local date and time: write it like 2026-03-02 09:00",
        "o.yaml:13: a turn lasts some days or weeks: write every: 1 week",
        "o.yaml:13: there is no person anan (did you mean anna?)",
        "o.yaml:14: secondary (unless it is a list of rotations) must be one of next, none, not maybe",
        "o.yaml:16: it ends before it starts",
        "o.yaml:18: 'Bad Id' is not an id: use lowercase letters, digits, - and _",
        "o.yaml:18: schedule:mian points at nothing: there is no schedule mian (did you mean main?)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "people: 3",
        "people: {anna: [1]}",
        "schedules: {s: {rotations: {}}}",
        "overrides: [1]",
        "routes: [1]",
    ],
)
def test_the_wrong_shape_is_a_fault_and_no_crash(text: str) -> None:
    assert faults(text)


def test_an_empty_file_is_an_empty_organisation() -> None:
    assert load_organisation("", "o.yaml", now=NOW) == Organisation(
        settings=load_organisation("", "o.yaml", now=NOW).settings
    )
