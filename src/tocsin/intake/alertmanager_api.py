"""Alertmanager's API v2, the side that takes: posted alerts and posted silences.

Source: https://github.com/prometheus/alertmanager, ``api/v2/openapi.yaml``; what a posted alert's times mean follows its
``postAlertsHandler``. What the API shows is in :mod:`tocsin.intake.alertmanager_views`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NoReturn

import msgspec

from tocsin.alerts.matchers import from_json
from tocsin.alerts.shape import Alert, Parsed, body_of, fit_details, fit_labels
from tocsin.alerts.silences import Silence, check_silence, state_of
from tocsin.intake.limits import MAX_ALERTS
from tocsin.intake.prometheus import describe, fingerprint, usable_labels
from tocsin.intake.reading import any_instant, in_a_zone, instant, json_object
from tocsin.kernel.clock import MINUTE, SECOND, Instant
from tocsin.kernel.codec import BYTE_ORDER_MARK, decode_foreign, encode
from tocsin.kernel.errors import Unusable
from tocsin.kernel.randomness import Randomness

RESOLVE_TIMEOUT = 5 * MINUTE
"""An alert that names no end expires this long after its last receipt, Alertmanager's own default."""

VIA = "alertmanager-api-v2"

_AT = re.compile(r"^(.*?) - at `(.*)`$", re.DOTALL)


class PostableAlert(msgspec.Struct):
    """One alert as posted; the protocol's own names."""

    labels: dict[str, str]
    annotations: dict[str, str] | None = None
    startsAt: str | None = None
    endsAt: str | None = None
    generatorURL: str | None = None


class _Sent(msgspec.Struct):
    """The same, with what hardly ever changes left as the bytes that came."""

    labels: msgspec.Raw
    annotations: msgspec.Raw = msgspec.Raw()
    startsAt: str | None = None
    endsAt: str | None = None
    generatorURL: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(list[PostableAlert])
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_sent_decoder = msgspec.json.Decoder(list[_Sent])
_labels_decoder = msgspec.json.Decoder(dict[str, str])
_annotations_decoder = msgspec.json.Decoder(dict[str, str] | None)
_address_decoder = msgspec.json.Decoder(str | None)

Words = tuple[bytes, bytes, bytes]
"""labels, annotations and generator of an alert, as they were sent"""

REMEMBERED = 8192
"""alerts that are remembered as they were read: Prometheus sends each again and again, word for word"""

LONGEST = 4096
"""bytes of the words of an alert that is worth remembering"""

_came: set[int] = set()
"""hashes of words that came once"""
_known: dict[Words, Alert] = {}
"""what was read of these words; copied, never changed"""


def parse_alerts(body: bytes, now: Instant, *, resolve_timeout: int = RESOLVE_TIMEOUT) -> Parsed:
    """The alerts of ``POST /api/v2/alerts``. Raises :class:`Unusable` where the body as a whole cannot be read.

    As in Alertmanager, the alerts that are valid are taken though others are not: those are in ``refused``, and the
    answer is then 400. ``now`` is the time of receipt; ``resolve_timeout`` microseconds.
    """
    parsed = Parsed()
    read = _read(body)
    if len(read) > MAX_ALERTS:
        raise Unusable(f"there are {len(read)} alerts in one body; send at most {MAX_ALERTS}", "$")
    for index, one in enumerate(read):
        try:
            if isinstance(one, Unusable):
                raise one
            sent, words, known = one
            if isinstance(known, Alert):
                alert = copy(known)
            else:
                alert = _alert(known, words, f"$[{index}]", parsed.notes)
            parsed.alerts.append(_at_its_time(alert, sent, f"$[{index}]", now, resolve_timeout))
        except Unusable as fault:
            parsed.refused.append(f"{fault.where}: {fault.sentence}")
    return parsed


def error_body(sentence: str) -> bytes:
    """The body of a 400, 404 or 500: a JSON string, as the API's description says."""
    return encode(sentence)


Read = tuple[_Sent, Words, Alert | PostableAlert]


def _read(body: bytes) -> Sequence[Read | Unusable]:
    """What was sent; for each alert its words, and the alert they make where they are known, else what they say."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    if b"\\u0000" in body or b"\x00" in body:
        return _read_each(body)
    try:
        found: list[Read] = []
        for sent in _sent_decoder.decode(body):
            words = (bytes(sent.labels), bytes(sent.annotations), bytes(sent.generatorURL))
            found.append((sent, words, _known.get(words) or _posted(words)))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _read_each(body)
    return found


def _read_each(body: bytes) -> list[Read | Unusable]:
    """The same of a body in which something is wrong, alert by alert: one that cannot be read takes no other with it."""
    try:
        each = _list_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        _refuse(body)
    found: list[Read | Unusable] = []
    for index, raw in enumerate(each):
        try:
            found.append(_read_one(bytes(raw), f"$[{index}]"))
        except Unusable as fault:
            found.append(fault)
    return found


def _read_one(raw: bytes, where: str) -> Read:
    try:
        value = decode_foreign(raw, what="the alert")
    except Unusable as fault:
        raise Unusable(fault.sentence.replace(" at $", f" at {where}"), where + fault.where[1:]) from None
    if not isinstance(value, dict):
        raise Unusable("an alert is not an object; send one in braces, with labels", where)
    labels = _texts(value, "labels", where)
    if "labels" not in value:
        raise Unusable("labels are missing; an alert is known by its labels", f"{where}.labels")
    annotations = _texts(value, "annotations", where)
    for name in ("startsAt", "endsAt", "generatorURL"):
        if not isinstance(value.get(name), str | None):
            raise Unusable(f"{name} is not text", f"{where}.{name}")
    sent = _Sent(msgspec.Raw(), startsAt=value.get("startsAt"), endsAt=value.get("endsAt"))
    posted = PostableAlert(labels, annotations, generatorURL=value.get("generatorURL"))
    return sent, (raw, b"", b""), posted


def _texts(alert: dict[str, Any], name: str, where: str) -> dict[str, str]:
    """Labels or annotations; one that is null is not there, as in Alertmanager."""
    found = alert.get(name)
    if not isinstance(found, dict | None):
        raise Unusable(f"{name} are not an object of texts", f"{where}.{name}")
    texts = {key: text for key, text in (found or {}).items() if text is not None}
    wrong = next((key for key, text in texts.items() if not isinstance(text, str)), None)
    if wrong is not None:
        raise Unusable(
            f"{wrong[:60]!r} in {name} is not text; put its value in quotes", f"{where}.{name}.{wrong[:60]}"
        )
    return texts


def _posted(words: Words) -> PostableAlert:
    labels, annotations, generator = words
    return PostableAlert(
        _labels_decoder.decode(labels),
        _annotations_decoder.decode(annotations) if annotations else None,
        generatorURL=_address_decoder.decode(generator) if generator else None,
    )


def _refuse(body: bytes) -> NoReturn:
    """Says what is wrong with a body, and where; raises :class:`Unusable`."""
    try:
        _decoder.decode(body)
    except msgspec.ValidationError as error:
        found = _AT.match(str(error))
        what, where = (found[1], found[2]) if found else (str(error), "$")
        raise Unusable(f"{what} at {where}; send a list of alerts with labels as text", where) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        decode_foreign(body)
    raise Unusable("the body is not a list of alerts", "$")


def _alert(one: PostableAlert, words: Words, where: str, notes: list[str]) -> Alert:
    """The alert without its times; remembered where nothing has to be said about it."""
    labels = one.labels
    if "" in labels.values():
        labels = {name: value for name, value in labels.items() if value}
    if not labels:
        raise Unusable("at least one label with a value is required", f"{where}.labels")
    if "" in labels:
        raise Unusable("a label has an empty name; name it", f"{where}.labels")
    said = len(notes)
    alert = Alert("trigger", fingerprint(labels), labels=usable_labels(labels, notes), via=VIA)
    describe(alert, one.annotations or {}, one.generatorURL or "", notes)
    alert.details = fit_details(alert.details, notes)
    alert.kept = body_of(alert)
    if len(notes) == said and sum(map(len, words)) <= LONGEST:
        _remember(words, alert)
    return alert


def _remember(words: Words, alert: Alert) -> None:
    """The second time: an alert that comes once would only take the place of those that come again."""
    mark = hash(words)
    if mark not in _came:
        if len(_came) >= REMEMBERED:
            _came.clear()
        _came.add(mark)
        return
    if len(_known) >= REMEMBERED:
        _known.clear()
    _known[words] = copy(alert)


def _at_its_time(alert: Alert, one: _Sent, where: str, now: Instant, timeout: int) -> Alert:
    starts, ends = _time(one.startsAt, where, "startsAt"), _time(one.endsAt, where, "endsAt")
    if ends and ends < starts:
        raise Unusable(
            f"endsAt {str(one.endsAt)[:60]} is before startsAt {str(one.startsAt)[:60]}; correct one of them",
            f"{where}.endsAt",
        )
    resolved = 0 < ends <= now
    if resolved:
        alert.action = "resolve"
    alert.started_at = starts
    if resolved:
        alert.source_at = ends
    else:
        alert.ends_at = ends or now + timeout
    return alert


def _time(text: str | None, where: str, name: str, read: Callable[[str], Instant] = instant) -> Instant:
    if not text:
        return 0
    try:
        return read(in_a_zone(text))
    except Unusable as fault:
        raise Unusable(fault.sentence, f"{where}.{name}") from None


class PostedSilence(msgspec.Struct):
    """A silence as posted. ``replaces`` is the id it was posted with, empty for a new one."""

    silence: Silence
    replaces: str


def silence_id(randomness: Randomness) -> str:
    """A random UUID (version 4), the form of silence ids that clients of the API expect."""
    return str(uuid.UUID(int=randomness.bits(128), version=4))


def is_silence_id(text: str) -> bool:
    """Whether ``text`` is a UUID as the API writes it."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None


def parse_silence(body: bytes, now: Instant, *, integration: str, new_id: str) -> PostedSilence:
    """The silence of ``POST /api/v2/silences``; raises :class:`Unusable`.

    ``new_id`` is used unless :func:`settle` updates the one it replaces. A start in the past becomes ``now``, as in
    Alertmanager.
    """
    posted = json_object(body)
    for name in ("startsAt", "endsAt", "createdBy", "comment"):
        if not isinstance(posted.get(name), str) or not posted[name].strip():
            raise Unusable(
                f"{name} is missing or not text; a silence needs an author, a reason and an end", f"$.{name}"
            )
    matchers = from_json(posted.get("matchers"))
    if not matchers:
        raise Unusable("a silence needs at least one matcher", "$.matchers")
    replaces = posted.get("id") or ""
    if not isinstance(replaces, str):
        raise Unusable("id must be text: the id of the silence to change, or left out", "$.id")
    times = [_time(posted[name], "$", name, any_instant) for name in ("startsAt", "endsAt")]
    annotations: Any = posted.get("annotations")
    annotations = {} if annotations is None else annotations
    if not isinstance(annotations, dict):
        raise Unusable("annotations must be an object of texts", "$.annotations")
    silence = Silence(
        new_id, matchers, times[0], times[1], posted["createdBy"].strip()[:200], posted["comment"].strip()[:2000],
        integration=integration, updated_at=now, annotations=fit_labels(annotations),
    )  # fmt: skip
    if not replaces:
        silence.starts_at = max(silence.starts_at, now)
    return PostedSilence(check_silence(silence, now), replaces)


class Settled(msgspec.Struct):
    """``kept``: the silence to store. ``ended``: the one it takes the place of, ended now; None where there is none."""

    kept: Silence
    ended: Silence | None
    reason: str


def settle(posted: PostedSilence, previous: Silence | None, now: Instant) -> Settled:
    """What a posted silence does to the one it names (``previous``, looked up by the caller, who answers 404 without it).

    As in Alertmanager: the same matchers and a start that is not changed after the fact update it in place; anything else
    ends it and makes a new one.
    """
    silence = posted.silence
    if previous is None:
        return Settled(silence, None, "a new silence")
    state = state_of(previous, now)
    same_start = abs(previous.starts_at - silence.starts_at) < SECOND
    movable = (state == "active" and same_start) or (state == "pending" and silence.starts_at >= now)
    if movable and set(previous.matchers) == set(silence.matchers):
        silence.id, silence.covers_p1 = previous.id, previous.covers_p1
        return Settled(silence, None, "changed in place")
    silence.starts_at = max(silence.starts_at, now)
    return Settled(silence, ended(previous, now), f"it was {state}; a new silence takes its place")


def ended(silence: Silence, now: Instant) -> Silence | None:
    """``silence`` ended now (``DELETE /api/v2/silence/ID``); None where it is over already."""
    if state_of(silence, now) == "expired":
        return None
    start = min(silence.starts_at, now)
    return msgspec.structs.replace(silence, starts_at=start, ends_at=now, updated_at=now)
