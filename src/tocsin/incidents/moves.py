"""The table of legal moves: from which status which verb may be used. Whoever tries another is told the legal ones."""

from __future__ import annotations

from tocsin.incidents.incident import Incident
from tocsin.kernel.errors import Refused

MOVES: dict[str, dict[str, str]] = {
    "investigating": {"identify": "identified", "monitor": "monitoring", "resolve": "resolved", "false_alarm": "false_alarm", "merge": "merged"},
    "identified": {"investigate": "investigating", "monitor": "monitoring", "resolve": "resolved", "false_alarm": "false_alarm", "merge": "merged"},
    "monitoring": {"investigate": "investigating", "identify": "identified", "resolve": "resolved", "false_alarm": "false_alarm", "merge": "merged"},
    "resolved": {"reopen": "investigating", "close": "closed", "merge": "merged"},
    "closed": {"reopen": "investigating"},
    "false_alarm": {"reopen": "investigating"},
    "merged": {"split": "investigating"},
}  # fmt: skip
"""status → verb → status afterwards"""


def move(incident: Incident, verb: str) -> str:
    """The status after ``verb``; raises :class:`Refused` with the legal verbs where it is not one of them."""
    legal = MOVES[incident.status]
    if verb not in legal:
        raise Refused(
            f"{incident.name} is {incident.status.replace('_', ' ')}; {verb.replace('_', ' ')} is not possible now. "
            f"Possible: {', '.join(sorted(legal))}.",
            sorted(legal),
        )
    return legal[verb]


def require_open(incident: Incident, verb: str) -> None:
    """Raises :class:`Refused` unless the incident is open."""
    if not incident.open:
        raise Refused(
            f"{incident.name} is {incident.status.replace('_', ' ')}; {verb.replace('_', ' ')} needs an open incident. "
            f"Possible: {', '.join(sorted(MOVES[incident.status]))}.",
            sorted(MOVES[incident.status]),
        )
