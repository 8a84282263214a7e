"""The kinds of stream there are: one line each says how it folds, what it owes next, and what follows from its facts."""

from __future__ import annotations

from typing import Any

from tocsin.engine.acting import ACTION, POLICY
from tocsin.engine.reactions import REACTIONS
from tocsin.engine.work import Kind, incident_row
from tocsin.incidents.folding import FOLD, fold
from tocsin.incidents.incident import Incident
from tocsin.incidents.owing import next_due

KINDS: dict[type[Any], Kind] = {
    Incident: Kind(
        "incident", Incident, FOLD, fold, incident_row,
        lambda work, incident: next_due(incident, work.policy(incident), work.directory, work.now), REACTIONS,
    ),
    ACTION.state: ACTION,
    POLICY.state: POLICY,
}  # fmt: skip
