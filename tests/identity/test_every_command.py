"""Nothing that can be asked for is forgotten on the way: each command has its handler, each verb its row in the table."""

import ast
from pathlib import Path

import pytest

import tocsin
from tocsin.engine import administration, desk
from tocsin.engine.changes import CHANGES
from tocsin.engine.commands import COMMANDS
from tocsin.identity.authorize import who_may

SOURCES = sorted(
    path for room in ("engine", "web") for path in (Path(tocsin.__file__).parent / room).glob("*.py")
)


def verbs_of(path):
    """The verbs that a file names in so many words when it asks who may."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("authorize", "allow", "allow_for", "load"):
            words = [
                one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            yield from (one for one in words if one)


def test_every_command_and_every_change_has_a_handler():
    assert set(desk.HANDLERS) == set(COMMANDS.values())
    assert set(administration.HANDLERS) == set(CHANGES.values())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_verb_that_is_asked_for_stands_in_the_table(path):
    assert [verb for verb in verbs_of(path) if not who_may(verb)] == []


def test_verbs_are_found_where_they_are_asked_for():
    found = {verb for path in SOURCES for verb in verbs_of(path)}
    assert {"declare", "waive", "configure", "people", "hand_over_command"} <= found
