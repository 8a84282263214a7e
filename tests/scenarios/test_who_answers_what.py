"""Whose acknowledgement answers which page, what a pause stops, what a reopening restarts: where people get hurt."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.errors import Forbidden, Refused, Unusable
from tocsin.oncall.schedules import Leave

# the demonstration's people: chiara is on call for payments, greta her secondary and lead, jonas commands this week,
# farid is on call for the platform and anna its lead


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def runs(world, name="INC-1"):
    return {
        (run.kind, run.escalation_policy or run.service): run.state
        for run in world.incident(name).runs.values()
    }


def state(world, rule, name="INC-1"):
    incident = world.incident(name)
    policy = world.engine.store.read(lambda r: world.engine.policy_of(r, incident.policy)[0])
    return next(standing(one, world.clock.now()) for one in duties(incident, policy) if one.rule == rule)


def messages(world, person):
    return [one for one in world.phone.messages if one.to == person]


@pytest.mark.semantics(21, 6)
def test_the_commanders_acknowledgement_answers_the_commanders_page_and_the_engineer_goes_on_being_called(
    world,
):
    world.alert()
    world.run(30 * SECOND)
    world.do("jonas", c.Acknowledge("INC-1"))
    incident = world.incident()
    assert incident.commander == "jonas"
    assert incident.holder == ""
    world.run(3 * MINUTE)
    assert "greta" in {one.to for one in world.pages()}
    world.do("chiara", c.Acknowledge("INC-1"))
    assert world.incident().holder == "chiara"


@pytest.mark.semantics(6)
def test_an_acknowledgement_stops_the_page_of_ones_own_team_and_not_that_of_another(world):
    world.alert(alertname="checkout")
    world.run(SECOND)
    world.do("anna", c.PageSomeone("INC-1", ["esi"], "you know this part"))
    world.do("chiara", c.Acknowledge("INC-1"))
    states = [run.state for run in world.incident().runs.values() if run.kind == "manual"]
    assert states == ["running"], "esi was asked by name, and only esi can say that esi has it"
    world.do("esi", c.Acknowledge("INC-1"))
    assert [run.state for run in world.incident().runs.values() if run.kind == "manual"] == ["acknowledged"]


@pytest.mark.semantics(4)
def test_an_alert_of_another_team_pages_that_team_and_a_merge_does_not_take_its_page_away(world):
    world.alert("platform unreachable", "k2", service="api")
    world.alert()
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-2"))
    world.do("chiara", c.SetSeverity("INC-1", "P2", "less than it seemed", break_glass="nobody is there"))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.run(SECOND)
    running = [run for run in world.incident("INC-2").runs.values() if run.state == "running"]
    assert any("farid" in run.paged for run in running)


@pytest.mark.semantics(6)
def test_whoever_cannot_take_it_is_not_paged_again_and_commands_no_more(world):
    world.alert()
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.Decline("INC-1", "on a train"))
    incident = world.incident()
    assert (incident.holder, incident.acting_commander) == ("", "")
    before = len(messages(world, "chiara"))
    world.run(4 * MINUTE)
    assert not [one for one in messages(world, "chiara")[before:] if one.ack_url]
    assert [one for one in messages(world, "greta") if one.ack_url]


@pytest.mark.semantics(6)
def test_nobody_passes_on_what_somebody_else_has(world):
    world.alert()
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    answer = world.do("dmitri", c.Decline("INC-1"))
    assert "Chiara Conti has it" in answer["message"]
    assert world.incident().holder == "chiara"


@pytest.mark.semantics(1)
def test_what_cleared_before_anybody_answered_wakes_nobody_else(world):
    world.alert()
    world.run(SECOND)
    world.alert(action="resolve")
    sent = len(world.phone.messages)
    world.run(4 * MINUTE)
    after = list(world.phone.messages)[sent:]
    assert [one for one in after if one.ack_url] == []
    assert {one.to for one in after} <= {"chiara", "jonas"}
    assert "it cleared" in " ".join(one.text for one in after)


@pytest.mark.semantics(4)
def test_what_fires_again_after_it_cleared_pages_at_once(world):
    world.alert()
    world.run(SECOND)
    world.alert(action="resolve")
    world.run(2 * MINUTE)
    before = len(world.pages("chiara"))
    world.alert(key="k9", summary="payments down again")
    world.run(2 * MINUTE)
    assert len(world.pages("chiara")) > before


@pytest.mark.semantics(2)
def test_the_commander_is_asked_again_each_time_it_clears(world):
    world.alert()
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    for _ in range(2):
        world.alert(action="resolve")
        world.run(6 * MINUTE)
        world.alert()
        world.run(SECOND)
    assert [one.type for one in world.lines()].count("asked") == 2


@pytest.mark.semantics(2)
def test_what_an_engineer_only_acknowledged_at_low_severity_ends_by_itself(world):
    world.alert("one feature broken in the export", "p3", service="payments")
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.alert("one feature broken in the export", "p3", action="resolve", service="payments")
    world.run(6 * MINUTE)
    assert world.incident().status == "resolved"


@pytest.mark.semantics(25)
def test_a_pause_ends_with_the_incident_and_never_holds_up_a_p1(world):
    world.do("anna", c.Declare("one feature broken", severity="P3", services=["payments"]))
    world.do("anna", c.Pause("INC-1", world.clock.now() + 3 * HOUR, "waiting for the vendor"))
    world.run(HOUR)
    world.do("anna", c.SetSeverity("INC-1", "P1", "it is everything now"))
    incident = world.incident()
    assert incident.paused_until == 0
    assert state(world, "acknowledge").left == 5 * MINUTE, "what was paused before the raise does not count"
    world.run(30 * MINUTE)
    assert "MISSED: respond" in world.told()
    world.do("anna", c.Declare("another", severity="P3"))
    world.do("anna", c.Pause("INC-2", world.clock.now() + HOUR, "lunch"))
    world.do("anna", c.Move("INC-2", "resolve", "gone"))
    world.run(2 * HOUR)  # comes to rest
    assert world.incident("INC-2").paused_until == 0


@pytest.mark.semantics(25)
def test_a_pause_moves_what_is_due_by_the_working_time_it_took(world):
    world.do("anna", c.Declare("one feature broken", severity="P3", services=["payments"]))
    before = state(world, "respond").duty.due
    world.do("anna", c.Pause("INC-1", world.clock.now() + 3 * HOUR, "waiting for the vendor"))
    world.run(HOUR)
    world.do("anna", c.Resume("INC-1"))
    assert state(world, "respond").duty.due == before + HOUR


@pytest.mark.semantics(7)
def test_the_response_to_a_p3_is_the_first_update_of_whoever_has_it_and_later_ones_do_not_move_it(world):
    world.do("anna", c.Declare("one feature broken", severity="P3", services=["payments"]))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("bilal", c.PostUpdate("INC-1", "I looked too"))
    assert state(world, "respond").state == "running"
    world.run(HOUR)
    world.do("chiara", c.PostUpdate("INC-1", "a fix is on its way"))
    at = state(world, "respond").duty.met_at
    assert at == world.clock.now()
    world.run(HOUR)
    world.do("chiara", c.PostUpdate("INC-1", "done"))
    assert state(world, "respond").duty.met_at == at


@pytest.mark.semantics(6)
def test_whoever_takes_a_late_incident_and_still_does_not_respond_loses_it_again(world):
    world.alert()
    world.run(16 * MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.run(16 * MINUTE)
    assert "the acknowledgement of Chiara Conti lapsed" in world.told()


@pytest.mark.semantics(2)
def test_reopening_calls_the_team_again_and_tells_everybody_who_heard_that_it_was_over(world):
    world.do("anna", c.Declare("everything is down", severity="P1", services=["payments"]))
    world.run(SECOND)
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="checked by hand"))
    world.run(MINUTE)
    sent = len(world.phone.messages)
    world.do("anna", c.Move("INC-1", "reopen", "it is back"))
    world.run(2 * MINUTE)
    told = {one.to for one in list(world.phone.messages)[sent:]}
    assert {"kavya", "lena"} <= told
    assert "MISSED: activate" not in world.told()


@pytest.mark.semantics(8)
def test_raising_pages_whoever_held_it_first_and_tells_the_commander(world):
    world.alert("error rate 12 % at checkout", "c1", service="checkout")
    world.run(11 * MINUTE)
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("greta", c.Acknowledge("INC-1"))
    sent = len(world.phone.messages)
    world.do("anna", c.SetSeverity("INC-1", "P1", "payments are down"))
    world.run(SECOND)
    after = list(world.phone.messages)[sent:]
    assert {"greta", "chiara"} <= {one.to for one in after if one.ack_url}
    assert "jonas" in {one.to for one in after}


@pytest.mark.semantics(8)
def test_after_lowering_the_commander_is_still_called(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.SetSeverity("INC-1", "P2", "only one region", break_glass="nobody is there"))
    assert any(run.kind == "commander" and run.state == "running" for run in world.incident().runs.values())


@pytest.mark.semantics(6)
def test_when_the_commanders_turn_changes_an_unanswered_page_goes_along(world):
    directory = world.engine.directory()
    until = directory.on_call("commanders", world.clock.now()).until
    world.clock.move_to(until - MINUTE)
    world.alert()
    world.run(SECOND)
    world.run(2 * MINUTE)
    new = world.engine.directory().on_call("commanders", world.clock.now()).person
    assert new in {one.to for one in world.pages()}


@pytest.mark.semantics(6, 18)
def test_whoever_goes_on_leave_while_being_paged_hands_the_page_to_the_stand_in(world):
    now = world.clock.now()
    world.engine.put_records(
        [record_of(Leave("chiara", now + 30 * SECOND, now + 5 * HOUR, "ill", id="l1"), now)]
    )
    world.alert()
    world.run(SECOND)
    assert "greta" not in {one.to for one in world.pages()}
    world.run(40 * SECOND)
    assert "greta" in {one.to for one in world.pages()}


@pytest.mark.semantics(12, 13)
def test_a_low_severity_wakes_nobody_at_night_even_where_a_telephone_is_all_there_is(world):
    world.clock.move_to(world.clock.now() + 17 * HOUR)  # Wednesday 03:00 UTC
    world.alert("one feature broken in the export", "p3", service="payments")
    world.do("anna", c.Declare("a typo in the help", severity="P4", services=["payments"]))
    world.run(3 * HOUR)
    assert list(world.phone.messages) == []
    world.run(4 * HOUR)
    assert "chiara" in {one.to for one in world.phone.messages}


@pytest.mark.semantics(22)
def test_paging_someone_by_name_does_not_wait_for_the_morning(world):
    world.clock.move_to(world.clock.now() + 17 * HOUR)
    world.do("anna", c.Declare("one feature broken", severity="P3", services=["payments"]))
    world.do("anna", c.PageSomeone("INC-1", ["jonas"], "you wrote it"))
    world.run(SECOND)
    assert [one.to for one in world.pages()] == ["jonas"]


@pytest.mark.semantics(12)
def test_a_p4_that_nobody_took_is_in_the_leads_digest_of_the_next_working_day(world):
    world.do("anna", c.Declare("a typo in the help", severity="P4", services=["payments"]))
    world.run(23 * HOUR)
    assert "greta" not in {one.to for one in world.phone.messages}
    world.run(26 * HOUR)
    told = [one.text for one in messages(world, "greta")]
    assert any("acknowledge" in text for text in told)


@pytest.mark.guide("ROL-6")
@pytest.mark.semantics(21)
def test_command_is_not_taken_from_an_assigned_commander_without_breaking_the_glass(world):
    world.do("chiara", c.Declare("everything is down", severity="P1"))
    world.do("chiara", c.AssignRole("INC-1", "incident_commander", "bilal"))
    with pytest.raises(Forbidden, match="bilal, who commands"):
        world.do("hugo", c.AssignRole("INC-1", "incident_commander", "hugo"))
    world.do("hugo", c.AssignRole("INC-1", "incident_commander", "hugo", break_glass="bilal does not answer"))
    assert world.incident().commander == "hugo"
    assert "BREAK-GLASS" in world.told()


@pytest.mark.guide("ROL-6")
@pytest.mark.semantics(21)
def test_what_only_the_commander_decides_is_asked_for_and_granted_with_one_click(world):
    world.do("chiara", c.Declare("everything is down", severity="P1"))
    world.do("chiara", c.AssignRole("INC-1", "incident_commander", "bilal"))
    with pytest.raises(Forbidden):
        world.do("hugo", c.SetSeverity("INC-1", "P3", "one page only"))
    wanted = c.Ask("INC-1", "severity", {"severity": "P3", "reason": "one page only"}, "it is one page")
    request = world.do("hugo", wanted)["request"]
    world.run(SECOND)
    assert any("Hugo Marques asks to set the severity to P3" in one.text for one in messages(world, "bilal"))
    with pytest.raises(Forbidden):
        world.do("hugo", c.AnswerRequest("INC-1", request))
    world.do("bilal", c.AnswerRequest("INC-1", request))
    assert world.incident().severity == "P3"
    with pytest.raises(Refused, match="granted already"):
        world.do("bilal", c.AnswerRequest("INC-1", request))


@pytest.mark.semantics(21)
def test_a_refusal_says_why_and_does_nothing(world):
    world.do("chiara", c.Declare("everything is down", severity="P1"))
    world.do("chiara", c.AssignRole("INC-1", "incident_commander", "bilal"))
    asked = world.do(
        "hugo", c.Ask("INC-1", "move", {"to": "false_alarm", "reason": "a test"}, "it was a test")
    )
    world.do("bilal", c.AnswerRequest("INC-1", asked["request"], grant=False, reason="customers called"))
    world.run(SECOND)
    assert world.incident().status == "investigating"
    assert any("customers called" in one.text for one in messages(world, "hugo"))


@pytest.mark.semantics(21)
def test_waiving_what_executives_are_owed_takes_two(world):
    world.alert()
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    said = world.do("chiara", c.Waive("INC-1", "tell", "they sit beside me"))
    assert "second person" in said["message"]
    with pytest.raises(Forbidden):
        world.do("chiara", c.AnswerRequest("INC-1", said["request"]))
    world.do("dmitri", c.AnswerRequest("INC-1", said["request"]))
    assert "first notice waived: they sit beside me (agreed by Chiara Conti)" in world.told()


@pytest.mark.guide("REC-5")
@pytest.mark.semantics(34)
def test_a_p1_is_not_resolved_before_it_is_validated_unless_the_commander_says_why(world):
    world.do("chiara", c.Declare("everything is down", severity="P1"))
    world.do("chiara", c.AssignRole("INC-1", "incident_commander", "chiara"))
    with pytest.raises(Refused, match="functional, performance, security missing"):
        world.do("chiara", c.Move("INC-1", "resolve", "fixed"))
    world.do("chiara", c.Validate("INC-1", "functional", "passed"))
    world.do("chiara", c.Validate("INC-1", "performance", "failed", "still slow"))
    world.do("chiara", c.Validate("INC-1", "security", "not_applicable", "no change of access"))
    with pytest.raises(Refused, match="performance missing or failed"):
        world.do("chiara", c.Move("INC-1", "resolve", "fixed"))
    world.do("chiara", c.Move("INC-1", "resolve", "fixed", override="the report is slow, not the shop"))
    assert world.incident().status == "resolved"
    assert "WENT ON WITHOUT performance" in world.told()


@pytest.mark.semantics(34)
def test_what_resolves_itself_is_validated_with_that_as_the_reason(world):
    world.alert("one feature broken in the export", "p3", service="payments")
    world.run(SECOND)
    world.alert("one feature broken in the export", "p3", action="resolve", service="payments")
    world.run(6 * MINUTE)
    assert {one.note for one in world.incident().validations.values()} == {
        "it resolved itself and nobody had taken it up"
    }


@pytest.mark.semantics(9)
def test_a_split_gives_back_the_severity_the_start_and_the_services(world):
    world.do("anna", c.Declare("reports are slow", severity="P3", services=["payments"]))
    started = world.incident().opened_at
    world.run(MINUTE)
    world.alert("platform unreachable", "k2", service="api")
    world.run(SECOND)
    world.do("anna", c.SetSeverity("INC-2", "P1", "everything"))
    world.do("anna", c.Merge("INC-2", "INC-1", "one cause"))
    assert world.incident().severity == "P1"
    assert "api" in world.incident().services
    world.do("anna", c.Split("INC-1", source=world.incident("INC-2").id, reason="two causes after all"))
    whole = world.incident()
    assert (whole.severity, whole.services, whole.opened_at) == ("P3", ["payments"], started)


@pytest.mark.semantics(22)
def test_before_anybody_commands_the_duties_are_those_of_everybody_the_last_step_paged(world):
    world.alert()
    world.run(2 * MINUTE + SECOND)
    world.run(15 * MINUTE)
    last = [fact for fact in world.engine.facts(principal(), "INC-1") if fact.type == "duty_missed"][-1]
    assert msgspec.json.decode(last.body)["people"] == ["kavya"], "the step at fifteen minutes paged the CTO"


def principal():
    from tocsin.identity.principals import person_principal

    return person_principal("anna", "owner")


@pytest.mark.semantics(10)
@pytest.mark.guide("DET-1")
def test_later_reports_attach_and_figures_are_put_on_record_with_window_and_source(world):
    world.do("anna", c.Declare("the shop is slow", severity="P2", services=["payments"]))
    now = world.clock.now()
    world.do("miriam", c.AttachReport("INC-1", "customer 17 cannot pay", "ticket", "customer 17"))
    world.do("anna", c.Measure("INC-1", "response_time_p95", "2450", "ms", "the dashboard", now - HOUR, now))
    world.do("anna", c.SetServiceState("INC-1", "api", "degraded", now - 10 * MINUTE))
    incident = world.incident()
    assert incident.reports == 1
    assert incident.measurements[0].value == "2450"
    assert "api" in incident.services
    for wrong in (
        c.Measure("INC-1", "response_time_p95", "fast", "ms", "me"),
        c.Measure("INC-1", "speed", "1", "ms", "me"),
        c.SetServiceState("INC-1", "api", "odd"),
        c.SetServiceState("INC-1", "api", "up", now + HOUR),
        c.AttachReport("INC-1", "", "ticket"),
    ):
        with pytest.raises(Unusable) as refused:
            world.do("anna", wrong)
        assert refused.value.where


@pytest.mark.semantics(25)
def test_with_services_of_two_calendars_the_earliest_due_counts(world):
    world.do("anna", c.Declare("odd", severity="P3", services=["payments"]))
    alone = state(world, "respond").duty.due
    world.do("anna", c.Affect("INC-1", ["api", "checkout"], "they are slow too"))
    assert state(world, "respond").duty.due <= alone
