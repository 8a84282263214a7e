"""The guide that people read, made from the policy that is enforced: Markdown, or one page of HTML that needs nothing else.

The text is ``guide.md``; it holds no figure of its own. Whatever an organisation wrote is shown as text, never as markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template, pass_context
from jinja2.runtime import Context
from markdown_it import MarkdownIt

from tocsin.policy.calendar import WEEKDAYS
from tocsin.policy.conditions import Condition
from tocsin.policy.model import SEVERITIES, CalendarTerms, Channel, Chase, IncidentType, Policy, Wording
from tocsin.policy.plans import Continuity, Recovery
from tocsin.policy.saying import after, every, listed, owed, target, way, words
from tocsin.policy.severity import UNRULED

TEMPLATE, STYLE = "guide.md", "guide.css"
PHASES = {
    "stop_damage": "Stop the damage", "restore_basics": "Restore basic function", "data_recovery": "Recover data",
    "service_recovery": "Bring services back", "validation": "Validate",
}  # fmt: skip
STRANDS = {
    "fallback": "another way", "manual": "by hand", "communication": "telling people",
    "reconciliation": "setting straight afterwards",
}  # fmt: skip
JUDGED = {
    "uptime_percent": "uptime, in per cent", "response_time_percentiles": "percentiles of the response time",
    "time_to_containment": "time to containment", "data_recovered_percent": "data recovered, in per cent",
    "integration_availability": "availability of the integration",
}  # fmt: skip
STEPS = ("timeline", "root_cause", "meeting_booked", "meeting_held", "draft", "review", "publication")


def guide_markdown(policy: Policy, in_force: str = "") -> str:
    """The guide in Markdown. ``in_force``: a sentence about the version, such as since when it is in force."""
    text = _template().render(
        policy=policy,
        in_force=in_force,
        keys=SEVERITIES,
        most_severe=SEVERITIES[0],
        second=SEVERITIES[1],
        severities=[(name, policy.severities[name]) for name in SEVERITIES],
        unruled=UNRULED,
        zone=policy.calendar().zone,
        component_names=[component.name for component in policy.outside.components.values()],
        templates=[
            (name, getattr(policy.templates, name))
            for name in ("first_notice", "progress_update", "resolution_notice")
        ],
        steps=STEPS,
        phases=PHASES.items(),
        strands=STRANDS,
        first_type=next(iter(policy.types)),
        chased=sorted(policy.chasing.items(), key=lambda pair: pair[0] == "default"),
        actions=[policy.actions.immediate, policy.actions.short_term, policy.actions.long_term],
    )
    return spaced(text)


def guide_html(policy: Policy, in_force: str = "") -> str:
    """The guide as one page: styles within, light and dark, fit for paper."""
    title = html.escape(policy.governance.title)
    contents, body = guide_body(policy, in_force)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{_file(STYLE)}</style>\n</head>\n<body>\n{contents}<main>\n{body}</main>\n</body>\n</html>\n"
    )


def guide_body(policy: Policy, in_force: str = "") -> tuple[str, str]:
    """(table of contents, text), as HTML to stand within another page."""
    markdown = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    tokens = markdown.parse(guide_markdown(policy, in_force))
    seen: dict[str, int] = {}
    links: list[str] = []
    for index, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        text = _plain_text(tokens[index + 1].content)
        anchor = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or "part"
        seen[anchor] = seen.get(anchor, 0) + 1
        if seen[anchor] > 1:
            anchor = f"{anchor}-{seen[anchor]}"
        token.attrSet("id", anchor)
        if token.tag == "h2":
            links.append(f'<li><a href="#{anchor}">{html.escape(text)}</a></li>')
    contents = f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>\n'
    return contents, markdown.renderer.render(tokens, markdown.options, {})


def spaced(text: str) -> str:
    """The text with one empty line between headings, paragraphs, lists and tables, and none within them."""
    found: list[str] = []
    fence = ""
    for line in text.splitlines():
        line = line.rstrip()
        opening = re.match(r"`{3,}", line)
        if not fence and (line or opening) and found and found[-1] and _kind(line) != _kind(found[-1]):
            found.append("")
        if opening:
            fence = "" if fence and line == fence else fence or opening[0]
        if fence or line or (found and found[-1]):
            found.append(line)
    return "\n".join(found).strip() + "\n"


def _kind(line: str) -> str:
    if line.startswith("#"):
        return line  # a heading is like nothing else
    if line.startswith("|"):
        return "table"
    return "list" if re.match(r" *- ", line) else "text"


def _plain_text(inline: str) -> str:
    return re.sub(r"\\([^\w\s])", r"\1", inline)


@lru_cache(maxsize=4)
def _file(name: str) -> str:
    return (files("tocsin.policy") / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _template() -> Template:
    # Markdown is made here: what people wrote is escaped by the filters below, not by the environment
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= {
        "md": escaped,
        "cell": escaped,
        "said": lambda duration: duration.said,
        "are": lambda names: "is" if len(names) == 1 else "are",
        "every": every,
        "delay": after,
        "who": who,
        "role": role,
        "people": people,
        "roles": roles,
        "plain": words,
        "owed": owed,
        "way": way,
        "ways": lambda names: escaped(listed([way(name) for name in names], "or")),
        "judged": lambda name: JUDGED[name],
        "subtypes": subtypes,
        "incidents": incidents,
        "recovered": recovered,
        "begins": begins,
        "plains": lambda names: listed([words(name) for name in names]),
        "listed": lambda parts: listed([str(part) for part in parts]),
        "capital": lambda text: text[:1].upper() + text[1:],
        "figure": lambda number: f"{number:g}",
        "week": week,
        "condition": condition,
        "reminders": reminders,
        "rules_of_type": rules_of_type,
        "rules_of_channel": rules_of_channel,
        "message": message,
    }
    return environment.from_string(_file(TEMPLATE))


@pass_context
def who(context: Context, name: str) -> str:
    """A position, in words."""
    return escaped(target(name, context["policy"]))


@pass_context
def role(context: Context, name: str) -> str:
    """A role of the response, else a position, in words."""
    return escaped(target(name, context["policy"], role=True))


@pass_context
def people(context: Context, names: Iterable[str]) -> str:
    """Several positions."""
    return escaped(listed([target(name, context["policy"]) for name in names]))


@pass_context
def roles(context: Context, names: Iterable[str]) -> str:
    """Several roles or positions."""
    return escaped(listed([target(name, context["policy"], role=True) for name in names]))


def escaped(text: str) -> str:
    """Text as Markdown shows it: nothing in it is markup, and it stays on one line."""
    one_line = re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"^(\d*)([-+#=~.)]+)(?=\s|$)", r"\1\\\2", one_line)  # what would begin a list or a heading


def code(text: str) -> str:
    """A pattern in a code span, whatever backticks it holds."""
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{' '.join(text.splitlines())}{pad}{fence}"


def week(calendar: CalendarTerms) -> list[tuple[str, list[str]]]:
    """(day, its hours) from Monday to Sunday."""
    return [
        (
            day.capitalize(),
            [
                f"{start // 60:02}:{start % 60:02}–{end // 60:02}:{end % 60:02}"
                for start, end in getattr(calendar.hours, day)
            ],
        )
        for day in WEEKDAYS
    ]


def condition(when: Condition) -> str:
    """A condition as a list, nested below its rule."""
    return "".join(f"{line}\n" for line in _conditions(when, 1))


def _conditions(when: Condition, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for join, said in (("all", "all of"), ("any", "any of")):
        parts: tuple[Condition, ...] | None = getattr(when, join)
        if parts is not None:
            yield f"{indent}- {said}:"
            for part in parts:
                yield from _conditions(part, depth + 1)
    if when.not_ is not None:
        yield f"{indent}- not:"
        yield from _conditions(when.not_, depth + 1)
    if when.fact is not None:
        yield f"{indent}- {code(when.fact)} {_comparison(when)}"


def _comparison(when: Condition) -> str:
    if when.matches is not None:
        return f"matches {code(when.matches)}"
    if when.one_of is not None:
        return f"is {listed([code(one) for one in when.one_of], 'or')}"
    if when.equals is not None:
        wanted = str(when.equals)
        return f"is {code(wanted.lower() if isinstance(when.equals, bool) else wanted)}"
    for name, said in (("above", "above"), ("at_least", "at least"), ("below", "below")):
        limit = getattr(when, name)
        if limit is not None:
            return f"is {said} {limit:g}"
    return ""


def reminders(chase: Chase) -> str:
    """When somebody is reminded before it is due."""
    percents = listed([f"{percent} %" for percent in chase.remind_at_percent])
    parts = [f"after {percents} of the time"] if percents else []
    before = listed([one.said for one in chase.remind_before])
    parts += [f"{before} before it is due"] if before else []
    return listed(parts) or "not"


@pass_context
def subtypes(context: Context, names: Iterable[str], last: str = "and") -> str:
    """Kinds of incident as the policy calls them."""
    known = {key: text for kind in context["policy"].types.values() for key, text in kind.subtypes.items()}
    return escaped(listed([known.get(name) or words(name) for name in names], last))


def incidents(types: Iterable[str]) -> str:
    """Which incidents a step is for."""
    named = listed([words(one) for one in types])
    return escaped(f"{named} incidents" if named else "every incident")


def recovered(terms: Recovery) -> str:
    """Which incidents get the plan of recovery."""
    kinds = listed([words(kind) for kind in terms.types])
    parts = [f"{listed(terms.severities)} incidents"] if terms.severities else []
    parts += [f"{kinds} incidents of any severity"] if kinds else []
    return escaped(", and ".join(parts) or "no incidents")


@pass_context
def begins(context: Context, plan: Continuity) -> str:
    """What begins a plan of continuity."""
    if not plan.severities:
        return "It never begins: it is for no severity."
    policy: Policy = context["policy"]
    names = [policy.outside.components[policy.component(one)].name for one in plan.components]
    hit = [f"a service of the component {listed(names, 'or')}"] if names else []
    hit += [listed(plan.services, "or")] if plan.services else []
    parts = [f"touches {' or '.join(hit)}"] if hit else []
    parts += [f"is of the kind {subtypes(context, plan.subtypes, 'or')}"] if plan.subtypes else []
    return f"It begins when a {listed(plan.severities, 'or')} incident {escaped(', or '.join(parts))}."


@pass_context
def rules_of_type(context: Context, kind: IncidentType) -> str:
    """What holds for a type at any severity."""
    parts = []
    if kind.restricted:
        members = listed([target(name, context["policy"]) for name in kind.members])
        parts.append(f"visible to its members alone{f' ({members})' if members else ''}")
    if not kind.self_resolves:
        parts.append("never ends by itself")
    if kind.post_mortem == "required":
        parts.append("owes a post-mortem")
    if kind.validate_before == "resolved":
        parts.append("is validated before it counts as resolved")
    return listed(parts) or "none"


def rules_of_channel(channel: Channel) -> str:
    """What is special about a channel."""
    parts = ["the primary one"] if channel.primary else []
    parts += (
        [f"for {listed([words(kind) for kind in channel.for_types])} incidents"] if channel.for_types else []
    )
    parts += ["members only"] if channel.restricted else []
    return listed(parts)


def message(wording: Wording) -> str:
    """A message as it is written, blanks and all."""
    text = f"Subject: {wording.subject}\n\n{wording.text.rstrip()}"
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence}text\n{text}\n{fence}\n"
