"""The chain shows every change to what it holds, and a redacted body does not break it."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.kernel.clock import ManualClock
from tocsin.kernel.codec import canonical
from tocsin.kernel.errors import Unusable
from tocsin.kernel.facts import GENESIS, Actor, Draft, Stream, chain, from_stored, verify_chain
from tocsin.kernel.randomness import SeededRandomness, ulid
from tocsin.kernel.seal import check_seal, make_seal, new_key, public_key

STREAM = Stream("incident", "01J0000000000000000000000A")


def some_facts(count=4):
    clock, randomness = ManualClock(), SeededRandomness(1)
    drafts = [Draft("note_added", canonical({"text": f"line {n}"}), clock.now()) for n in range(count)]
    ids = [ulid(randomness, clock.now()) for _ in drafts]
    return chain(
        STREAM,
        drafts,
        version=0,
        previous=GENESIS,
        actor=Actor("person:anna", "web"),
        command_id="c1",
        now=clock.now(),
        ids=ids,
    )


def test_an_untouched_stream_verifies_and_reads_back_from_its_stored_columns():
    facts = some_facts()
    assert verify_chain(facts, STREAM) is None
    assert [from_stored(f.header, f.body, f.hash, f.position) for f in facts] == facts


def test_a_redacted_body_leaves_the_chain_whole():
    facts = some_facts()
    facts[1] = msgspec.structs.replace(facts[1], body=None)
    assert verify_chain(facts) is None


def changed_body(facts):
    facts[2] = msgspec.structs.replace(facts[2], body=b'{"text":"something else"}')
    return 3


def changed_header(facts):
    facts[1] = msgspec.structs.replace(facts[1], header=facts[1].header.replace(b"anna", b"bert"))
    return 2


def changed_header_and_hash(facts):
    header = facts[1].header.replace(b"anna", b"bert")
    facts[1] = msgspec.structs.replace(facts[1], header=header, hash=hashlib.sha256(header).digest())
    return 3


def taken_out(facts):
    del facts[1]
    return 3


def repeated(facts):
    facts.insert(1, facts[0])
    return 1


@pytest.mark.parametrize("harm", [changed_body, changed_header, changed_header_and_hash, taken_out, repeated])
def test_the_first_fact_that_does_not_fit_is_named(harm):
    facts = some_facts()
    version = harm(facts)
    flaw = verify_chain(facts)
    assert flaw is not None
    assert flaw.version == version


def test_a_fact_of_another_stream_is_noticed():
    flaw = verify_chain(some_facts(), Stream("incident", "another"))
    assert flaw is not None
    assert "belongs to" in flaw.reason


def test_a_float_in_a_fact_is_refused_and_located():
    with pytest.raises(Unusable) as caught:
        chain(
            STREAM,
            [Draft("x", canonical({"a": [{"b": 0.5}]}), 0)],
            version=0,
            previous=GENESIS,
            actor=Actor("x"),
            command_id="",
            now=0,
            ids=["i"],
        )
    assert caught.value.where == "$.a[0].b"


@given(st.floats(), st.text(), st.text())
def test_no_float_slips_through_and_no_text_is_taken_for_one(number, before, after):
    for value in ({before: number}, {"x": [before, {"y": number}, after]}):
        with pytest.raises(Unusable):
            canonical(value)
    for text in (before, after, str(number), f":{number},{before}"):
        assert canonical({"text": text, "n": 7}) == msgspec.json.encode({"n": 7, "text": text})


def test_a_seal_holds_for_what_it_sealed_and_for_nothing_else():
    secret = new_key()
    seal = make_seal(secret, 5, {"incident/a": (4, "ab"), "incident/b": (1, "cd")})
    assert check_seal(seal, public_key(secret)) is None
    assert check_seal(msgspec.structs.replace(seal, heads={"incident/a": (3, "ab")})) is not None
    assert "trusted" in (check_seal(seal, public_key(new_key())) or "")


@given(st.integers(min_value=0, max_value=2**47), st.integers())
def test_ulids_sort_by_their_millisecond(milliseconds, seed):
    early = ulid(SeededRandomness(seed), milliseconds * 1000)
    late = ulid(SeededRandomness(seed + 1), (milliseconds + 1) * 1000)
    assert len(early) == 26
    assert early < late
