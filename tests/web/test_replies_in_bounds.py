"""What claims to be a provider's answer is measured before it is read."""

import asyncio

import pytest
from starlette.requests import Request

from tocsin.intake.limits import TooLarge, UnsupportedEncoding
from tocsin.web.replies import LIMIT, Replies

FORM = "application/x-www-form-urlencoded"


def form_of(pieces, content_type=FORM, **headers):
    """(the form, how many pieces were asked for)"""
    asked = iter(pieces)
    taken = []

    async def receive():
        taken.append(1)
        return {"type": "http.request", "body": next(asked, b""), "more_body": len(taken) < len(pieces)}

    named = {"content-type": content_type, **headers}
    scope = {
        "type": "http", "method": "POST", "path": "/in/reply/sms/KEY", "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip
    try:
        return asyncio.run(Replies._form(Request(scope, receive))), len(taken)
    except (TooLarge, UnsupportedEncoding) as error:
        return error, len(taken)


def test_a_form_is_read_in_its_order():
    assert form_of([b"From=%2B1555&Bo", b"dy=ACK"])[0] == [("From", "+1555"), ("Body", "ACK")]


def test_a_body_is_given_up_at_the_limit_and_not_at_its_end():
    refused, taken = form_of([b"x" * 16_384] * 1000)
    assert (refused.status, taken) == (413, LIMIT // 16_384 + 1)
    refused, taken = form_of([b"x"], content_length=str(10**9))
    assert (refused.status, taken) == (413, 0)


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape"])
def test_another_encoding_than_utf_8_is_refused(charset):
    refused, _ = form_of([b""], f"multipart/form-data; boundary=B; charset={charset}")
    assert refused.status == 415
