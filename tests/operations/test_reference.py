"""Every setting and command stands in the reference, because the page is made from them."""

import subprocess
import sys
from pathlib import Path

import click

from tocsin.cli import cli

ROOT = Path(__file__).parent.parent.parent


def test_the_reference_is_what_the_definitions_say():
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts/reference.py"), "--check"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr


def test_the_page_of_the_guides_clauses_is_what_the_marks_of_the_tests_say():
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts/guide_coverage.py"), "--check"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr


def every(group, path=("tocsin",)):
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from every(command, (*path, name))


def test_every_command_says_what_it_does_and_shows_an_example():
    silent = [
        " ".join(path)
        for path, command in every(cli)
        if not command.help or ("Example" not in command.help and not isinstance(command, click.Group))
    ]
    assert silent == []
