"""What the documentation names is there: pages, settings, commands and their options, functions of the architecture."""

import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path

import click
import pytest

import tocsin
from tocsin.cli import cli
from tocsin.drill.library import names
from tocsin.settings import OF_THE_CLIENT, SECRETS, Settings

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PACKAGE = ROOT / "src" / "tocsin"
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_of(page):
    """The pieces of code on a page: lines of blocks, and what stands in backticks."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [*lines, *(line.strip() for line in re.findall(r"^    (.+)$", text, re.MULTILINE)), *re.findall(r"`([^`\n]+)`", text)]  # fmt: skip


def anchors_of(page):
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@EACH
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors_of(found), f"{page.name}: {target}"


@EACH
def test_variables_are_settings(page):
    known = {f"TOCSIN_{name.upper()}" for name in Settings.model_fields} | set(OF_THE_CLIENT)
    known |= {f"TOCSIN_{name.upper()}_FILE" for name in SECRETS}
    named = set(re.findall(r"\bTOCSIN_[A-Z]+(?:_[A-Z]+)*", page.read_text("utf-8")))
    assert named - known == set()


@EACH
def test_commands_and_their_options_are_there(page):
    for line in code_of(page):
        for found in re.finditer(r"(?:^|(?<!-u)[\s`(=]|/)tocsin ((?:(?![|;&#`)]).)+)", line):
            words, command = found[1].split(), cli
            while words and isinstance(command, click.Group) and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            if command is cli:
                assert not words or not re.fullmatch(r"[a-z]+", words[0]), f"{page.name}: {found[0]}"
            options = {option for one in command.params for option in one.opts} | {"--help", "--version"}
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= options, f"{page.name}: {found[0]}"


@cache
def everything():
    """(modules by their name without ``tocsin.``, bare name → all that modules and classes of ours hold by it)."""
    modules, names = {}, {}
    for one in pkgutil.walk_packages(tocsin.__path__, "tocsin."):
        if "migrations" in one.name:
            continue
        module = modules[one.name.removeprefix("tocsin.")] = importlib.import_module(one.name)
        for name, value in vars(module).items():
            names.setdefault(name, []).append(value)
            if inspect.isclass(value) and value.__module__.startswith("tocsin"):
                for part, member in vars(value).items():
                    names.setdefault(part, []).append(member)
    return modules, names


def is_there(name):
    """Whether a dotted name begins with a module, or with something that one of them or a class holds, and goes on from there."""
    modules, names = everything()
    parts = name.removeprefix("tocsin.").split(".")
    begins = [
        (modules[head], cut) for cut in range(1, len(parts) + 1) if (head := ".".join(parts[:cut])) in modules
    ]
    begins += [(one, 1) for one in names.get(parts[0], ())]
    return any(reaches(one, parts[cut:]) for one, cut in begins)


def reaches(found, parts):
    for part in parts:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def names_in(text):
    """(dotted names, files and folders) in backticks."""
    pieces = [one for one in re.findall(r"`([^`\n]+)`", text) if " " not in one.partition("(")[0]]
    files = [one for one in pieces if re.fullmatch(r"[\w*/-]+(\.(py|md|toml|yaml|html|sh)|/)", one)]
    begins = [re.match(r"[A-Za-z_]\w*(\.\w+)*(?=$|\()", one) for one in pieces if one not in files]
    inside = [one for piece in pieces for one in re.findall(r"\(([A-Z]\w+)\)", piece)]
    return [*(one[0] for one in begins if one), *inside], files


def test_functions_and_files_of_the_architecture_are_there():
    dotted, files = names_in((ROOT / "docs" / "architecture.md").read_text("utf-8"))
    assert len(dotted) > 30
    assert [one for one in dotted if not is_there(one)] == []
    assert [one for one in files if not list(PACKAGE.glob(one))] == []


def test_what_contributors_are_sent_to_is_there():
    """Names with a dot or a capital, and files; other words in backticks are commands and marks."""
    dotted, files = names_in((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    named = [one for one in dotted if "." in one or not one.islower()]
    assert len(named) > 10
    assert [one for one in named if not is_there(one)] == []
    assert [one for one in files if not list(PACKAGE.glob(one)) and not list(ROOT.glob(one))] == []


def test_every_scenario_of_the_library_stands_in_its_table():
    table = (ROOT / "docs" / "drills.md").read_text("utf-8").partition("## The library")[2]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == set(names())


def test_a_name_that_is_gone_is_noticed():
    assert is_there("Engine.receive")
    assert is_there("engine.receiving.receive")
    assert is_there("start_paging")
    assert not is_there("Engine.recieve")
    assert not is_there("engine.receiving.recieve")
    assert not is_there("start_pageing")
