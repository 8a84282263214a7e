"""Coming back: steps with owners, services in their order, gates that hold, and who hears how it goes meanwhile."""

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.incidents import plans
from tocsin.incidents.duties import duties, label, standing
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def policy_of(world, incident):
    return world.engine.store.read(lambda r: world.engine.policy_of(r, incident.policy)[0])


def steps(world, name="INC-1"):
    incident = world.incident(name)
    return plans.recovery(incident, policy_of(world, incident))


def clocks(world, rule, name="INC-1"):
    incident = world.incident(name)
    found = [one for one in duties(incident, policy_of(world, incident)) if one.rule == rule]
    return {label(one): standing(one, world.clock.now()) for one in found}


def commanded(world, title="everything is down", **fields):
    world.do("chiara", c.Declare(title, **fields))
    world.do("chiara", c.AssignRole("INC-1", "incident_commander", "chiara"))


@pytest.mark.guide("REC-1", "REC-2", "REC-3", "REC-4")
def test_the_recovery_plan_follows_from_type_and_severity_in_its_phases_with_owners(world):
    commanded(world, severity="P1", kind="data", subtype="corruption", services=["database"])
    found = steps(world)
    assert list(dict.fromkeys(one.part for one in found)) == [
        "stop_damage",
        "restore_basics",
        "data_recovery",
        "service_recovery",
    ]
    assert {
        "isolate",
        "stop_corruption",
        "keep_evidence",
        "backup_systems",
        "restore_data",
        "rollback_ready",
    } <= {one.id for one in found}
    assert "block_traffic" not in {one.id for one in found}, "that is for security incidents"
    assert all(one.owner for one in found)
    world.do("chiara", c.PlanStep("INC-1", "recovery", "isolate", note="replica 2 is out"))
    assert next(one for one in steps(world) if one.id == "isolate").outcome == "done"
    with pytest.raises(Unusable, match="note"):
        world.do("chiara", c.PlanStep("INC-1", "recovery", "backup_systems", "not_applicable"))
    with pytest.raises(Unusable, match="has no step"):
        world.do("chiara", c.PlanStep("INC-1", "recovery", "block_traffic"))
    with pytest.raises(NotFound, match="has no plan"):
        world.do("chiara", c.PlanStep("INC-1", "payments", "reconcile"))


@pytest.mark.guide("REC-1")
def test_a_security_incident_has_its_own_steps_and_a_p3_has_no_plan(world):
    world.do("anna", c.Declare("odd log-ins", severity="P3", kind="security"))
    assert "block_traffic" in {one.id for one in steps(world)}
    world.do("anna", c.Declare("a button is broken", severity="P3"))
    assert steps(world, "INC-2") == []


@pytest.mark.guide("REC-4")
def test_no_service_is_back_before_what_it_depends_on_nor_before_the_more_critical(world):
    commanded(world, severity="P1", services=["checkout", "payments", "database"])
    order = [one.service for one in plans.services(world.incident(), world.engine.directory().services)]
    assert order.index("database") < order.index("payments") < order.index("checkout")
    with pytest.raises(Refused, match="comes first"):
        world.do("chiara", c.RestoreService("INC-1", "payments", "limited"))
    with pytest.raises(Refused, match="limited group of users first"):
        world.do("chiara", c.RestoreService("INC-1", "database", "full"))
    for stage in ("limited", "full"):
        world.do("chiara", c.RestoreService("INC-1", "database", stage, "checked"))
    world.do("chiara", c.RestoreService("INC-1", "payments", "limited"))
    with pytest.raises(Forbidden):
        world.do("hugo", c.RestoreService("INC-1", "checkout", "full", override="we hurry"))
    world.do("chiara", c.RestoreService("INC-1", "checkout", "full", override="the shop must open"))
    assert "WENT ON WITHOUT" in world.told()
    assert world.incident().restored == {"database": "full", "payments": "limited", "checkout": "full"}


@pytest.mark.guide("REC-3", "REC-4")
def test_data_is_recovered_before_its_service_is_fully_back(world):
    commanded(world, severity="P2", kind="data", subtype="corruption", services=["database"])
    world.do("chiara", c.RestoreService("INC-1", "database", "limited"))
    with pytest.raises(Refused, match="restore from the newest clean backup is open"):
        world.do("chiara", c.RestoreService("INC-1", "database", "full"))
    for step in ("assess_data", "restore_data", "validate_data", "reconcile_data"):
        world.do("chiara", c.PlanStep("INC-1", "recovery", step))
    world.do("chiara", c.RestoreService("INC-1", "database", "full"))


@pytest.mark.guide("REC-5")
@pytest.mark.semantics(34)
def test_what_is_down_on_record_is_not_resolved(world):
    commanded(world, severity="P2", services=["payments"])
    world.do("chiara", c.SetServiceState("INC-1", "payments", "down"))
    for kind in ("functional", "performance", "security"):
        world.do("chiara", c.Validate("INC-1", kind, "passed"))
    with pytest.raises(Refused, match="up again"):
        world.do("chiara", c.Move("INC-1", "resolve", "fixed"))
    for stage in ("limited", "full"):
        world.do("chiara", c.RestoreService("INC-1", "payments", stage))
    world.do("chiara", c.Move("INC-1", "resolve", "fixed"))
    assert world.incident().status == "resolved"


@pytest.mark.guide("BCP-1")
def test_authentication_out_begins_its_plan_of_a_backup_emergency_access_and_telling_users(world):
    commanded(world, "nobody can sign in", severity="P1", services=["authentication"])
    plan = plans.continuity(world.incident(), policy_of(world, world.incident()))["authentication"]
    assert [one.part for one in plan] == ["fallback", "manual", "communication"]
    assert "the continuity plan for authentication begins" in world.told()


@pytest.mark.guide("BCP-2", "BCP-3")
def test_payments_and_access_to_data_have_plans_that_begin_when_they_are_hit_later(world):
    commanded(world, "it is slow", severity="P3", services=["payments"])
    assert world.incident().plans == {}
    world.do("chiara", c.SetSeverity("INC-1", "P1", "nobody can pay"))
    assert set(world.incident().plans) == {"payments"}
    world.do("chiara", c.Affect("INC-1", ["database"]))
    assert set(world.incident().plans) == {"payments", "data_access"}
    found = plans.continuity(world.incident(), policy_of(world, world.incident()))
    assert [one.part for one in found["payments"]] == ["fallback", "manual", "reconciliation"]
    assert [one.id for one in found["data_access"]] == ["read_only", "backed_up_data", "mobile_offline"]


@pytest.mark.guide("BCP-4")
def test_while_a_plan_runs_each_audience_is_owed_word_of_it_again_and_again(world):
    commanded(world, "nobody can pay", severity="P1", services=["payments"])
    assert set(clocks(world, "continuity")) == {
        "continuity: customers",
        "continuity: employees",
        "continuity: partners",
        "continuity: stakeholders",
    }
    assert clocks(world, "continuity")["continuity: customers"].left == HOUR
    world.run(10 * MINUTE)
    world.do("chiara", c.PostUpdate("INC-1", "pay by invoice meanwhile"))
    assert clocks(world, "continuity")["continuity: employees"].left == 4 * HOUR
    draft = world.do("anna", c.DraftMessage("INC-1", "status_page", "we restore payments"))["message"]
    world.do("anna", c.ApproveMessage("INC-1", draft))
    world.do("anna", c.SendMessage("INC-1", draft, "everybody"))
    assert clocks(world, "continuity")["continuity: customers"].left == 4 * HOUR
    world.run(2 * HOUR)
    assert "MISSED: continuity" in world.told()


@pytest.mark.guide("REC-5")
def test_validation_is_owed_by_the_time_of_the_resolution(world):
    commanded(world, severity="P1", services=["payments"])
    assert clocks(world, "validation")["validate the recovery"].left == 4 * HOUR
    for kind in ("functional", "performance", "security"):
        world.do("chiara", c.Validate("INC-1", kind, "passed"))
    assert clocks(world, "validation")["validate the recovery"].state == "met"
    world.run(SECOND)


@pytest.mark.semantics(2)
def test_while_it_was_resolved_nobody_was_owed_word_of_it(world):
    world.alert()
    world.run(SECOND)
    assert world.incident().plans
    world.do("anna", c.PostUpdate("INC-1", "the bank is asked", "customers"))
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="seen by hand"))
    world.run(24 * HOUR)
    world.do("anna", c.Move("INC-1", "reopen", "it is back"))
    world.run(MINUTE)
    assert "MISSED: continuity" not in world.told()
    world.run(2 * HOUR)
    assert "MISSED: continuity" in world.told(), "from the reopening on it is owed again"
