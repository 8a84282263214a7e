"""The readable guide: made from the policy, every figure a reference to it, fit to be read on screen and paper."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from tocsin.kernel.errors import Unusable
from tocsin.policy.calendar import Duration
from tocsin.policy.guide import code, escaped, guide_html, guide_markdown, spaced
from tocsin.policy.load import Document, default_policy, default_policy_text, load_policy
from tocsin.policy.model import SEVERITIES, Policy
from tocsin.policy.plans import MET_BY, PHASES, STRANDS

DATA = Document(default_policy_text(), "default.yaml").data
MARKDOWN = guide_markdown(default_policy())


def with_value(path: tuple[Any, ...], value: Any) -> str:
    data = copy.deepcopy(DATA)
    part = data
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return guide_markdown(Policy.model_validate_json(json.dumps(data), strict=True))


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in leaves(value, (*path, key))]
    if isinstance(node, list):
        return [found for index, value in enumerate(node) for found in leaves(value, (*path, index))]
    return [(path, node)]


def another_figure(value: Any) -> Any:
    """Another value of the same kind; None where the value is no figure."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value + 3
    if not isinstance(value, str):
        return None
    hours = re.fullmatch(r"(\d\d):00-(\d\d):00", value)
    if hours:
        return f"{int(hours[1]) + 1:02}:30-{hours[2]}:00"
    if re.fullmatch(r"\d\d:\d\d", value):
        return f"{int(value[:2]) + 1:02}:45"
    try:
        length = Duration.parse(value)
    except Unusable:
        return None
    return str(Duration(length.kind, length.amount * 7 if length.amount else 11_000_000))


WORDS = (
    "title", "version", "meaning", "purpose", "reason", "name", "inside", "outside", "text", "subject", "rotation", "about",
)  # fmt: skip
FIGURES = [
    (path, value) for path, value in leaves(DATA) if path[0] != "blanks" and another_figure(value) is not None
]


def test_there_are_figures_to_change() -> None:
    assert len(FIGURES) > 90


@pytest.mark.guide("GOV-2")
def test_every_figure_of_the_policy_stands_in_the_guide_and_changes_with_it() -> None:
    silent = []
    for path, value in FIGURES:
        other = another_figure(value)
        if path[:2] == ("chasing", "default") and path[2] == "remind_at_percent":
            other = 83
        try:
            changed = with_value(path, other)
        except ValidationError:
            # figures that must rise: one between its neighbours
            changed = with_value(path, 51 if value == 50 else 81)
        if changed == MARKDOWN:
            silent.append(path)
    assert silent == []


@pytest.mark.guide("GOV-2")
def test_the_words_of_the_policy_stand_in_the_guide_too() -> None:
    silent = []
    for path, value in leaves(DATA):
        if not isinstance(value, str) or path[-1] not in WORDS:
            continue
        other = f"{value} indeed"
        if with_value(path, other) == MARKDOWN and not (
            path[0] == "blanks" and path[-1] == "outside" and "outside_always" in DATA["blanks"][path[1]]
        ):
            silent.append(path)
    assert silent == []


@pytest.mark.guide("GOV-2")
def test_no_figure_is_typed_into_the_template() -> None:
    template = (files("tocsin.policy") / "guide.md").read_text("utf-8")
    assert re.findall(r"\d+", template) == []
    assert not re.search(
        r"\b(one|two|three|four|five|ten|fifteen|thirty) (minutes?|hours?|days?|weeks?)\b", template
    )


def another_choice(path: tuple[Any, ...], value: Any) -> Any:
    """Another name that may stand at a place of a plan, a rule or a chase; None where none is chosen from a list."""
    key = next((one for one in reversed(path) if isinstance(one, str)), "")
    if key in ("owner", "through", "escalate_to", "verified_by", "approves", "sends", "digest_to", "standby"):
        return "architect" if value != "architect" else "cto"
    choices: dict[str, tuple[str, ...]] = {
        "phase": PHASES, "strand": STRANDS, "met_by": MET_BY, "severities": SEVERITIES, "components": tuple(DATA["outside"]["components"]),
        "type": tuple(DATA["types"]), "types": tuple(DATA["types"]), "services": ("orders",),
        "subtypes": ("loss", "payment_gateway"),
    }  # fmt: skip
    return next((one for one in choices.get(key, ()) if one != value), None)


@pytest.mark.guide("GOV-2")
def test_every_choice_about_plans_parties_rules_and_chasing_stands_in_the_guide() -> None:
    """Owners, phases, what begins a plan, who hears by which way, the types that rules say."""
    seen, silent = set(), []
    for path, value in leaves(DATA):
        if path[0] not in ("recovery", "continuity", "outside", "actions", "chasing", "rules"):
            continue
        other = another_choice(path, value)
        if other is None or "when" in path:
            continue
        seen.add(next(one for one in reversed(path) if isinstance(one, str)))
        if with_value(path, other) == MARKDOWN:
            silent.append(path)
    assert silent == []
    assert {
        "owner",
        "phase",
        "strand",
        "met_by",
        "severities",
        "components",
        "services",
        "subtypes",
        "types",
        "type",
        "verified_by",
    } <= seen


def test_a_part_that_the_policy_does_not_have_is_said_not_to_be_there() -> None:
    data = {key: value for key, value in DATA.items() if key not in ("recovery", "continuity")}
    text = guide_markdown(Policy.model_validate_json(json.dumps(data), strict=True))
    assert "This policy has no plan of recovery." in text
    assert "This policy has no plan of continuity." in text
    assert "### Who hears how it goes" not in text and "limited group" not in text
    assert "It never begins: it is for no severity." in with_value(
        ("continuity", "plans", "payments", "severities"), []
    )


def test_switches_change_the_guide_as_well() -> None:
    for path, value in leaves(DATA):
        if isinstance(value, bool) and path[0] in ("severities", "outside", "types", "channels"):
            assert with_value(path, not value) != MARKDOWN, path


def test_it_has_a_part_for_everything_that_people_look_up() -> None:
    headings = re.findall(r"^## (.*)$", MARKDOWN, re.MULTILINE)
    assert headings == [
        "How severe it is", "The first response", "Who is paged", "Roles", "Communication inside", "Communication outside",
        "Recovery", "Business continuity", "Alerts and the end", "Post-mortem", "Actions", "Governance", "The rules in full",
    ]  # fmt: skip


def test_headings_lists_and_tables_stand_apart() -> None:
    lines = MARKDOWN.splitlines()
    for before, line in pairwise(lines):
        if line.startswith("#") or (line.startswith("|") and not before.startswith("|")):
            assert before == "", (before, line)
        if before.startswith("|") and not line.startswith("|"):
            assert line == "", (before, line)
    assert "\n\n\n" not in MARKDOWN
    assert not [line for line in lines if line != line.rstrip()]


def test_what_an_organisation_wrote_is_text_and_never_markup() -> None:
    wild = "a|b `c` *d* [e](http://f) <script>g</script> {{ h }} & \\ 1. i"
    markdown = with_value(("severities", "P1", "meaning"), wild)
    page = guide_html(load_policy(json.dumps(DATA | {"governance": {**DATA["governance"], "title": wild}})))
    assert "<script>g" not in page
    assert "&lt;script&gt;g&lt;/script&gt;" in page
    assert r"a\|b \`c\` \*d\* \[e\](http://f) \<script\>g" in markdown
    assert escaped("- no list") == "\\- no list"
    assert escaped("1. no list") == "1\\. no list"
    assert escaped("1.0.0") == "1.0.0"
    assert code("a`b``c") == "```a`b``c```"


def test_a_fence_within_a_message_does_not_end_it() -> None:
    text = "look:\n```\n# not a heading\n```\n"
    data = copy.deepcopy(DATA)
    data["templates"]["progress_update"]["everybody"]["text"] = (
        text + data["templates"]["progress_update"]["everybody"]["text"]
    )
    page = guide_html(load_policy(json.dumps(data)))
    assert "# not a heading" in page
    assert "<h1>not a heading" not in page
    assert spaced("```\n|\n# x\n```\n") == "```\n|\n# x\n```\n"


class Page(HTMLParser):
    """What a page is made of: ids, links, whatever it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.ids += [known["id"] or ""] if "id" in known else []
        self.links += [known["href"] or ""] if tag == "a" and "href" in known else []
        self.loaded += [known[name] or "" for name in ("src", "srcset") if name in known]
        if tag == "link":
            self.loaded.append(known.get("href") or "")


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere() -> None:
    text = guide_html(default_policy())
    page = Page()
    page.feed(text)
    assert page.loaded == []
    assert "script" not in page.tags
    assert "@import" not in text and "url(" not in text
    assert len(page.ids) == len(set(page.ids))
    assert page.links and {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert "prefers-color-scheme" in text or "light-dark(" in text
    assert "@media print" in text
    assert page.tags.count("table") > 10 and page.tags.count("h1") == 1


def test_a_version_in_force_says_so() -> None:
    assert "In force since Monday." in guide_markdown(default_policy(), "In force since Monday.")
