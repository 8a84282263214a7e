"""What every store promises of timers, the outbox, records and documents."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import rows
from rows import (
    INCIDENT,
    NOW,
    a_document,
    a_record,
    a_stream,
    an_alert,
    an_effect,
    append,
)

from tocsin.kernel.clock import DAY, HOUR, MINUTE
from tocsin.kernel.errors import Conflict
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import Ended, Stuck

LATER = NOW + MINUTE


class TimerContract:
    def test_every_open_stream_is_looked_at_anew(self, store):
        def before(tx):
            for id, open_ in (("late", True), ("later", True), ("none", True), ("ended", False)):
                tx.put_stream(a_stream(Stream("incident", id), open=open_))
            tx.put_stream(a_stream(Stream("action", "other"), open=True))
            tx.set_timer("incident", "late", NOW - 5)
            tx.set_timer("incident", "later", LATER)
            tx.set_timer("incident", "ended", LATER)

        store.write(before)
        store.write(lambda tx: tx.lease_timers(NOW, LATER, "mine", 9))
        store.write(lambda tx: tx.wake_streams("incident", NOW))
        leased = store.write(lambda tx: tx.lease_timers(NOW, LATER, "another", 9))
        assert [(row.key, row.due_at) for row in leased] == [("late", NOW - 5), ("later", NOW), ("none", NOW)]

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

    def test_timers_of_some_kinds_can_be_leased(self, store):
        store.write(lambda tx: [tx.set_timer(kind, "a", NOW) for kind in ("incident", "policy", "silence")])
        leased = store.write(lambda tx: tx.lease_timers(NOW, LATER, "mine", 9, kinds=["policy", "silence"]))
        assert [row.kind for row in leased] == ["policy", "silence"]

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

    def test_a_payload_is_written_over_whatever_became_of_its_row(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect("o1"), an_effect("o2")]))
        store.write(lambda tx: tx.withdraw_outbox(str(INCIDENT), NOW))
        store.write(lambda tx: tx.reword_outbox("o1", b'{"text":"gone"}'))
        found = {row.id: (bytes(row.payload), row.state) for row in store.read(lambda tx: tx.outbox())}
        assert found["o1"] == (b'{"text":"gone"}', "withdrawn")
        assert found["o2"][0] == an_effect("o2").payload

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

    def test_what_a_unit_of_work_sends_it_can_take_along(self, store):
        def ids(rows):
            return None if rows is None else [row.id for row in rows]

        def work(tx):
            tx.put_outbox([an_effect("quiet", urgency=3), an_effect("later", not_before=LATER)])
            tx.put_outbox(
                [an_effect("first", urgency=0), an_effect("gone", tag="page2"), an_effect("twice", key="k")]
            )
            tx.withdraw_outbox(str(INCIDENT), NOW, tag="page2")
            assert tx.lease_sent(NOW, LATER, "t", 3) is None, "somebody has to choose among so many"
            return tx.lease_sent(NOW, LATER, "t", 9)

        store.write(lambda tx: tx.put_outbox([an_effect("before", key="k")]))
        taken = store.write(work)
        assert ids(taken) == ["first", "quiet"]
        stored = [store.read(lambda tx, id=row.id: tx.outbox_row(id)) for row in taken]
        assert stored == taken and taken[0].lease_until == LATER
        assert ids(store.write(lambda tx: tx.lease_outbox(NOW, LATER, "u", 9))) == ["before"]
        assert store.write(lambda tx: tx.lease_sent(NOW, LATER, "t", 9)) == []
        store.write(lambda tx: tx.hold_all())
        assert (
            store.write(lambda tx: [tx.put_outbox([an_effect("held")]), tx.lease_sent(NOW, LATER, "t", 9)])[1]
            == []
        )

    def test_a_delivery_is_completed_with_its_token_only(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect()]))
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9))
        assert not store.write(lambda tx: tx.complete_outbox("o1", "other", "done", NOW))
        assert store.write(lambda tx: tx.complete_outbox("o1", "t", "failed", LATER, "no such number"))
        row = store.read(lambda tx: tx.outbox_row("o1"))
        assert (row.state, row.last_error, row.finished_at) == ("failed", "no such number", LATER)
        assert not store.write(lambda tx: tx.complete_outbox("o1", "t", "done", NOW))
        assert store.read(lambda tx: tx.next_outbox()) is None

    def test_what_was_leased_and_not_tried_is_put_back_as_it_was_or_for_later(self, store):
        ids = ["as it was", "later", "another's", "withdrawn"]
        store.write(lambda tx: tx.put_outbox([an_effect(id, scope=f"incident/{id}") for id in ids]))
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 9))
        store.write(lambda tx: tx.withdraw_outbox("incident/withdrawn", NOW))

        def put_back(tx):
            tx.put_back([], "t")
            tx.put_back(["as it was", "withdrawn"], "t")
            tx.put_back(["later"], "t", LATER)
            tx.put_back(["another's"], "not its lease")
            return tx.due

        assert store.write(put_back), "whoever waits for what is due is woken"
        rows = [store.read(lambda tx, id=id: tx.outbox_row(id)) for id in ids]
        assert [(row.state, row.not_before) for row in rows] == [
            ("waiting", NOW), ("waiting", LATER), ("leased", NOW), ("withdrawn", NOW),
        ]  # fmt: skip
        assert {row.attempts for row in rows} == {0}

    def test_of_several_that_end_together_those_count_that_are_held_under_their_own_lease(self, store):
        ids = ["done", "failed", "another's", "waits"]
        store.write(lambda tx: tx.put_outbox([an_effect(id) for id in ids]))

        def lease(tx, id, token):
            tx.lease_outbox(NOW, LATER, token, 9)
            for other in ids:
                if other != id:
                    tx.put_back([other], token)

        for id, token in (("done", "a"), ("failed", "b"), ("another's", "c")):
            store.write(lambda tx, id=id, token=token: lease(tx, id, token))
        ends = [
            Ended("done", "a", "done"), Ended("failed", "b", "failed", "no such number"), Ended("another's", "b", "done"),
            Ended("waits", "", "done"), Ended("nothing", "a", "done"),
        ]  # fmt: skip

        def work(tx):
            return tx.complete_several(ends, LATER), [tx.outbox_row(id).state for id in ids]

        held = {Ended("done", "a", "done"), Ended("failed", "b", "failed", "no such number")}
        assert store.write(work) == (held, ["done", "failed", "leased", "waiting"])
        row = store.read(lambda tx: tx.outbox_row("failed"))
        assert (row.last_error, row.finished_at, row.lease_until, row.lease_token) == (
            "no such number",
            LATER,
            0,
            "",
        )
        assert store.write(lambda tx: tx.complete_several(ends, LATER)) == set()
        assert store.write(lambda tx: tx.complete_several([], LATER)) == set()

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

    @pytest.mark.semantics(20)
    def test_a_message_that_is_tried_again_and_again_is_late_since_it_was_first_due(self, store):
        store.write(lambda tx: tx.put_outbox([an_effect(), an_effect("held", not_before=NOW + 5)]))
        store.write(lambda tx: tx.lease_outbox(NOW + 9, LATER, "t", 9))
        store.write(lambda tx: tx.retry_outbox("o1", "t", LATER, "timed out"))
        store.write(lambda tx: tx.put_back(["held"], "t", LATER))
        assert store.read(lambda tx: tx.oldest_waiting(NOW + 9)) == (None, NOW)
        assert store.read(lambda tx: tx.outbox_row("o1")).attempts == 1
        held = store.read(lambda tx: tx.outbox_row("held"))
        assert (held.attempts, held.not_before) == (0, LATER), "to be held back is no failure and not late"

    def test_what_channels_do_not_take_is_counted_by_channel_with_the_last_error(self, store):
        assert store.read(lambda tx: tx.stuck()) == []
        effects = [
            an_effect("first"),
            an_effect("second", not_before=NOW + 2),
            an_effect("untried", not_before=LATER),
        ]
        store.write(lambda tx: tx.put_outbox([*effects, an_effect("lost"), an_effect("left")]))
        store.write(lambda tx: tx.lease_outbox(NOW + 9, LATER, "t", 9))

        def ends(tx):
            tx.retry_outbox("second", "t", LATER, "timed out")
            tx.retry_outbox("first", "t", LATER + 1, "refused")
            tx.complete_outbox("lost", "t", "failed", NOW + 9, "no such number")

        store.write(ends)
        channel = effects[0].channel
        waits = Stuck(channel, False, 2, NOW, "refused")
        assert store.read(lambda tx: tx.stuck()) == [waits, Stuck(channel, True, 1, NOW, "no such number")]
        store.write(lambda tx: tx.complete_outbox("left", "t", "done", NOW + 9))
        assert store.read(lambda tx: tx.stuck()) == [waits], (
            "the page of the one that was lost reached somebody"
        )

    @pytest.mark.semantics(20)
    def test_what_failed_for_good_for_everybody_counts_until_somebody_is_reached_or_nobody_waits(self, store):
        def fail(*ids):
            store.write(lambda tx: tx.lease_outbox(LATER, LATER + HOUR, "t", 9))
            store.write(lambda tx: [tx.complete_outbox(id, "t", "failed", LATER, "gone") for id in ids])

        store.write(lambda tx: tx.put_outbox([an_effect(), an_effect("told", effect="notice")]))
        assert store.read(lambda tx: tx.oldest_unreached("page")) is None
        fail("o1", "told")
        assert store.read(lambda tx: tx.oldest_unreached("page")) == NOW
        store.write(lambda tx: tx.put_outbox([an_effect("next", not_before=LATER)]))
        assert store.read(lambda tx: tx.oldest_unreached("page")) == NOW
        store.write(lambda tx: tx.lease_outbox(LATER, LATER + HOUR, "u", 9))
        store.write(lambda tx: tx.complete_outbox("next", "u", "done", LATER))
        assert store.read(lambda tx: tx.oldest_unreached("page")) is None
        store.write(lambda tx: tx.put_outbox([an_effect("other", tag="page2")]))
        fail("other")
        assert store.read(lambda tx: tx.oldest_unreached("page")) == NOW
        store.write(lambda tx: tx.withdraw_outbox(str(INCIDENT), LATER, tag="page2"))
        assert store.read(lambda tx: tx.oldest_unreached("page")) is None

    def test_lists_are_newest_first(self, store):
        store.write(
            lambda tx: tx.put_outbox(
                [an_effect("3", created_at=LATER), an_effect("1"), an_effect("2", recipient="person:bob")]
            )
        )
        store.write(lambda tx: tx.lease_outbox(NOW, LATER, "t", 1))
        assert [row.id for row in store.read(lambda tx: tx.outbox())] == ["3", "2", "1"]
        assert [row.id for row in store.read(lambda tx: tx.outbox(state="waiting", limit=1))] == ["3"]
        assert [row.id for row in store.read(lambda tx: tx.outbox(recipient="person:bob"))] == ["2"]
        values = {"a": b"1", "b": b"2"}
        store.write(lambda tx: [tx.put_metas(values), tx.put_metas({})])
        assert store.read(lambda tx: tx.metas_named(["a", "b", "c"])) == values
        assert store.read(lambda tx: tx.metas_named([])) == {}

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

    def test_the_newest_records_of_a_kind_are_read_some_at_a_time(self, store):
        rows = [a_record(id) for id in "bdac"] + [a_record("z", kind="team")]
        store.write(lambda tx: tx.put_records(rows))
        found = store.read(lambda tx: tx.newest_records("person", 3))
        assert [row.id for row in found] == ["d", "c", "b"]
        assert [row.id for row in store.read(lambda tx: tx.newest_records("person", 3, "b"))] == ["a"]

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
