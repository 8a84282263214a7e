"""What breaks with what, and what comes back first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.catalogue.services import (
    Service,
    blast_radius,
    by_id,
    cycle,
    dependencies,
    dependents,
    find,
    missing,
    recovery_order,
)

SHOP = by_id(
    [
        Service("database", "Database", criticality=1, aliases=("db", "Postgres")),
        Service("auth", "Authentication", depends_on=("database",), criticality=1),
        Service("api", "Public API", depends_on=("auth", "database"), criticality=2),
        Service("web", "Web", depends_on=("api",), criticality=2),
        Service("reports", "Reports", depends_on=("database",), criticality=4),
    ]
)


def test_the_blast_radius_reaches_through_others_nearest_first() -> None:
    assert dependents(SHOP, "database") == ("api", "auth", "reports", "web")
    assert dependents(SHOP, "auth") == ("api", "web")
    assert dependents(SHOP, "web") == ()
    assert dependencies(SHOP, "web") == ("api", "auth", "database")
    assert blast_radius(SHOP, ["auth", "api"]) == ("web",)


@pytest.mark.guide("REC-4")
def test_recovery_starts_with_what_others_need_and_then_goes_by_criticality() -> None:
    assert recovery_order(SHOP) == ("database", "auth", "api", "web", "reports")
    assert recovery_order(SHOP, ["web", "database"]) == ("database", "web"), (
        "it waits through a healthy service"
    )


def test_a_circle_is_named_and_recovery_still_answers() -> None:
    round_trip = by_id(
        [
            Service("a", "A", depends_on=("b",)),
            Service("b", "B", depends_on=("c",)),
            Service("c", "C", depends_on=("a",)),
        ]
    )
    assert cycle(round_trip) == ("a", "b", "c", "a")
    assert cycle(SHOP) == ()
    assert set(recovery_order(round_trip)) == {"a", "b", "c"}
    assert dependents(round_trip, "a") == ("c", "b")


def test_alerts_may_use_any_name_of_a_service() -> None:
    assert [
        found.id for name in ("database", "DATABASE", "postgres", " db ") if (found := find(SHOP, name))
    ] == ["database"] * 4
    assert find(SHOP, "") is None and find(SHOP, "mainframe") is None


def test_a_dependency_that_is_nowhere_is_found() -> None:
    assert missing(by_id([Service("a", "A", depends_on=("ghost",))])) == (("a", "ghost"),)


names = st.sampled_from("abcdefg")


@given(st.dictionaries(names, st.sets(names, max_size=3), min_size=1))
@settings(max_examples=100, deadline=None)
def test_recovery_order_holds_everything_once_and_respects_needs_where_there_is_no_circle(
    graph: dict[str, set[str]],
) -> None:
    services = by_id(Service(name, name, depends_on=tuple(sorted(needs))) for name, needs in graph.items())
    order = recovery_order(services)
    assert sorted(order) == sorted(graph)
    circle = cycle(services)
    if circle:
        assert circle[0] == circle[-1]
        assert all(right in graph[left] for left, right in zip(circle, circle[1:], strict=False))  # noqa: RUF007
    else:
        for name, needs in graph.items():
            assert all(order.index(needed) < order.index(name) for needed in needs if needed in graph)
            assert name not in dependents(services, name)
