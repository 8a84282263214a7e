"""After the incident: what was learned is done, reported on and verified; and the policy itself is looked at again."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.identity.principals import person_principal
from tocsin.incidents.actions import ActionItem
from tocsin.incidents.policies import PolicyRecord
from tocsin.kernel.clock import DAY, HOUR, MINUTE, WEEK
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable
from tocsin.kernel.facts import Stream, verify_chain
from tocsin.policy.load import default_policy_text

OWNER = person_principal("anna", "owner")


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    one.do("anna", c.Declare("everything was down", severity="P1", services=["payments"]))
    yield one
    for kind in ("action", "policy"):
        for row in one.store.read(lambda r, kind=kind: r.streams(kind)):
            facts = one.store.read(lambda r, row=row: r.facts(row.stream))
            assert verify_chain(facts, row.stream) is None
            assert one.store.read(lambda r, row=row, kind=kind: r.timer(kind, row.stream.id)) or not row.open
    one.store.close()


def state(world, kind, state_type, number=1):
    rows = world.store.read(lambda r: r.streams(kind, limit=50))
    row = next(row for row in rows if row.number == number)
    return msgspec.json.decode(row.snapshot, type=state_type)


def item(world, number=1):
    return state(world, "action", ActionItem, number)


def agreed(world, **fields):
    given = {
        "text": "alarm on the queue",
        "owner": "bilal",
        "criteria": "an alarm within a minute of a stopped queue",
    }
    return world.do("anna", c.AddAction("INC-1", **(given | fields)))


def over(world):
    """The incident itself is over, so that nothing but the items is chased."""
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="checked by hand"))


def jump(world, duration):
    """Most of it in one leap, the last hour step by step."""
    world.clock.advance(duration - HOUR)
    world.run(HOUR)


def told(world, person):
    return [one.text for one in world.phone.messages if one.to == person and not one.ack_url]


@pytest.mark.guide("ACT-1", "ACT-2")
def test_an_action_item_has_one_owner_criteria_and_a_day_within_its_categorys_time(world):
    agreed(world)
    agreed(world, category="short_term")
    agreed(world, category="long_term")
    now = world.clock.now()
    assert item(world).due == now + WEEK
    assert 28 * DAY < item(world, 2).due - now <= 31 * DAY
    assert 89 * DAY < item(world, 3).due - now <= 92 * DAY
    for wrong in (
        {"owner": "nobody"}, {"criteria": " "}, {"text": ""}, {"category": "soon"}, {"due": now + 2 * WEEK}, {"due": now - DAY},
    ):  # fmt: skip
        with pytest.raises(Unusable):
            agreed(world, **wrong)


@pytest.mark.guide("ACT-2")
def test_an_item_closes_by_the_verification_of_somebody_else_alone(world):
    agreed(world)
    world.do("bilal", c.ReportAction("ACT-1", "half done"))
    world.do("bilal", c.FinishAction("ACT-1", "deployed"))
    assert item(world).status == "done"
    with pytest.raises(Forbidden, match="whoever did it does not verify it"):
        world.do("bilal", c.VerifyAction("ACT-1", "I saw it"))
    with pytest.raises(Forbidden, match="Inês Duarte"):
        world.do("hugo", c.VerifyAction("ACT-1", "I saw it"))
    world.do("ines", c.VerifyAction("ACT-1", "the alarm never came", passed=False))
    assert item(world).status == "open"
    world.run(MINUTE)
    assert any("the alarm never came" in text for text in told(world, "bilal"))
    world.do("bilal", c.FinishAction("ACT-1"))
    world.do("ines", c.VerifyAction("ACT-1", "alarm after 40 s"))
    assert item(world).status == "verified"
    with pytest.raises(Refused, match="verified"):
        world.do("bilal", c.ReportAction("ACT-1", "more"))


@pytest.mark.guide("ACT-3")
def test_an_overdue_item_is_recorded_chased_and_escalated_in_business_hours(world):
    agreed(world)
    over(world)
    world.run(6 * DAY)
    assert any("due soon" in text for text in told(world, "bilal"))
    world.run(3 * DAY)
    assert "action" in {key.split(":")[0] for key in item(world).missed}
    assert any("overdue" in text for text in told(world, "bilal"))
    world.run(9 * DAY)
    assert any("nobody has met it" in text for text in told(world, "ines"))


@pytest.mark.guide("ACT-2")
@pytest.mark.semantics(37)
def test_an_items_status_is_owed_regularly_and_a_report_starts_it_anew(world):
    agreed(world, category="short_term")
    over(world)
    world.run(15 * DAY)
    assert "action_status" in {key.split(":")[0] for key in item(world).missed}
    world.do("bilal", c.ReportAction("ACT-1", "waiting for the vendor"))
    missed = len(item(world).missed)
    world.run(10 * DAY)
    assert len(item(world).missed) == missed


@pytest.mark.guide("ACT-2")
def test_another_owner_or_day_needs_a_reason_and_stays_within_the_category(world):
    agreed(world)
    with pytest.raises(Unusable, match="within 1 week"):
        world.do("anna", c.ChangeAction("ACT-1", "we are late", due=world.clock.now() + 3 * WEEK))
    world.do("anna", c.ChangeAction("ACT-1", "bilal is away", owner="esi"))
    assert item(world).owner == "esi"
    with pytest.raises(Forbidden):
        world.do("esi", c.DropAction("ACT-1", "no time"))
    world.do("anna", c.DropAction("ACT-1", "the queue is gone"))
    assert item(world).status == "dropped"


@pytest.mark.semantics(23)
def test_an_item_of_a_restricted_incident_exists_for_its_members_alone(world):
    world.do("anna", c.Declare("odd log-ins", severity="P2", kind="security"))
    world.do("anna", c.AddAction("INC-2", "rotate keys", "bilal", "no old key works"))
    said = []
    for name in ("ACT-1", "ACT-99"):
        with pytest.raises(NotFound) as refused:
            world.do("hugo", c.ReportAction(name, "what is this?"))
        said.append(refused.value.sentence.replace(name, "it"))
        with pytest.raises(NotFound) as unseen:
            world.engine.action(person_principal("hugo", "responder"), name)
        said.append(unseen.value.sentence.replace(name, "it"))
    assert len(set(said)) == 1, said
    world.do("bilal", c.ReportAction("ACT-1", "on it"))


@pytest.mark.guide("GOV-1")
@pytest.mark.semantics(36)
def test_the_quarterly_review_of_the_policy_is_a_duty_counted_from_when_it_was_applied_here(world):
    over(world)
    jump(world, 80 * DAY)
    assert any("review the policy" in text for text in told(world, "kavya")), "the CTO owns it"
    jump(world, 14 * DAY)
    assert state(world, "policy", PolicyRecord).missed
    with pytest.raises(Forbidden, match="Kavya Nair"):
        world.do("hugo", c.ReviewPolicy("fine"))
    world.do("kavya", c.ReviewPolicy("the update rhythm of P2 goes to 45 minutes"))
    jump(world, 80 * DAY)
    assert len(state(world, "policy", PolicyRecord).missed) == 1


@pytest.mark.guide("GOV-1")
@pytest.mark.semantics(27)
def test_applying_a_version_shows_the_difference_and_leaves_open_incidents_on_theirs(world):
    text = default_policy_text().replace(
        "    update: 15m                                 # [COM-2]", "    update: 10m"
    )
    preview = world.engine.look_at_policy(text)
    assert [one.incident for one in preview.adoptions] == ["INC-1"]
    assert any("update: due" in change for change in preview.adoptions[0].changes)
    assert world.engine.apply_policy(OWNER, text, preview, force="a trial") == []
    assert due(world, "INC-1") == 15 * MINUTE
    world.do("anna", c.Declare("again", severity="P1"))
    assert due(world, "INC-2") == 10 * MINUTE
    record = state(world, "policy", PolicyRecord)
    assert (record.number, record.applied_by) == (2, "anna")


def due(world, name):
    from tocsin.incidents.duties import duties

    incident = world.incident(name)
    policy = world.engine.store.read(lambda r: world.engine.policy_of(r, incident.policy)[0])
    return next(one.due - one.start for one in duties(incident, policy) if one.rule == "update")


@pytest.mark.semantics(27)
def test_adopting_moves_open_incidents_and_says_what_changed_about_each_duty(world):
    text = default_policy_text().replace(
        "    update: 15m                                 # [COM-2]", "    update: 10m"
    )
    preview = world.engine.look_at_policy(text)
    moved = world.engine.apply_policy(OWNER, text, preview, adopt=True, force="a trial")
    assert moved == ["INC-1"]
    assert due(world, "INC-1") == 10 * MINUTE
    assert "moved to another version of the policy: update: due" in world.told()
    world.run(11 * MINUTE)
    assert "MISSED: update" in world.told()


def test_a_policy_with_findings_is_refused_unless_forced_with_a_reason(world):
    text = default_policy_text().replace("    acknowledge: 5m\n", "    acknowledge: 20m\n", 1)
    preview = world.engine.look_at_policy(text)
    assert any("20m" in one for one in preview.findings)
    with pytest.raises(Refused, match="finding"):
        world.engine.apply_policy(OWNER, text, preview)
    world.engine.apply_policy(OWNER, text, preview, force="we answer slower in August")
    row = world.store.read(lambda r: r.stream(Stream("policy", "policy")))
    facts = world.store.read(lambda r: r.facts(row.stream))
    last = msgspec.json.decode(facts[-1].body)
    assert last["forced"] == "we answer slower in August"
    assert last["findings"]


def test_nobody_applies_over_a_version_that_they_have_not_seen(world):
    one = default_policy_text() + "\n# one\n"
    other = default_policy_text() + "\n# other\n"
    first, second = world.engine.look_at_policy(one), world.engine.look_at_policy(other)
    world.engine.apply_policy(OWNER, one, first, force="x")
    with pytest.raises(Refused, match="another version was applied meanwhile"):
        world.engine.apply_policy(OWNER, other, second, force="x")
    with pytest.raises(Forbidden):
        world.engine.apply_policy(person_principal("hugo", "responder"), other, second, force="x")


def test_a_policy_that_cannot_be_read_is_refused_with_its_lines(world):
    from tocsin.kernel.errors import UnusableMany

    with pytest.raises(UnusableMany, match=r"policy\.yaml:\d+"):
        world.engine.look_at_policy(default_policy_text().replace("severities:\n", "severitys:\n", 1))
