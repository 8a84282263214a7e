"""Services, what they depend on, and what follows from that: blast radius, cycles, the order of recovery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


class Link(msgspec.Struct, frozen=True):
    """A labelled address (a dashboard, a repository, a vendor's status page)."""

    label: str
    url: str


class ServiceContact(msgspec.Struct, frozen=True):
    """Whom to call outside: a vendor or a function, its hours as text, its number, and the contract to name."""

    name: str
    function: str = ""
    hours: str = ""
    number: str = ""
    contract: str = ""


class Service(msgspec.Struct, frozen=True):
    """Something that can break.

    ``component`` is the component of the status page it shows under, ``team`` its owner. ``depends_on`` holds service
    ids. ``criticality`` is 1 (everything stops without it) to 4 (hardly missed). ``aliases`` are other names that
    alerts use for it.
    """

    id: str
    name: str
    component: str = ""
    team: str = ""
    depends_on: tuple[str, ...] = ()
    criticality: int = 3
    aliases: tuple[str, ...] = ()
    runbook_url: str = ""
    dashboards: tuple[Link, ...] = ()
    links: tuple[Link, ...] = ()
    contacts: tuple[ServiceContact, ...] = ()


Catalogue = Mapping[str, Service]
"""Services by id."""


def by_id(services: Iterable[Service]) -> dict[str, Service]:
    """An index by id."""
    return {service.id: service for service in services}


def find(services: Catalogue, name: str) -> Service | None:
    """The service that ``name`` means: its id first, then its name, then an alias; letter case does not matter."""
    if name in services:
        return services[name]
    wanted = name.strip().casefold()
    if not wanted:
        return None
    for names_of in (
        lambda service: (service.id,),
        lambda service: (service.name,),
        lambda service: service.aliases,
    ):
        for service in services.values():
            if wanted in (known.casefold() for known in names_of(service)):
                return service
    return None


def dependents(services: Catalogue, service_id: str) -> tuple[str, ...]:
    """The blast radius: every service that needs ``service_id``, directly or through others, nearest first."""
    needed_by: dict[str, list[str]] = {}
    for service in services.values():
        for needed in service.depends_on:
            needed_by.setdefault(needed, []).append(service.id)
    return _spread(service_id, needed_by)


def dependencies(services: Catalogue, service_id: str) -> tuple[str, ...]:
    """Every service that ``service_id`` needs, directly or through others, nearest first."""
    return _spread(service_id, {service.id: list(service.depends_on) for service in services.values()})


def _spread(origin: str, edges: Mapping[str, list[str]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    level = [origin]
    while level:
        level = sorted(
            {step for node in level for step in edges.get(node, ()) if step != origin and step not in found}
        )
        found.update(dict.fromkeys(level))
    return tuple(found)


def blast_radius(services: Catalogue, affected: Iterable[str]) -> tuple[str, ...]:
    """Everything that stands to suffer when all of ``affected`` fail, without themselves."""
    hit = tuple(affected)
    return tuple(dict.fromkeys(name for one in hit for name in dependents(services, one) if name not in hit))


def missing(services: Catalogue) -> tuple[tuple[str, str], ...]:
    """(service, dependency) for every dependency that names no service."""
    return tuple(
        (service.id, needed)
        for service in services.values()
        for needed in service.depends_on
        if needed not in services
    )


def cycle(services: Catalogue) -> tuple[str, ...]:
    """One circle of dependencies, its first service repeated at the end (``a, b, a``); empty where there is none."""
    done: set[str] = set()
    for root in sorted(services):
        if root in done:
            continue
        path: list[str] = [root]
        on_path = {root}
        pending = [iter(sorted(services[root].depends_on))]
        while pending:
            step = next(pending[-1], None)
            if step is None:
                pending.pop()
                done.add(path[-1])
                on_path.discard(path.pop())
            elif step in on_path:
                return (*path[path.index(step) :], step)
            elif step in services and step not in done:
                path.append(step)
                on_path.add(step)
                pending.append(iter(sorted(services[step].depends_on)))
    return ()


def recovery_order(services: Catalogue, affected: Iterable[str] | None = None) -> tuple[str, ...]:
    """The order to bring services back: what others need comes first, then the more critical, then by id.

    ``affected`` limits it to some (a dependency through a healthy service still counts). Services in a circle wait
    for nobody: they come in order of criticality as soon as nothing else can be freed, so that an answer always comes.
    """
    wanted = [name for name in dict.fromkeys(services if affected is None else affected) if name in services]
    waits_for = {name: set(dependencies(services, name)) & set(wanted) for name in wanted}
    ordered: list[str] = []
    while waits_for:
        free = [name for name, needed in waits_for.items() if not needed] or list(waits_for)
        chosen = min(free, key=lambda name: (services[name].criticality, name))
        ordered.append(chosen)
        del waits_for[chosen]
        for needed in waits_for.values():
            needed.discard(chosen)
    return tuple(ordered)
