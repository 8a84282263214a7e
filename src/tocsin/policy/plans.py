"""Plans for coming back: recovery in phases, and what keeps the business going meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator

from tocsin.policy.terms import Allowed, Name, Terms, Text, one_of

SEVERITIES = ("P1", "P2", "P3", "P4")
PHASES = ("stop_damage", "restore_basics", "data_recovery", "service_recovery", "validation")
"""Recovery in its order: stop the damage, restore basic function, recover data, bring services back, validate."""
STRANDS = ("fallback", "manual", "communication", "reconciliation")
"""What a step of continuity is: another way, by hand, telling people, setting things straight afterwards."""
RECOVERY = "recovery"
"""the name of the recovery plan among the plans of an incident"""
MET_BY = (
    "status_page",
    "customer_mail",
    "in_app",
    "social_media",
    "stakeholders",
    "investors",
    "partners",
    "media",
    "update",
)
"""How an audience hears: a message over one of the channels outside, or an update on the incident (employees)."""


class PlanStep(Terms):
    """One step of a plan and its ``owner`` (a role or position). ``types``: of incidents it is for; empty: of every one."""

    id: Name
    text: Text
    owner: Text
    types: tuple[Name, ...] = ()


class RecoveryStep(PlanStep):
    phase: Annotated[str, one_of("phase of recovery", PHASES)]


class Recovery(Terms):
    """``severities`` and ``types``: which incidents get the plan. Services come back by dependency and criticality."""

    severities: tuple[Annotated[str, one_of("severity", SEVERITIES)], ...]
    types: tuple[Name, ...] = ()
    steps: tuple[RecoveryStep, ...] = Field(min_length=1)


class ContinuityStep(PlanStep):
    strand: Annotated[str, one_of("strand", STRANDS)]


class Continuity(Terms):
    """What keeps the business going while one capability is out.

    It begins when a P1 or P2 (``severities``) touches one of its ``components`` of the status page, ``services`` of
    the catalogue, or is of one of its ``subtypes``.
    """

    name: Text
    severities: tuple[Annotated[str, one_of("severity", SEVERITIES)], ...] = ("P1", "P2")
    components: tuple[Text, ...] = ()
    services: tuple[Text, ...] = ()
    subtypes: tuple[Name, ...] = ()
    steps: tuple[ContinuityStep, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _begun(self) -> Continuity:
        if not (self.components or self.services or self.subtypes):
            raise ValueError("nothing begins this plan: name components, services or subtypes")
        return self

    @cached_property
    def services_named(self) -> frozenset[str]:
        """``services`` without regard to letter case."""
        return frozenset(name.casefold() for name in self.services)


class Hearing(Terms):
    """That an audience hears how it goes: ``within`` so long of the beginning, then ``every`` so long, from ``through``."""

    name: Text
    about: Text
    through: Text
    within: Allowed
    every: Allowed
    met_by: tuple[Annotated[str, one_of("way to tell", MET_BY)], ...] = Field(min_length=1)


class BusinessContinuity(Terms):
    plans: Mapping[Name, Continuity]
    hearing: Mapping[Name, Hearing] = {}
    """audience → what it hears while any of the plans runs"""

    @model_validator(mode="after")
    def _apart(self) -> BusinessContinuity:
        if RECOVERY in self.plans:
            raise ValueError(
                f"a plan of continuity cannot be called {RECOVERY}, as the plan of recovery is: give it another name"
            )
        return self
