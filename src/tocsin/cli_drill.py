"""``tocsin drill``: scenarios against the real policy on a virtual clock."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tocsin.kernel.errors import Unusable


@click.group()
def drill() -> None:
    """Play a scenario on a virtual clock: who is paged when, what is owed, met and missed."""


@drill.command("list")
def drill_list() -> None:
    """The scenarios that come with Tocsin, one a line, name first.

    \b
    Example:
      tocsin drill list
    """
    from tocsin.drill.library import (  # the engine behind drills is slow to import, and other commands do without
        find,
        names,
    )

    width = max(len(name) for name in names())
    for name in names():
        click.echo(f"{name:<{width}}  {find(name).title}")


@drill.command("run")
@click.argument("scenario")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A policy file in place of the default.",
)
@click.option("--seed", help="Another seed than the scenario's own.")
def drill_run(scenario: str, as_json: bool, policy: Path | None, seed: str | None) -> None:
    """Play SCENARIO, a name from the list or a file: exit 0 expectations met, 1 not met, 2 unusable.

    \b
    Example:
      tocsin drill run demo
      tocsin drill run database-failover --policy policy.yaml --json
    """
    # as above
    from tocsin.drill import as_json as json_of
    from tocsin.drill import find, run, table
    from tocsin.policy.load import load_policy

    text = None
    if policy is not None:
        try:
            text = policy.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unusable(f"the policy file {policy} cannot be read: {error}", "policy") from None
        load_policy(text, str(policy))
    result = run(find(scenario), policy=text, seed=seed)
    click.echo(json_of(result) if as_json else table(result), nl=False)
    if not result.met:
        sys.exit(1)
