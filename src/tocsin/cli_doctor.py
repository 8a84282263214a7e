"""The doctor: what is wrong with this installation, as the engine, the settings and the key file tell it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from tocsin.app import (
    KEY_BACK,
    KEY_FILE,
    Installation,
    addresses_of,
    egress_of,
    engine_of,
    key_fault,
    open_installation,
)
from tocsin.cli_operations import storage
from tocsin.cli_responder import as_json, write
from tocsin.engine import doctor as doctors
from tocsin.kernel.errors import DeliveryFailed
from tocsin.providers.console import ConsoleChannel
from tocsin.settings import Settings, load_settings, unknown_variables

DATABASE_FILES = ("tocsin.db", "tocsin.db-wal", "tocsin.db-shm")


@click.command()
@storage
@click.option("--public-url", help="Address under which people reach Tocsin.")
@as_json
def doctor(as_json: bool, **flags: Any) -> None:
    """Say what is wrong with this installation and what to do: 0 well, 1 something must be mended, 2 it cannot be looked at.

    \b
    Example:
      tocsin doctor --data /var/lib/tocsin
    """
    opened = open_installation(load_settings(flags, os.environ), read_only=True)
    try:
        findings = [
            *key_findings(opened),
            *folder_findings(opened.settings),
            *variable_findings(os.environ),
            *address_findings(opened.settings),
            *doctors.examine(engine_of(opened, ConsoleChannel())),
        ]
    finally:
        opened.store.close()
    findings = doctors.worst_first(findings)
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(one) for one in findings], indent=2, ensure_ascii=False))
    else:
        made = Table("", "About", "Found", "What to do")
        colours = {"fail": "bold red", "warn": "yellow", "ok": "green"}
        for one in findings:
            made.add_row(
                f"[{colours[one.level]}]{one.level}[/]", one.about, escape(one.found), escape(one.todo)
            )
        write(made)
        todo = doctors.steps(findings)
        if todo:
            click.echo("\nWhat to do, in this order:")
            click.echo("\n".join(f"{number:>3}. {one}" for number, one in enumerate(todo, 1)))
    sys.exit(1 if any(one.level == "fail" for one in findings) else 0)


def key_findings(opened: Installation) -> list[doctors.Finding]:
    """Whether the key file is there, is this database's, and for its owner's eyes alone."""
    path = Path(opened.settings.data) / KEY_FILE
    fault = key_fault(opened.store, opened.secret, opened.settings.data)
    found = [doctors.Finding("fail", "key file", fault, KEY_BACK)] if fault else []
    mode = path.stat().st_mode & 0o777 if opened.secret else 0
    if mode & 0o077:
        said = f"{path} can be read by others (mode {mode:o})"
        found.append(doctors.Finding("fail", "key file", said, f"chmod 600 {path}"))
    return found or [doctors.Finding("ok", "key file", f"{path} is readable by its owner alone")]


def folder_findings(settings: Settings) -> list[doctors.Finding]:
    """Whether the data folder, and the database where it lies there, are for their owner's eyes alone."""
    folder = Path(settings.data)
    files = [] if settings.database_url else [folder / name for name in DATABASE_FILES]
    found = []
    for paths, wanted in (([folder], 700), (files, 600)):
        modes = {path: path.stat().st_mode & 0o777 for path in paths if path.exists()}
        if seen := [path for path, mode in modes.items() if mode & 0o077]:
            said = f"{seen[0]} can be read by others (mode {modes[seen[0]]:o})"
            todo = f"chmod {wanted} {' '.join(map(str, seen))}"
            found.append(doctors.Finding("warn", "data folder", said, todo))
    return found


def variable_findings(environment: Mapping[str, str]) -> list[doctors.Finding]:
    """Variables that begin like one of Tocsin's and are none."""
    todo = "mend the name of the variable, or take it out"
    return [doctors.Finding("warn", "settings", said, todo) for said in unknown_variables(environment)]


def address_findings(settings: Settings) -> list[doctors.Finding]:
    """Whether the guard lets messages out to the addresses that are set; nothing is sent."""
    found: list[doctors.Finding] = []
    egress = egress_of(settings)
    try:
        for who, address in addresses_of(settings).items():
            try:
                egress.look(who, address)
            except DeliveryFailed as error:
                host = urlsplit(address).hostname
                todo = (
                    f"add {host} to TOCSIN_EGRESS_ALLOW if that is meant, else mend the address"
                    if error.permanent
                    else f"let this machine resolve {host}, or mend the address"
                )
                found.append(doctors.Finding("fail", "addresses", error.sentence, todo))
            else:
                found.append(doctors.Finding("ok", "addresses", f"{who}: the guard lets messages out to it"))
    finally:
        egress.close()
    return found
