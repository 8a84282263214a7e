"""A data folder as a small company has it after a week: one person on call by mail, and integrations with their keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tocsin.app import build
from tocsin.engine.receiving import Integration
from tocsin.identity.tokens import key_hash
from tocsin.incidents.organisation import load_organisation, to_records
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import RecordRow
from tocsin.settings import Settings

ON_CALL = "anna@example.org"

ORGANISATION = f"""
organisation: Peers
default_team: ops
people:
  anna:
    name: Anna Berg
    email: {ON_CALL}
    login: anna
    role: owner
    contacts: [{{kind: email, tested: true}}]
teams:
  ops:
    name: Operations
    members: [anna]
    schedule: ops
schedules:
  ops:
    name: Operations
    rotations:
      - members: [anna]
        every: 1 week
        start: monday -4 weeks 09:00
"""


def key_of(name: str) -> str:
    """The key of the integration ``name`` in a prepared folder."""
    return f"{name}-key-".ljust(32, "0")


def prepare(folder: Path, integrations: Mapping[str, str], **more: object) -> None:
    """Fills a new data folder: ``integrations`` maps names to sources; ``more`` are fields of each."""
    tocsin = build(Settings(data=str(folder)))
    try:
        engine, now = tocsin.engine, tocsin.engine.clock.now()
        organisation = load_organisation(ORGANISATION, "peers.yaml", now=now)
        rows = to_records(organisation, now)
        for name, source in integrations.items():
            integration = Integration(name, name, source, **more)  # type: ignore[arg-type]
            lookup = key_hash(key_of(name), engine.secret)
            rows.append(RecordRow("integration", name, lookup, encode(integration), now))
        engine.put_records(rows)
    finally:
        tocsin.store.close()
