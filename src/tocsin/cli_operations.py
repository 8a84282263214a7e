"""Running Tocsin: backup and restore, migrations, the tamper check, completion."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from tocsin.app import (
    KEY_FILE,
    Installation,
    engine_of,
    key_fault,
    make_key,
    open_installation,
    own_key,
    read_key,
    sign_in_link,
)
from tocsin.engine import sealing
from tocsin.engine.work import find_any, no_incident
from tocsin.kernel.clock import to_iso
from tocsin.kernel.errors import NotFound, Refused
from tocsin.kernel.ports import Reader
from tocsin.link_requests import ask
from tocsin.providers.console import ConsoleChannel
from tocsin.settings import Settings, load_settings
from tocsin.store import open_store
from tocsin.store.sqlite import database_file, make_folder


def storage(command: Callable[..., None]) -> Callable[..., None]:
    """The two options that say where the data is."""
    command = click.option("--database-url", help="postgresql://… instead of SQLite.")(command)
    return click.option("--data", help="Folder of the database and the keys.")(command)


def _settings(flags: dict[str, Any]) -> Settings:
    return load_settings(flags, os.environ)


def _opened(flags: dict[str, Any], *, read_only: bool = False) -> Installation:
    return open_installation(_settings(flags), read_only=read_only)


@click.command()
@click.argument("target", type=click.Path(dir_okay=False))
@storage
def backup(target: str, **flags: Any) -> None:
    """Write a consistent copy to TARGET while the server runs. Keep a copy of the data folder's tocsin.key apart from it.

    \b
    Example:
      tocsin backup /backups/tocsin-monday.jsonl.gz
    """
    opened = _opened(flags, read_only=True)
    try:
        opened.store.backup(target)
    finally:
        opened.store.close()
    click.echo(
        f"{target} is written; keep a copy of {Path(opened.settings.data) / KEY_FILE} too, apart from it: together they open"
        " everything that is sealed"
    )


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False), required=False)
@click.option("--release", is_flag=True, help="Let a restored copy page people again.")
@storage
def restore(source: str | None, release: bool, **flags: Any) -> None:
    """Fill an empty database from a backup. It pages nobody until it is released.

    \b
    Example:
      tocsin restore /backups/tocsin-monday.jsonl.gz --data /var/lib/tocsin
      tocsin restore --release --data /var/lib/tocsin
    """
    if bool(source) == release:
        raise click.UsageError("give a backup to restore, or --release to let a restored copy page people")
    settings = _settings(flags)
    folder = Path(settings.data)
    make_folder(folder)
    store = open_store(settings.database_url or str(folder))
    try:
        if source:
            store.restore(source)
            click.echo(
                "restored; it is held: no timer and no message leaves it until tocsin restore --release"
            )
            if fault := key_fault(store, read_key(folder), settings.data):
                click.echo(
                    f"{fault}: before it starts, copy {KEY_FILE} there from the data folder of the installation that was backed"
                    " up, or from where you keep it",
                    err=True,
                )
        else:
            if store.read(lambda r: r.meta("held")) is None:
                raise Refused("this database is not held; there is nothing to release")
            count = store.write(lambda tx: tx.release_held())
            click.echo(f"released; {count} messages and timers go on from here")
    finally:
        store.close()


@click.command()
@storage
@click.option(
    "--new-key", is_flag=True, help="Take the data folder's tocsin.key as this database's from now on."
)
def migrate(new_key: bool, **flags: Any) -> None:
    """Bring the database to this version's schema; says which steps were taken. The server does it by itself at its start.

    With --new-key, for when tocsin.key is lost: keys of integrations, links and feeds that are out end, and are made anew.

    \b
    Example:
      tocsin migrate --database-url postgresql://tocsin@db/tocsin
    """
    opened = _opened(flags)
    try:
        steps = opened.store.migrate()
        if new_key:
            make_key(Path(opened.settings.data))
            own_key(opened.store, read_key(Path(opened.settings.data)), opened.settings.data, new=True)
    finally:
        opened.store.close()
    click.echo("\n".join(steps) if steps else "the schema is of this version already")
    if new_key:
        click.echo("tocsin.key is this database's key from now on; make the keys of the integrations anew")


@click.command()
@click.argument("what")
@click.option(
    "--key",
    default="",
    help="Public sealing key, written down earlier: a seal by another key does not count.",
)
@storage
def verify(what: str, key: str, **flags: Any) -> None:
    """Check that nothing was changed: an exported FILE offline, or an INCIDENT of this installation. 0 whole, 1 not.

    \b
    Example:
      tocsin verify INC-7.jsonl
      tocsin verify INC-7 --data /var/lib/tocsin
    """
    if Path(what).is_file():
        verdict = sealing.check_export(Path(what).read_bytes(), what, key)
    else:
        settings = _settings(flags)
        if not settings.database_url and not Path(settings.data).is_dir():
            raise NotFound(
                f"{what} is no file, and {settings.data} is no data folder to look for the incident in"
            )
        opened = open_installation(settings, read_only=True)
        try:
            if not opened.secret:
                raise NotFound(
                    f"there is no {Path(settings.data) / KEY_FILE}, whose key made the seals; put it back from the backup"
                )
            verdict = opened.store.read(lambda r: _verdict(r, what, opened.secret))
        finally:
            opened.store.close()
    if verdict.flaw:
        raise click.ClickException(f"does not fit: {verdict.flaw}")
    sealed = (
        f"sealed up to fact {verdict.sealed_to} of {verdict.facts}, last at {to_iso(verdict.sealed_at)}"
        if verdict.seals
        else "not sealed yet"
    )
    click.echo(f"{verdict.facts} facts, unbroken from the first to {to_iso(verdict.until)}; {sealed}")


def _verdict(reader: Reader, what: str, secret: bytes) -> sealing.Verdict:
    row = find_any(reader, what)
    if row is None:
        raise no_incident(what)
    return sealing.check_stream(reader, row, secret)


@click.command()
@click.argument("person")
@storage
def link(person: str, **flags: Any) -> None:
    """Make a sign-in link for PERSON (once, within the hour): the way back in for an owner without a password. The server
    may run meanwhile.

    \b
    Example:
      tocsin link owner --data /var/lib/tocsin
    """
    settings = _settings(flags)
    folder = Path(settings.data)
    if not settings.database_url and not database_file(folder).is_file():
        raise NotFound(
            f"there is no database in {folder}; start tocsin serve once, or name the folder with --data"
        )
    try:
        opened = _opened(flags)
    except Refused:
        if settings.database_url:
            raise
        click.echo(ask(folder, person))
        return
    try:
        engine = engine_of(opened, ConsoleChannel())
        click.echo(sign_in_link(engine, person))
    finally:
        opened.store.close()


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    \b
    Example:
      tocsin completion bash >> ~/.bashrc
    """
    kind = get_completion_class(shell)
    root = context.find_root()
    if kind is None:
        raise click.ClickException(f"{shell} is not known")
    click.echo(kind(root.command, {}, "tocsin", "_TOCSIN_COMPLETE").source())


COMMANDS = (backup, restore, migrate, verify, link, completion)
