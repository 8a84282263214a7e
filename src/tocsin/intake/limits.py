"""What an intake address takes: sizes, encodings and content types, as constants and pure checks."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.kernel.errors import TocsinError

MAX_BODY = 1024 * 1024
"""bytes of a webhook's body"""
MAX_EVENT_BODY = 512 * 1024
"""bytes of a PagerDuty event, the protocol's own limit"""
MAX_BATCH_BODY = 16 * 1024 * 1024
"""bytes of a batch for the Alertmanager API: Prometheus sends up to 64 alerts at a time, relays send more"""
MAX_ALERTS = 10_000
"""alerts in one body"""
MAX_KEPT_BODY = 64 * 1024
"""bytes of a body that are kept among the last requests of an integration"""
RETRY_AFTER = 5
"""seconds a sender is asked to wait when the intake is full"""
READ_SECONDS = 30
"""seconds a body may take to arrive: slow senders must not fill the places of others"""

KEPT_HEADERS = (
    "content-type",
    "content-length",
    "user-agent",
    "x-request-id",
    "sentry-hook-resource",
    "x-amz-sns-message-type",
)
"""Headers that are kept among the last requests; never those that carry a key."""


class TooLarge(TocsinError):
    """The body is larger than the address takes."""

    status = 413


class UnsupportedEncoding(TocsinError):
    """The body is compressed or in another encoding than the address reads."""

    status = 415


class TooSlow(TocsinError):
    """The body did not arrive in time."""

    status = 408


def check_headers(headers: Mapping[str, str], *, limit: int = MAX_BODY) -> None:
    """Looks at a request before its body is read. ``headers``: names in lower case.

    Raises :class:`TooLarge` (413) or :class:`UnsupportedEncoding` (415). Compressed bodies are refused because a small one
    can unfold into gigabytes. The content type is not looked at: Amazon SNS sends JSON as ``text/plain``, curl as a form.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncoding(
            f"the body is sent with Content-Encoding: {encoding[:40]}; send it uncompressed"
        )
    length = headers.get("content-length", "").strip()
    if length.isascii() and length.isdigit() and (len(length) > 12 or int(length) > limit):
        raise too_large(limit)


def check_size(size: int, *, limit: int = MAX_BODY) -> None:
    """Raises :class:`TooLarge` when more than ``limit`` bytes were received (chunked bodies announce no length)."""
    if size > limit:
        raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """The refusal of a body of more than ``limit`` bytes."""
    return TooLarge(
        f"the body is larger than {limit // 1024} kB; send fewer alerts at a time, or fewer details"
    )


def kept_headers(headers: Mapping[str, str]) -> str:
    """The headers worth keeping with a request, a line each, at most 2,000 characters; keys are never among them."""
    return "\n".join(f"{name}: {headers[name][:300]}" for name in KEPT_HEADERS if name in headers)[:2000]
