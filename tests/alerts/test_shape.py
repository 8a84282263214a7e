"""What strangers write becomes one line that steers nothing."""

import pytest

from tocsin.alerts.shape import MAX_SUMMARY, headline, one_line


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("disk full", "disk full"),
        ("  disk\tis\n  full \r\n", "disk is full"),
        ("down\r\nAcknowledge: https://evil.example/", "down Acknowledge: https://evil.example/"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
        ("exe.\u202egpj\u202c \u2066x\u2069", "exe.gpj x"),
        ("größer 日本 👩\u200d🚒 می\u200cخواهم", "größer 日本 👩\u200d🚒 می\u200cخواهم"),
        ("\n \u202e", ""),
    ],
)
def test_a_text_as_one_line(written, shown):
    assert one_line(written) == shown


def test_a_headline_is_cut_and_says_so():
    notes: list[str] = []
    line = headline("x\n" * 5000, "the summary", notes)
    assert (len(line), line[-1]) == (MAX_SUMMARY, "…")
    assert "cut" in notes[0]
