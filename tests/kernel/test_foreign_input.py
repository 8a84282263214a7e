"""What strangers send is decoded or refused with a sentence; secrets do not survive masking."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.kernel.codec import decode_foreign
from tocsin.kernel.errors import Unusable
from tocsin.kernel.redact import mask, shown


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'"\\ud800"', "not valid"),
        (b"[" * 100_000, "nested|not valid JSON"),
        (b'{"a": ["x\\u0000y"]}', r"NUL character at \$\.a\[0\]"),
        (b"[" * 101 + b"]" * 101, "nested more than 100 deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested more than 100 deep"),
        (b"[" * 99 + b'"\\u0000"' + b"]" * 99, "NUL character"),
    ],
)
def test_every_oddity_is_refused_with_its_reason(body, reason):
    with pytest.raises(Unusable, match=reason):
        decode_foreign(body)


def test_a_hundred_deep_is_read_and_brackets_within_texts_are_none():
    assert decode_foreign(b"[" * 100 + b"]" * 100)
    assert decode_foreign(b'["' + b"[" * 500 + b'"]') == ["[" * 500]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_unusable(body):
    try:
        decode_foreign(body)
    except Unusable as error:
        assert error.sentence


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cretvalue99",
        "postgresql://tocsin:s3cretvalue99@db/tocsin",
        '{"routing_key": "s3cretvalue99"}',
        "token=s3cretvalue99&x=1",
        "POST /in/generic/s3cretvalue99abcdef failed",
        "xoxb-s3cretvalue99",
        '{"Authorization":"Bearer s3cretvalue99","x":1}',
        "'x-authorization': 'Basic s3cretvalue99'",
        "client_secret=s3cretvalue99",
        '"auth_token" : "s3cretvalue99"',
        "accessToken: s3cretvalue99",
        "password2=s3cretvalue99",
        '{"password":"one two s3cretvalue99"}',
        "secret: 'one two s3cretvalue99'",
        '{"password":"it was cut off s3cretvalue99',
        r'{"message":"{\"password\":\"one s3cretvalue99\"}"}',
        "Bearer s3cretvalue99abc",
        "toc_s3cretvalue99",
        "eyJhbGciOiJIUzI1NiJ9.s3cretvalue99.sig",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cretvalue99\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ns3cretvalue99 and it was cut off",
    ],
)
def test_secrets_are_masked(text):
    assert "s3cretvalue99" not in mask(text)


def test_what_is_no_secret_stays():
    text = 'a "key" of two words: {"tokens": {"a": 1}}; ask for a token at http://host:8080/x'
    assert mask(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "a.", "-----BEGIN PRIVATE KEY-----", "-----BEGIN A ", "authorization: ", "token", 'token="', "token=\\", "://", "a://a:",
        "/in/a", "-eyJ", "eyJa.", "bearer ", "password", "\\",
    ],
)  # fmt: skip
def test_masking_takes_time_as_the_text_is_long_and_no_more(piece):
    text = (piece * 60_000)[:60_000]
    start = time.process_time()
    mask(text)
    assert time.process_time() - start < 2, "the slow way takes minutes for some of these"


def test_what_is_said_back_is_short_and_a_secret_is_seen_before_the_cut():
    assert shown("x" * 1000) == "x" * 60
    assert "s3cret" not in shown("https://user:s3cretvalue99@host/", 16)


def test_a_mark_before_the_text_is_passed_over_and_nothing_is_told_as_such():
    assert decode_foreign(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    for nothing in (b"", b" \n", b"\xef\xbb\xbf"):
        with pytest.raises(Unusable, match="is empty"):
            decode_foreign(nothing)
    with pytest.raises(Unusable, match="not valid JSON"):
        decode_foreign(b"\xef\xbb\xbf" * 300_000 + b"{}")
