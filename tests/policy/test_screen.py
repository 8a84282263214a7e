"""A pattern is searched only in texts that have a word it needs: that answers faster, and never otherwise."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.kernel.errors import Unusable
from tocsin.policy.conditions import LONGEST, asked, holds, pattern, words_of
from tocsin.policy.load import default_policy_text, policy_from_bytes

letters = st.text("abkisAKS", min_size=1, max_size=4)
"""k, s and i are letters that other letters than their capitals count as"""
pieces = st.recursive(
    letters | st.sampled_from([r"\b", ".", "[a-k]", "[^a]", r"\w", ".{0,3}", "ſ", "é", "^", "$", " "]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: f"({'|'.join(each)})"),
        inner.map(lambda one: f"(?:{one})?"),
        inner.map(lambda one: f"(?:{one}){{1,2}}"),
        inner.map(lambda one: f"(?-i:{one})"),
    ),
    max_leaves=6,
)


def is_safe(text):
    try:
        pattern(text)
    except Unusable:
        return False
    return True


@given(pieces.filter(is_safe), st.lists(letters | st.sampled_from("ſKİı é\n-"), max_size=6).map("".join))
def test_what_is_looked_for_first_changes_no_answer(wanted, text):
    searched = re.search(wanted, text, re.IGNORECASE) is not None
    assert holds(asked(fact="summary", matches=wanted), {"summary": text}) is searched


@given(st.data())
def test_nor_for_the_rules_that_ship(data):
    wanted = data.draw(st.sampled_from(SHIPPED))
    words = [*sorted({word for one in SHIPPED for word in re.findall(r"[a-z]+|\d+", one)}), " ", "-", "%"]
    said = data.draw(st.lists(st.sampled_from(words), max_size=12))
    text = data.draw(st.sampled_from(["", " "])).join(said)
    text = data.draw(st.sampled_from([str, str.upper, str.title]))(text)
    searched = re.search(wanted, text, re.IGNORECASE) is not None
    assert holds(asked(fact="summary", matches=wanted), {"summary": text}) is searched


def every_pattern(condition):
    if condition.matches is not None:
        yield condition.matches
    for part in (*(condition.all or ()), *(condition.any or ()), *filter(None, [condition.not_])):
        yield from every_pattern(part)


SHIPPED = sorted(
    {
        one
        for rule in policy_from_bytes(default_policy_text().encode()).rules
        for one in every_pattern(rule.when)
    }
)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("down", ("down",)),
        (r"\b(outage|down|offline)\b", ("down", "offline", "outage")),
        (r"(?:data|db) (leak|leaked)", ("leak",)),  # and what has the longer word has the shorter
        ("Database.{0,20}", ("database",)),
        ("(down)?", ()),
        ("[a-z]+", ()),
        ("down|.", ()),
        ("x", ()),  # nearly every text has that
        (r"fo\bo", ("foo",)),
        ("caſe", ("ca",)),  # what is not ASCII may be found as a letter that is
    ],
)  # fmt: skip
def test_a_pattern_says_which_words_it_needs(wanted, words):
    assert words_of(wanted) == words


def test_however_deep_a_pattern_is_it_can_be_asked_for():
    wanted = "(" * 340 + "down" + ")" * 340
    assert is_safe(wanted)
    assert holds(asked(fact="summary", matches=wanted), {"summary": "it is down"})


def test_a_pattern_that_needs_one_of_very_many_words_is_searched_for_at_once():
    assert words_of("|".join(f"{chr(97 + n // 26)}{chr(97 + n % 26)}x" for n in range(100))) == ()


def test_most_rules_that_ship_name_a_word_to_look_for():
    assert [one for one in SHIPPED if not words_of(one)] == [r"\S"]


def test_what_stands_behind_the_part_that_is_looked_at_is_not_found():
    assert not holds(asked(fact="summary", matches="down"), {"summary": " " * LONGEST + "down"})
    assert holds(asked(fact="summary", matches="down"), {"summary": " " * (LONGEST - 4) + "down"})


@pytest.mark.parametrize("text", ["ſtop", "ſTOP", "breaK"])
def test_letters_that_count_as_others_are_searched_for_as_before(text):
    wanted = "stop|break"
    assert re.search(wanted, text, re.IGNORECASE) and words_of(wanted) == ("break", "stop")
    assert holds(asked(fact="summary", matches=wanted), {"summary": text})
