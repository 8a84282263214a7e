"""The loop that takes the engine's steps: one channel that hangs holds up no other, and what cannot leave yet stays in the outbox."""

import threading
import time

import pytest

from tocsin.catalogue.people import Contact, Person
from tocsin.engine import loop as loops
from tocsin.engine.engine import Engine
from tocsin.engine.loop import Loop
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import MILLISECOND, MINUTE, SystemClock
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Busy
from tocsin.kernel.ports import OutboxRow, Receipt
from tocsin.kernel.randomness import SystemRandomness, ulid
from tocsin.policy.load import default_policy_text
from tocsin.providers.console import ConsoleChannel
from tocsin.store.sqlite import SqliteStore


class Hanging:
    """A mail server that says nothing until it is let go."""

    name, wakes = "email", False

    def __init__(self):
        self.held, self.go, self.took = 0, threading.Event(), []

    def deliver(self, message):
        self.held += 1
        self.go.wait(30)
        self.took.append(message.id)
        return Receipt()


@pytest.fixture
def house(tmp_path):
    store = SqliteStore(tmp_path)
    store.migrate()
    mail, phone = Hanging(), ConsoleChannel()
    engine = Engine(
        store, SystemClock(), SystemRandomness(), {"email": mail, "console": phone}, secret=b"s" * 32
    )
    engine.seed_policy(default_policy_text())
    person = Person(
        "anna", "Anna", contacts=(Contact("m", "email", "a@x.example"), Contact("p", "console", "a"))
    )
    engine.put_records([record_of(person, engine.clock.now())])
    loop = Loop(engine, longest_sleep=0.2)
    yield engine, loop, mail, phone
    mail.go.set()
    loop.stop()
    store.close()


def rows_for(engine, channel, count, after=0):
    now = engine.clock.now()
    return [
        OutboxRow(
            ulid(engine.randomness, now), f"{channel}{number}-{after}", "test", channel, "anna", "a@x.example", "", "test", 0, now + after,
            now, encode({"text": "here"}),
        )
        for number in range(count)
    ]  # fmt: skip


def send(engine, channel, count):
    rows = rows_for(engine, channel, count)
    engine.store.write(lambda tx: tx.put_outbox(rows))


def until(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_mail_server_that_hangs_holds_up_no_page_and_no_more_than_its_own_threads(house):
    engine, loop, mail, phone = house
    send(engine, "email", 150)
    loop.start()
    until(lambda: mail.held == loops.WORKERS)
    send(engine, "console", 5)
    until(lambda: len(phone.messages) == 5)
    leased = [row for row in engine.store.read(lambda r: r.outbox(state="leased")) if row.channel == "email"]
    assert len(leased) <= loops.WORKERS + loops.QUEUED, "the others stay in the outbox for whoever can"
    mail.go.set()
    until(lambda: len(mail.took) == 150)
    assert len(set(mail.took)) == 150


def test_what_falls_due_after_a_message_that_left_with_its_commit_is_not_slept_through(house):
    engine, _, _, phone = house
    loop = Loop(engine, longest_sleep=60)
    loop.start()
    try:
        send(engine, "console", 1)
        until(lambda: len(phone.messages) == 1)
        time.sleep(0.2)  # it sleeps now, and nothing is due that would wake it
        both = rows_for(engine, "console", 1, after=1) + rows_for(
            engine, "console", 1, after=400 * MILLISECOND
        )
        engine.submit(lambda tx: tx.put_outbox(both)).result()
        until(lambda: len(phone.messages) == 3)
        kept = rows_for(engine, "console", 1, after=2)
        engine.submit(
            lambda tx: [tx.put_outbox(kept), tx.put_outbox(rows_for(engine, "console", 30, after=3))]
        ).result()
        until(lambda: len(phone.messages) == 34)
    finally:
        loop.stop()


def test_a_message_whose_turn_came_too_late_goes_back_instead_of_leaving_twice(house):
    engine, _, mail, _ = house
    jobs = []
    engine.deliveries.hand_out = lambda channel, job: jobs.append(job)
    send(engine, "email", 1)
    engine.step()
    clock = engine.clock

    class Later:
        def now(self):
            return clock.now() + MINUTE

    engine.clock = Later()
    mail.go.set()
    jobs[0]()
    assert mail.took == []
    row = engine.store.read(lambda r: r.outbox())[0]
    assert (row.state, row.attempts) == ("waiting", 0)
    engine.step()
    jobs[1]()
    assert mail.took == [row.id]


def test_a_store_that_is_away_is_told_in_a_sentence_and_the_steps_go_on_when_it_is_back(
    house, capsys, monkeypatch
):
    engine, loop, _, phone = house

    def away(*_):
        raise Busy("the database cannot be reached. Check that it runs.")

    with monkeypatch.context() as patched:
        patched.setattr(engine.store, "read", away)
        loop.start()
        time.sleep(0.6)
    said = capsys.readouterr().out
    assert "Check that it runs." in said
    assert "Traceback" not in said
    send(engine, "console", 1)
    end = time.monotonic() + 10
    while not phone.messages and time.monotonic() < end:
        time.sleep(0.02)
    assert phone.messages
