"""What every store promises. Each store's tests inherit :class:`StoreContract` and give it a ``store``."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import rows
from rows import INCIDENT, NOW, a_document, a_record, a_stream, an_alert, an_effect, append, facts_after

from tocsin.kernel.clock import DAY, HOUR, MINUTE
from tocsin.kernel.errors import Conflict, Refused, Unusable
from tocsin.kernel.facts import GENESIS, Stream, verify_chain
from tocsin.kernel.randomness import SystemRandomness, ulid
from tocsin.store import open_store

LATER = NOW + MINUTE


def another_stream() -> Stream:
    return Stream("incident", ulid(SystemRandomness(), NOW))


class FactContract:
    def test_facts_come_back_as_they_were_appended_and_verify(self, store):
        appended = store.write(lambda tx: append(tx, 3) + append(tx, 2))
        stored = store.read(lambda tx: tx.facts(INCIDENT))
        assert verify_chain(stored, INCIDENT) is None
        assert [msgspec.structs.replace(fact, position=0) for fact in stored] == appended
        assert [fact.version for fact in store.read(lambda tx: tx.facts(INCIDENT, after=3))] == [4, 5]
        assert [fact.version for fact in store.read(lambda tx: tx.facts(INCIDENT, after=1, limit=2))] == [
            2,
            3,
        ]

    def test_of_two_writers_of_one_version_one_is_told_of_the_conflict(self, store):
        rivals = [facts_after(0, GENESIS), facts_after(0, GENESIS)]

        def attempt(facts):
            try:
                store.write(lambda tx: tx.append(facts))
            except Conflict:
                return "conflict"
            return "kept"

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(attempt, rivals)) == ["conflict", "kept"]
        assert len(store.read(lambda tx: tx.facts(INCIDENT))) == 1

    def test_writers_that_decide_on_what_they_read_all_get_through(self, store):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.write(append), range(12)))
        stored = store.read(lambda tx: tx.facts(INCIDENT))
        assert len(stored) == 12
        assert verify_chain(stored, INCIDENT) is None

    def test_a_conflict_that_the_work_hides_is_raised_all_the_same(self, store):
        store.write(lambda tx: tx.append(facts_after(0, GENESIS)))

        def careless(tx):
            tx.put_meta("half", b"done")
            try:
                tx.append(facts_after(0, GENESIS))
            except Conflict:
                return "nothing happened"

        with pytest.raises(Conflict):
            store.write(careless)
        assert store.read(lambda tx: tx.meta("half")) is None

    def test_whoever_follows_the_positions_misses_no_fact(self, store):
        seen, position, finished = [], 0, threading.Event()

        def write_many(_):
            for _ in range(15):
                store.write(lambda tx: append(tx, 2, another_stream()))

        with ThreadPoolExecutor(5) as pool:
            writers = [pool.submit(write_many, n) for n in range(4)]
            pool.submit(lambda: ([w.result() for w in writers], finished.set()))
            while True:
                last_look = finished.is_set()
                facts = store.read(lambda tx, after=position: tx.facts_since(after, limit=7))
                seen += facts
                position = facts[-1].position if facts else position
                if last_look and not facts:
                    break
        positions = [fact.position for fact in seen]
        assert len(seen) == 4 * 15 * 2
        assert positions == sorted(set(positions))
        assert store.read(lambda tx: tx.last_position()) == positions[-1]

    def test_a_redacted_body_is_gone_and_the_chain_still_verifies(self, store):
        facts = store.write(lambda tx: append(tx, 3))
        assert store.write(lambda tx: tx.redact(INCIDENT, facts[1].id))
        stored = store.read(lambda tx: tx.facts(INCIDENT))
        assert stored[1].body is None
        assert verify_chain(stored, INCIDENT) is None
        assert not store.write(lambda tx: tx.redact(INCIDENT, "nothing"))

    def test_numbers_are_given_once(self, store):
        with ThreadPoolExecutor(4) as pool:
            numbers = list(pool.map(lambda _: store.write(lambda tx: tx.next_number("INC")), range(20)))
        assert sorted(set(numbers)) == sorted(numbers)
        assert store.write(lambda tx: [tx.next_number("DRILL"), tx.next_number("DRILL")]) == [1, 2]

    def test_heads_are_what_seals_sign(self, store):
        facts = store.write(lambda tx: append(tx, 2))
        other = Stream("policy", "p1")
        store.write(lambda tx: append(tx, 1, other))
        assert store.read(lambda tx: tx.heads("incident")) == {str(INCIDENT): (2, facts[-1].hash)}
        assert set(store.read(lambda tx: tx.heads())) == {str(INCIDENT), "policy/p1"}


class StreamContract:
    def test_a_stream_row_comes_back_and_is_found_by_its_number(self, store):
        row = a_stream(
            series="INC",
            number=7,
            status="open",
            severity="P1",
            title="Größter Ausfall",
            restricted=True,
            members="person:anna",
            opened_at=NOW,
            updated_at=LATER,
            search="Größter Ausfall",
        )
        store.write(lambda tx: tx.put_stream(row))
        assert store.read(lambda tx: tx.stream(INCIDENT)) == row
        assert store.read(lambda tx: tx.stream_by_number("INC", 7)) == row
        changed = msgspec.structs.replace(row, version=2, open=False)
        store.write(lambda tx: tx.put_stream(changed))
        assert store.read(lambda tx: tx.stream(INCIDENT)) == changed
        assert store.read(lambda tx: tx.stream_by_number("INC", 8)) is None

    def test_one_number_names_one_stream(self, store):
        store.write(lambda tx: tx.put_stream(a_stream(series="INC", number=7)))
        with pytest.raises(Conflict):
            store.write(lambda tx: tx.put_stream(a_stream(another_stream(), series="INC", number=7)))

    def test_lists_are_filtered_and_paged_newest_first(self, store):
        def fill(tx):
            for n in range(6):
                tx.put_stream(
                    a_stream(
                        Stream("incident", f"i{n}"),
                        opened_at=NOW + n // 2,
                        severity="P1" if n % 2 else "P3",
                        status="monitoring" if n == 5 else "open",
                        open=n != 0,
                        drill=n == 1,
                    )
                )

        def ids(**filters):
            return [row.stream.id for row in store.read(lambda tx: tx.streams("incident", **filters))]

        store.write(fill)
        assert ids() == ["i5", "i4", "i3", "i2", "i1", "i0"]
        assert ids(limit=2) == ["i5", "i4"]
        assert ids(limit=3, before=(NOW + 2, "i4")) == ["i3", "i2", "i1"]
        assert ids(open=False) == ["i0"]
        assert ids(drill=True) == ["i1"]
        assert ids(severity="P1", drill=False) == ["i5", "i3"]
        assert ids(status="monitoring") == ["i5"]

    @pytest.mark.semantics(23)
    def test_restricted_streams_are_listed_for_their_members_alone(self, store):
        store.write(
            lambda tx: [
                tx.put_stream(a_stream(Stream("incident", "open"))),
                tx.put_stream(
                    a_stream(
                        Stream("incident", "secret"),
                        restricted=True,
                        members="person:anna person:bob",
                        search="breach",
                    )
                ),
            ]
        )

        def seen_by(principal, **filters):
            return {
                row.stream.id
                for row in store.read(lambda tx: tx.streams("incident", principal=principal, **filters))
            }

        assert seen_by(None) == {"open", "secret"}
        assert seen_by("person:bob") == {"open", "secret"}
        for stranger in (
            "person:bo",
            "erson:bob",
            "PERSON:BOB",
            "%",
            "",
            "person:anna person:bob",
            "person:_",
        ):
            assert seen_by(stranger) == {"open"}, stranger
        assert seen_by("person:carol", search="breach") == set()

    def test_search_finds_streams_that_have_all_words(self, store):
        texts = {
            "a": "INC-12 Datenbank überlastet: pool exhausted (api.example.org)",
            "b": "checkout pool_size wrong",
            "c": "",
        }
        store.write(
            lambda tx: [tx.put_stream(a_stream(Stream("incident", k), search=v)) for k, v in texts.items()]
        )

        def found(search):
            return "".join(
                sorted(row.stream.id for row in store.read(lambda tx: tx.streams("incident", search=search)))
            )

        assert found("pool") == "ab"
        assert found("POOL exha") == "a"
        assert found("pool checkout") == "b"
        assert found("example.org") == "a"
        assert found("12") == "a"
        assert found("Überlastet") == "a"
        assert found("uberlastet") == ""
        assert found("size") == "b"
        assert found("  ") == "abc"
        store.write(lambda tx: tx.put_stream(a_stream(Stream("incident", "b"), search="something else")))
        assert found("checkout") == ""
        assert found("something") == "b"

    @pytest.mark.parametrize(
        "search",
        [
            "'", '"', '"a', "a'b", "*", "a*", "(", "a AND", "NOT", "OR OR", "NEAR(a b)", "a:b", "^a", "-a", "a & | !",
            "a <-> b", "\\", "%", "_", "--", ";", "{a}", "\x00", "a\x00b", "\ud800", "日本語", "é́", "a" * 5000,
            "word " * 500, ":*", "\u202e", "🔥",
        ],
    )  # fmt: skip
    def test_no_search_is_an_error(self, store, search):
        store.write(
            lambda tx: tx.put_stream(a_stream(search=search.replace("\x00", "").replace("\ud800", "")))
        )
        assert len(store.read(lambda tx: tx.streams("incident", search=search))) <= 1


class AlertContract:
    def test_alerts_are_kept_by_integration_and_key(self, store):
        store.write(
            lambda tx: tx.put_alerts([an_alert("a"), an_alert("b"), an_alert("a", integration="other")])
        )
        store.write(lambda tx: tx.put_alerts([an_alert("a", repeats=3, restricted=True)]))
        found = store.read(lambda tx: tx.alerts_by_key("prometheus", ["a", "b", "c"]))
        assert found == {"a": an_alert("a", repeats=3, restricted=True), "b": an_alert("b")}
        assert store.read(lambda tx: tx.alerts_by_key("prometheus", [])) == {}

    def test_keys_may_be_any_text(self, store):
        keys = ["'", '"quoted"', "[1]", "a,b", "{}", "%", "ключ", " ", "🔥", "\n", "\\"]
        store.write(lambda tx: tx.put_alerts([an_alert(key) for key in keys]))
        assert set(store.read(lambda tx: tx.alerts_by_key("prometheus", keys))) == set(keys)

    def test_alerts_are_listed_filtered_and_paged(self, store):
        store.write(
            lambda tx: tx.put_alerts(
                [
                    an_alert("a"),
                    an_alert("b", status="resolved"),
                    an_alert("c", state="silenced"),
                    an_alert("d", restricted=True),
                    an_alert("e", integration="zabbix", incident="other"),
                ]
            )
        )

        def keys(**filters):
            return "".join(row.dedup_key for row in store.read(lambda tx: tx.alerts(**filters)))

        assert keys() == "abcde"
        assert keys(status="firing") == "acde"
        assert keys(status="resolved") == "b"
        assert keys(state="silenced", status="firing") == "c"
        assert keys(include_restricted=False, integration="prometheus") == "abc"
        assert keys(after=("prometheus", "c"), limit=1) == "d"
        assert [row.dedup_key for row in store.read(lambda tx: tx.alerts_of(INCIDENT.id))] == [
            "a",
            "b",
            "c",
            "d",
        ]
        assert store.read(lambda tx: (tx.count_alerts(), tx.count_alerts("resolved"))) == (4, 1)

    def test_alerts_that_end_come_earliest_first(self, store):
        store.write(
            lambda tx: tx.put_alerts(
                [
                    an_alert("never"),
                    an_alert("late", ends_at=LATER),
                    an_alert("soon", ends_at=NOW),
                    an_alert("gone", ends_at=NOW, status="expired"),
                    an_alert("after", ends_at=LATER + 1),
                ]
            )
        )
        assert [row.dedup_key for row in store.read(lambda tx: tx.alerts_ending(LATER))] == ["soon", "late"]

    def test_of_two_that_open_one_group_at_once_the_second_joins(self, store):
        barrier = threading.Barrier(2, timeout=10)
        first_try = threading.local()

        def open_or_join(incident):
            def work(tx):
                group = tx.group("route/api")
                if group is not None:
                    return group[0]
                if store.dialect == "postgresql" and not hasattr(first_try, "done"):
                    first_try.done = True
                    barrier.wait()  # both have looked and seen none
                tx.put_group("route/api", incident, NOW, NOW)
                return incident

            return store.write(work)

        with ThreadPoolExecutor(2) as pool:
            answers = set(pool.map(open_or_join, ["first", "second"]))
        assert len(answers) == 1
        assert store.read(lambda tx: tx.group("route/api")) == (answers.pop(), NOW, NOW)

    def test_groups_follow_their_incident_and_are_dropped_with_it(self, store):
        def fill(tx):
            tx.put_alerts([an_alert("a", group_key="g1"), an_alert("b", group_key="g2")])
            tx.put_group("g1", INCIDENT.id, NOW, NOW)
            tx.put_group("g1", INCIDENT.id, NOW, LATER)
            tx.put_group("g2", INCIDENT.id, NOW, NOW)

        store.write(fill)
        store.write(lambda tx: tx.move_alerts(INCIDENT.id, "two", [("prometheus", "b")]))
        assert store.read(lambda tx: (tx.group("g1"), tx.group("g2"))) == (
            (INCIDENT.id, NOW, LATER),
            ("two", NOW, NOW),
        )
        store.write(lambda tx: tx.move_alerts(INCIDENT.id, "three"))
        assert [row.dedup_key for row in store.read(lambda tx: tx.alerts_of("three"))] == ["a"]
        assert store.read(lambda tx: tx.group("g1"))[0] == "three"
        store.write(lambda tx: tx.drop_groups("three"))
        assert store.read(lambda tx: tx.group("g1")) is None

    def test_changes_of_a_service_include_those_that_name_none(self, store):
        store.write(
            lambda tx: tx.put_changes(
                [
                    rows.a_change("1", at=NOW),
                    rows.a_change("2", at=NOW + 1, service="web"),
                    rows.a_change("3", at=NOW + 2, service=""),
                ]
            )
        )

        def ids(**filters):
            return "".join(row.id for row in store.read(lambda tx: tx.changes(**filters)))

        assert ids() == "321"
        assert ids(services=["api"]) == "31"
        assert ids(since=NOW + 1, until=NOW + 1) == "2"
        assert ids(services=[], limit=5) == "3"


class TimerContract:
    def test_many_timers_are_set_together(self, store):
        store.write(lambda tx: tx.set_timers([("t", "a", NOW), ("t", "b", LATER)]))
        store.write(lambda tx: tx.set_timers([("t", "a", None), ("t", "b", NOW), ("t", "c", LATER)]))
        leased = store.write(lambda tx: tx.lease_timers(LATER, LATER + 1, "mine", 9))
        assert [(row.key, row.due_at) for row in leased] == [("b", NOW), ("c", LATER)]

    def test_there_is_one_row_for_each_key(self, store):
        store.write(lambda tx: [tx.set_timer("incident", "a", LATER), tx.set_timer("incident", "a", NOW)])
        assert store.read(lambda tx: tx.timer("incident", "a")).due_at == NOW
        assert store.read(lambda tx: tx.next_timer()) == NOW
        store.write(lambda tx: tx.set_timer("incident", "a", None))
        assert store.read(lambda tx: (tx.timer("incident", "a"), tx.next_timer())) == (None, None)

    @pytest.mark.guide("SEV-8")
    def test_due_timers_are_leased_earliest_first_and_to_one_only(self, store):
        store.write(lambda tx: [tx.set_timer("incident", key, NOW + n) for n, key in enumerate("cab")])
        store.write(lambda tx: tx.set_timer("incident", "later", LATER))
        leased = store.write(lambda tx: tx.lease_timers(NOW + 5, LATER, "mine", 2))
        assert [(row.key, row.lease_token, row.lease_until) for row in leased] == [
            ("c", "mine", LATER),
            ("a", "mine", LATER),
        ]
        assert [row.key for row in store.write(lambda tx: tx.lease_timers(NOW + 5, LATER, "yours", 9))] == [
            "b"
        ]
        assert store.read(lambda tx: tx.next_timer()) == LATER

    def test_a_lease_that_ends_is_taken_again_and_the_old_token_means_nothing(self, store):
        store.write(lambda tx: tx.set_timer("incident", "a", NOW))
        store.write(lambda tx: tx.lease_timers(NOW, LATER, "old", 9))
        assert store.write(lambda tx: tx.lease_timers(LATER - 1, LATER + 9, "new", 9)) == []
        assert len(store.write(lambda tx: tx.lease_timers(LATER, LATER + HOUR, "new", 9))) == 1
        assert not store.write(lambda tx: tx.complete_timer("incident", "a", "old", None))
        assert not store.write(lambda tx: tx.complete_timer("incident", "a", "", None))
        assert store.write(lambda tx: tx.complete_timer("incident", "a", "new", LATER + DAY))
        assert store.read(lambda tx: tx.next_timer()) == LATER + DAY
        assert not store.write(lambda tx: tx.complete_timer("incident", "a", "new", None))

    def test_setting_a_leased_timer_ends_the_lease(self, store):
        store.write(lambda tx: tx.set_timer("incident", "a", NOW))
        store.write(lambda tx: tx.lease_timers(NOW, LATER, "mine", 9))
        store.write(lambda tx: tx.set_timer("incident", "a", NOW + 1))
        assert not store.write(lambda tx: tx.complete_timer("incident", "a", "mine", None))
        assert store.read(lambda tx: tx.timer("incident", "a")).lease_token == ""

    def test_timers_of_some_kinds_can_be_leased_and_completed_together(self, store):
        store.write(lambda tx: [tx.set_timer(kind, "a", NOW) for kind in ("incident", "policy", "silence")])
        leased = store.write(lambda tx: tx.lease_timers(NOW, LATER, "mine", 9, kinds=["policy", "silence"]))
        assert [row.kind for row in leased] == ["policy", "silence"]
        store.write(
            lambda tx: tx.complete_timers(
                "mine", [("policy", "a", None), ("silence", "a", LATER), ("incident", "a", None)]
            )
        )
        assert store.read(lambda tx: tx.timer("policy", "a")) is None
        assert store.read(lambda tx: tx.timer("silence", "a")).due_at == LATER
        assert store.read(lambda tx: tx.timer("incident", "a")) is not None

    def test_no_timer_is_leased_twice_by_many(self, store):
        store.write(lambda tx: [tx.set_timer("incident", f"{n}", NOW) for n in range(100)])

        def lease(n):
            got = []
            while True:
                leased = store.write(lambda tx: tx.lease_timers(NOW, LATER, f"worker {n}", 9))
                if not leased:
                    return got
                got += [row.key for row in leased]

        with ThreadPoolExecutor(4) as pool:
            taken = [key for keys in pool.map(lease, range(4)) for key in keys]
        assert sorted(taken) == sorted(f"{n}" for n in range(100))


class OutboxContract:
    def test_an_effect_with_a_known_key_is_left_as_it_is(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect("o1", key="same")]))
        store.write(lambda tx: tx.put_outbox([an_effect("o2", key="same", payload=b"new"), an_effect("o3")]))
        assert [row.id for row in store.read(lambda tx: tx.outbox_of(str(INCIDENT)))] == ["o1", "o3"]
        assert store.read(lambda tx: tx.outbox_row("o1")) == an_effect("o1", key="same")

    def test_the_most_urgent_leave_first_then_the_oldest(self, store):
        store.write(
            lambda tx: tx.put_outbox(
                [
                    an_effect("quiet", urgency=3, not_before=NOW - 9),
                    an_effect("second", urgency=0, not_before=NOW),
                    an_effect("first", urgency=0, not_before=NOW - 1),
                    an_effect("later", urgency=0, not_before=LATER),
                    an_effect("mail", urgency=0, channel="smtp"),
                ]
            )
        )
        leased = store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9, exclude_channels=["smtp"]))
        assert [(row.id, row.state, row.lease_token) for row in leased] == [
            ("first", "leased", "t"),
            ("second", "leased", "t"),
            ("quiet", "leased", "t"),
        ]
        assert [row.id for row in store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9))] == ["mail"]
        assert store.read(lambda tx: tx.next_outbox()) == LATER

    def test_a_delivery_is_completed_with_its_token_only(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect()]))
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9))
        assert not store.write(lambda tx: tx.complete_outbox("o1", "other", "done", NOW))
        assert store.write(lambda tx: tx.complete_outbox("o1", "t", "failed", LATER, "no such number"))
        row = store.read(lambda tx: tx.outbox_row("o1"))
        assert (row.state, row.last_error, row.finished_at) == ("failed", "no such number", LATER)
        assert not store.write(lambda tx: tx.complete_outbox("o1", "t", "done", NOW))
        assert store.read(lambda tx: tx.next_outbox()) is None

    def test_a_retry_waits_and_counts(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect()]))
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9))
        assert store.write(lambda tx: tx.retry_outbox("o1", "t", LATER, "timed out"))
        assert store.write(lambda tx: tx.lease_outbox(LATER - 1, LATER + 9, "u", 9)) == []
        (again,) = store.write(lambda tx: tx.lease_outbox(LATER, LATER + 9, "u", 9))
        assert (again.attempts, again.last_error) == (1, "timed out")
        assert not store.write(lambda tx: tx.retry_outbox("o1", "t", LATER, ""))

    def test_a_lease_that_ends_is_taken_again(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect()]))
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "dead", 9))
        assert store.read(lambda tx: tx.next_outbox()) == LATER
        assert len(store.write(lambda tx: tx.lease_outbox(LATER, LATER + 9, "alive", 9))) == 1

    @pytest.mark.semantics(1)
    def test_a_withdrawn_page_never_leaves(self, store):
        store.write(
            lambda tx: tx.put_outbox(
                [
                    an_effect("waits"),
                    an_effect("bob", recipient="person:bob"),
                    an_effect("tagged", tag="page2"),
                    an_effect("elsewhere", scope="incident/other"),
                ]
            )
        )
        assert store.write(lambda tx: tx.withdraw_outbox(str(INCIDENT), NOW, recipient="person:bob")) == 1
        assert store.write(lambda tx: tx.withdraw_outbox(str(INCIDENT), NOW, tag="page2")) == 1
        assert store.write(lambda tx: tx.withdraw_outbox(str(INCIDENT), NOW)) == 1
        assert [row.id for row in store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9))] == [
            "elsewhere"
        ]
        assert store.read(lambda tx: tx.outbox_row("waits")).state == "withdrawn"

    @pytest.mark.semantics(1)
    def test_a_page_withdrawn_on_its_way_still_reports_but_is_not_tried_again(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect("arrives"), an_effect("bounces"), an_effect("lost")]))
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9))
        assert store.write(lambda tx: tx.withdraw_outbox(str(INCIDENT), NOW + 1)) == 0
        assert store.write(lambda tx: tx.complete_outbox("arrives", "t", "done", NOW + 2))
        assert store.write(lambda tx: tx.retry_outbox("bounces", "t", NOW + 3, "timed out"))
        assert store.read(lambda tx: tx.outbox_row("bounces")).state == "withdrawn"
        assert store.write(lambda tx: tx.lease_outbox(LATER + HOUR, LATER + DAY, "u", 9)) == []
        assert store.read(lambda tx: tx.next_outbox()) is None

    @pytest.mark.semantics(20)
    def test_lateness_is_the_oldest_that_is_overdue(self, store):
        assert store.read(lambda tx: tx.oldest_waiting(NOW)) == (None, None)
        store.write(lambda tx: [tx.set_timer("incident", "a", NOW - 5), tx.set_timer("incident", "b", LATER)])
        store.write(lambda tx: tx.put_outbox([an_effect(not_before=NOW - 3)]))
        assert store.read(lambda tx: tx.oldest_waiting(NOW - 9)) == (None, None)
        assert store.read(lambda tx: tx.oldest_waiting(NOW)) == (NOW - 5, NOW - 3)

    def test_lists_are_newest_first(self, store):
        store.write(
            lambda tx: tx.put_outbox(
                [an_effect("1"), an_effect("2", created_at=LATER), an_effect("3", recipient="person:bob")]
            )
        )
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 1))
        assert [row.id for row in store.read(lambda tx: tx.outbox())] == ["2", "3", "1"]
        assert [row.id for row in store.read(lambda tx: tx.outbox(state="waiting", limit=1))] == ["2"]
        assert [row.id for row in store.read(lambda tx: tx.outbox(recipient="person:bob"))] == ["3"]

    def test_a_held_store_lets_nothing_go_until_it_is_released(self, store):
        store.write(
            lambda tx: [tx.put_outbox([an_effect("o1"), an_effect("o2")]), tx.set_timer("t", "a", NOW)]
        )
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 1))
        store.write(lambda tx: tx.hold_all())
        store.write(lambda tx: tx.put_outbox([an_effect("o3")]))
        assert store.write(lambda tx: tx.lease_outbox(LATER, LATER + 9, "u", 9)) == []
        assert store.write(lambda tx: tx.lease_timers(LATER, LATER + 9, "u", 9)) == []
        assert store.read(lambda tx: (tx.next_timer(), tx.next_outbox())) == (None, None)
        assert store.read(lambda tx: tx.outbox_row("o1")).state == "held"
        assert store.read(lambda tx: tx.meta("held")) is not None
        assert any("held" in fault for fault in store.check())
        assert store.write(lambda tx: tx.release_held()) == 2
        assert len(store.write(lambda tx: tx.lease_outbox(LATER, LATER + 9, "u", 9))) == 3
        assert len(store.write(lambda tx: tx.lease_timers(LATER, LATER + 9, "u", 9))) == 1


class RecordContract:
    def test_records_are_found_by_id_and_look_up(self, store):
        store.write(lambda tx: [tx.put_record(a_record("anna")), tx.put_record(a_record("bob"))])
        store.write(lambda tx: tx.put_record(a_record("anna", body=b"new", expires_at=LATER)))
        assert store.read(lambda tx: tx.record("person", "anna")) == a_record(
            "anna", body=b"new", expires_at=LATER
        )
        assert store.read(lambda tx: tx.record_by("person", "bob@example.org")) == a_record("bob")
        assert store.read(lambda tx: tx.record_by("team", "bob@example.org")) is None
        assert [row.id for row in store.read(lambda tx: tx.records("person"))] == ["anna", "bob"]

    def test_the_mark_counts_every_change_of_a_record(self, store):
        assert store.read(lambda tx: tx.mark("records")) == 0
        store.write(lambda tx: tx.put_record(a_record()))
        store.write(lambda tx: tx.put_record(a_record()))
        assert store.read(lambda tx: tx.mark("records")) == 2
        assert store.write(lambda tx: tx.delete_record("person", "anna"))
        assert not store.write(lambda tx: tx.delete_record("person", "anna"))
        assert store.read(lambda tx: tx.mark("records")) == 3

    def test_named_values_are_kept_listed_and_removed(self, store):
        store.write(
            lambda tx: [tx.put_meta(name, name.encode()) for name in ("seal/1", "seal/2", "SEAL/3", "s")]
        )
        assert store.read(lambda tx: tx.metas("seal/")) == {"seal/1": b"seal/1", "seal/2": b"seal/2"}
        store.write(lambda tx: [tx.put_meta("seal/1", b"\x00\xff"), tx.put_meta("seal/2", None)])
        assert store.read(lambda tx: (tx.meta("seal/1"), tx.meta("seal/2"))) == (b"\x00\xff", None)

    def test_of_a_documents_versions_one_is_current(self, store):
        store.write(lambda tx: tx.put_document(a_document(1)))
        store.write(lambda tx: tx.put_document(a_document(2)))
        store.write(lambda tx: tx.put_document(a_document(3, current=False)))
        assert store.read(lambda tx: tx.document("policy", "default")) == a_document(2)
        assert [
            (d.version, d.current) for d in store.read(lambda tx: tx.document_versions("policy", "default"))
        ] == [
            (1, False),
            (2, True),
            (3, False),
        ]
        assert store.read(lambda tx: tx.document_by_hash("hash1")).version == 1
        with pytest.raises(Conflict):
            store.write(lambda tx: tx.put_document(a_document(2)))

    def test_the_last_requests_of_an_integration_are_kept(self, store):
        def fill(tx):
            for n in range(90):
                tx.put_request(rows.a_request(f"r{n:02d}", received_at=NOW + n), keep=5)
            tx.put_request(rows.a_request("x", integration="other", body=b"\x00\xff"))

        store.write(fill)
        newest = [row.id for row in store.read(lambda tx: tx.requests("i", limit=5))]
        assert newest == ["r89", "r88", "r87", "r86", "r85"]
        assert len(store.read(lambda tx: tx.requests("i", limit=100))) < 30
        assert store.read(lambda tx: tx.requests("other"))[0].body == b"\x00\xff"

    def test_an_answer_is_remembered_for_its_principal_and_key(self, store):
        store.write(lambda tx: tx.remember("person:anna", "k1", b"digest", b"answer", NOW))
        assert store.write(lambda tx: tx.remembered("person:anna", "k1")) == (b"digest", b"answer")
        assert store.write(lambda tx: tx.remembered("person:bob", "k1")) is None
        with pytest.raises(Conflict):
            store.write(lambda tx: tx.remember("person:anna", "k1", b"other", b"other", NOW))

    def test_retention_drops_what_is_old_and_never_facts_or_what_still_fires(self, store):
        def fill(tx):
            append(tx)
            tx.remember("p", "old", b"", b"", NOW - DAY)
            tx.remember("p", "new", b"", b"", NOW)
            tx.put_request(rows.a_request("old", received_at=NOW - DAY))
            tx.put_request(rows.a_request("new"))
            tx.put_alerts(
                [
                    an_alert("firing", last_at=NOW - DAY),
                    an_alert("cleared", last_at=NOW - DAY, status="resolved"),
                ]
            )
            tx.put_outbox([an_effect("done"), an_effect("waits", not_before=LATER)])
            tx.lease_outbox(NOW, LATER, "t", 9)
            tx.complete_outbox("done", "t", "done", NOW - DAY)
            tx.put_record(a_record("expired", expires_at=NOW))
            tx.put_record(a_record("lives", expires_at=NOW + 1))

        store.write(fill)
        limits = dict.fromkeys(("keys", "requests", "alerts", "outbox"), NOW - HOUR)
        assert store.write(lambda tx: tx.forget_before(NOW, **limits)) == 5
        assert store.read(lambda tx: [row.dedup_key for row in tx.alerts()]) == ["firing"]
        assert store.read(lambda tx: [row.id for row in tx.outbox()]) == ["waits"]
        assert store.read(lambda tx: [row.id for row in tx.records("person")]) == ["lives"]
        assert store.read(lambda tx: [row.id for row in tx.requests("i")]) == ["new"]
        assert store.read(lambda tx: len(tx.facts(INCIDENT))) == 1
        assert store.write(lambda tx: tx.forget_before(NOW, **limits)) == 0


def nothing_but(text):
    """Every way of writing a text into the store."""
    return {
        "alert": lambda tx: tx.put_alerts([an_alert(summary=text)]),
        "alert key": lambda tx: tx.put_alerts([an_alert(text)]),
        "look-up of alerts": lambda tx: tx.alerts_by_key("prometheus", ["a", text]),
        "stream": lambda tx: tx.put_stream(a_stream(title=text)),
        "effect": lambda tx: tx.put_outbox([an_effect(address=text)]),
        "record": lambda tx: tx.put_record(a_record(lookup=text)),
        "meta": lambda tx: tx.meta(text),
        "timer": lambda tx: tx.set_timer("incident", text, NOW),
        "request": lambda tx: tx.put_request(rows.a_request("1", reason=text)),
    }


class InputContract:
    @pytest.mark.parametrize("text", ["a\x00b", "\ud800", "half \udfff here"])
    @pytest.mark.parametrize("way", sorted(nothing_but("")))
    def test_text_that_no_database_holds_is_refused(self, store, way, text):
        with pytest.raises(Unusable, match=r"NUL|surrogate"):
            store.write(nothing_but(text)[way])

    def test_a_key_too_long_for_an_index_is_refused(self, store):
        for way in ("alert key", "record", "timer"):
            with pytest.raises(Unusable, match="1000 bytes"):
                store.write(nothing_but("ü" * 501)[way])
            store.write(nothing_but("ü" * 500)[way])

    def test_long_texts_that_are_no_keys_are_kept(self, store):
        text = "long line 🔥 " * 300_000
        store.write(
            lambda tx: [tx.put_alerts([an_alert("a", summary=text)]), tx.put_stream(a_stream(search=text))]
        )
        assert store.read(lambda tx: tx.alerts_by_key("prometheus", ["a"]))["a"].summary == text

    def test_a_number_beyond_64_bits_is_refused(self, store):
        with pytest.raises(Unusable, match="64 bits"):
            store.write(lambda tx: tx.set_timer("incident", "a", 1 << 63))
        with pytest.raises(Unusable, match="64 bits"):
            store.write(lambda tx: tx.put_alerts([an_alert(started_at=1 << 70)]))


class UnitOfWorkContract:
    def test_a_work_that_fails_leaves_nothing(self, store):
        def work(tx):
            append(tx, 2)
            tx.put_alerts([an_alert()])
            tx.set_timer("incident", "a", NOW)
            tx.put_record(a_record())
            raise Refused("not today")

        with pytest.raises(Refused, match="not today"):
            store.write(work)
        assert store.read(
            lambda tx: (tx.facts(INCIDENT), tx.alerts(), tx.next_timer(), tx.mark("records"))
        ) == (
            [],
            [],
            None,
            0,
        )

    def test_works_that_fail_do_not_undo_their_neighbours(self, store):
        def work(n):
            def run(tx):
                tx.put_meta(f"n/{n:03d}", b"1")
                if n % 3 == 0:
                    raise Refused("every third")
                if n % 3 == 1:
                    tx.put_alerts([an_alert("a\x00")])
                return n

            return run

        futures = [store.submit(work(n)) for n in range(90)]
        errors = [future.exception(timeout=30) for future in futures]
        assert [type(error) for error in errors[:3]] == [Refused, Unusable, type(None)]
        assert sorted(store.read(lambda tx: tx.metas("n/"))) == [f"n/{n:03d}" for n in range(2, 90, 3)]

    def test_many_that_write_one_row_all_get_through(self, store):
        def count(tx):
            tx.put_meta("count", b"%d" % (int(tx.meta("count") or b"0") + 1))

        futures = [store.submit(count) for _ in range(150)]
        for future in futures:
            future.result(60)
        assert store.read(lambda tx: tx.meta("count")) == b"150"

    def test_a_work_cannot_wait_for_another_one(self, store):
        with pytest.raises(RuntimeError, match="cannot wait"):
            store.write(lambda tx: store.write(lambda tx: None))

    def test_a_reader_sees_one_moment(self, store):
        store.write(lambda tx: tx.put_meta("a", b"1"))

        def look_twice(tx):
            first = tx.meta("a")
            store.write(lambda tx: tx.put_meta("a", b"2"))
            return first, tx.meta("a")

        assert store.read(look_twice) == (b"1", b"1")
        assert store.read(lambda tx: tx.meta("a")) == b"2"

    def test_listeners_hear_of_writes_and_not_of_looking(self, store):
        heard = []
        stop = store.subscribe(lambda: heard.append(1))
        store.write(lambda tx: tx.put_meta("a", b"1"))
        assert heard
        stop()
        heard.clear()
        store.write(lambda tx: tx.put_meta("a", b"2"))
        assert not heard

    def test_a_closed_store_says_so(self, store):
        store.close()
        store.close()
        for use in (lambda: store.write(lambda tx: None), lambda: store.read(lambda tx: None)):
            with pytest.raises(Exception, match=r"closed|reached"):
                use()

    def test_a_healthy_store_has_no_faults(self, store):
        # the tests' own server saves on the disk, and some platforms bring an older SQLite
        known = ("power cut", "WAL-reset")
        assert [fault for fault in store.check() if not any(words in fault for words in known)] == []
        assert store.migrate() == []

    def test_every_acknowledged_write_survives_a_kill(self, store, address):
        store.close()
        child = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("writes_until_killed.py"), address],
            stdout=subprocess.PIPE,
        )
        acknowledged = [child.stdout.readline() for _ in range(300)]
        child.send_signal(signal.SIGKILL)
        acknowledged += child.stdout.readlines()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        again = open_store(address)
        kept = again.read(lambda tx: tx.metas("acked/"))
        again.close()
        assert {f"acked/{line.decode().strip()}" for line in acknowledged if line.endswith(b"\n")} <= set(
            kept
        )


class BackupContract:
    def fill(self, store):
        def work(tx):
            append(tx, 3, series="INC", number=tx.next_number("INC"), search="database pool", restricted=True)
            append(tx, 1, another_stream())
            tx.redact(INCIDENT, tx.facts(INCIDENT)[1].id)
            tx.put_alerts([an_alert("a", body=bytes(range(256))), an_alert("b", restricted=True)])
            tx.put_group("g", INCIDENT.id, NOW, NOW)
            tx.set_timer("incident", "a", NOW)
            tx.put_outbox([an_effect("o1"), an_effect("o2")])
            tx.lease_outbox(NOW, LATER, "t", 1)
            tx.put_record(a_record("Ärger\n'\"\\"))
            tx.put_document(a_document(1))
            tx.put_changes([rows.a_change("c")])
            tx.put_request(rows.a_request("r"))
            tx.remember("p", "k", b"d", b"a", NOW)
            tx.put_meta("name", b"\x00")

        store.write(work)

    def view(self, tx):
        return {
            "facts": tx.facts_since(0),
            "streams": tx.streams("incident"),
            "found": [row.stream for row in tx.streams("incident", search="pool")],
            "alerts": tx.alerts(),
            "group": tx.group("g"),
            "records": tx.records("person"),
            "mark": tx.mark("records"),
            "documents": tx.document_versions("policy", "default"),
            "changes": tx.changes(),
            "requests": tx.requests("i"),
            "meta": tx.meta("name"),
            "timer": tx.timer("incident", "a").due_at,
            "effects": [(row.id, row.key, row.payload) for row in tx.outbox()],
        }

    def check_copy(self, store, copy):
        assert copy.read(self.view) == store.read(self.view)
        assert [row.state for row in copy.read(lambda tx: tx.outbox())] == ["held", "held"]
        assert copy.write(lambda tx: tx.lease_timers(LATER, LATER, "t", 9)) == []
        assert copy.write(lambda tx: tx.remembered("p", "k")) == (b"d", b"a")
        before = copy.read(lambda tx: tx.last_position())
        copy.write(lambda tx: append(tx, 1))
        assert copy.read(lambda tx: tx.last_position()) > before
        assert copy.write(lambda tx: tx.next_number("INC")) == 2
        assert copy.write(lambda tx: tx.release_held()) == 2

    def test_a_backup_is_restored_into_either_database_and_starts_held(self, store, empty_stores, tmp_path):
        self.fill(store)
        target = tmp_path / "copy.jsonl.gz"
        store.backup(str(target))
        assert target.stat().st_mode & 0o077 == 0
        for copy in empty_stores:
            copy.restore(str(target))
            self.check_copy(store, copy)

    def test_a_store_that_is_not_empty_is_not_restored_into(self, store, tmp_path):
        self.fill(store)
        store.backup(str(tmp_path))
        with pytest.raises(Refused, match="not empty"):
            store.restore(str(tmp_path))
        assert store.read(lambda tx: tx.meta("held")) is None

    @pytest.mark.parametrize("part", [0, 10, 200, -20])
    def test_half_a_backup_is_refused_and_leaves_the_store_empty(self, store, empty_stores, tmp_path, part):
        self.fill(store)
        store.backup(str(tmp_path))
        file = tmp_path / "tocsin-backup.jsonl.gz"
        file.write_bytes(file.read_bytes()[:part])
        for copy in empty_stores:
            with pytest.raises(Unusable, match="backup"):
                copy.restore(str(file))
            copy.migrate()
            assert copy.read(lambda tx: (tx.last_position(), tx.meta("held"))) == (0, None)

    def test_a_backup_is_of_one_moment_while_writing_goes_on(self, store, tmp_path, empty_stores):
        stop = threading.Event()

        def keep_writing():
            while not stop.is_set():
                store.write(lambda tx: append(tx, 5, another_stream()))

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(keep_writing)
            store.backup(str(tmp_path))
            stop.set()
            writing.result()
        copy = empty_stores[0]
        copy.restore(str(tmp_path))
        heads = copy.read(lambda tx: tx.heads())
        facts = copy.read(lambda tx: tx.facts_since(0, limit=100_000))
        assert len(facts) == 5 * len(heads)


class StoreContract(
    FactContract,
    StreamContract,
    AlertContract,
    TimerContract,
    OutboxContract,
    RecordContract,
    InputContract,
    UnitOfWorkContract,
    BackupContract,
):
    """Everything together. A store's tests define the fixtures ``store``, ``address`` (what ``open_store`` takes) and
    ``empty_stores`` (others, without a schema, to restore into)."""
