"""Milestones, restricted incidents, texts, leave, merging undone, business hours: in virtual time through the real engine."""

import json

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.alerts.shape import Alert, Change, Link
from tocsin.catalogue.people import Contact, NotificationRule, Person
from tocsin.engine import commands as c
from tocsin.identity.principals import person_principal
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND, parse_instant, to_iso
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable
from tocsin.oncall.escalation import EscalationPolicy, EscalationStep


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def role(world, who):
    return world.engine.directory().people[who].role


def seen(world, who):
    return [row.number for row in world.engine.incidents(person_principal(who, role(world, who)))]


def names(world, name="INC-1"):
    return [f"{one.ref.integration}/{one.ref.key}" for one in world.incident(name).alerts.values()]


@pytest.mark.semantics(9)
def test_a_merge_can_be_undone_and_what_stands_alone_again_is_paged_for(world):
    world.alert("payments down", "a")
    world.alert("queue stuck somewhere", "b", service="reports")
    world.run(SECOND)
    world.do("anna", c.Merge("INC-2", "INC-1", "same cause"))
    assert world.incident("INC-2").status == "merged"
    before = len(world.pages())
    world.run(2 * MINUTE)
    before = len(world.pages())
    world.do("anna", c.Split("INC-1", source="INC-2", reason="it was not"))
    world.run(MINUTE)
    assert world.incident("INC-2").status == "investigating"
    assert names(world) == ["i1/a"]
    assert len(world.pages()) > before
    world.alert("queue stuck somewhere", "b", "resolve")
    assert world.incident("INC-2").all_clear_at
    assert not world.incident("INC-1").all_clear_at


@pytest.mark.semantics(9)
def test_some_alerts_can_be_taken_into_an_incident_of_their_own_but_never_all(world):
    world.integration.group_by = ["site"]
    world.alert("queue stuck", "a", service="reports", site="eu")
    world.alert("disk almost full", "b", service="reports", site="eu")
    world.run(SECOND)
    with pytest.raises(Refused, match="at least one"):
        world.do("anna", c.Split("INC-1", alerts=["i1/a", "i1/b"], reason="two things"))
    with pytest.raises(Unusable, match="no alert"):
        world.do("anna", c.Split("INC-1", alerts=["i1/zzz"], reason="two things"))
    answer = world.do("anna", c.Split("INC-1", alerts=["i1/b"], reason="two things"))
    new = world.incident(answer["number"])
    assert (new.title, names(world, "INC-2"), new.linked) == (
        "disk almost full",
        ["i1/b"],
        world.incident().id,
    )
    assert names(world) == ["i1/a"]


@pytest.mark.semantics(10)
@pytest.mark.guide("RCA-2")
def test_milestones_are_facts_that_a_later_fact_corrects(world):
    world.alert()
    began = world.clock.now() - 20 * MINUTE
    world.do("anna", c.Milestone("INC-1", "impact_began", began, "first failed payment"))
    world.do("anna", c.Milestone("INC-1", "impact_began", began - 5 * MINUTE, "an earlier one was found"))
    incident = world.incident()
    assert incident.milestones["impact_began"] == began - 5 * MINUTE
    assert incident.detected_how == "monitor"
    kept = [
        f for f in world.engine.facts(person_principal("anna", "owner"), "INC-1") if f.type == "milestone_set"
    ]
    assert len(kept) == 2
    with pytest.raises(Unusable, match="future"):
        world.do("anna", c.Milestone("INC-1", "mitigated", world.clock.now() + 1))


@pytest.mark.semantics(15)
@pytest.mark.guide("PRO-2")
def test_a_persons_own_rules_add_to_the_first_interrupting_contact_and_never_delay_it(world):
    person = world.engine.directory().resolve("on_call", world.clock.now(), service="payments").people[0]
    known = world.engine.directory().people[person]
    contacts = (
        Contact("mail", "email", "x@fernhill.example"),
        Contact("push", "console", "push", tested_at=1),
        Contact("second", "console", "second", tested_at=1),
    )
    rules = (NotificationRule(("*",), 0, "mail"), NotificationRule(("P1",), 5 * MINUTE, "second"))
    changed = msgspec.structs.replace(known, contacts=contacts, rules=rules)
    world.engine.put_records([record_of(changed, world.clock.now())])
    world.alert()
    world.run(6 * MINUTE)
    facts = world.engine.facts(person_principal("anna", "owner"), "INC-1")
    told = [json.loads(f.body) | {"at": f.recorded_at} for f in facts if f.type == "delivery"]
    opened = world.incident().opened_at
    mine = [
        (one["contact"], one["at"] - opened)
        for one in told
        if one["person"] == person and one["kind"] == "page"
    ]
    assert ("push", 0) in mine
    assert any(contact == "second" and at >= 5 * MINUTE for contact, at in mine)


@pytest.mark.semantics(15)
def test_whoever_has_no_interrupting_contact_that_was_tested_is_named(world):
    person = world.engine.directory().resolve("on_call", world.clock.now(), service="payments").people[0]
    known = world.engine.directory().people[person]
    mail_only = msgspec.structs.replace(known, contacts=(Contact("mail", "email", "x@fernhill.example"),))
    world.engine.put_records([record_of(mail_only, world.clock.now())])
    named = world.engine.directory().untested_on_call(world.clock.now())
    assert person in [one.person for one in named]


@pytest.mark.semantics(16)
def test_the_link_in_a_page_serves_its_incidents_alone_and_ends_a_day_after_the_last(world):
    world.alert()
    world.run(SECOND)
    token = world.pages()[0].ack_url.rsplit("/", 1)[1]
    assert world.pages()[0].ack_url.startswith("https://t.example/a/")
    link, incidents = world.engine.link(token)
    assert [one.name for one in incidents] == ["INC-1"]
    world.engine.acknowledge_link(token)
    world.alert("something else is broken", "other", service="reports")
    world.run(SECOND)
    assert [one.name for one in world.engine.link(token)[1]] == ["INC-1"]
    assert not world.incident("INC-2").acknowledged_at
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "anna"))
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="checked by hand"))
    world.clock.advance(23 * HOUR)
    assert world.engine.link(token)[0].person == link.person
    world.clock.advance(2 * HOUR)
    with pytest.raises(NotFound, match="ended"):
        world.engine.link(token)


@pytest.mark.semantics(17)
def test_a_page_says_what_broke_since_when_why_the_nearest_change_and_the_links(world):
    now = world.clock.now()
    change = Change("deploy payments 4.2", "ci", "payments", now - 10 * MINUTE)
    world.engine.receive(world.integration, [], [change]).result()
    alert = Alert(
        "trigger", "k1", "payments down", "critical", service="payments", links=[Link("https://grafana.example/x", "graph")],
        runbook_url="https://wiki.example/pay", dashboard_url="https://dash.example/pay",
    )  # fmt: skip
    world.engine.receive(world.integration, [alert]).result()
    world.run(SECOND)
    page = world.pages()[0]
    for wanted in ("payments down", "P1", "nobody can pay", "deploy payments 4.2", "https://wiki.example/pay",
                   "https://dash.example/pay", "https://grafana.example/x", "UTC", page.ack_url):  # fmt: skip
        assert wanted in page.text, wanted


@pytest.mark.semantics(18)
def test_who_is_on_leave_is_not_paged_unless_everybody_is(world):
    from tocsin.oncall.schedules import Leave

    now = world.clock.now()
    directory = world.engine.directory()
    person = directory.resolve("on_call", now, service="payments").people[0]
    world.engine.put_records([record_of(Leave(person, now - HOUR, now + DAY, "ill", "l1"), now)])
    world.alert()
    world.run(SECOND)
    run = next(run for run in world.incident().runs.values() if run.kind == "responders")
    assert person not in run.paged
    assert run.paged
    assert "leave" in world.told()
    everybody = [
        Leave(one, now - HOUR, now + DAY, "outing", f"l{i}") for i, one in enumerate(directory.people)
    ]
    world.engine.put_records([record_of(one, now) for one in everybody])
    world.alert("sign-in down", "k2", service="authentication")
    world.run(2 * MINUTE)
    assert any(run.paged for run in world.incident("INC-2").runs.values())
    assert "anyway" in world.told("INC-2") or "everybody" in world.told("INC-2")


@pytest.mark.semantics(23)
@pytest.mark.guide("TYP-4")
def test_a_security_incident_is_seen_by_its_members_alone_and_its_pages_say_little(world):
    world.alert("customer data leaked", "s1", service="payments", type="security")
    world.run(SECOND)
    incident = world.incident()
    assert incident.restricted
    assert "kavya" in incident.members, "the policy names the CTO"
    outsiders = [
        p
        for p in world.engine.directory().people.values()
        if p.id not in incident.members and p.role != "owner"
    ]
    assert outsiders
    for person in outsiders:
        assert 1 not in seen(world, person.id)
        with pytest.raises(NotFound):
            world.engine.incident(person_principal(person.id, person.role), "INC-1")
        with pytest.raises(NotFound):
            world.do(person.id, c.AddNote("INC-1", "hello"))
    assert 1 in seen(world, "kavya")
    page = world.pages()[0]
    assert "leaked" not in page.text + page.title + page.short
    assert "INC-1" in page.text and incident.severity in page.text


@pytest.mark.semantics(23)
def test_a_restricted_incident_never_merges_into_an_open_one(world):
    world.alert("customer data leaked", "s1", service="payments", type="security")
    world.alert("queue stuck", "q", service="reports")
    with pytest.raises(Refused, match="restricted"):
        world.do("anna", c.Merge("INC-1", "INC-2"))


@pytest.mark.semantics(23)
def test_action_items_are_hidden_with_the_incident_that_turns_out_to_be_restricted(world):
    world.do("bilal", c.Declare("a laptop is gone", "P2", services=["payments"]))
    world.do(
        "bilal", c.AddAction("INC-1", "ask the police about the laptop of Kavya", "bilal", "a case number")
    )
    hugo = person_principal("hugo", "responder")
    assert len(world.engine.actions(hugo)) == 1
    world.do("bilal", c.SetType("INC-1", "security"))
    world.run(MINUTE)
    assert world.engine.actions(hugo) == []
    with pytest.raises(NotFound):
        world.engine.action(hugo, "ACT-1")
    assert len(world.engine.actions(person_principal("bilal", "responder"))) == 1
    assert not [one for one in world.phone.messages if "laptop of Kavya" in one.text], (
        "nor in what left since"
    )


@pytest.mark.semantics(21)
def test_lowering_and_resolving_are_for_whoever_commands(world):
    world.alert()
    world.run(SECOND)
    with pytest.raises(Forbidden, match="acknowledge first"):
        world.do("hugo", c.SetSeverity("INC-1", "P3", "not that bad"))
    world.do("hugo", c.Acknowledge("INC-1"))
    world.do("hugo", c.SetSeverity("INC-1", "P2", "one bank only"))
    assert world.incident().severity == "P2"
    with pytest.raises(Forbidden, match="ask hugo"):
        world.do("esi", c.Move("INC-1", "resolve", "fixed", override="checked by hand"))


@pytest.mark.semantics(25)
def test_the_clocks_of_p1_and_p2_never_pause_and_those_below_pause_with_reason_and_end(world):
    world.alert()
    world.run(SECOND)
    until = world.clock.now() + DAY
    world.do("anna", c.Acknowledge("INC-1"))
    with pytest.raises(Refused, match="never pause"):
        world.do("anna", c.Pause("INC-1", until, "waiting"))
    world.do("anna", c.Declare("typo in the help text", severity="P3", services=["reports"]))
    world.do("anna", c.Acknowledge("INC-2"))
    before = due(world, "INC-2", "resolve")
    world.do("anna", c.Pause("INC-2", until, "waiting for the vendor"))
    world.run(DAY + MINUTE)
    assert due(world, "INC-2", "resolve") - before == DAY


def due(world, name, rule):
    incident = world.incident(name)
    policy = world.store.read(lambda r: world.engine.policy_of(r, incident.policy)[0])
    return next(one.due for one in duties(incident, policy) if one.rule == rule)


@pytest.mark.semantics(26)
@pytest.mark.guide("SEV-3")
def test_a_p3_of_friday_evening_answers_in_business_time(world):
    world.clock.move_to(parse_instant("2026-03-06T19:00:00Z"))
    world.do("anna", c.Declare("typo in the help text", severity="P3", services=["reports"]))
    # working hours of the default calendar begin on Monday at 09:00 UTC
    assert to_iso(due(world, "INC-1", "acknowledge")) == "2026-03-09T11:00:00Z"
    assert to_iso(due(world, "INC-1", "respond")) == "2026-03-09T13:00:00Z"
    world.run(DAY)
    assert world.pages() == [], "what interrupts waits for the next opening"


@pytest.mark.semantics(27)
def test_an_open_incident_keeps_the_policy_under_which_it_opened(world):
    from tocsin.kernel.ports import DocumentRow
    from tocsin.policy.load import default_policy_text, policy_hash

    world.alert()
    before = due(world, "INC-1", "acknowledge")
    text = default_policy_text().replace("name: Critical", "name: Severe", 1)
    row = DocumentRow(
        "policy", "policy", 2, policy_hash(text), text.encode(), world.clock.now(), "anna", "renamed", True
    )
    world.store.write(lambda tx: tx.put_document(row))
    world.alert("sign-in down", "k2", service="authentication")
    assert world.incident("INC-1").policy != world.incident("INC-2").policy
    assert due(world, "INC-1", "acknowledge") == before


@pytest.mark.semantics(12, 27)
def test_an_escalation_policy_with_steps_of_its_own_replaces_the_chain(world):
    own = EscalationPolicy("payments", "Payments", "payments", {}, {"P1": (EscalationStep(0, ("person:greta",)), EscalationStep(MINUTE, ("person:hugo",)))})  # fmt: skip
    world.engine.put_records([record_of(own, world.clock.now())])
    world.alert()
    world.run(90 * SECOND)
    assert world.paged_after() == {"greta": 0, "hugo": MINUTE}


@pytest.mark.semantics(20)
def test_lateness_is_seen_while_readiness_stays(world):
    world.alert()
    world.step()
    assert world.engine.lateness() == (0, 0)
    world.clock.advance(10 * MINUTE)
    timer, _ = world.engine.lateness()
    assert timer >= 8 * MINUTE
    assert standing(
        duties(world.incident(), world.store.read(lambda r: world.engine.policy_of(r, "")[0]))[0],
        world.clock.now(),
    ).missed
    assert isinstance(world.engine.directory().people["anna"], Person)
