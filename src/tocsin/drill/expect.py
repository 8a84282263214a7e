"""Expectations of a drill: each is judged on its own and answers with what really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from tocsin.drill.scenario import Expectation
from tocsin.drill.stage import Sent
from tocsin.incidents.incident import Incident
from tocsin.incidents.wording import duty_label, plain
from tocsin.kernel.clock import humanize


class Verdict(msgspec.Struct, frozen=True):
    """An expectation in words, whether it holds, and what was found. ``where``: file and line."""

    text: str
    ok: bool
    found: str
    where: str = ""


class View(msgspec.Struct):
    """What is known at a moment: messages, lines of the report, incidents by number, and how their duties stand."""

    sent: list[Sent]
    events: list[Any]
    incidents: dict[str, Incident]
    owed: Callable[[Incident], list[Any]]
    names: Mapping[str, str] = {}
    """person → name"""


def judge(expected: Expectation, view: View) -> Verdict:
    """Whether ``expected`` holds in ``view``."""
    ok, found = _JUDGES[expected.what](expected, view)
    return Verdict(words(expected, view.names), ok, found, expected.where)


_SENTENCES: Mapping[str, str] = {
    "paged": "{who} is paged", "not_paged": "{who} is not paged", "told": "{who} is told", "not_told": "{who} is not told",
    "acknowledged_by": "{who} acknowledges", "met": "{duty}: met", "missed": "{duty}: missed", "not_missed": "{duty}: not missed",
    "severity": "its severity is {value}", "status": "it is {plain}", "commander": "{who} commands",
    "message": "a message says “{value}”", "no_message": "no message says “{value}”",
    "timeline": "the timeline says “{value}”", "not_on_timeline": "the timeline does not say “{value}”",
    "incidents": "incidents: {value}",
}  # fmt: skip
"""what is expected → the sentence for it"""


def words(e: Expectation, names: Mapping[str, str]) -> str:
    """The expectation as a sentence: *Greta Lind is paged at 5 min*."""
    said = _SENTENCES[e.what].format(
        who=names.get(e.value, e.value) or "somebody",
        duty=duty_label(e.value),
        value=e.value,
        plain=plain(e.value),
    )
    parts = [said]
    parts += [f"to {names.get(e.to, e.to)}"] if e.to else []
    parts += [f"by {e.via}"] if e.via else []
    parts += [f"in {e.incident}"] if e.incident else []
    times = {name: getattr(e, name) for name in ("not_before", "by", "before", "after", "at")}
    if times["by"] is not None and times["by"] == times["not_before"]:
        times |= {"at": times["by"], "by": None, "not_before": None}
    told = {"not_before": "not before", "by": "within", "before": "before", "after": "after", "at": "at"}
    for name, value in times.items():
        if value is not None:
            parts.append(
                "at once" if value == 0 and name in ("by", "at") else f"{told[name]} {humanize(value)}"
            )
    return " ".join(parts)


def _within(e: Expectation, moments: Iterable[tuple[int, str]], none: str) -> tuple[bool, str]:
    """Whether the first of ``moments`` (from ``not_before`` on, where that is set) comes in time."""
    found = sorted(moments)
    fitting = [
        one for one in found
        if (e.by is None or one[0] <= e.by) and (e.not_before is None or one[0] >= e.not_before)
    ]  # fmt: skip
    if e.not_before is not None and found and found[0][0] < e.not_before:
        return False, f"already at {humanize(found[0][0])}: {found[0][1]}"
    if fitting:
        return True, f"at {humanize(fitting[0][0])}: {fitting[0][1]}"
    return False, f"only at {humanize(found[0][0])}: {found[0][1]}" if found else none


def _never(e: Expectation, moments: Iterable[tuple[int, str]]) -> tuple[bool, str]:
    """Whether none of ``moments`` lies after ``after`` and before ``before``."""
    found = sorted(
        one for one in moments
        if (e.before is None or one[0] < e.before) and (e.after is None or one[0] > e.after)
    )  # fmt: skip
    return (False, f"at {humanize(found[0][0])}: {found[0][1]}") if found else (True, "not once")


def _messages(e: Expectation, view: View, person: str, *, pages: bool | None) -> list[tuple[int, str]]:
    return [
        (sent.at, f"{sent.channel}: {sent.message.title}")
        for sent in view.sent
        if not sent.failed
        and (not person or sent.person == person)
        and (pages is None or sent.is_page == pages)
        and (not e.via or sent.channel == e.via)
        and (not e.incident or e.incident in sent.incidents)
    ]


def _containing(e: Expectation, view: View) -> list[tuple[int, str]]:
    wanted = e.value.casefold()
    return [
        (sent.at, f"{sent.channel} to {view.names.get(sent.person, sent.person)}: {sent.message.title}")
        for sent in view.sent
        if not sent.failed
        and (not e.to or sent.person == e.to)
        and (not e.via or sent.channel == e.via)
        and wanted in f"{sent.message.title}\n{sent.message.text}\n{sent.message.short}".casefold()
    ]


def _paged(e: Expectation, view: View) -> tuple[bool, str]:
    return _within(e, _messages(e, view, e.value, pages=True), "not paged at all")


def _not_paged(e: Expectation, view: View) -> tuple[bool, str]:
    return _never(e, _messages(e, view, e.value, pages=True))


def _told(e: Expectation, view: View) -> tuple[bool, str]:
    return _within(e, _messages(e, view, e.value, pages=False), "not told at all")


def _not_told(e: Expectation, view: View) -> tuple[bool, str]:
    return _never(e, _messages(e, view, e.value, pages=False))


def _message(e: Expectation, view: View) -> tuple[bool, str]:
    return _within(e, _containing(e, view), "no message says that")


def _no_message(e: Expectation, view: View) -> tuple[bool, str]:
    return _never(e, _containing(e, view))


def _lines(e: Expectation, view: View) -> list[tuple[int, str]]:
    wanted = e.value.casefold()
    return [
        (event.at, event.text) for event in view.events
        if event.type and wanted in event.text.casefold() and e.incident in ("", event.incident)
    ]  # fmt: skip


def _timeline(e: Expectation, view: View) -> tuple[bool, str]:
    return _within(e, _lines(e, view), "no line says that")


def _not_on_timeline(e: Expectation, view: View) -> tuple[bool, str]:
    return _never(e, _lines(e, view))


def _acknowledged_by(e: Expectation, view: View) -> tuple[bool, str]:
    incident = _incident(e, view)
    if incident is None:
        return False, _no_incident(e, view)
    lines = [
        (event.at, event.text)
        for event in view.events
        if event.type == "acknowledged" and event.incident == incident.name and event.person == e.value
    ]
    return _within(e, lines, f"{view.names.get(incident.holder, incident.holder) or 'nobody'} has it")


def _incident(e: Expectation, view: View) -> Incident | None:
    return view.incidents.get(e.incident or "INC-1")


def _no_incident(e: Expectation, view: View) -> str:
    return f"there is no {e.incident or 'INC-1'}; there are {', '.join(view.incidents) or 'none'}"


def _of(name: str) -> Callable[[Expectation, View], tuple[bool, str]]:
    def judge_value(e: Expectation, view: View) -> tuple[bool, str]:
        incident = _incident(e, view)
        if incident is None:
            return False, _no_incident(e, view)
        value = str(getattr(incident, name))
        return (
            value.casefold() == e.value.casefold(),
            f"it is {view.names.get(value, plain(value)) or 'nobody'}",
        )

    return judge_value


def _met(e: Expectation, view: View) -> tuple[bool, str]:
    """The duty as it last stood is met, and no earlier one of its rule was missed."""
    return _duty(
        e, view, lambda states: states[-1] == "met" and "missed" not in states and "met_late" not in states
    )


def _missed(e: Expectation, view: View) -> tuple[bool, str]:
    incident = _incident(e, view)
    if incident is None:
        return False, _no_incident(e, view)
    lines = [
        (event.at, event.text) for event in view.events
        if event.type == "duty_missed" and event.incident == incident.name and event.text.startswith(f"MISSED: {e.value},")
    ]  # fmt: skip
    return _within(e, lines, "no miss is recorded")


def _not_missed(e: Expectation, view: View) -> tuple[bool, str]:
    return _duty(e, view, lambda states: "missed" not in states and "met_late" not in states)


def _duty(e: Expectation, view: View, holds: Callable[[list[str]], bool]) -> tuple[bool, str]:
    incident = _incident(e, view)
    if incident is None:
        return False, _no_incident(e, view)
    states = [one.state for one in view.owed(incident) if one.rule == e.value]
    if not states:
        return False, f"{incident.name} owes no {e.value}"
    return holds(states), ", ".join(state.replace("_", " ") for state in states)


def _incidents(e: Expectation, view: View) -> tuple[bool, str]:
    return len(view.incidents) == int(e.value), f"there are {len(view.incidents)}"


_JUDGES: Mapping[str, Callable[[Expectation, View], tuple[bool, str]]] = {
    "paged": _paged, "not_paged": _not_paged, "told": _told, "not_told": _not_told, "acknowledged_by": _acknowledged_by,
    "met": _met, "missed": _missed, "not_missed": _not_missed, "severity": _of("severity"), "status": _of("status"),
    "commander": _of("commander"), "message": _message, "no_message": _no_message, "timeline": _timeline,
    "not_on_timeline": _not_on_timeline, "incidents": _incidents,
}  # fmt: skip
