"""What an address takes, and when silence is an alert."""

import pytest

from tocsin.intake.heartbeat import alert_of, check_interval, overdue
from tocsin.intake.limits import (
    MAX_BODY,
    TooLarge,
    UnsupportedEncoding,
    check_headers,
    check_size,
    kept_headers,
)
from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND, parse_instant
from tocsin.kernel.errors import Unusable

NOW = parse_instant("2026-03-02T09:00:00Z")


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 5000])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(length):
    with pytest.raises(TooLarge, match="1024 kB"):
        check_headers({"content-length": length})


def test_a_body_that_says_nothing_is_refused_when_it_has_grown():
    check_headers({"content-type": "text/plain", "content-length": "-1"})
    check_size(MAX_BODY)
    with pytest.raises(TooLarge):
        check_size(MAX_BODY + 1)


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
def test_compressed_bodies_are_refused(encoding):
    with pytest.raises(UnsupportedEncoding, match="uncompressed"):
        check_headers({"content-encoding": encoding})


def test_headers_that_carry_keys_are_not_kept():
    kept = kept_headers({"user-agent": "curl", "authorization": "Bearer x", "cookie": "y"})
    assert kept == "user-agent: curl"


def test_a_beat_is_late_after_interval_and_grace():
    assert not overdue(NOW, HOUR, MINUTE, NOW + HOUR + MINUTE - 1).overdue
    late = overdue(NOW, HOUR, MINUTE, NOW + HOUR + MINUTE)
    assert late.overdue
    assert "no beat for 1 h 1 min" in late.reason


@pytest.mark.semantics(3)
def test_time_in_which_nothing_could_be_received_makes_no_beat_late():
    assert not overdue(NOW, HOUR, 0, NOW + 2 * HOUR, deaf=2 * HOUR).overdue
    assert overdue(NOW, HOUR, 0, NOW + 3 * HOUR, deaf=2 * HOUR).overdue


def test_what_never_beat_is_not_late():
    assert overdue(0, HOUR, 0, NOW).due_at == 0


def test_a_missed_beat_is_an_alert_and_the_next_beat_its_end():
    missed = alert_of("i1", "backup", overdue(NOW, HOUR, 0, NOW + DAY), NOW)
    back = alert_of("i1", "backup", overdue(NOW + DAY, HOUR, 0, NOW + DAY), NOW + DAY)
    assert (missed.action, back.action, missed.dedup_key) == ("trigger", "resolve", back.dedup_key)


@pytest.mark.parametrize(("interval", "grace"), [(SECOND, 0), (500 * DAY, 0), (HOUR, -1)])
def test_intervals_that_make_no_sense_are_refused(interval, grace):
    with pytest.raises(Unusable):
        check_interval(interval, grace)
