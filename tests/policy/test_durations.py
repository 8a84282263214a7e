"""Durations as people write them in a policy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND
from tocsin.kernel.errors import Unusable
from tocsin.policy.calendar import Duration


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("90s", "elapsed", 90 * SECOND),
        ("15m", "elapsed", 15 * MINUTE),
        ("15 min", "elapsed", 15 * MINUTE),
        ("4h", "elapsed", 4 * HOUR),
        ("3d", "elapsed", 3 * DAY),
        ("1 week", "elapsed", 7 * DAY),
        ("0", "elapsed", 0),
        ("4h business", "business", 4 * HOUR),
        ("30m business", "business", 30 * MINUTE),
        ("2 business hours", "business", 2 * HOUR),
        ("2 business days", "business_days", 2),
        ("1 Business Day", "business_days", 1),
        ("1 month", "months", 1),
        ("1 quarter", "months", 3),
        ("1 year", "months", 12),
    ],
)
def test_every_form_is_read(text: str, kind: str, amount: int) -> None:
    duration = Duration.parse(text)
    assert (duration.kind, duration.amount) == (kind, amount)


@pytest.mark.parametrize(
    "text",
    ["", "4", "h", "4 fortnights", "-4h", "1.5h", "4h 30m", "1 business week", "1 business month", "0 business days",
     "999999 weeks", "4h\x00", "٤h"],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(Unusable) as refused:
        Duration.parse(text)
    assert "2 business days" in refused.value.sentence


def test_a_duration_keeps_the_words_it_was_written_in() -> None:
    assert Duration.parse("72h").text == "72h"
    assert Duration.parse("72h") == Duration.parse("3d")
    assert Duration.parse("2 weeks").text == "2 weeks"


@given(
    st.one_of(
        st.builds(Duration, st.just("elapsed"), st.integers(0, 10**6).map(lambda n: n * SECOND)),
        st.builds(Duration, st.just("business"), st.integers(0, 9_999).map(lambda n: n * MINUTE)),
        st.builds(Duration, st.just("business_days"), st.integers(1, 999)),
        st.builds(Duration, st.just("months"), st.integers(0, 99)),
    )
)
@settings(max_examples=200)
def test_the_text_of_a_duration_reads_back_as_the_same_duration(duration: Duration) -> None:
    again = Duration.parse(duration.text)
    assert again == duration
    assert again.text == duration.text


def test_only_elapsed_durations_have_a_length() -> None:
    assert Duration.parse("5m").micros == 5 * MINUTE
    with pytest.raises(Unusable, match="calendar"):
        _ = Duration.parse("4h business").micros
    assert Duration.parse("4h business").is_business
    assert not Duration.parse("1 month").is_business


@pytest.mark.parametrize(
    ("text", "said"),
    [("15m", "15 minutes"), ("1h", "1 hour"), ("72h", "72 hours"), ("1 week", "1 week"),
     ("4h business", "4 hours of business time"), ("2 business days", "2 business days"), ("90s", "90 seconds")],
)  # fmt: skip
def test_a_duration_is_said_in_words(text: str, said: str) -> None:
    assert Duration.parse(text).said == said
