"""What every store promises of facts, streams and alerts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import rows
from rows import (
    INCIDENT,
    NOW,
    a_stream,
    an_alert,
    another_stream,
    append,
    facts_after,
)

from tocsin.kernel.clock import MINUTE
from tocsin.kernel.errors import Conflict, Unusable
from tocsin.kernel.facts import GENESIS, Stream, verify_chain

LATER = NOW + MINUTE


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

    def test_what_changed_since_a_fact_is_told_as_long_as_that_fact_is_there(self, store):
        assert store.read(lambda tx: tx.last_fact()) == (0, b"")
        store.write(append)
        position, hash = store.read(lambda tx: tx.last_fact())
        assert store.read(lambda tx: tx.fact_hash(position)) == hash
        assert store.read(lambda tx: tx.fact_hash(position + 1)) is None
        assert store.read(lambda tx: tx.changed_streams("incident", position, 9)) == {}
        other = another_stream()
        store.write(lambda tx: [append(tx, 2, other), append(tx), append(tx, 1, Stream("action", "a"))])
        changed = store.read(lambda tx: tx.changed_streams("incident", position, 9))
        assert list(changed) == [other.id, INCIDENT.id]
        for stream in (other, INCIDENT):
            assert changed[stream.id] == store.read(lambda tx, one=stream: tx.facts(one))[-1].hash
        assert store.read(lambda tx: tx.changed_streams("incident", position, 3)) is None

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
        named = {INCIDENT.id: (2, facts[-1].hash)}
        assert store.read(lambda tx: tx.heads_of("incident", {INCIDENT.id, "nothing", "p1"})) == named
        assert store.read(lambda tx: tx.heads_of("incident", [])) == {}

    def test_what_a_unit_of_work_wrote_it_reads_whether_it_is_asked_for_at_once_or_at_the_end(self, store):
        """Stores may let rows wait for each other; whoever asks never notices."""
        other = another_stream()

        def work(tx):
            said = [tx.next_number("INC"), tx.next_number("INC")]
            facts = append(tx, 2, title="slow")
            append(tx, 1, other, title="another")
            seen = [tx.stream(INCIDENT).title, tx.stream(other).version, len(tx.facts(INCIDENT))]
            facts += append(tx, 1, title="slower")
            tx.put_stream(a_stream(INCIDENT, 3, facts[-1].hash, title="slowest"), behind=True)
            tx.move_head(other, 2, b"moved", LATER)
            tx.move_head(other, 3, b"again", LATER)
            seen += [tx.last_position() - tx.facts(INCIDENT)[0].position, tx.heads()[str(other)]]
            tx.set_timer("incident", "a", LATER)
            tx.set_timer("incident", "b", NOW)
            tx.set_timer("incident", "a", None)
            seen += [tx.timer("incident", "a"), tx.next_timer()]
            tx.set_timer("incident", "a", NOW - 1)
            tx.put_group("g", INCIDENT.id, NOW, NOW)
            tx.put_group("g", INCIDENT.id, NOW, LATER)
            seen += [tx.group("g"), tx.group("other")]
            tx.drop_groups(INCIDENT.id)
            seen += [tx.group("g")]
            tx.put_group("g", other.id, LATER, LATER)
            return said, seen

        said, seen = store.write(work)
        assert said == [1, 2] and store.write(lambda tx: tx.next_number("INC")) == 3
        assert seen == ["slow", 1, 2, 3, (3, b"again"), None, NOW, (INCIDENT.id, NOW, LATER), None, None]

        def after(tx):
            row = tx.stream(INCIDENT)
            return (
                row.version,
                row.title,
                len(tx.facts(INCIDENT)),
                len(tx.facts(other)),
                tx.next_timer(),
                tx.group("g"),
            )

        assert store.read(after) == (3, "slowest", 3, 1, NOW - 1, (other.id, LATER, LATER))

    def test_what_waited_to_be_written_is_undone_with_its_unit_of_work(self, store):
        def fails(tx):
            append(tx, 2)
            tx.next_number("INC")
            tx.put_group("g", INCIDENT.id, NOW, NOW)
            raise KeyError("a fault")

        with pytest.raises(KeyError):
            store.write(fails)
        assert store.read(lambda tx: (tx.facts(INCIDENT), tx.stream(INCIDENT), tx.group("g"))) == (
            [],
            None,
            None,
        )
        assert store.write(lambda tx: tx.next_number("INC")) >= 1


class StreamContract:
    def test_a_head_that_moved_leaves_the_rest_of_its_row_as_it_was(self, store):
        row = a_stream(title="slow")
        other = a_stream(another_stream(), title="another")
        store.write(lambda tx: [tx.put_stream(row), tx.put_stream(other)])
        store.write(lambda tx: tx.move_head(INCIDENT, row.version + 2, b"head", LATER))
        moved = msgspec.structs.replace(row, version=row.version + 2, head=b"head", updated_at=LATER)
        assert store.read(lambda tx: tx.stream(INCIDENT)) == moved
        assert store.read(lambda tx: tx.stream(other.stream)) == other

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
        assert store.read(lambda tx: tx.count_alerts(include_restricted=False)) == 3
        assert store.read(lambda tx: tx.count_alerts("resolved", include_restricted=False)) == 1

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

    def test_repeats_move_the_end_of_an_alert_and_it_is_looked_at_again_when_it_would_have_ended(self, store):
        def ending(until):
            return [row.dedup_key for row in store.read(lambda tx: tx.alerts_ending(until))]

        def next_end():
            return store.read(lambda tx: tx.next_end())

        assert next_end() is None
        rows = [an_alert("never"), an_alert("repeats", ends_at=NOW), an_alert("ends", ends_at=NOW + 2)]
        store.write(lambda tx: tx.put_alerts(rows))
        assert next_end() == NOW
        rows[1].ends_at, rows[1].repeats = LATER, 1
        store.write(lambda tx: tx.touch_alerts(rows[1:2]))
        assert next_end() == NOW, "nothing ends before that, and something might"
        assert ending(NOW + 1) == []
        assert ending(LATER) == ["ends", "repeats"]
        store.write(lambda tx: tx.look_later(NOW))
        assert next_end() == NOW + 2
        rows[1].ends_at = NOW + 1  # it ends sooner than it said before
        store.write(lambda tx: tx.put_alerts(rows[1:2]))
        assert (next_end(), ending(NOW + 2)) == (NOW + 1, ["repeats", "ends"])
        for row in rows:
            row.status = "expired"
        store.write(lambda tx: tx.put_alerts(rows))
        assert (next_end(), ending(LATER)) == (None, [])

    @pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 130])
    def test_many_rows_are_written_and_touched_each_with_its_own(self, store, count):
        rows = [
            an_alert(f"a{number:03}", ends_at=NOW + number, body=b"%d" % number) for number in range(count)
        ]
        store.write(lambda tx: tx.put_alerts(rows))
        for number, row in enumerate(rows):
            row.ends_at, row.last_at, row.source_at, row.repeats = (
                LATER + number,
                NOW + number,
                number,
                number + 1,
            )
        store.write(lambda tx: [tx.touch_alerts(rows), tx.touch_alerts([])])
        assert store.read(lambda tx: tx.alerts(status="firing")) == rows
        store.write(
            lambda tx: tx.put_alerts([msgspec.structs.replace(row, status="resolved") for row in rows[1:]])
        )
        assert [row.dedup_key for row in store.read(lambda tx: tx.alerts(status="firing"))] == ["a000"]
        facts = facts_after(0, GENESIS, count)
        store.write(lambda tx: tx.append(facts))
        stored = store.read(lambda tx: tx.facts(INCIDENT))
        assert [msgspec.structs.replace(fact, position=0) for fact in stored] == facts
        assert [fact.position for fact in stored] == sorted(fact.position for fact in stored)

    def test_of_many_rows_none_is_written_where_one_cannot_be(self, store):
        rows = [an_alert(f"a{number:03}") for number in range(100)]
        rows[90].summary = "half\x00a line"

        def work(tx):
            with pytest.raises(Unusable):
                tx.put_alerts(rows)

        store.write(work)
        assert store.read(lambda tx: tx.count_alerts()) == 0

    def test_ends_that_have_moved_are_looked_at_some_at_a_time(self, store):
        rows = [an_alert(f"a{number}", ends_at=NOW + number) for number in range(5)]
        store.write(lambda tx: tx.put_alerts(rows))
        for row in rows:
            row.ends_at = LATER
        store.write(lambda tx: tx.touch_alerts(rows))
        looked = []
        while (end := store.read(lambda tx: tx.next_end())) < LATER:
            looked.append(end)
            store.write(lambda tx: tx.look_later(NOW + 9, limit=2))
        assert looked == [NOW, NOW + 2, NOW + 4]

    def test_an_alert_that_was_read_and_not_written_is_read_as_it_is_stored(self, store):
        def change(undo):
            def work(tx):
                row = tx.alerts_by_key("prometheus", ["a"])["a"]
                row.repeats += 10
                if undo:
                    tx.put_alerts([row])
                    raise Undone

            return work

        class Undone(Exception):
            pass

        def beside_a_repeat(tx):
            repeated = tx.alerts_by_key("prometheus", ["a"])["a"]
            tx.put_alerts([msgspec.structs.replace(repeated, restricted=True)])
            tx.touch_alerts([repeated])

        def repeats():
            return store.write(lambda tx: tx.alerts_by_key("prometheus", ["a"])["a"].repeats)

        store.write(lambda tx: tx.put_alerts([an_alert("a", repeats=3)]))
        assert repeats() == 3
        store.write(change(undo=False))
        assert repeats() == 3
        store.write(lambda tx: tx.put_alerts([an_alert("a", repeats=4)]))
        with pytest.raises(Undone):
            store.write(change(undo=True))
        assert repeats() == 4
        store.write(beside_a_repeat)
        assert store.write(lambda tx: tx.alerts_by_key("prometheus", ["a"])["a"]).restricted
        store.write(lambda tx: tx.put_alerts([an_alert("a", incident=INCIDENT.id)]))
        store.write(lambda tx: tx.move_alerts(INCIDENT.id, "two"))
        assert store.write(lambda tx: tx.alerts_by_key("prometheus", ["a", "b"]))["a"].incident == "two"
        assert store.write(lambda tx: list(tx.alerts_by_key("prometheus", ["b", "a", "a"]))) == ["a"]

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

    def test_groups_that_were_looked_up_together_are_as_if_each_had_been(self, store):
        def fill(tx):
            tx.put_alerts([an_alert("a", group_key="g1"), an_alert("b", group_key="g2")])
            tx.put_group("g1", INCIDENT.id, NOW, NOW)
            tx.put_group("g2", INCIDENT.id, NOW, NOW)

        store.write(fill)

        def work(tx):
            names = ["g1", "g2", "none", *(f"other {n}" for n in range(20))]
            tx.look_up_groups(names)
            found = [[tx.group(name) for name in names[:3]]]
            tx.put_group("none", "new", NOW, NOW)
            tx.put_group("g1", INCIDENT.id, NOW, LATER)
            found.append([tx.group(name) for name in names[:3]])
            tx.move_alerts(INCIDENT.id, "two")
            found.append([tx.group(name) for name in names[:3]])
            tx.drop_groups("two")
            found.append([tx.group(name) for name in names[:3]])
            return found

        one, new = (INCIDENT.id, NOW, NOW), ("new", NOW, NOW)
        assert store.write(work) == [
            [one, one, None],
            [(INCIDENT.id, NOW, LATER), one, new],
            [("two", NOW, LATER), ("two", NOW, NOW), new],
            [None, None, new],
        ]

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
