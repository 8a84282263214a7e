"""Time in which nothing could be received: it is forgiven to whoever spoke meanwhile, and a long one is an incident."""

import pytest
from test_what_happens_to_people import TUESDAY, World

from tocsin.alerts.shape import Alert
from tocsin.engine import heartbeats
from tocsin.engine.watching import GAP_RULE, Watch
from tocsin.incidents.duties import duties
from tocsin.kernel.clock import HOUR, MINUTE, SECOND, ManualClock


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def process(world, name, kind="serve"):
    """A process on a machine of its own, whose counter follows the world's clock."""
    steady = ManualClock(TUESDAY)
    steady.move_to(world.clock.now())
    return Watch(world.engine, kind, name, steady=steady), steady


def wait(world, duration, *watches):
    """Time goes by in beats; whoever is named here is alive."""
    for _ in range(duration // (5 * SECOND)):
        world.clock.advance(5 * SECOND)
        for watch, steady in watches:
            steady.move_to(world.clock.now())
            watch.look()


def firing(world, lasting):
    now = world.clock.now()
    world.engine.receive(
        world.integration, [Alert("trigger", "a", "report export broken feature", service="payments", ends_at=now + lasting)]
    ).result()  # fmt: skip


def status(world):
    return [row.status for row in world.store.read(lambda r: r.alerts(integration="i1"))]


@pytest.mark.semantics(3)
@pytest.mark.parametrize("away", [20 * SECOND, 4 * MINUTE + 50 * SECOND])
def test_a_restart_expires_no_alert_whose_sender_had_nobody_to_speak_to(world, away):
    before = process(world, "host:1")
    before[0].look()
    firing(world, away)
    wait(world, 5 * SECOND, before)
    world.clock.advance(away)
    process(world, "host:2")[0].look()
    world.step()
    assert status(world) == ["firing"]
    assert len(world.store.read(lambda r: r.streams("incident"))) == 1, "and it is no incident yet"
    world.run(away)
    assert status(world) == ["expired"], "the time is given back once"


@pytest.mark.semantics(3)
def test_while_the_ways_in_are_away_a_worker_beside_them_expires_nothing(world):
    web, worker = process(world, "web:1", "web"), process(world, "worker:1", "worker")
    web[0].look()
    worker[0].look()
    firing(world, MINUTE)
    wait(world, 10 * SECOND, web, worker)
    for _ in range(40):
        wait(world, 5 * SECOND, worker)
        world.step()
    assert status(world) == ["firing"]
    again = process(world, "web:2", "web")
    again[0].look()
    for _ in range(12):
        wait(world, 5 * SECOND, again, worker)
        world.step()
    assert status(world) == ["expired"]


@pytest.mark.semantics(3)
def test_two_gaps_give_back_their_own_time_and_not_what_lies_between(world):
    start = world.clock.now()
    for number in range(2):
        watch = process(world, f"host:{number}")
        watch[0].look()
        wait(world, 30 * MINUTE, watch)
        world.clock.advance(HOUR)
    process(world, "host:9")[0].look()
    deaf = world.store.read(lambda r: heartbeats.deaf_since(r, start, world.clock.now()))
    assert deaf // MINUTE == 120


@pytest.mark.semantics(19)
def test_a_long_gap_is_a_p3_whose_clocks_are_those_of_a_p3(world):
    before = process(world, "host:1")
    before[0].look()
    world.clock.advance(6 * HOUR)
    process(world, "host:2")[0].look()
    world.step()
    gap = world.incident()
    assert "deaf from" in gap.title
    assert (gap.severity, gap.rule) == ("P3", GAP_RULE)
    policy = world.store.read(lambda r: world.engine.policy_of(r, gap.policy)[0])
    acknowledge = next(duty for duty in duties(gap, policy) if duty.rule == "acknowledge")
    assert acknowledge.due - acknowledge.start >= 2 * HOUR


def test_after_the_clock_was_set_open_incidents_are_looked_at_anew(world):
    """Whose turn it is, and until when, is another answer at another time."""
    watch, steady = process(world, "host:1")
    watch.look()
    firing(world, 4 * HOUR)
    wait(world, 10 * SECOND, (watch, steady))
    world.step()
    assert world.engine.next_due() > world.clock.now()
    world.clock.move_to(world.clock.now() - 10 * MINUTE)
    steady.advance(5 * SECOND)
    watch.look()
    assert world.engine.next_due() <= world.clock.now()
