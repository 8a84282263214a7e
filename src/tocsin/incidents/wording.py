"""Duties, roles and moments in the words that people use; timeline, pages and hints all take them from here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tocsin.kernel.clock import Instant, parse_instant, to_datetime
from tocsin.oncall.walltime import zone_of

POSTS: Mapping[str, str] = {
    "on_call": "on-call engineer", "secondary": "secondary on-call engineer", "holder": "whoever had it", "owner": "who owes it", "cto": "CTO", "ceo": "CEO",
    "coo": "COO", "cfo": "CFO", "ciso": "CISO", "tocsin": "Tocsin",
}  # fmt: skip
"""role or position → what it is called where the policy at hand has no name for it"""

LABELS: Mapping[str, str] = {
    "acknowledge": "Acknowledge", "respond": "Respond", "record": "Record what happened", "assess": "Assess severity and impact",
    "activate": "Call the response team", "mitigate": "Begin mitigation", "resolve": "Resolve", "update": "Update",
    "tell": "First notice", "validation": "Validate the recovery", "recovery": "Recovery", "continuity": "Continuity", "action": "Finish the action item",
    "action_status": "Report on the action item", "action_verification": "Verify the action item", "policy_review": "Review the policy", "war_room": "Open the war room", "stand_up": "Stand-up", "message": "Message to the outside",
    "post_mortem": "Post-mortem",
}  # fmt: skip
"""rule of a duty, or step of the protocol → what it is called"""

DONE: Mapping[str, str] = {
    "acknowledge": "acknowledged", "record": "recorded", "assess": "severity and impact are assessed", "activate": "the response team is called",
    "mitigate": "mitigation has begun",
}  # fmt: skip
"""step of the protocol → what is said once it is done"""

STEPS: Mapping[str, str] = {
    "timeline": "timeline complete", "root_cause": "root cause", "meeting_booked": "book the meeting", "meeting_held": "hold the meeting",
    "draft": "draft", "review": "review", "publication": "publication",
}  # fmt: skip
"""step of the post-mortem → what it is called"""

IMPACT: Mapping[str, str] = {
    "users_affected_percent": "Users affected, in %", "users_affected": "Users affected, how many", "error_rate_percent": "Error rate, in %",
    "latency_ms": "Latency, in ms", "data_lost": "Data lost, with its unit", "who": "Who notices, and what", "workaround": "Workaround",
}  # fmt: skip
"""field of the impact → its label"""

MOVES: Mapping[str, str] = {
    "resolve": "resolve it", "close": "close it", "reopen": "reopen it", "false_alarm": "call it a false alarm",
    "investigate": "investigate again", "identify": "say that the cause is identified", "monitor": "only monitor it from now on",
}  # fmt: skip
"""where a change of status leads → what is done"""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SHOUTED = re.compile(r"\b(cto|ceo|coo|cfo|ciso|sms|api)\b")


def post_label(post: str, posts: Mapping[str, str] = POSTS) -> str:
    """What a role, a position or a reference is called: ``on_call`` → *on-call engineer*, ``team:web`` → *team web*."""
    known = posts.get(post) or POSTS.get(post)
    return known or plain(post.replace(":", " ").replace("#", " "))


def plain(name: str) -> str:
    """A name of the machine's as words: ``users_affected`` → *users affected*; abbreviations are written large."""
    return _SHOUTED.sub(lambda found: found[0].upper(), name.replace("_", " "))


def duty_label(
    rule: str,
    key: str = "",
    *,
    zone: str = "UTC",
    near: Instant = 0,
    parties: Mapping[str, str] = {},  # never written to
) -> str:
    """A duty in words: *Post-mortem: draft*, *Message to partners*, *Stand-up at 13:00*.

    ``key`` is the duty's id. ``near``: the present; a stand-up of another day names its day. ``parties``: names of those
    outside, where the policy at hand has others than its keys say.
    """
    parts = key.partition("#")[0].split(":")
    detail = parts[1] if len(parts) > 1 and parts[0] == rule else ""
    if rule == "post_mortem" and detail in STEPS:
        return f"Post-mortem: {STEPS[detail]}"
    if rule == "message" and detail:
        return f"Message to {parties.get(detail, plain(detail)).lower()}"
    if rule in ("recovery", "continuity") and detail:
        return f"{LABELS[rule]}: {plain(detail)}"
    if rule == "stand_up" and detail.isdigit():
        return f"Stand-up at {moment(int(detail), zone, near)}"
    return LABELS.get(rule) or plain(rule).capitalize()


def asked_for(verb: str, fields: Mapping[str, Any], names: Mapping[str, str] = {}, posts: Mapping[str, str] = POSTS) -> str:  # fmt: skip
    """What somebody asks for: *resolve*, *set the severity to P3*, *waive the message to investors*.

    ``fields`` are those of the command; ``names``: person → name.
    """
    said = {name: str(value) for name, value in fields.items()}
    match verb:
        case "move":
            return MOVES.get(said.get("to", ""), plain(said.get("to", "move")))
        case "severity":
            return f"set the severity to {said.get('severity', '')}"
        case "waive":
            key = said.get("duty", "")
            return f"waive the {in_sentence(duty_label(key.partition(':')[0], key))}"
        case "merge":
            return f"merge it into {said.get('into', '')}"
        case "assign_role":
            person = said.get("person", "")
            return f"make {names.get(person, person)} {in_sentence(post_label(said.get('role', ''), posts))}"
        case "pause_clock":
            return "pause the clocks"
    return plain(verb)


def clocked(text: str, zone: str = "UTC", near: Instant = 0) -> str:
    """A text of the record with its moments on the clocks of ``zone``."""
    return _MOMENT.sub(lambda found: moment(parse_instant(found[0]), zone, near), text)


def in_sentence(label: str) -> str:
    """A label within a sentence: its first letter small, unless it is an abbreviation."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def moment(at: Instant, zone: str = "UTC", near: Instant = 0) -> str:
    """``13:00`` on the day of ``near``, else ``Tue 3 Mar 13:00``, on the clocks of ``zone``; UTC is said."""
    place = zone_of(zone)
    there = to_datetime(at, place)
    same_day = near and to_datetime(near, place).date() == there.date()
    text = f"{there:%H:%M}" if same_day else f"{there:%a} {there.day} {there:%b %H:%M}"
    return f"{text} UTC" if zone == "UTC" else text
