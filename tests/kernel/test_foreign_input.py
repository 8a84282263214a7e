"""What strangers send is decoded or refused with a sentence; secrets do not survive masking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.kernel.codec import decode_foreign
from tocsin.kernel.errors import Unusable
from tocsin.kernel.redact import mask


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'"\\ud800"', "not valid"),
        (b"[" * 100_000, "nested|not valid JSON"),
        (b'{"a": ["x\\u0000y"]}', r"NUL character at \$\.a\[0\]"),
    ],
)
def test_every_oddity_is_refused_with_its_reason(body, reason):
    with pytest.raises(Unusable, match=reason):
        decode_foreign(body)


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
    ],
)
def test_secrets_are_masked(text):
    assert "s3cretvalue99" not in mask(text)
